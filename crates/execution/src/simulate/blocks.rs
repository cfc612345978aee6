//! `eth_simulateV1`: blocks that never were, one on the other.
//!
//! Follows the execution-apis specification as geth implements it: missing numbers are filled with empty
//! blocks twelve seconds apart, each block runs its system calls, and with `traceTransfers` every transfer of
//! value shows as a log of the address 0xeee…e, which is in no bloom and in no receipt.

use std::{
    cell::RefCell,
    cmp::Ordering,
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering as AtomicOrdering},
};

use alloy_consensus::Transaction as _;
use alloy_eips::eip4895::Withdrawals;
use alloy_evm::{
    Evm,
    eth::{EthEvm, EthEvmBuilder},
    precompiles::PrecompilesMap,
};
use alloy_network_primitives::BlockTransactions;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, TxHash, U256};
use alloy_rpc_types_eth::{
    BlockOverrides, TransactionRequest,
    simulate::{
        MAX_SIMULATE_BLOCKS, SimBlock, SimCallResult, SimulateError as CallFailure, SimulatePayload, SimulatedBlock,
    },
};
use revm::{
    Database, DatabaseCommit,
    context::{TxEnv, result::ExecutionResult},
    primitives::hardfork::SpecId,
};
use types::{Block, BlockBody, Header, Receipt, Transaction};

use super::{
    CallError, Interrupt, Limits, Setting,
    call_logs::{CallLogs, NumberedLog},
    environment::{call_error, precompiles, relax, request_env},
    halt_reason, overrides, revert,
    unsigned::unsigned,
};
use crate::{
    BlockContext, Execution, InvalidTransaction, WorkingState, assemble, execute::receipt, system,
    transaction::make_free,
};

/// Seconds between blocks where the request does not say.
const BLOCK_SECONDS: u64 = 12;
/// The JSON-RPC code of a call that the machine stopped.
const HALTED_CODE: i32 = -32015;

/// The blocks, filled gaps included.
pub type SimulatedBlocks = Vec<SimulatedBlock<alloy_rpc_types_eth::Block<RpcTransaction>>>;
type RpcTransaction = alloy_rpc_types_eth::Transaction<Transaction>;

/// Why a simulation as a whole gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    #[error("empty input")]
    Empty,
    #[error("too many blocks")]
    TooManyBlocks,
    #[error("block numbers must be in order: {number} <= {parent}")]
    BlockNumber { number: u64, parent: u64 },
    #[error("block timestamps must be in order: {timestamp} <= {parent}")]
    BlockTimestamp { timestamp: u64, parent: u64 },
    #[error("block gas limit reached: {used} >= {limit}")]
    BlockGasLimit { used: u64, limit: u64 },
    #[error("err: {why} (supplied gas {gas})")]
    Invalid { why: InvalidTransaction, gas: u64 },
    #[error(transparent)]
    Call(#[from] CallError),
}

impl SimulateError {
    /// The code that the execution-apis specification gives.
    pub fn code(&self) -> i64 {
        match self {
            SimulateError::Empty => -32602,
            SimulateError::TooManyBlocks => -38026,
            SimulateError::BlockNumber { .. } => -38020,
            SimulateError::BlockTimestamp { .. } => -38021,
            SimulateError::BlockGasLimit { .. } => -38015,
            SimulateError::Invalid { why, .. } => invalid_code(why),
            SimulateError::Call(CallError::Override(overrides::OverrideError::MovedToItself(_))) => -38022,
            SimulateError::Call(CallError::Override(overrides::OverrideError::MovedTwice(_))) => -38023,
            SimulateError::Call(error) => error.code(),
        }
    }
}

