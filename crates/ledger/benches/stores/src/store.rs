//! What the ledger asks of a store.

use crate::workload::{Block, Table};
use eyre::Result;
use std::path::Path;

pub trait Store: Sized + Sync {
    type Snapshot<'a>: Snapshot
    where
        Self: 'a;

    /// Opens the store in the directory, or makes it.
    fn open(directory: &Path) -> Result<Self>;

    /// Reads what the block overwrites and writes all of the block, durably, or nothing.
    fn commit(&self, block: &Block) -> Result<()>;

    fn snapshot(&self) -> Result<Self::Snapshot<'_>>;
}

pub trait Snapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>>;
}
