//! The crate as its users see it, on a real ledger in memory.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod blocks;
mod chain;
mod conditions;
mod fees;
mod imported;
mod mixed;
mod published;
mod simulated;
mod traced;
mod wallet;