fn invalid_code(why: &InvalidTransaction) -> i64 {
    match why {
        InvalidTransaction::NonceTooLow { .. } => -38010,
        InvalidTransaction::NonceTooHigh { .. } => -38011,
        InvalidTransaction::FeeCapTooLow { .. } => -38012,
        InvalidTransaction::IntrinsicGas { .. } | InvalidTransaction::FloorGas { .. } => -38013,
        InvalidTransaction::InsufficientFunds { .. } => -38014,
        InvalidTransaction::BlockGasLimit { .. } | InvalidTransaction::GasLimitReached { .. } => -38015,
        InvalidTransaction::SenderHasCode(_) => -38024,
        InvalidTransaction::InitCodeSize { .. } => -38025,
        _ => -32603,
    }
}

/// `eth_simulateV1` on top of the block `base`, whose state is `setting.view`. `limits.gas` is for all calls
/// together.
pub fn simulate_v1<'a>(
    setting: &Setting<'a>,
    base: &Header,
    payload: SimulatePayload,
    limits: Limits<'a>,
) -> Result<SimulatedBlocks, SimulateError> {
    if payload.block_state_calls.is_empty() {
        return Err(SimulateError::Empty);
    }
    let blocks = fill_gaps(base, payload.block_state_calls)?;
    let base_hash = base.hash_slow();
    let known = RefCell::new(BTreeMap::from([(base.number, base_hash)]));
    let hashes = |height: u64| {
        let simulated = known.borrow().get(&height).copied();
        simulated.or_else(|| (setting.block_hashes)(height)).or(Some(B256::ZERO))
    };
    let mut simulation = Simulation {
        setting,
        parent: base.clone(),
        parent_hash: base_hash,
        gas_left: limits.gas,
        interrupt: limits.interrupt,
        transfers: payload.trace_transfers,
        validation: payload.validation,
        full: payload.return_full_transactions,
    };
    let mut state = WorkingState::new(setting.view, &hashes);
    let mut answers = Vec::with_capacity(blocks.len());
    for block in blocks {
        if limits.interrupt.is_some_and(|flag| flag.load(AtomicOrdering::Relaxed)) {
            return Err(CallError::Interrupted.into());
        }
        let (after, answer) = simulation.block(state, block)?;
        state = after;
        known.borrow_mut().insert(simulation.parent.number, simulation.parent_hash);
        answers.push(answer);
    }
    Ok(answers)
}

/// Gives every block its number and its time.
fn fill_gaps(base: &Header, blocks: Vec<SimBlock>) -> Result<Vec<SimBlock>, SimulateError> {
    let (mut parent, mut parent_time) = (base.number, base.timestamp);
    let mut filled = Vec::with_capacity(blocks.len());
    for mut block in blocks {
        let overrides = block.block_overrides.get_or_insert_default();
        let number = overrides.number.map_or(parent.saturating_add(1), |number| number.saturating_to());
        if number <= parent {
            return Err(SimulateError::BlockNumber { number, parent });
        }
        if number - base.number > MAX_SIMULATE_BLOCKS {
            return Err(SimulateError::TooManyBlocks);
        }
        for missing in parent + 1..number {
            parent_time = parent_time.saturating_add(BLOCK_SECONDS);
            filled.push(empty_block(missing, parent_time));
        }
        let timestamp = overrides.time.unwrap_or(parent_time.saturating_add(BLOCK_SECONDS));
        if timestamp <= parent_time {
            return Err(SimulateError::BlockTimestamp { timestamp, parent: parent_time });
        }
        overrides.number = Some(U256::from(number));
        overrides.time = Some(timestamp);
        (parent, parent_time) = (number, timestamp);
        filled.push(block);
    }
    Ok(filled)
}

fn empty_block(number: u64, timestamp: u64) -> SimBlock {
    let overrides = BlockOverrides::default().with_number(U256::from(number)).with_time(timestamp);
    SimBlock { block_overrides: Some(overrides), state_overrides: None, calls: Vec::new() }
}

struct Simulation<'s, 'a> {
    setting: &'s Setting<'a>,
    parent: Header,
    parent_hash: B256,
    gas_left: u64,
    interrupt: Option<&'a AtomicBool>,
    transfers: bool,
    validation: bool,
    full: bool,
}

type SimulationEvm<'w, 'i> = EthEvm<WorkingState<'w>, (CallLogs, Interrupt<'i>), PrecompilesMap>;

