//! Shows what a transaction did, step by step or call by call.
//!
//! D3.1 6.3.1 (supervision of transactions). The tracers are geth's: struct logs, `callTracer`,
//! `prestateTracer`, `4byteTracer`, `flatCallTracer`, `muxTracer`, `noopTracer`, `erc7562Tracer`.
//!
//! A transaction of the past runs again on its parent's state, after those before it in its block. Invariant:
//! what is recorded never exceeds the caller's `TraceLimits`; a trace that would is an error, not a cut.

mod meter;

use std::sync::atomic::AtomicBool;

use alloy_evm::{Evm, eth::EthEvm, precompiles::PrecompilesMap};
use alloy_primitives::{Address, B256};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::{
    common::TraceResult,
    geth::{GethDebugTracerType, GethDebugTracingOptions, GethTrace},
};
use ledger::StateView;
use revm::context::result::ResultAndState;
use revm_inspectors::tracing::{
    DebugInspector, DebugInspectorError, TraceLimitBehavior, TraceLimits as RecordedBytes, TransactionContext,
};
use types::Block;

use crate::{
    BlockContext, BlockHashes, ExecutionError, InvalidBlock, InvalidReason, Rules, StateError, WorkingState,
    execute::Run,
    simulate::{CallError, Environment, INTERRUPTED, Overrides, Setting},
};
use meter::{Meter, TOO_LARGE};

/// How much a trace may record and how long it may run.
#[derive(Clone, Copy, Debug)]
pub struct TraceLimits<'a> {
    /// Of memory for one transaction's record.
    pub bytes: usize,
    /// Ends the run with `TraceError::Interrupted` soon after it becomes true.
    pub interrupt: Option<&'a AtomicBool>,
}

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("tracer not found: {0}")]
    UnknownTracer(String),
    #[error("JavaScript tracers are not supported; use callTracer, prestateTracer, 4byteTracer or flatCallTracer")]
    JavaScript,
    #[error("invalid tracerConfig: {0}")]
    Config(String),
    #[error(
        "the trace would need more than {0} bytes; ask for less (disableStack, limit, onlyTopCall) or for one transaction"
    )]
    TooLarge(usize),
    #[error("execution aborted (timeout)")]
    Interrupted,
    #[error("the block has {count} transactions, there is no index {index}")]
    NoSuchTransaction { index: usize, count: usize },
    #[error(transparent)]
    Call(CallError),
    #[error(transparent)]
    Execution(ExecutionError),
}

/// One transaction's trace in its block's.
pub type BlockTrace = Vec<TraceResult<GethTrace, String>>;

type Watch<'a> = (DebugInspector, Meter<'a>);

/// `debug_traceBlock*`: every transaction of a block. `view` is the state of its parent.
pub fn trace_block<'a>(
    rules: &'a Rules,
    view: &'a StateView,
    block_hashes: BlockHashes<'a>,
    block: &Block,
    senders: &[Address],
    options: GethDebugTracingOptions,
    limits: TraceLimits<'a>,
) -> Result<BlockTrace, TraceError> {
    let mut replay = Replay::new(rules, view, block_hashes, block, options, limits)?;
    let mut traces = Vec::with_capacity(senders.len());
    for (index, sender) in senders.iter().enumerate() {
        let result = replay.trace(index, *sender)?;
        let tx_hash = block.transactions().get(index).map(|transaction| *transaction.hash());
        traces.push(TraceResult::Success { result, tx_hash });
    }
    Ok(traces)
}

/// `debug_traceTransaction`: the transaction at `index` of a block. `view` is the state of the block's parent.
pub fn trace_transaction<'a>(
    rules: &'a Rules,
    view: &'a StateView,
    block_hashes: BlockHashes<'a>,
    block: &Block,
    senders: &[Address],
    index: usize,
    options: GethDebugTracingOptions,
    limits: TraceLimits<'a>,
) -> Result<GethTrace, TraceError> {
    let missing = TraceError::NoSuchTransaction { index, count: senders.len() };
    let (sender, earlier) = match senders.get(index) {
        Some(sender) => (*sender, &senders[..index]),
        None => return Err(missing),
    };
    let mut replay = Replay::new(rules, view, block_hashes, block, options, limits)?;
    for (index, sender) in earlier.iter().enumerate() {
        replay.pass(index, *sender)?;
    }
    replay.trace(index, sender)
}

/// `debug_traceCall`. `gas_max` bounds the call as in `simulate::call`.
pub fn trace_call<'a>(
    setting: &Setting<'a>,
    request: &TransactionRequest,
    overrides: Overrides,
    options: GethDebugTracingOptions,
    gas_max: u64,
    limits: TraceLimits<'a>,
) -> Result<GethTrace, TraceError> {
    let watch = watch(options, limits)?;
    let call_error = |error| sort_call_error(error, limits);
    let mut environment = Environment::new(setting, overrides, watch).map_err(call_error)?;
    let env = environment.transaction(request, gas_max).map_err(call_error)?;
    environment.evm.enable_inspector();
    let outcome = environment.run(env).map_err(call_error)?;
    record(&mut environment.evm, &outcome, TransactionContext::default())
}

/// A block on its way through the machine again.
struct Replay<'a, 'b> {
    run: Run<'a, Watch<'a>>,
    block: &'b Block,
    limits: TraceLimits<'a>,
}

impl<'a, 'b> Replay<'a, 'b> {
    fn new(
        rules: &'a Rules,
        view: &'a StateView,
        block_hashes: BlockHashes<'a>,
        block: &'b Block,
        options: GethDebugTracingOptions,
        limits: TraceLimits<'a>,
    ) -> Result<Replay<'a, 'b>, TraceError> {
        let watch = watch(options, limits)?;
        let context = BlockContext::of(rules, block.header());
        let mut run = Run::new(rules, WorkingState::new(view, block_hashes), context, watch);
        run.before_transactions().map_err(TraceError::Execution)?;
        Ok(Replay { run, block, limits })
    }

