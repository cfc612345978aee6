//! Runs the transactions of one block.
//!
//! D3.1 6.1.6.1. A proposer adds transactions one by one (`Builder`), a verifier runs a finished block
//! (`execute`); both drive the same `Run`. Invariant: a transaction that cannot be in the block leaves no
//! trace in the state.

use alloy_consensus::{Eip658Value, ReceiptEnvelope, Transaction as _, TxReceipt};
use alloy_eips::eip7685::Requests;
use alloy_evm::{
    Evm,
    eth::{EthEvm, EthEvmBuilder, EthEvmContext},
    precompiles::PrecompilesMap,
};
use alloy_primitives::{Address, B256, Bloom, Log};
use alloy_rlp::Encodable;
use ledger::{StateChanges, StateView};
use revm::{
    DatabaseCommit, Inspector,
    context::{
        TxEnv,
        result::{EVMError, ExecutionResult, ResultAndState},
    },
    inspector::NoOpInspector,
    primitives::hardfork::SpecId,
};
use types::{BLOCK_BYTES_MAX, Block, BlockBody, Receipt, Recovered, Transaction};

use crate::{
    BlockContext, BlockHashes, ExecutionError, InvalidReason, InvalidTransaction, Rules, StateError, WorkingState,
    system, transaction::transaction_env,
};

/// Room for the header and the lists around the transactions, in bytes.
const BLOCK_FRAME_BYTES: usize = 2048;

/// What executing a block gave.
#[derive(Clone, Debug)]
pub struct Execution {
    pub receipts: Vec<Receipt>,
    pub gas_used: u64,
    pub logs_bloom: Bloom,
    pub changes: StateChanges,
    /// EIP-7685; none before Prague.
    pub requests: Option<Requests>,
    pub requests_hash: Option<B256>,
    /// None before Cancun.
    pub blob_gas_used: Option<u64>,
}

/// What became of a transaction offered to a `Builder`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is in the block, whether it succeeded or reverted.
    Included { gas_used: u64 },
    /// It cannot be in this block, and left no trace.
    Skipped(InvalidTransaction),
    /// There is no room left for it, by gas or by bytes. A smaller one may still fit.
    Full,
}

/// Builds a block on a parent's state, transaction by transaction.
pub struct Builder<'a> {
    run: Run<'a, NoOpInspector>,
    bytes: usize,
    bytes_max: usize,
}

impl<'a> Builder<'a> {
    pub fn new(
        rules: &'a Rules,
        view: &'a StateView,
        block_hashes: BlockHashes<'a>,
        context: BlockContext,
    ) -> Result<Builder<'a>, ExecutionError> {
        let state = WorkingState::new(view, block_hashes);
        let mut run = Run::new(rules, state, context, NoOpInspector);
        run.before_transactions()?;
        Ok(Builder { run, bytes: BLOCK_FRAME_BYTES, bytes_max: BLOCK_BYTES_MAX })
    }

    /// Keeps the block's encoding below `bytes`, where that is less than what Ethereum allows.
    pub fn with_bytes_max(mut self, bytes: usize) -> Builder<'a> {
        self.bytes_max = bytes.min(BLOCK_BYTES_MAX);
        self
    }

    pub fn context(&self) -> &BlockContext {
        &self.run.context
    }

    pub fn gas_left(&self) -> u64 {
        self.run.gas_left()
    }

    /// Runs a transaction and, if it is valid here, makes it the block's next.
    pub fn add(&mut self, recovered: &Recovered) -> Result<Added, ExecutionError> {
        let (transaction, sender) = (recovered.inner(), recovered.signer());
        if transaction.is_eip4844() {
            return Ok(Added::Skipped(InvalidTransaction::BlobsNotSupported));
        }
        let bytes = transaction.length();
        if self.bytes + bytes > self.bytes_max {
            return Ok(self.no_room(bytes));
        }
        match self.run.add(transaction, sender)? {
            Ok(gas_used) => {
                self.bytes += bytes;
                Ok(Added::Included { gas_used })
            }
            Err(InvalidTransaction::GasLimitReached { .. }) => Ok(Added::Full),
            Err(why) => Ok(Added::Skipped(why)),
        }
    }

    /// A transaction that would not even fit an empty block is at fault itself.
    fn no_room(&self, bytes: usize) -> Added {
        match BLOCK_FRAME_BYTES + bytes > self.bytes_max {
            true => Added::Skipped(InvalidTransaction::BlockSize { limit: self.bytes_max }),
            false => Added::Full,
        }
    }

    /// Ends the block. Our own blocks have neither uncles nor withdrawals.
    pub fn finish(self) -> Result<Execution, ExecutionError> {
        self.run.finish(&BlockBody::default())
    }
}

