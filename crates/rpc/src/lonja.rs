//! The `lonja_` namespace: what Ethereum has no word for — finality and the committee.
//!
//! D3.1 6.1.5.2, 6.3.2.

use crate::error::Failure;
use crate::lane::Class;
use crate::options::Status;
use crate::registry::{Call, Registry};
use alloy_primitives::{B256, Bytes};
use serde::Serialize;
use types::Finality;

pub(crate) fn register(methods: &mut Registry) {
    methods.inline("lonja_status", status);
    methods.on(Class::Read, "lonja_getFinality", finality);
}

/// Where this node and its ledger stand. Plain numbers: these are for people and their scripts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeStatus {
    ledger: String,
    chain_id: u64,
    height: u64,
    hash: B256,
    timestamp: u64,
    read_only: bool,
    pending_transactions: usize,
    queued_transactions: usize,
    #[serde(flatten)]
    node: Status,
}

fn status(call: &mut Call<'_>) -> Result<NodeStatus, Failure> {
    call.arguments.end()?;
    let (ledger, finalized) = (call.ledger, call.ledger.chain.finalized());
    let pool = ledger.chain.pool_status();
    Ok(NodeStatus {
        ledger: ledger.name.clone(),
        chain_id: ledger.chain.rules().chain_id(),
        height: finalized.number,
        hash: finalized.hash(),
        timestamp: finalized.timestamp,
        read_only: ledger.read_only,
        pending_transactions: pool.pending,
        queued_transactions: pool.queued,
        node: ledger.status.borrow().clone(),
    })
}

/// A final block and the first certificate at its height or later: a certificate covers all ancestors of its block,
/// which its header and those between them prove.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Proof {
    height: u64,
    hash: B256,
    /// Where one node orders alone there is none.
    certificate: Option<Certificate>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    height: u64,
    block_hash: B256,
    epoch: u64,
    view: u64,
    certificate: Bytes,
}

fn finality(call: &mut Call<'_>) -> Result<Option<Proof>, Failure> {
    let id = call.arguments.block()?;
    call.arguments.end()?;
    let view = call.ledger.view()?;
    let Some(height) = view.height(id)? else { return Ok(None) };
    let certificate = view.snapshot.finality_from(height)?.map(Certificate::from);
    Ok(Some(Proof { height, hash: view.hash(height)?, certificate }))
}

impl From<Finality> for Certificate {
    fn from(finality: Finality) -> Certificate {
        let Finality { height, block_hash, epoch, view, certificate } = finality;
        Certificate { height, block_hash, epoch: epoch.into(), view, certificate }
    }
}
