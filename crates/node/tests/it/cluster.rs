//! Whole clusters in one process, on the deterministic runtime: consensus, network, pool, execution, ledger and its store.
//!
//! Time, network and randomness come from a seed; the same seed gives the same run, to the byte. A failure names its seed.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod amnesia;
mod blackout;
mod disk;
mod epochs;
mod hostile;
mod idle;
mod load;
mod machine;
mod simulation;
mod twice;
