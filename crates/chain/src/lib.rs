//! The transaction system: pool, propose, verify, finalize. The waist between engines and ledger.
//!
//! D3.1 6.1.6.1, 6.1.5.2. One concrete type, [`Chain`]; engines drive it and vary, it does not.
//!
//! ```text
//! submit ──► pool ──► propose ──► (agreement) ──► verify ──► finalize ──► ledger
//!                        └── speculative blocks by hash, above the finalised one ──┘
//! ```
//!
//! Invariants: a block is executed once per node, whether it was proposed or verified here; finalised blocks form one
//! line without gaps; and nothing here reads a clock or draws a random number.

#![warn(missing_docs)]

mod chain;
mod finalize;
mod pool;
mod propose;
mod rejected;
mod submit;
mod tree;
mod verify;

use chain::Executed;
pub use chain::{Chain, ChainError, Options, Pending};
pub use pool::{Origin, Picked, PoolLimits, PoolStatus, Pooled, SenderContent};
pub use propose::{Proposal, Round};
pub use rejected::Rejected;
pub use verify::Verdict;
