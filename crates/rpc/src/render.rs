//! Blocks, transactions, receipts and logs in the shapes of Ethereum's JSON-RPC.
//!
//! D3.1 6.3.1. Invariant: in fee mode `free` the price that a transaction is reported to have paid is zero, whatever it declares.

use crate::view::Stored;
use alloy_consensus::Sealed;
use alloy_consensus::transaction::{Recovered, Transaction as _};
use alloy_primitives::{B256, U256};
use alloy_rpc_types_eth as rpc;
use execution::Rules;
use rpc::{BlockTransactions, ReceiptEnvelope, TransactionReceipt};
use types::{Block, Header, Receipt, Transaction};

pub(crate) type RpcTransaction = rpc::Transaction<Transaction>;
pub(crate) type RpcBlock = rpc::Block<RpcTransaction>;
pub(crate) type RpcReceipt = TransactionReceipt<ReceiptEnvelope<rpc::Log>>;

/// A block with its transactions in full or by hash.
pub(crate) fn block(stored: &Stored, full: bool, rules: &Rules) -> RpcBlock {
    let block = &stored.block;
    let transactions = match full {
        true => {
            let indexes = 0..block.transactions().len();
            BlockTransactions::Full(indexes.filter_map(|index| included(stored, index, rules)).collect())
        }
        false => BlockTransactions::Hashes(block.transactions().iter().map(|tx| *tx.tx_hash()).collect()),
    };
    rpc::Block {
        header: header(block, true),
        uncles: block.body().ommers.iter().map(Header::hash_slow).collect(),
        transactions,
        withdrawals: block.body().withdrawals.clone(),
    }
}

/// A header; `size` is that of the whole block and left out where clients do not expect it.
pub(crate) fn header(block: &Block, with_size: bool) -> rpc::Header {
    let sealed = Sealed::new_unchecked(block.header().clone(), block.hash());
    rpc::Header::from_consensus(sealed, None, with_size.then(|| U256::from(block.rlp_length())))
}

/// Transaction `index` of a final block.
pub(crate) fn included(stored: &Stored, index: usize, rules: &Rules) -> Option<RpcTransaction> {
    let (transaction, sender) = stored.transaction(index)?;
    let header = stored.header();
    Some(RpcTransaction {
        inner: Recovered::new_unchecked(transaction.clone(), sender),
        block_hash: Some(stored.block.hash()),
        block_number: Some(header.number),
        transaction_index: Some(index as u64),
        effective_gas_price: Some(price(transaction, header.base_fee_per_gas, rules)),
        block_timestamp: Some(header.timestamp),
    })
}

/// A transaction that is in no block yet.
pub(crate) fn waiting(transaction: &types::Recovered, rules: &Rules) -> RpcTransaction {
    let ceiling = if rules.is_free() { 0 } else { transaction.max_fee_per_gas() };
    RpcTransaction {
        inner: transaction.clone(),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        effective_gas_price: Some(ceiling),
        block_timestamp: None,
    }
}

fn price(transaction: &Transaction, base_fee: Option<u64>, rules: &Rules) -> u128 {
    if rules.is_free() { 0 } else { transaction.effective_gas_price(base_fee) }
}

/// All receipts of a block.
pub(crate) fn receipts(stored: &Stored, receipts: &[Receipt], rules: &Rules) -> Vec<RpcReceipt> {
    let mut gas_before = 0;
    let mut logs_before = 0;
    let mut rendered = Vec::with_capacity(receipts.len());
    for (index, receipt) in receipts.iter().enumerate() {
        let (gas, logs) = (receipt.cumulative_gas_used(), receipt.logs().len() as u64);
        rendered.extend(self::receipt(stored, index, receipt, gas_before, logs_before, rules));
        gas_before = gas;
        logs_before += logs;
    }
    rendered
}

/// The receipt of transaction `index` of a block.
pub(crate) fn receipt_of(stored: &Stored, index: usize, receipts: &[Receipt], rules: &Rules) -> Option<RpcReceipt> {
    let gas_before =
        index.checked_sub(1).and_then(|before| receipts.get(before)).map_or(0, |r| r.cumulative_gas_used());
    let logs_before = receipts.iter().take(index).map(|receipt| receipt.logs().len() as u64).sum();
    let receipt = receipts.get(index)?;
    self::receipt(stored, index, receipt, gas_before, logs_before, rules)
}

fn receipt(
    stored: &Stored,
    index: usize,
    receipt: &Receipt,
    gas_before: u64,
    logs_before: u64,
    rules: &Rules,
) -> Option<RpcReceipt> {
    let (transaction, sender) = stored.transaction(index)?;
    let header = stored.header();
    let place = Place::of(&stored.block, index, *transaction.tx_hash());
    let gas_used = receipt.cumulative_gas_used().saturating_sub(gas_before);
    let mut log_index = logs_before;
    let inner = receipt.clone().map_logs(|log| {
        log_index += 1;
        place.log(log, log_index - 1)
    });
    let created = transaction.to().is_none().then(|| sender.create(transaction.nonce()));
    Some(RpcReceipt {
        inner,
        transaction_hash: *transaction.tx_hash(),
        transaction_index: Some(index as u64),
        block_hash: Some(stored.block.hash()),
        block_number: Some(header.number),
        gas_used,
        effective_gas_price: price(transaction, header.base_fee_per_gas, rules),
        blob_gas_used: transaction.blob_gas_used(),
        blob_gas_price: transaction.blob_gas_used().and_then(|_| blob_price(header, rules)),
        from: sender,
        to: transaction.to(),
        contract_address: created,
    })
}

/// What a blob costs in this block.
pub(crate) fn blob_price(header: &Header, rules: &Rules) -> Option<u128> {
    let blobs = rules.blob_params_at(header.number, header.timestamp)?;
    header.blob_fee(blobs)
}

/// All logs of a block that `wanted` says yes to.
pub(crate) fn logs(
    block: &Block,
    receipts: &[Receipt],
    mut wanted: impl FnMut(&alloy_primitives::Log) -> bool,
) -> Vec<rpc::Log> {
    let mut log_index = 0;
    let mut found = Vec::new();
    for ((index, transaction), receipt) in block.transactions().iter().enumerate().zip(receipts) {
        let place = Place::of(block, index, *transaction.tx_hash());
        for log in receipt.logs() {
            if wanted(log) {
                found.push(place.log(log.clone(), log_index));
            }
            log_index += 1;
        }
    }
    found
}

/// Where a log was emitted.
struct Place {
    block_hash: B256,
    height: u64,
    timestamp: u64,
    transaction_hash: B256,
    index: u64,
}

impl Place {
    fn of(block: &Block, index: usize, transaction_hash: B256) -> Place {
        let header = block.header();
        let (height, timestamp) = (header.number, header.timestamp);
        Place { block_hash: block.hash(), height, timestamp, transaction_hash, index: index as u64 }
    }

    fn log(&self, log: alloy_primitives::Log, log_index: u64) -> rpc::Log {
        rpc::Log {
            inner: log,
            block_hash: Some(self.block_hash),
            block_number: Some(self.height),
            block_timestamp: Some(self.timestamp),
            transaction_hash: Some(self.transaction_hash),
            transaction_index: Some(self.index),
            log_index: Some(log_index),
            removed: false,
        }
    }
}
