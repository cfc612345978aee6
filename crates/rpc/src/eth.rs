//! The `eth_` namespace: what wallets and tools call.
//!
//! D3.1 6.3.1. One file for each kind of question; a method is a line in its file's `register` and a function.

mod accounts;
mod blocks;
mod execute;
mod fees;
mod filters;
mod logs;
mod submit;
mod subscribe;
mod transactions;

pub(crate) use blocks::{hash, number};
pub(crate) use execute::simulated;
pub(crate) use submit::{SEND_RAW, submit_many};
pub(crate) use transactions::raw;

use crate::error::Failure;
use crate::lane::Class;
use crate::registry::{Call, Registry};
use crate::served::Served;
use alloy_primitives::{B256, U64};
use serde::Serialize;

pub(crate) fn register(methods: &mut Registry) {
    methods.inline("eth_chainId", chain_id);
    methods.inline("eth_protocolVersion", protocol_version);
    methods.inline("eth_syncing", syncing);
    methods.on(Class::Read, "eth_capabilities", capabilities);
    accounts::register(methods);
    blocks::register(methods);
    execute::register(methods);
    fees::register(methods);
    filters::register(methods);
    logs::register(methods);
    submit::register(methods);
    subscribe::register(methods);
    transactions::register(methods);
}

fn chain_id(call: &mut Call<'_>) -> Result<U64, Failure> {
    call.arguments.end()?;
    Ok(U64::from(call.ledger.chain.rules().chain_id()))
}

/// Nodes here do not speak Ethereum's peer protocol; tools want a number.
fn protocol_version(call: &mut Call<'_>) -> Result<U64, Failure> {
    call.arguments.end()?;
    Ok(U64::from(1))
}

fn syncing(call: &mut Call<'_>) -> Result<SyncStatus, Failure> {
    call.arguments.end()?;
    Ok(sync_status(call.ledger))
}

/// `false`, or how far this node is and has to go.
#[derive(Serialize)]
#[serde(untagged)]
enum SyncStatus {
    Done(bool),
    #[serde(rename_all = "camelCase")]
    Behind {
        starting_block: U64,
        current_block: U64,
        highest_block: U64,
    },
}

/// Behind by what the node says, or not at all.
fn sync_status(ledger: &Served) -> SyncStatus {
    let height = ledger.head();
    match ledger.status.borrow().behind.filter(|highest| *highest > height) {
        None => SyncStatus::Done(false),
        Some(highest) => SyncStatus::Behind {
            starting_block: U64::ZERO,
            current_block: U64::from(height),
            highest_block: U64::from(highest),
        },
    }
}

/// What of the ledger's past this node still has.
#[derive(Serialize)]
struct Capabilities {
    head: Head,
    state: Kept,
    tx: Kept,
    logs: Kept,
    receipts: Kept,
    blocks: Kept,
    stateproofs: Kept,
}

#[derive(Serialize)]
struct Head {
    number: U64,
    hash: B256,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    disabled: bool,
    oldest_block: U64,
}

fn capabilities(call: &mut Call<'_>) -> Result<Capabilities, Failure> {
    call.arguments.end()?;
    let view = call.ledger.view()?;
    let kept = |oldest: u64| Kept { disabled: false, oldest_block: U64::from(oldest) };
    let (all, state) = (kept(0), kept(view.snapshot.oldest_state()?));
    Ok(Capabilities {
        head: Head { number: U64::from(view.head()), hash: view.hash(view.head())? },
        stateproofs: state.clone(),
        state,
        tx: all.clone(),
        logs: all.clone(),
        receipts: all.clone(),
        blocks: all,
    })
}
