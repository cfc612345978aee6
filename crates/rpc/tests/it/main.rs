//! The interface as its clients see it: real requests to a real port before a real chain.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod batches;
mod compat;
mod debug;
mod execution;
mod fees;
mod filters;
mod hostile;
mod reads;
mod submission;
mod subscriptions;
mod world;
