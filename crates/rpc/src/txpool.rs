//! The `txpool_` namespace: what waits.
//!
//! D3.1 6.3.1.

use crate::error::Failure;
use crate::lane::Class;
use crate::registry::{Call, Registry};
use crate::render::{self, RpcTransaction};
use alloy_primitives::{Address, U64};
use alloy_rpc_types_txpool::{TxpoolContent, TxpoolContentFrom, TxpoolInspect, TxpoolInspectSummary};
use chain::Pooled;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) fn register(methods: &mut Registry) {
    methods.inline("txpool_status", status);
    methods.on(Class::Scan, "txpool_content", content);
    methods.on(Class::Scan, "txpool_contentFrom", content_from);
    methods.on(Class::Scan, "txpool_inspect", inspect);
}

#[derive(Serialize)]
struct Status {
    pending: U64,
    queued: U64,
}

fn status(call: &mut Call<'_>) -> Result<Status, Failure> {
    call.arguments.end()?;
    let status = call.ledger.chain.pool_status();
    Ok(Status { pending: U64::from(status.pending), queued: U64::from(status.queued) })
}

fn content(call: &mut Call<'_>) -> Result<TxpoolContent<RpcTransaction>, Failure> {
    call.arguments.end()?;
    let mut content = TxpoolContent { pending: BTreeMap::new(), queued: BTreeMap::new() };
    for (sender, waiting) in call.ledger.chain.pool_content() {
        call.deadline.check()?;
        put(&mut content.pending, sender, full(call, &waiting.pending));
        put(&mut content.queued, sender, full(call, &waiting.queued));
    }
    Ok(content)
}

fn content_from(call: &mut Call<'_>) -> Result<TxpoolContentFrom<RpcTransaction>, Failure> {
    let sender = call.arguments.hex::<Address>()?;
    call.arguments.end()?;
    let waiting = call.ledger.chain.pool_content_of(&sender);
    Ok(TxpoolContentFrom { pending: full(call, &waiting.pending), queued: full(call, &waiting.queued) })
}

fn inspect(call: &mut Call<'_>) -> Result<TxpoolInspect, Failure> {
    call.arguments.end()?;
    let mut content = TxpoolInspect { pending: BTreeMap::new(), queued: BTreeMap::new() };
    for (sender, waiting) in call.ledger.chain.pool_content() {
        call.deadline.check()?;
        put(&mut content.pending, sender, summaries(&waiting.pending));
        put(&mut content.queued, sender, summaries(&waiting.queued));
    }
    Ok(content)
}

fn put<T>(of: &mut BTreeMap<Address, BTreeMap<String, T>>, sender: Address, waiting: BTreeMap<String, T>) {
    if !waiting.is_empty() {
        of.insert(sender, waiting);
    }
}

fn full(call: &Call<'_>, waiting: &[Arc<Pooled>]) -> BTreeMap<String, RpcTransaction> {
    let rules = call.ledger.chain.rules();
    waiting.iter().map(|entry| (entry.nonce().to_string(), render::waiting(&entry.transaction, rules))).collect()
}

fn summaries(waiting: &[Arc<Pooled>]) -> BTreeMap<String, TxpoolInspectSummary> {
    let summary = |entry: &Arc<Pooled>| TxpoolInspectSummary::from_tx(entry.transaction.inner().clone());
    waiting.iter().map(|entry| (entry.nonce().to_string(), summary(entry))).collect()
}
