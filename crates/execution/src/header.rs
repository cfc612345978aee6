//! A block's header: how it is put together, and how it is checked.
//!
//! D3.1 6.1.7.1, 6.1.5.2. Every field follows either from the parent and the slot (`check_context`, before
//! execution) or from the execution (`check_execution`, after). Invariant: a header that `assemble` makes
//! passes both.
//!
//! One rule of Ethereum's is relaxed: a header's `timestamp` counts seconds and must exceed the parent's;
//! here several blocks share a second. The milliseconds of the slot, in `extraData`, must exceed the parent's.

use std::fmt;

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH,
    proofs::{calculate_ommers_root, calculate_receipt_root, calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_primitives::{Address, B64, B256, U256};
use revm::primitives::hardfork::SpecId;
use types::{Block, BlockBody, Header, Slot, Transaction, timestamp_ms};

use crate::{BlockContext, Execution, InvalidTransaction, Rules};

/// A block that breaks a rule: which one, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {height} is invalid: {reason}")]
pub struct InvalidBlock {
    pub height: u64,
    pub reason: InvalidReason,
}

/// The rule that a block breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReason {
    #[error("transaction {index} ({hash}): {why}")]
    Transaction { index: usize, hash: B256, why: Box<InvalidTransaction> },
    #[error("{field} should be {expected}, but is {found}")]
    Field { field: &'static str, expected: String, found: String },
    #[error("its time {found} ms is not above its parent's {parent} ms")]
    Timestamp { parent: u64, found: u64 },
    #[error("it has {found} bytes, more than {limit}")]
    Size { found: usize, limit: usize },
    #[error("it has {0} uncles; this network has none")]
    Uncles(usize),
    #[error("it has {0} withdrawals; this network has none")]
    Withdrawals(usize),
    #[error("{transactions} transactions came with {senders} senders")]
    Senders { transactions: usize, senders: usize },
    #[error("a system call failed: {0}")]
    SystemCall(String),
    #[error("the virtual machine refused it: {0}")]
    Machine(String),
}

impl InvalidReason {
    pub(crate) fn at(self, height: u64) -> InvalidBlock {
        InvalidBlock { height, reason: self }
    }

    pub(crate) fn missing(field: &'static str) -> InvalidReason {
        InvalidReason::Field { field, expected: "present".into(), found: "missing".into() }
    }
}

/// The header of the block that ran in `context` and gave `execution`.
pub fn assemble(context: &BlockContext, execution: &Execution, state_root: B256, body: &BlockBody) -> Header {
    let header = with_context(Header::default(), context, body);
    with_execution(header, context.spec, execution, state_root, body)
}

/// The finished block of a `Builder`: the transactions that it included, in their order.
pub fn seal(context: &BlockContext, execution: &Execution, state_root: B256, transactions: Vec<Transaction>) -> Block {
    let withdrawals = context.spec.is_enabled_in(SpecId::SHANGHAI).then(Default::default);
    let body = BlockBody { transactions, ommers: Vec::new(), withdrawals };
    Block::new(assemble(context, execution, state_root, &body), body)
}

/// Checks of a block of ours all that execution does not decide. `context` comes from `Rules::next_context`
/// with the slot in which consensus received the block.
pub fn check_context(context: &BlockContext, parent: &Header, block: &Block) -> Result<(), InvalidBlock> {
    let height = context.height;
    let header = block.header();
    let expected = with_context(executed_fields(header), context, block.body());
    compare(&expected, header).map_err(|why| why.at(height))?;
    check_time(parent, header).map_err(|why| why.at(height))?;
    check_body(block).map_err(|why| why.at(height))
}

/// Checks all that execution decides.
pub fn check_execution(
    block: &Block,
    spec: SpecId,
    execution: &Execution,
    state_root: B256,
) -> Result<(), InvalidBlock> {
    let header = block.header();
    let expected = with_execution(header.clone(), spec, execution, state_root, block.body());
    compare(&expected, header).map_err(|why| why.at(header.number))?;
    check_withdrawals(block.body(), spec).map_err(|why| why.at(header.number))
}

/// A body has a list of withdrawals from Shanghai on, and none before.
fn check_withdrawals(body: &BlockBody, spec: SpecId) -> Result<(), InvalidReason> {
    match (body.withdrawals.is_some(), spec.is_enabled_in(SpecId::SHANGHAI)) {
        (false, true) => Err(InvalidReason::missing("withdrawals")),
        (true, false) => {
            Err(InvalidReason::Field { field: "withdrawals", expected: "missing".into(), found: "present".into() })
        }
        _ => Ok(()),
    }
}

/// Both checks.
pub fn check_header(
    rules: &Rules,
    parent: &Header,
    slot: &Slot,
    beneficiary: Address,
    block: &Block,
    execution: &Execution,
    state_root: B256,
) -> Result<(), InvalidBlock> {
    let context = rules.next_context(parent, slot, beneficiary);
    check_context(&context, parent, block)?;
    check_execution(block, context.spec, execution, state_root)
}

/// Ethereum's own rules between a header and its parent, for blocks of other networks. The seal and the
/// length of `extraData` are the business of whoever sealed it.
pub fn check_ethereum_header(rules: &Rules, parent: &Header, header: &Header) -> Result<(), InvalidBlock> {
    let spec = rules.spec_of(header);
    let blobs = rules.blob_params_at(header.number, header.timestamp);
    let merged = spec.is_enabled_in(SpecId::MERGE);
    let expected = Header {
        number: parent.number + 1,
        parent_hash: parent.hash_slow(),
        base_fee_per_gas: rules.next_base_fee(parent, spec),
        excess_blob_gas: blobs.map(|blobs| parent.next_block_excess_blob_gas(blobs).unwrap_or(0)),
        parent_beacon_block_root: spec
            .is_enabled_in(SpecId::CANCUN)
            .then(|| header.parent_beacon_block_root.unwrap_or_default()),
        difficulty: if merged { U256::ZERO } else { header.difficulty },
        nonce: if merged { B64::ZERO } else { header.nonce },
        ommers_hash: if merged { EMPTY_OMMER_ROOT_HASH } else { header.ommers_hash },
        ..header.clone()
    };
    compare(&expected, header).map_err(|why| why.at(header.number))?;
    if header.timestamp <= parent.timestamp {
        let (parent, found) = (parent.timestamp.saturating_mul(1000), header.timestamp.saturating_mul(1000));
        return Err(InvalidReason::Timestamp { parent, found }.at(header.number));
    }
    check_gas_limit(parent, header).map_err(|why| why.at(header.number))
}

/// A block's gas limit stays within 1/1024 of its parent's, which EIP-1559 doubled once.
fn check_gas_limit(parent: &Header, header: &Header) -> Result<(), InvalidReason> {
    const MINIMUM: u64 = 5000;
    let doubled = parent.base_fee_per_gas.is_none() && header.base_fee_per_gas.is_some();
    let before = if doubled { parent.gas_limit.saturating_mul(2) } else { parent.gas_limit };
    let found = header.gas_limit;
    let near = found == before || found.abs_diff(before) < before / 1024;
    if near && found >= MINIMUM {
        return Ok(());
    }
    let expected = format!("at least {MINIMUM} and less than a 1024th away from {before}");
    Err(InvalidReason::Field { field: "gasLimit", expected, found: found.to_string() })
}

fn with_context(header: Header, context: &BlockContext, body: &BlockBody) -> Header {
    Header {
        parent_hash: context.parent_hash,
        ommers_hash: ommers_root(body),
        beneficiary: context.beneficiary,
        difficulty: context.difficulty,
        number: context.height,
        gas_limit: context.gas_limit,
        timestamp: context.timestamp,
        extra_data: context.extra_data.clone(),
        mix_hash: context.prev_randao,
        nonce: context.nonce,
        base_fee_per_gas: context.base_fee,
        excess_blob_gas: context.excess_blob_gas,
        parent_beacon_block_root: context.parent_beacon_root,
        ..header
    }
}

/// What execution decides, as found; everything else empty.
fn executed_fields(found: &Header) -> Header {
    Header {
        state_root: found.state_root,
        transactions_root: found.transactions_root,
        receipts_root: found.receipts_root,
        logs_bloom: found.logs_bloom,
        gas_used: found.gas_used,
        withdrawals_root: found.withdrawals_root,
        blob_gas_used: found.blob_gas_used,
        requests_hash: found.requests_hash,
        ..Header::default()
    }
}

fn with_execution(header: Header, spec: SpecId, execution: &Execution, state_root: B256, body: &BlockBody) -> Header {
    let withdrawals = body.withdrawals.as_ref().map_or(&[][..], |withdrawals| &withdrawals[..]);
    let has_withdrawals = spec.is_enabled_in(SpecId::SHANGHAI);
    Header {
        ommers_hash: ommers_root(body),
        state_root,
        transactions_root: calculate_transaction_root(&body.transactions),
        receipts_root: calculate_receipt_root(&execution.receipts),
        logs_bloom: execution.logs_bloom,
        gas_used: execution.gas_used,
        withdrawals_root: has_withdrawals.then(|| calculate_withdrawals_root(withdrawals)),
        blob_gas_used: execution.blob_gas_used,
        requests_hash: execution.requests_hash,
        ..header
    }
}

fn ommers_root(body: &BlockBody) -> B256 {
    if body.ommers.is_empty() { EMPTY_OMMER_ROOT_HASH } else { calculate_ommers_root(&body.ommers) }
}

fn check_time(parent: &Header, header: &Header) -> Result<(), InvalidReason> {
    let (parent, found) = (timestamp_ms(parent), timestamp_ms(header));
    if found > parent { Ok(()) } else { Err(InvalidReason::Timestamp { parent, found }) }
}

fn check_body(block: &Block) -> Result<(), InvalidReason> {
    let body = block.body();
    if !body.ommers.is_empty() {
        return Err(InvalidReason::Uncles(body.ommers.len()));
    }
    let withdrawals = body.withdrawals.as_ref().map_or(0, |withdrawals| withdrawals.len());
    if withdrawals > 0 {
        return Err(InvalidReason::Withdrawals(withdrawals));
    }
    match body.transactions.iter().position(Transaction::is_eip4844) {
        Some(index) => {
            let hash = *body.transactions[index].hash();
            Err(InvalidReason::Transaction { index, hash, why: Box::new(InvalidTransaction::BlobsNotSupported) })
        }
        None => Ok(()),
    }
}

/// The first field that differs, in the order of the header; the state root last, because the others tell more.
fn compare(expected: &Header, found: &Header) -> Result<(), InvalidReason> {
    macro_rules! same {
        ($($name:literal $field:ident),* $(,)?) => {
            $(if expected.$field != found.$field {
                return Err(differs($name, &expected.$field, &found.$field));
            })*
        };
    }
    same! {
        "number" number, "parentHash" parent_hash, "timestamp" timestamp, "extraData" extra_data,
        "miner" beneficiary, "difficulty" difficulty, "mixHash" mix_hash, "nonce" nonce,
        "gasLimit" gas_limit, "baseFeePerGas" base_fee_per_gas, "excessBlobGas" excess_blob_gas,
        "parentBeaconBlockRoot" parent_beacon_block_root, "sha3Uncles" ommers_hash,
        "transactionsRoot" transactions_root, "withdrawalsRoot" withdrawals_root, "gasUsed" gas_used,
        "blobGasUsed" blob_gas_used, "logsBloom" logs_bloom, "receiptsRoot" receipts_root,
        "requestsHash" requests_hash, "stateRoot" state_root,
    }
    // Fields of forks that this version does not know would be left over.
    if expected == found { Ok(()) } else { Err(differs("header", &expected.hash_slow(), &found.hash_slow())) }
}

fn differs(field: &'static str, expected: &dyn fmt::Debug, found: &dyn fmt::Debug) -> InvalidReason {
    InvalidReason::Field { field, expected: format!("{expected:?}"), found: format!("{found:?}") }
}
