//! Runs that leave no trace: call, estimate, access list, whole blocks that never were.
//!
//! D3.1 6.1.6.2, 6.3.1. They answer as geth does, error texts included, because clients match on them.
//!
//! Invariant: nothing here writes; every run is bounded by the caller's `Limits`. The gas bounds the work: a
//! caller that allows 50 million gas allows well under a second on one core. Whoever must keep to a clock
//! besides sets `interrupt` from outside when time is up; the machine looks at it every thousand steps.

mod access_list;
mod blocks;
mod call_logs;
mod environment;
mod estimate;
mod interrupt;
mod overrides;
mod revert;
mod unsigned;

use std::sync::atomic::AtomicBool;

use alloy_primitives::{Bytes, Log};
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest, state::StateOverride};
use ledger::StateView;
use revm::context::result::ExecutionResult;

pub use access_list::create_access_list;
pub use blocks::{SimulateError, SimulatedBlocks, simulate_v1};
pub(crate) use environment::Environment;
pub use estimate::estimate_gas;
pub(crate) use interrupt::{INTERRUPTED, Interrupt};
pub use overrides::OverrideError;
pub use revert::{halt_reason, revert_reason};

use crate::{BlockContext, BlockHashes, ExecutionError, InvalidTransaction, Rules, StateError};

/// The block on whose state a run starts.
#[derive(Clone)]
pub struct Setting<'a> {
    pub rules: &'a Rules,
    pub view: &'a StateView,
    pub block_hashes: BlockHashes<'a>,
    /// Usually the context of the block whose state `view` is: `BlockContext::of(rules, header)`.
    pub context: BlockContext,
}

/// What the request wants to be otherwise.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub state: Option<StateOverride>,
    pub block: Option<Box<BlockOverrides>>,
}

/// How much a run may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// No run uses more gas, whatever the request says.
    pub gas: u64,
    /// Ends the run with `CallError::Interrupted` soon after it becomes true. Watching it slows the machine
    /// down by about a half.
    pub interrupt: Option<&'a AtomicBool>,
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallOutcome {
    pub output: Bytes,
    pub gas_used: u64,
    pub logs: Vec<Log>,
}

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("{}", revert::message(.0))]
    Reverted(Bytes),
    /// The machine stopped it, in geth's words.
    #[error("{0}")]
    Halted(String),
    #[error(transparent)]
    Invalid(#[from] InvalidTransaction),
    #[error("gas required exceeds allowance ({0})")]
    GasAllowance(u64),
    #[error("insufficient funds for transfer")]
    FundsForTransfer,
    #[error(transparent)]
    Override(#[from] OverrideError),
    /// The request contradicts itself.
    #[error("{0}")]
    Request(String),
    #[error("execution aborted (timeout)")]
    Interrupted,
    #[error(transparent)]
    Execution(#[from] ExecutionError),
}

impl From<StateError> for CallError {
    fn from(error: StateError) -> CallError {
        CallError::Execution(error.into())
    }
}

impl CallError {
    /// The JSON-RPC code that Ethereum clients expect.
    pub fn code(&self) -> i64 {
        match self {
            CallError::Reverted(_) => 3,
            CallError::Override(_) | CallError::Request(_) => -32602,
            CallError::Execution(_) => -32603,
            _ => -32000,
        }
    }

    /// What a contract returned with its revert.
    pub fn data(&self) -> Option<&Bytes> {
        match self {
            CallError::Reverted(output) => Some(output),
            _ => None,
        }
    }
}

/// `eth_call`.
pub fn call<'a>(
    setting: &Setting<'a>,
    request: &TransactionRequest,
    overrides: Overrides,
    limits: Limits<'a>,
) -> Result<CallOutcome, CallError> {
    let mut environment = Environment::plain(setting, overrides, limits)?;
    let env = environment.transaction(request, limits.gas)?;
    let result = environment.run(env)?.result;
    let gas_used = result.tx_gas_used();
    match result {
        ExecutionResult::Success { output, logs, .. } => Ok(CallOutcome { output: output.into_data(), gas_used, logs }),
        ExecutionResult::Revert { output, .. } => Err(CallError::Reverted(output)),
        ExecutionResult::Halt { reason, .. } => Err(CallError::Halted(halt_reason(&reason))),
    }
}