/// Runs a finished block on its parent's state. `senders` are the recovered senders of its transactions.
///
/// The header is believed: `check_context` and `check_execution` compare it with what it should be.
pub fn execute(
    rules: &Rules,
    view: &StateView,
    block_hashes: BlockHashes<'_>,
    block: &Block,
    senders: &[Address],
) -> Result<Execution, ExecutionError> {
    let height = block.height();
    let transactions = block.transactions();
    if transactions.len() != senders.len() {
        let why = InvalidReason::Senders { transactions: transactions.len(), senders: senders.len() };
        return Err(why.at(height).into());
    }
    let context = BlockContext::of(rules, block.header());
    check_size(block, context.spec)?;
    let state = WorkingState::new(view, block_hashes);
    let mut run = Run::new(rules, state, context, NoOpInspector);
    run.before_transactions()?;
    for (index, (transaction, sender)) in transactions.iter().zip(senders).enumerate() {
        if let Err(why) = run.add(transaction, *sender)? {
            let hash = *transaction.hash();
            return Err(InvalidReason::Transaction { index, hash, why: Box::new(why) }.at(height).into());
        }
    }
    run.finish(block.body())
}

/// Runs one transaction alone, without what its block does besides: no system calls, no rewards.
pub fn execute_transaction(
    rules: &Rules,
    view: &StateView,
    block_hashes: BlockHashes<'_>,
    context: BlockContext,
    recovered: &Recovered,
) -> Result<Result<Execution, InvalidTransaction>, ExecutionError> {
    let mut run = Run::new(rules, WorkingState::new(view, block_hashes), context, NoOpInspector);
    match run.add(recovered.inner(), recovered.signer())? {
        Ok(_) => Ok(Ok(run.into_execution(None))),
        Err(why) => Ok(Err(why)),
    }
}

/// EIP-7934.
fn check_size(block: &Block, spec: SpecId) -> Result<(), ExecutionError> {
    let found = block.rlp_length();
    if spec.is_enabled_in(SpecId::OSAKA) && found > BLOCK_BYTES_MAX {
        return Err(InvalidReason::Size { found, limit: BLOCK_BYTES_MAX }.at(block.height()).into());
    }
    Ok(())
}

/// A block while it runs.
pub(crate) struct Run<'a, I> {
    rules: &'a Rules,
    pub(crate) context: BlockContext,
    pub(crate) evm: EthEvm<WorkingState<'a>, I, PrecompilesMap>,
    receipts: Vec<Receipt>,
    gas_used: u64,
    blob_gas_used: u64,
}

