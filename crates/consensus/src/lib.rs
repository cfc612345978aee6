//! Consensus engines over the chain: how a block comes to be final.
//!
//! D3.1 6.1.5, 6.2.2.4. An engine is a plain function that runs with options, a [`chain::Chain`] and channels; the node
//! chooses one by the ledger's genesis. [`simplex`] is the BFT engine; [`dev`] seals alone, and keeps the seam honest.

#![warn(missing_docs)]

pub mod dev;
pub mod simplex;
pub mod status;

pub use simplex::{FinalityError, verify_finality};
pub use status::Status;
