//! The `debug_` namespace: raw encodings, and traces of what ran and what would run.
//!
//! D3.1 6.3.2.

use crate::error::Failure;
use crate::eth;
use crate::lane::Class;
use crate::registry::{Call, Registry};
use crate::view::{Stored, View};
use alloy_eips::BlockId;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::geth::{GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace};
use execution::simulate::Overrides;
use execution::trace::{self, BlockTrace, TraceLimits};
use ledger::StateView;
use std::sync::Arc;

pub(crate) fn register(methods: &mut Registry) {
    methods.on(Class::Read, "debug_getRawHeader", raw_header);
    methods.on(Class::Read, "debug_getRawBlock", raw_block);
    methods.on(Class::Read, "debug_getRawReceipts", raw_receipts);
    methods.on(Class::Read, "debug_getRawTransaction", raw_transaction);
    methods.on(Class::Trace, "debug_traceTransaction", trace_transaction);
    methods.on(Class::Trace, "debug_traceCall", trace_call);
    methods.on(Class::Trace, "debug_traceBlockByNumber", trace_block_by_number);
    methods.on(Class::Trace, "debug_traceBlockByHash", trace_block_by_hash);
}

fn raw_header(call: &mut Call<'_>) -> Result<Bytes, Failure> {
    let id = call.arguments.block()?;
    call.arguments.end()?;
    let view = call.ledger.view()?;
    let mut encoded = Vec::new();
    view.header(view.height_or_fail(id)?)?.encode(&mut encoded);
    Ok(encoded.into())
}

fn raw_block(call: &mut Call<'_>) -> Result<Bytes, Failure> {
    let id = call.arguments.block()?;
    call.arguments.end()?;
    let view = call.ledger.view()?;
    Ok(view.stored(view.height_or_fail(id)?)?.block.encode_rlp().into())
}

fn raw_receipts(call: &mut Call<'_>) -> Result<Vec<Bytes>, Failure> {
    let id = call.arguments.block()?;
    call.arguments.end()?;
    let view = call.ledger.view()?;
    let receipts = view.receipts(view.height_or_fail(id)?)?;
    Ok(receipts.iter().map(|receipt| receipt.encoded_2718().into()).collect())
}

fn raw_transaction(call: &mut Call<'_>) -> Result<Option<Bytes>, Failure> {
    let hash = call.arguments.hex::<B256>()?;
    call.arguments.end()?;
    eth::raw(call.ledger, hash)
}

fn trace_transaction(call: &mut Call<'_>) -> Result<GethTrace, Failure> {
    let hash = call.arguments.hex::<B256>()?;
    let options = call.arguments.optional::<GethDebugTracingOptions>()?.unwrap_or_default();
    call.arguments.end()?;
    let view = call.ledger.view()?;
    let place = view.snapshot.transaction(hash)?;
    let (height, index) = place.ok_or_else(|| Failure::not_found("transaction not found"))?;
    let past = Past::of(call, &view, height)?;
    let limits = past.limits(call, 1);
    let hashes = |height| view.snapshot.hash_of(height).ok().flatten();
    let Past { state, stored } = &past;
    let rules = call.ledger.chain.rules();
    let traced =
        trace::trace_transaction(rules, state, &hashes, &stored.block, &stored.senders, index, options, limits);
    Ok(traced?)
}

fn trace_block_by_number(call: &mut Call<'_>) -> Result<BlockTrace, Failure> {
    let id = eth::number(call)?;
    trace_block(call, id)
}

fn trace_block_by_hash(call: &mut Call<'_>) -> Result<BlockTrace, Failure> {
    let id = eth::hash(call)?;
    trace_block(call, id)
}

fn trace_block(call: &mut Call<'_>, id: BlockId) -> Result<BlockTrace, Failure> {
    let options = call.arguments.optional::<GethDebugTracingOptions>()?.unwrap_or_default();
    call.arguments.end()?;
    let view = call.ledger.view()?;
    let missing = || match id {
        BlockId::Hash(hash) => Failure::not_found(format!("block {} not found", hash.block_hash)),
        BlockId::Number(number) => Failure::not_found(format!("block #{number} not found")),
    };
    let past = Past::of(call, &view, view.height(id)?.ok_or_else(missing)?)?;
    let limits = past.limits(call, past.stored.senders.len());
    let hashes = |height| view.snapshot.hash_of(height).ok().flatten();
    let Past { state, stored } = &past;
    let rules = call.ledger.chain.rules();
    Ok(trace::trace_block(rules, state, &hashes, &stored.block, &stored.senders, options, limits)?)
}

fn trace_call(call: &mut Call<'_>) -> Result<GethTrace, Failure> {
    let request = call.arguments.required::<TransactionRequest>()?;
    let id = call.arguments.block()?;
    let GethDebugTracingCallOptions { tracing_options, state_overrides, block_overrides, .. } =
        call.arguments.optional()?.unwrap_or_default();
    call.arguments.end()?;
    let overrides = Overrides { state: state_overrides, block: block_overrides.map(Box::new) };
    let limits = TraceLimits { bytes: call.ledger.limits.trace_bytes, interrupt: Some(call.deadline.interrupt()) };
    let (view, gas) = (call.ledger.view()?, call.ledger.limits.call_gas);
    eth::simulated(&view, id, |setting| {
        Ok(trace::trace_call(setting, &request, overrides, tracing_options, gas, limits)?)
    })
}

/// A block and the state that it ran on.
struct Past {
    state: StateView,
    stored: Arc<Stored>,
}

impl Past {
    fn of(call: &Call<'_>, view: &View<'_>, height: u64) -> Result<Past, Failure> {
        let parent = height.checked_sub(1).ok_or_else(|| Failure::not_found("genesis is not traceable"))?;
        Ok(Past { state: call.ledger.chain.state_at(parent)?, stored: view.stored(height)? })
    }

    /// All traces of an answer share its memory.
    fn limits<'a>(&self, call: &'a Call<'_>, traces: usize) -> TraceLimits<'a> {
        let bytes = call.ledger.limits.trace_bytes / traces.max(1);
        TraceLimits { bytes, interrupt: Some(call.deadline.interrupt()) }
    }
}
