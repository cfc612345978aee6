//! The ledger through its public interface, on its real store.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod disk;
mod finality;
mod history;
mod logs;
mod opening;
mod power;
mod random;
mod state;
mod world;

/// Views and snapshots go where their readers are.
#[test]
fn what_is_handed_out_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<ledger::Ledger>();
    shared::<ledger::Snapshot>();
    shared::<ledger::StateView>();
    shared::<ledger::Overlay>();
    shared::<ledger::LogBlocks>();
}
