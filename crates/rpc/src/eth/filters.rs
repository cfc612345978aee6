//! Filters over the ledger and the pool, asked by polling.

use super::{logs, transactions};
use crate::error::Failure;
use crate::filters::Watched;
use crate::lane::Class;
use crate::registry::{Call, Registry};
use crate::render::RpcTransaction;
use alloy_primitives::{B256, U128};
use alloy_rpc_types_eth::{Filter, Log};
use serde::Serialize;
use std::sync::Arc;

/// Blocks and transactions that one answer names; the rest follows with the next.
const CHANGES_MOST: usize = 10_000;

pub(super) fn register(methods: &mut Registry) {
    methods.inline("eth_newFilter", new_filter);
    methods.inline("eth_newBlockFilter", new_block_filter);
    methods.inline("eth_newPendingTransactionFilter", new_transaction_filter);
    methods.inline("eth_uninstallFilter", uninstall);
    methods.on(Class::Scan, "eth_getFilterLogs", filter_logs);
    methods.on(Class::Read, "eth_getFilterChanges", changes);
}

/// What `eth_getFilterChanges` answers, by the kind of filter.
#[derive(Serialize)]
#[serde(untagged)]
enum Changes {
    Logs(Vec<Log>),
    Hashes(Vec<B256>),
    Transactions(Vec<RpcTransaction>),
}

fn new_filter(call: &mut Call<'_>) -> Result<U128, Failure> {
    let filter = call.arguments.required::<Filter>()?;
    call.arguments.end()?;
    logs::check_terms(&filter, &call.ledger.limits)?;
    let next = call.ledger.head() + 1;
    call.ledger.filters.install(Watched::Logs { filter: Arc::new(filter), next })
}

fn new_block_filter(call: &mut Call<'_>) -> Result<U128, Failure> {
    call.arguments.end()?;
    call.ledger.filters.install(Watched::Blocks { next: call.ledger.head() + 1 })
}

fn new_transaction_filter(call: &mut Call<'_>) -> Result<U128, Failure> {
    let full = call.arguments.optional::<bool>()?.unwrap_or(false);
    call.arguments.end()?;
    let cursor = *call.ledger.chain.fresh().borrow();
    call.ledger.filters.install(Watched::Transactions { cursor, full })
}

/// A filter's name: a quantity in hexadecimal.
fn id(call: &mut Call<'_>) -> Result<U128, Failure> {
    let text = call.arguments.hex::<String>()?;
    text.parse().map_err(|_| Failure::invalid_params(format!("invalid argument 0: {text:?} is no filter")))
}

fn uninstall(call: &mut Call<'_>) -> Result<bool, Failure> {
    let id = id(call)?;
    call.arguments.end()?;
    Ok(call.ledger.filters.uninstall(&id))
}

fn filter_logs(call: &mut Call<'_>) -> Result<Vec<Log>, Failure> {
    let id = id(call)?;
    call.arguments.end()?;
    match call.ledger.filters.get(&id)? {
        Watched::Logs { filter, .. } => logs::find(call.ledger, &filter, &call.deadline),
        _ => Err(Failure::not_found("filter not found")),
    }
}

fn changes(call: &mut Call<'_>) -> Result<Changes, Failure> {
    let id = id(call)?;
    call.arguments.end()?;
    let (changes, watched) = match call.ledger.filters.get(&id)? {
        Watched::Logs { filter, next } => new_logs(call, filter, next)?,
        Watched::Blocks { next } => new_blocks(call, next)?,
        Watched::Transactions { cursor, full } => new_transactions(call, cursor, full)?,
    };
    call.ledger.filters.advance(&id, watched);
    Ok(changes)
}

/// New logs in the part of the filter's own range that is final by now.
fn new_logs(call: &Call<'_>, filter: Arc<Filter>, next: u64) -> Result<(Changes, Watched), Failure> {
    let view = call.ledger.view()?;
    let last = filter.get_to_block().map_or(view.head(), |to| to.min(view.head()));
    let first = filter.get_from_block().map_or(next, |from| from.max(next));
    if first > last || filter.get_block_hash().is_some() {
        return Ok((Changes::Logs(Vec::new()), Watched::Logs { filter, next: view.head() + 1 }));
    }
    // More than one answer may hold: a part now, the rest when it is asked for again.
    let mut end = last;
    let found = loop {
        match logs::between(&view, &filter, first..=end, &call.deadline) {
            Err(Failure::Limit(_)) if end > first => end = first + (end - first) / 2,
            found => break found?,
        }
    };
    Ok((Changes::Logs(found), Watched::Logs { filter, next: end + 1 }))
}

fn new_blocks(call: &Call<'_>, next: u64) -> Result<(Changes, Watched), Failure> {
    let view = call.ledger.view()?;
    let end = (view.head() + 1).min(next + CHANGES_MOST as u64);
    let hashes = (next..end).map(|height| view.hash(height)).collect::<Result<_, _>>()?;
    Ok((Changes::Hashes(hashes), Watched::Blocks { next: end.max(next) }))
}

fn new_transactions(call: &Call<'_>, cursor: u64, full: bool) -> Result<(Changes, Watched), Failure> {
    let (arrived, cursor) = call.ledger.chain.arrived_since(cursor, CHANGES_MOST);
    let watched = Watched::Transactions { cursor, full };
    if !full {
        return Ok((Changes::Hashes(arrived), watched));
    }
    let mut found = Vec::with_capacity(arrived.len());
    for hash in arrived {
        call.deadline.check()?;
        found.extend(transactions::find(call.ledger, hash)?);
    }
    Ok((Changes::Transactions(found), watched))
}
