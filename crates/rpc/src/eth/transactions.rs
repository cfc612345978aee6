//! Transactions, wherever they are: in a block, in the pool, nowhere.

use super::blocks::{hash, number};
use crate::error::Failure;
use crate::lane::Class;
use crate::registry::{Call, Registry};
use crate::render::{self, RpcReceipt, RpcTransaction};
use crate::served::Served;
use alloy_consensus::transaction::Transaction as _;
use alloy_eips::BlockId;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes};
use chain::{Pooled, SenderContent};
use std::sync::Arc;

pub(super) fn register(methods: &mut Registry) {
    methods.on(Class::Read, "eth_getTransactionByHash", by_hash);
    methods.on(Class::Read, "eth_getTransactionByBlockHashAndIndex", by_block_hash);
    methods.on(Class::Read, "eth_getTransactionByBlockNumberAndIndex", by_block_number);
    methods.on(Class::Scan, "eth_getTransactionBySenderAndNonce", by_sender);
    methods.on(Class::Read, "eth_getTransactionReceipt", receipt);
    methods.on(Class::Read, "eth_getRawTransactionByHash", raw_by_hash);
    methods.on(Class::Read, "eth_getRawTransactionByBlockHashAndIndex", raw_by_block_hash);
    methods.on(Class::Read, "eth_getRawTransactionByBlockNumberAndIndex", raw_by_block_number);
}

fn by_hash(call: &mut Call<'_>) -> Result<Option<RpcTransaction>, Failure> {
    let hash = call.arguments.hex::<B256>()?;
    call.arguments.end()?;
    find(call.ledger, hash)
}

/// Looks into the blocks first: a transaction leaves the pool a moment after its block is final, never before.
pub(super) fn find(ledger: &Served, hash: B256) -> Result<Option<RpcTransaction>, Failure> {
    let rules = ledger.chain.rules();
    let waiting = ledger.chain.pooled(&hash);
    let view = ledger.view()?;
    match view.snapshot.transaction(hash)? {
        Some((height, index)) => Ok(render::included(&*view.stored(height)?, index, rules)),
        None => Ok(waiting.map(|entry| render::waiting(&entry.transaction, rules))),
    }
}

fn by_block_hash(call: &mut Call<'_>) -> Result<Option<RpcTransaction>, Failure> {
    let id = hash(call)?;
    at(call, id)
}

fn by_block_number(call: &mut Call<'_>) -> Result<Option<RpcTransaction>, Failure> {
    let id = number(call)?;
    at(call, id)
}

fn at(call: &mut Call<'_>, id: BlockId) -> Result<Option<RpcTransaction>, Failure> {
    let index = call.arguments.index()?;
    call.arguments.end()?;
    let stored = call.ledger.view()?.block(id)?;
    Ok(stored.and_then(|stored| render::included(&stored, index, call.ledger.chain.rules())))
}

/// A sender's nonce grows with the blocks, so a bisection over the states finds the block.
fn by_sender(call: &mut Call<'_>) -> Result<Option<RpcTransaction>, Failure> {
    let (sender, nonce) = (call.arguments.hex::<Address>()?, call.arguments.index()? as u64);
    call.arguments.end()?;
    let (ledger, rules) = (call.ledger, call.ledger.chain.rules());
    let waiting = waiting(ledger, sender, nonce);
    let view = ledger.view()?;
    let nonce_after = |height| -> Result<u64, Failure> {
        let account = ledger.chain.ledger().state_at(height)?.account(sender)?;
        Ok(account.map_or(0, |account| account.nonce))
    };
    let oldest = view.snapshot.oldest_state()?;
    let (mut low, mut high) = (oldest, view.head());
    if nonce_after(high)? <= nonce {
        return Ok(waiting.map(|entry| render::waiting(&entry.transaction, rules)));
    }
    while low < high {
        call.deadline.check()?;
        let middle = low + (high - low) / 2;
        if nonce_after(middle)? > nonce { high = middle } else { low = middle + 1 }
    }
    let stored = view.stored(high)?;
    let is_it =
        |index: &usize| stored.transaction(*index).is_some_and(|(tx, from)| from == sender && tx.nonce() == nonce);
    let index = (0..stored.block.transactions().len()).find(is_it);
    if index.is_none() && high == oldest && oldest > 0 {
        let text = format!("the block with nonce {nonce} is older than the states kept here, from block {oldest} on");
        return Err(Failure::not_found(text));
    }
    Ok(index.and_then(|index| render::included(&stored, index, rules)))
}

fn waiting(ledger: &Served, sender: Address, nonce: u64) -> Option<Arc<Pooled>> {
    let SenderContent { pending, queued } = ledger.chain.pool_content_of(&sender);
    pending.into_iter().chain(queued).find(|entry| entry.nonce() == nonce)
}

fn receipt(call: &mut Call<'_>) -> Result<Option<RpcReceipt>, Failure> {
    let hash = call.arguments.hex::<B256>()?;
    call.arguments.end()?;
    receipt_of(call.ledger, hash)
}

/// The receipt of a final transaction.
pub(super) fn receipt_of(ledger: &Served, hash: B256) -> Result<Option<RpcReceipt>, Failure> {
    let view = ledger.view()?;
    let Some((height, index)) = view.snapshot.transaction(hash)? else { return Ok(None) };
    let (stored, receipts) = (view.stored(height)?, view.receipts(height)?);
    Ok(render::receipt_of(&stored, index, &receipts, ledger.chain.rules()))
}

fn raw_by_hash(call: &mut Call<'_>) -> Result<Option<Bytes>, Failure> {
    let hash = call.arguments.hex::<B256>()?;
    call.arguments.end()?;
    Ok(find(call.ledger, hash)?.map(encode))
}

/// The EIP-2718 bytes of a transaction by its hash, for `debug_getRawTransaction` too.
pub(crate) fn raw(ledger: &Served, hash: B256) -> Result<Option<Bytes>, Failure> {
    Ok(find(ledger, hash)?.map(encode))
}

fn raw_by_block_hash(call: &mut Call<'_>) -> Result<Option<Bytes>, Failure> {
    Ok(by_block_hash(call)?.map(encode))
}

fn raw_by_block_number(call: &mut Call<'_>) -> Result<Option<Bytes>, Failure> {
    Ok(by_block_number(call)?.map(encode))
}

fn encode(transaction: RpcTransaction) -> Bytes {
    transaction.inner.inner().encoded_2718().into()
}