    /// Runs a transaction unseen.
    fn pass(&mut self, index: usize, sender: Address) -> Result<(), TraceError> {
        self.run.evm.disable_inspector();
        let outcome = self.transact(index, sender)?;
        self.commit(index, outcome)
    }

    fn trace(&mut self, index: usize, sender: Address) -> Result<GethTrace, TraceError> {
        self.run.evm.enable_inspector();
        let (tracer, meter) = self.run.evm.inspector_mut();
        tracer.fuse().map_err(config_error)?;
        meter.reset();
        let outcome = self.transact(index, sender)?;
        let place = self.place(index);
        let trace = record(&mut self.run.evm, &outcome, place)?;
        self.commit(index, outcome)?;
        Ok(trace)
    }

    fn place(&self, index: usize) -> TransactionContext {
        let context = TransactionContext::default().with_block_hash(self.block.hash()).with_tx_index(index);
        match self.block.transactions().get(index) {
            Some(transaction) => context.with_tx_hash(B256::from(*transaction.hash())),
            None => context,
        }
    }

    fn transact(&mut self, index: usize, sender: Address) -> Result<ResultAndState, TraceError> {
        let count = self.block.transactions().len();
        let transaction = self.block.transactions().get(index).ok_or(TraceError::NoSuchTransaction { index, count })?;
        match self.run.transact(transaction, sender) {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(why)) => {
                let why = InvalidReason::Transaction { index, hash: *transaction.hash(), why: Box::new(why) };
                Err(TraceError::Execution(why.at(self.block.height()).into()))
            }
            Err(error) => Err(sort_error(error, self.limits)),
        }
    }

    fn commit(&mut self, index: usize, outcome: ResultAndState) -> Result<(), TraceError> {
        let transaction = &self.block.transactions()[index];
        self.run.commit(transaction, outcome).map_err(TraceError::Execution)?;
        Ok(())
    }
}

/// The tracer's answer, before the transaction's effects are kept.
fn record(
    evm: &mut EthEvm<WorkingState<'_>, Watch<'_>, PrecompilesMap>,
    outcome: &ResultAndState,
    place: TransactionContext,
) -> Result<GethTrace, TraceError> {
    let (transaction, block) = (evm.ctx().tx.clone(), evm.ctx().block.clone());
    let (state, (tracer, _), _) = evm.components_mut();
    tracer.get_result(Some(place), &transaction, &block, outcome, state).map_err(|error| match error {
        DebugInspectorError::Database(error) => TraceError::Execution(error.into()),
        other => TraceError::Config(other.to_string()),
    })
}

fn watch(options: GethDebugTracingOptions, limits: TraceLimits<'_>) -> Result<Watch<'_>, TraceError> {
    refuse_unknown(&options)?;
    let meter = Meter::new(&options, limits);
    let tracer = DebugInspector::new(options).map_err(config_error)?;
    Ok((bounded(tracer, limits.bytes), meter))
}

/// Whatever is no built-in tracer's name arrives as a script; a word is a name that somebody misspelt.
fn refuse_unknown(options: &GethDebugTracingOptions) -> Result<(), TraceError> {
    let Some(GethDebugTracerType::JsTracer(text)) = &options.tracer else { return Ok(()) };
    if text.is_empty() {
        return Ok(());
    }
    if text.len() <= 64 && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        return Err(TraceError::UnknownTracer(text.clone()));
    }
    Err(TraceError::JavaScript)
}

fn bounded(tracer: DebugInspector, bytes: usize) -> DebugInspector {
    let limits = RecordedBytes::default().set_max_recorded_bytes(Some(bytes)).set_behavior(TraceLimitBehavior::Halt);
    match tracer {
        DebugInspector::CallTracer(tracer, config) => DebugInspector::CallTracer(tracer.with_limits(limits), config),
        DebugInspector::PreStateTracer(tracer, config) => {
            DebugInspector::PreStateTracer(tracer.with_limits(limits), config)
        }
        DebugInspector::FlatCallTracer(tracer) => DebugInspector::FlatCallTracer(tracer.with_limits(limits)),
        DebugInspector::Erc7562Tracer(tracer, config) => {
            DebugInspector::Erc7562Tracer(tracer.with_limits(limits), config)
        }
        DebugInspector::Default(tracer, config) => DebugInspector::Default(tracer.with_limits(limits), config),
        other => other,
    }
}

fn config_error(error: DebugInspectorError) -> TraceError {
    TraceError::Config(error.to_string())
}

/// The inspectors speak through the machine's error text.
fn sort_error(error: ExecutionError, limits: TraceLimits<'_>) -> TraceError {
    match &error {
        ExecutionError::Invalid(InvalidBlock { reason: InvalidReason::Machine(text), .. }) => match text.as_str() {
            INTERRUPTED => TraceError::Interrupted,
            TOO_LARGE | "trace recorded byte limit exceeded" => TraceError::TooLarge(limits.bytes),
            _ => TraceError::Execution(error),
        },
        _ => TraceError::Execution(error),
    }
}

fn sort_call_error(error: CallError, limits: TraceLimits<'_>) -> TraceError {
    match error {
        CallError::Interrupted => TraceError::Interrupted,
        CallError::Execution(error) => sort_error(error, limits),
        other => TraceError::Call(other),
    }
}

impl From<StateError> for TraceError {
    fn from(error: StateError) -> TraceError {
        TraceError::Execution(error.into())
    }
}