impl<'a, I: Inspector<EthEvmContext<WorkingState<'a>>>> Run<'a, I> {
    /// The inspector sleeps until it is enabled.
    pub(crate) fn new(rules: &'a Rules, state: WorkingState<'a>, context: BlockContext, inspector: I) -> Self {
        let evm = EthEvmBuilder::new(state, rules.evm_env(&context)).inspector(inspector).build();
        Run { rules, context, evm, receipts: Vec::new(), gas_used: 0, blob_gas_used: 0 }
    }

    pub(crate) fn before_transactions(&mut self) -> Result<(), ExecutionError> {
        system::before_transactions(&mut self.evm, self.rules, &self.context)
    }

    fn gas_left(&self) -> u64 {
        self.context.gas_limit.saturating_sub(self.gas_used)
    }

    /// Runs a transaction and keeps its effects, or says why it cannot be in the block.
    pub(crate) fn add(
        &mut self,
        transaction: &Transaction,
        sender: Address,
    ) -> Result<Result<u64, InvalidTransaction>, ExecutionError> {
        match self.transact(transaction, sender)? {
            Ok(outcome) => self.commit(transaction, outcome).map(Ok),
            Err(why) => Ok(Err(why)),
        }
    }

    /// Runs a transaction without keeping its effects.
    pub(crate) fn transact(
        &mut self,
        transaction: &Transaction,
        sender: Address,
    ) -> Result<Result<ResultAndState, InvalidTransaction>, ExecutionError> {
        if let Err(why) = self.check_room(transaction) {
            return Ok(Err(why));
        }
        match transaction_env(self.rules, transaction, sender) {
            Ok(env) => transact(&mut self.evm, env, self.context.height),
            Err(why) => Ok(Err(why)),
        }
    }

    fn check_room(&self, transaction: &Transaction) -> Result<(), InvalidTransaction> {
        let (have, left, limit) = (transaction.gas_limit(), self.gas_left(), self.context.gas_limit);
        if have > limit {
            return Err(InvalidTransaction::BlockGasLimit { have, limit });
        }
        if have > left {
            return Err(InvalidTransaction::GasLimitReached { have, left });
        }
        let blob_gas = self.blob_gas_used.saturating_add(transaction.blob_gas_used().unwrap_or(0));
        match self.context.blobs {
            Some(blobs) if blob_gas > blobs.max_blob_gas_per_block() => {
                Err(InvalidTransaction::Blob("the block has too many blobs"))
            }
            _ => Ok(()),
        }
    }

    /// Keeps the effects of a transaction that ran, and writes its receipt.
    pub(crate) fn commit(&mut self, transaction: &Transaction, outcome: ResultAndState) -> Result<u64, ExecutionError> {
        let gas_used = outcome.result.tx_gas_used();
        self.gas_used += gas_used;
        self.blob_gas_used += transaction.blob_gas_used().unwrap_or(0);
        self.evm.db_mut().commit(outcome.state);
        let status = self.status(&outcome.result)?;
        let receipt = receipt(transaction, status, self.gas_used, outcome.result.into_logs());
        self.receipts.push(receipt);
        Ok(gas_used)
    }

    /// Success or failure; before Byzantium the state's root after the transaction.
    fn status(&self, result: &ExecutionResult) -> Result<Eip658Value, StateError> {
        if self.context.spec.is_enabled_in(SpecId::BYZANTIUM) {
            return Ok(Eip658Value::Eip658(result.is_success()));
        }
        let state = self.evm.db();
        Ok(Eip658Value::PostState(state.view().apply(state.changes())?.state_root()))
    }

    pub(crate) fn finish(mut self, body: &BlockBody) -> Result<Execution, ExecutionError> {
        system::after_transactions(self.evm.db_mut(), self.rules, &self.context, body)?;
        let requests = system::requests(&mut self.evm, self.rules, &self.context, &self.receipts)?;
        Ok(self.into_execution(requests))
    }

    fn into_execution(self, requests: Option<Requests>) -> Execution {
        Execution {
            gas_used: self.gas_used,
            logs_bloom: self.receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom()),
            changes: self.evm.db().changes(),
            requests_hash: requests.as_ref().map(Requests::requests_hash),
            requests,
            blob_gas_used: self.context.spec.is_enabled_in(SpecId::CANCUN).then_some(self.blob_gas_used),
            receipts: self.receipts,
        }
    }
}

/// Runs one transaction and sorts what can go wrong: its own fault, the block's, the store's.
pub(crate) fn transact<'a, I: Inspector<EthEvmContext<WorkingState<'a>>>>(
    evm: &mut EthEvm<WorkingState<'a>, I, PrecompilesMap>,
    env: TxEnv,
    height: u64,
) -> Result<Result<ResultAndState, InvalidTransaction>, ExecutionError> {
    match evm.transact_raw(env) {
        Ok(outcome) => Ok(Ok(outcome)),
        Err(EVMError::Transaction(why)) => {
            let context = evm.ctx();
            Ok(Err(InvalidTransaction::from_evm(why, &context.tx, &context.block, &context.cfg)))
        }
        Err(EVMError::Database(error)) => Err(error.into()),
        Err(other) => Err(InvalidReason::Machine(other.to_string()).at(height).into()),
    }
}

pub(crate) fn receipt(
    transaction: &Transaction,
    status: Eip658Value,
    cumulative_gas_used: u64,
    logs: Vec<Log>,
) -> Receipt {
    let receipt = alloy_consensus::Receipt { status, cumulative_gas_used, logs };
    ReceiptEnvelope::from_typed(transaction.tx_type(), receipt)
}
