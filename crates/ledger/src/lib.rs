//! The ledger: blocks, state, receipts, indexes and history on one store.
//!
//! D3.1 6.1.4, 6.1.7. A block becomes part of the ledger in one durable transaction (`commit`): its
//! header, body, senders and receipts, the transaction and log indexes, the changed accounts and
//! storage, the changed trie nodes, the values they had before (history), its finality certificate
//! and the pointer to it. Whatever happens to the machine, the store holds all of a block or none.
//!
//! ```text
//!              speculative                      finalised (the store)
//!   StateView = [Overlay n] … [Overlay f+1]  +  Snapshot f   →  apply(changes) → Overlay n+1
//!                                               commit(block f+1, Overlay f+1) → Snapshot f+1
//! ```
//!
//! Readers own a snapshot and never wait for a writer. What is above the finalised block lives in
//! immutable overlays in memory; what is below is reached through the history.

mod account;
mod ahead;
mod commit;
mod encoding;
mod error;
mod history;
mod hot;
mod ledger;
mod logs;
mod open;
mod overlay;
mod proof;
mod snapshot;
mod tables;
mod trie;
mod view;

pub use account::{Account, AccountChange, StateChanges};
pub use ahead::AheadError;
pub use commit::ExecutedBlock;
pub use error::{CommitError, OpenError, StateAtError, StorageError};
pub use ledger::{History, Ledger, Options};
pub use logs::LogBlocks;
pub use overlay::Overlay;
pub use proof::{AccountProof, StorageProof};
pub use snapshot::{SealedHeader, Snapshot};
pub use tables::FORMAT;
pub use view::StateView;
