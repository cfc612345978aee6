//! What a block does to the state: the one place where the Ethereum virtual machine runs.
//!
//! D3.1 6.1.6.1 and 6.1.6.2 (execution of transactions and smart contracts).
//!
//! ```text
//! Rules ──next_context──► BlockContext ──► Builder (proposer) ─┐
//!                                          execute (verifier) ─┴─► Execution ──assemble──► Header
//! ```
//!
//! Invariant: `Builder` and `execute` run the same code, so that a block that one node builds is the block
//! that every other node finds. Nothing here reads a clock or draws a random number, and nothing here knows
//! permissions or quotas: the EVM runs as Ethereum specifies it.

pub mod admission;
mod context;
mod execute;
mod header;
mod invalid;
mod rules;
pub mod simulate;
mod state;
mod system;
pub mod trace;
mod transaction;

pub use context::BlockContext;
pub use execute::{Added, Builder, Execution, execute, execute_transaction};
pub use header::{
    InvalidBlock, InvalidReason, assemble, check_context, check_ethereum_header, check_execution, check_header, seal,
};
pub use invalid::InvalidTransaction;
pub use rules::{Rules, RulesError};
pub use state::{BlockHashes, StateError, WorkingState};
pub use transaction::{cost, effective_gas_price};

/// Why a block could not be executed.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// The block breaks a rule. The block is at fault.
    #[error(transparent)]
    Invalid(#[from] InvalidBlock),
    /// The state could not be read. The block may be good.
    #[error(transparent)]
    State(#[from] StateError),
}
