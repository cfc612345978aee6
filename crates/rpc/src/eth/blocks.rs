//! Blocks, their receipts, and the uncles that imported history may have.

use crate::error::Failure;
use crate::lane::Class;
use crate::registry::{Call, Registry};
use crate::render::{self, RpcBlock, RpcReceipt};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, U64};

pub(super) fn register(methods: &mut Registry) {
    methods.inline("eth_blockNumber", block_number);
    methods.on(Class::Read, "eth_getBlockByHash", by_hash);
    methods.on(Class::Read, "eth_getBlockByNumber", by_number);
    methods.on(Class::Read, "eth_getBlockReceipts", receipts);
    methods.on(Class::Read, "eth_getBlockTransactionCountByHash", count_by_hash);
    methods.on(Class::Read, "eth_getBlockTransactionCountByNumber", count_by_number);
    methods.on(Class::Read, "eth_getUncleByBlockHashAndIndex", uncle_by_hash);
    methods.on(Class::Read, "eth_getUncleByBlockNumberAndIndex", uncle_by_number);
    methods.on(Class::Read, "eth_getUncleCountByBlockHash", uncle_count_by_hash);
    methods.on(Class::Read, "eth_getUncleCountByBlockNumber", uncle_count_by_number);
}

fn block_number(call: &mut Call<'_>) -> Result<U64, Failure> {
    call.arguments.end()?;
    Ok(U64::from(call.ledger.head()))
}

fn by_hash(call: &mut Call<'_>) -> Result<Option<RpcBlock>, Failure> {
    let id = hash(call)?;
    block(call, id)
}

fn by_number(call: &mut Call<'_>) -> Result<Option<RpcBlock>, Failure> {
    let id = number(call)?;
    block(call, id)
}

/// Both ways to name a block, as the methods' first parameter.
pub(crate) fn hash(call: &mut Call<'_>) -> Result<BlockId, Failure> {
    Ok(BlockId::from(call.arguments.hex::<B256>()?))
}

pub(crate) fn number(call: &mut Call<'_>) -> Result<BlockId, Failure> {
    let missing = || Failure::invalid_params("missing value for required argument 0");
    match call.arguments.optional_block()?.ok_or_else(missing)? {
        id @ BlockId::Number(_) => Ok(id),
        BlockId::Hash(_) => Err(Failure::invalid_params("invalid argument 0: hex number > 64 bits")),
    }
}

fn block(call: &mut Call<'_>, id: BlockId) -> Result<Option<RpcBlock>, Failure> {
    let full = call.arguments.optional::<bool>()?.unwrap_or(false);
    call.arguments.end()?;
    let stored = call.ledger.view()?.block(id)?;
    Ok(stored.map(|stored| render::block(&stored, full, call.ledger.chain.rules())))
}

fn receipts(call: &mut Call<'_>) -> Result<Option<Vec<RpcReceipt>>, Failure> {
    let missing = || Failure::invalid_params("missing value for required argument 0");
    let id = call.arguments.optional_block()?.ok_or_else(missing)?;
    call.arguments.end()?;
    let view = call.ledger.view()?;
    let Some(height) = view.height(id)? else { return Ok(None) };
    let (stored, receipts) = (view.stored(height)?, view.receipts(height)?);
    Ok(Some(render::receipts(&stored, &receipts, call.ledger.chain.rules())))
}

fn count_by_hash(call: &mut Call<'_>) -> Result<Option<U64>, Failure> {
    let id = hash(call)?;
    count(call, id)
}

fn count_by_number(call: &mut Call<'_>) -> Result<Option<U64>, Failure> {
    let id = number(call)?;
    count(call, id)
}

fn count(call: &mut Call<'_>, id: BlockId) -> Result<Option<U64>, Failure> {
    call.arguments.end()?;
    let stored = call.ledger.view()?.block(id)?;
    Ok(stored.map(|stored| U64::from(stored.block.transactions().len())))
}

fn uncle_by_hash(call: &mut Call<'_>) -> Result<Option<RpcBlock>, Failure> {
    let id = hash(call)?;
    uncle(call, id)
}

fn uncle_by_number(call: &mut Call<'_>) -> Result<Option<RpcBlock>, Failure> {
    let id = number(call)?;
    uncle(call, id)
}

fn uncle(call: &mut Call<'_>, id: BlockId) -> Result<Option<RpcBlock>, Failure> {
    let index = call.arguments.index()?;
    call.arguments.end()?;
    let stored = call.ledger.view()?.block(id)?;
    let header = stored.and_then(|stored| stored.block.body().ommers.get(index).cloned());
    Ok(header.map(RpcBlock::uncle_from_header))
}

fn uncle_count_by_hash(call: &mut Call<'_>) -> Result<Option<U64>, Failure> {
    let id = hash(call)?;
    uncle_count(call, id)
}

fn uncle_count_by_number(call: &mut Call<'_>) -> Result<Option<U64>, Failure> {
    let id = number(call)?;
    uncle_count(call, id)
}

fn uncle_count(call: &mut Call<'_>, id: BlockId) -> Result<Option<U64>, Failure> {
    call.arguments.end()?;
    let stored = call.ledger.view()?.block(id)?;
    Ok(stored.map(|stored| U64::from(stored.block.body().ommers.len())))
}

/// The range of a fee history and of logs ends here unless the caller says otherwise.
pub(super) const LATEST: BlockNumberOrTag = BlockNumberOrTag::Latest;
