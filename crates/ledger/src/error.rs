//! What can go wrong with the store, as values.
//!
//! D3.1 6.1.4 (storage). A failed read or write, and a record that does not match its hash, are
//! errors of this machine and stop the node; they are never a verdict about somebody's block.

use alloy_primitives::B256;
use std::fmt::Display;

/// The store could not be read or written, or holds something it should not.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("the ledger's store cannot be read or written")]
    Store(#[source] Box<redb::Error>),
    #[error("the ledger's store is corrupt: {place}: {what}")]
    Corrupt { place: String, what: String },
    /// The overlays handed in do not follow from the finalised block.
    #[error("the overlays do not continue the finalised block {finalized}: {what}")]
    Detached { finalized: u64, what: String },
}

impl StorageError {
    pub(crate) fn corrupt(place: impl Display, what: impl Display) -> Self {
        Self::Corrupt { place: place.to_string(), what: what.to_string() }
    }
}

macro_rules! from_store {
    ($($error:ty),*) => {$(
        impl From<$error> for StorageError {
            fn from(error: $error) -> Self {
                Self::Store(Box::new(error.into()))
            }
        }
    )*};
}
from_store!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError
);

/// The ledger could not be opened; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the ledger's directory {path} cannot be written")]
    Directory { path: String, source: std::io::Error },
    #[error("the ledger's store is in use by another process")]
    Locked,
    #[error(
        "{path} is not a ledger of this program, or is truncated: {what}. Restore it from a backup, or remove it \
         and let the node fetch the ledger from its peers"
    )]
    NotALedger { path: String, what: String },
    #[error("the ledger's store has format {found}, this program reads format {supported}")]
    Format { found: u32, supported: u32 },
    #[error("the ledger's store belongs to chain {found}, the genesis file says chain {expected}")]
    Chain { found: u64, expected: u64 },
    #[error("the ledger's store began with genesis {found}, the genesis file has the hash {expected}")]
    Genesis { found: B256, expected: B256 },
    #[error(
        "the ledger's store was made under other rules: config.lonja of the genesis file (ledger, fees, consensus) has \
         changed since. Put back the file that the network agreed on"
    )]
    Rules,
    #[error("the genesis block says state root {header}, its accounts have the root {computed}")]
    GenesisRoot { header: B256, computed: B256 },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The block was not committed; the store is as before.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("block {height} ({hash}) does not follow the finalised block {finalized} ({finalized_hash})")]
    NotNext { height: u64, hash: B256, finalized: u64, finalized_hash: B256 },
    #[error("block {height}: {what}")]
    Inconsistent { height: u64, what: String },
    #[error("block {height}: the header says state root {header}, its execution gave {computed}")]
    StateRoot { height: u64, header: B256, computed: B256 },
    #[error("block {height} is {hash}, but its finality certificate names {certified}")]
    Finality { height: u64, hash: B256, certified: B256 },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A past state, or a proof from it, cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum StateAtError {
    #[error("the state of block {height} is no longer kept; the oldest kept is that of block {oldest}")]
    Pruned { height: u64, oldest: u64 },
    #[error("block {height} is not final yet; the last final block is {finalized}")]
    Future { height: u64, finalized: u64 },
    #[error("block {height} is too far back to prove: more than {limit} values changed since. Ask for a later block")]
    TooFar { height: u64, limit: usize },
    #[error(transparent)]
    Storage(#[from] StorageError),
}