/// A block while its calls run.
#[derive(Default)]
struct Progress {
    transactions: Vec<Transaction>,
    senders: Vec<Address>,
    receipts: Vec<Receipt>,
    calls: Vec<SimCallResult>,
    gas_used: u64,
    blob_gas_used: u64,
}

impl<'a> Simulation<'_, 'a> {
    fn block<'w>(
        &mut self,
        mut state: WorkingState<'w>,
        block: SimBlock,
    ) -> Result<(WorkingState<'w>, SimulatedBlock<alloy_rpc_types_eth::Block<RpcTransaction>>), SimulateError> {
        let wanted = block.block_overrides.unwrap_or_default();
        let context = self.context(&wanted)?;
        let mut evm_env = self.setting.rules.evm_env(&context);
        relax(&mut evm_env);
        evm_env.cfg_env.disable_nonce_check = !self.validation;
        if let (Some(fee), Some(blob)) = (wanted.blob_base_fee, &mut evm_env.block_env.blob_excess_gas_and_price) {
            blob.blob_gasprice = fee.saturating_to();
        }
        state.override_hashes(wanted.block_hash.unwrap_or_default());
        let mut precompiles = precompiles(&evm_env);
        if let Some(wanted) = block.state_overrides {
            overrides::apply_state(wanted, &mut state, &mut precompiles, context.spec).map_err(CallError::from)?;
        }
        let inspector = (CallLogs::new(self.transfers), Interrupt::new(self.interrupt));
        let mut evm = EthEvmBuilder::new(state, evm_env).precompiles(precompiles).inspector(inspector).build();
        system::before_transactions(&mut evm, self.setting.rules, &context).map_err(CallError::from)?;
        evm.enable_inspector();
        let mut progress = Progress::default();
        for call in &block.calls {
            self.call(&mut evm, &context, call, &mut progress)?;
        }
        evm.disable_inspector();
        let requests = system::requests(&mut evm, self.setting.rules, &context, &progress.receipts);
        let requests = requests.map_err(CallError::from)?;
        let state = evm.into_db();
        let changes = state.changes();
        let state_root =
            state.view().apply(changes.clone()).map_err(crate::StateError::from).map_err(CallError::from)?.state_root();
        let logs_bloom = bloom(&progress.receipts);
        let execution = Execution {
            receipts: std::mem::take(&mut progress.receipts),
            gas_used: progress.gas_used,
            logs_bloom,
            changes,
            requests_hash: requests.as_ref().map(|requests| requests.requests_hash()),
            requests,
            blob_gas_used: context.spec.is_enabled_in(SpecId::CANCUN).then_some(progress.blob_gas_used),
        };
        Ok((state, self.seal(&context, &execution, state_root, progress)))
    }

    /// The block's header before it ran. Nothing of our slots is in it.
    fn context(&self, wanted: &BlockOverrides) -> Result<BlockContext, SimulateError> {
        let rules = self.setting.rules;
        let height: u64 = wanted.number.unwrap_or_default().saturating_to();
        let timestamp = wanted.time.unwrap_or_default();
        let spec = rules.spec_at(height, timestamp).max(rules.spec_of(&self.parent));
        let blobs = rules.blob_params_at(height, timestamp);
        let base_fee = spec.is_enabled_in(SpecId::LONDON).then_some(0);
        let mut context = BlockContext {
            spec,
            height,
            timestamp,
            parent_hash: self.parent_hash,
            beneficiary: self.parent.beneficiary,
            gas_limit: self.parent.gas_limit,
            base_fee: if self.validation { rules.next_base_fee(&self.parent, spec) } else { base_fee },
            difficulty: self.parent.difficulty,
            prev_randao: B256::ZERO,
            parent_beacon_root: spec.is_enabled_in(SpecId::CANCUN).then_some(B256::ZERO),
            excess_blob_gas: blobs.map(|blobs| self.parent.next_block_excess_blob_gas(blobs).unwrap_or(0)),
            blobs,
            extra_data: Bytes::new(),
            nonce: B64::ZERO,
        };
        overrides::apply_block(wanted, rules, &mut context).map_err(CallError::from)?;
        Ok(context)
    }

    fn call(
        &mut self,
        evm: &mut SimulationEvm<'_, 'a>,
        context: &BlockContext,
        call: &TransactionRequest,
        progress: &mut Progress,
    ) -> Result<(), SimulateError> {
        let env = self.transaction(evm, context, call, progress.gas_used)?;
        let gas = env.gas_limit;
        self.check_nonce(evm, &env).map_err(|why| SimulateError::Invalid { why, gas })?;
        let (transaction, sender) = (unsigned(call, &env), env.caller);
        evm.ctx_mut().cfg.disable_base_fee = !self.validation && env.gas_price == 0;
        let outcome = evm.transact_raw(env).map_err(|error| match call_error(error, evm.ctx()) {
            CallError::Invalid(why) => SimulateError::Invalid { why, gas },
            other => other.into(),
        })?;
        evm.db_mut().commit(outcome.state);
        self.gas_left = self.gas_left.saturating_sub(outcome.result.tx_gas_used());
        let logs = evm.inspector_mut().0.take();
        progress.add(transaction, sender, outcome.result, logs);
        Ok(())
    }

    /// geth looks at the nonce before the price; the machine the other way round.
    fn check_nonce(&self, evm: &mut SimulationEvm<'_, 'a>, env: &TxEnv) -> Result<(), InvalidTransaction> {
        if !self.validation {
            return Ok(());
        }
        let Ok(account) = evm.db_mut().basic(env.caller) else { return Ok(()) };
        let (sender, tx, state) = (env.caller, env.nonce, account.map_or(0, |account| account.nonce));
        match tx.cmp(&state) {
            Ordering::Less => Err(InvalidTransaction::NonceTooLow { sender, tx, state }),
            Ordering::Greater => Err(InvalidTransaction::NonceTooHigh { sender, tx, state }),
            Ordering::Equal if state == u64::MAX => Err(InvalidTransaction::NonceMax),
            Ordering::Equal => Ok(()),
        }
    }

    fn transaction(
        &self,
        evm: &mut SimulationEvm<'_, 'a>,
        context: &BlockContext,
        call: &TransactionRequest,
        gas_used: u64,
    ) -> Result<TxEnv, SimulateError> {
        let limit = context.gas_limit;
        let wanted = call.gas.unwrap_or(limit.saturating_sub(gas_used));
        if gas_used.saturating_add(wanted) > limit {
            return Err(SimulateError::BlockGasLimit { used: gas_used, limit });
        }
        let mut env = request_env(self.setting.rules, call)?;
        env.gas_limit = wanted.min(self.gas_left);
        env.nonce = match call.nonce {
            Some(nonce) => nonce,
            None => {
                let account = evm.db_mut().basic(env.caller).map_err(CallError::from)?;
                account.map_or(0, |account| account.nonce)
            }
        };
        let dynamic = context.base_fee.is_some() && call.gas_price.is_none();
        if dynamic && env.tx_type < 2 {
            env.tx_type = 2;
            env.gas_priority_fee = Some(0);
        }
        if self.setting.rules.is_free() {
            make_free(&mut env);
        }
        Ok(env)
    }

    /// Names the block, and tells its calls' logs where they are.
    fn seal(
        &mut self,
        context: &BlockContext,
        execution: &Execution,
        state_root: B256,
        progress: Progress,
    ) -> SimulatedBlock<alloy_rpc_types_eth::Block<RpcTransaction>> {
        let withdrawals = context.spec.is_enabled_in(SpecId::SHANGHAI).then(Withdrawals::default);
        let body = BlockBody { transactions: progress.transactions, ommers: Vec::new(), withdrawals };
        let block = Block::new(assemble(context, execution, state_root, &body), body);
        self.parent = block.header().clone();
        self.parent_hash = block.hash();
        let mut calls = progress.calls;
        locate_logs(&mut calls, &block);
        let header = alloy_rpc_types_eth::Header {
            hash: block.hash(),
            inner: block.header().clone(),
            total_difficulty: None,
            size: Some(U256::from(block.rlp_length())),
        };
        let transactions = match self.full {
            true => BlockTransactions::Full(self.full_transactions(&block, &progress.senders)),
            false => BlockTransactions::Hashes(block.transactions().iter().map(|tx| *tx.hash()).collect()),
        };
        let withdrawals = block.body().withdrawals.clone();
        let inner = alloy_rpc_types_eth::Block { header, uncles: Vec::new(), transactions, withdrawals };
        SimulatedBlock { inner, calls }
    }

    fn full_transactions(&self, block: &Block, senders: &[Address]) -> Vec<RpcTransaction> {
        let header = block.header();
        let located = |(index, (transaction, sender)): (usize, (&Transaction, &Address))| RpcTransaction {
            effective_gas_price: Some(effective_price(transaction, header.base_fee_per_gas)),
            inner: types::Recovered::new_unchecked(transaction.clone(), *sender),
            block_hash: Some(block.hash()),
            block_number: Some(header.number),
            transaction_index: Some(index as u64),
            block_timestamp: Some(header.timestamp),
        };
        block.transactions().iter().zip(senders).enumerate().map(located).collect()
    }
}

/// A call that offers nothing pays nothing, whatever the base fee.
fn effective_price(transaction: &Transaction, base_fee: Option<u64>) -> u128 {
    match transaction.max_fee_per_gas() {
        0 => 0,
        _ => transaction.effective_gas_price(base_fee),
    }
}

impl Progress {
    fn add(&mut self, transaction: Transaction, sender: Address, result: ExecutionResult, logs: Vec<NumberedLog>) {
        self.gas_used += result.tx_gas_used();
        self.blob_gas_used += transaction.blob_gas_used().unwrap_or(0);
        let status = result.is_success().into();
        self.receipts.push(receipt(&transaction, status, self.gas_used, result.logs().to_vec()));
        self.calls.push(call_result(result, logs));
        self.transactions.push(transaction);
        self.senders.push(sender);
    }
}

fn call_result(result: ExecutionResult, logs: Vec<NumberedLog>) -> SimCallResult {
    let gas = *result.gas();
    let error = match &result {
        ExecutionResult::Success { .. } => None,
        ExecutionResult::Revert { output, .. } => {
            let code = CallFailure::EXECUTION_REVERTED_CODE;
            Some(CallFailure { code, message: revert::message(output), data: Some(output.clone()) })
        }
        ExecutionResult::Halt { reason, .. } => {
            Some(CallFailure { code: HALTED_CODE, message: halt_reason(reason), data: None })
        }
    };
    SimCallResult {
        status: result.is_success(),
        gas_used: gas.tx_gas_used(),
        max_used_gas: Some(gas.total_gas_spent().max(gas.floor_gas())),
        logs: logs.into_iter().map(unlocated).collect(),
        // What came with a revert is in the error.
        return_data: result.into_output().filter(|_| error.is_none()).unwrap_or_default(),
        error,
    }
}

fn unlocated((index, inner): NumberedLog) -> alloy_rpc_types_eth::Log {
    alloy_rpc_types_eth::Log { inner, log_index: Some(index), ..Default::default() }
}

fn locate_logs(calls: &mut [SimCallResult], block: &Block) {
    for (index, (call, transaction)) in calls.iter_mut().zip(block.transactions()).enumerate() {
        for log in &mut call.logs {
            log.block_hash = Some(block.hash());
            log.block_number = Some(block.height());
            log.block_timestamp = Some(block.header().timestamp);
            log.transaction_hash = Some(TxHash::from(*transaction.hash()));
            log.transaction_index = Some(index as u64);
        }
    }
}

fn bloom(receipts: &[Receipt]) -> Bloom {
    use alloy_consensus::TxReceipt;
    receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom())
}
