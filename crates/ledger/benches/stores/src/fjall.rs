//! fjall: a log-structured merge tree, in Rust. Reads before a write see the last commit: there is one writer.

use crate::{
    store::{Snapshot, Store},
    workload::{Block, CACHE_BYTES, TABLES, Table},
};
use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use eyre::Result;
use std::path::Path;

pub struct Fjall {
    store: Database,
    tables: Vec<Keyspace>,
}

impl Store for Fjall {
    type Snapshot<'a> = FjallSnapshot<'a>;

    fn open(directory: &Path) -> Result<Self> {
        let store = Database::builder(directory.join("store.fjall")).cache_size(CACHE_BYTES as u64).open()?;
        let tables = TABLES.iter().map(|name| store.keyspace(name, KeyspaceCreateOptions::default));
        let tables = tables.collect::<Result<_, _>>()?;
        Ok(Self { store, tables })
    }

    fn commit(&self, block: &Block) -> Result<()> {
        let mut batch = self.store.batch().durability(Some(PersistMode::SyncData));
        let dependent =
            block.dependent(|table, key| Ok(self.tables[table as usize].get(key)?.map(|value| value.to_vec())))?;
        for (table, rows) in block.rows.iter().chain(&dependent) {
            for (key, value) in rows {
                batch.insert(&self.tables[*table as usize], &key[..], &value[..]);
            }
        }
        Ok(batch.commit()?)
    }

    fn snapshot(&self) -> Result<FjallSnapshot<'_>> {
        Ok(FjallSnapshot { snapshot: self.store.snapshot(), tables: &self.tables })
    }
}

pub struct FjallSnapshot<'a> {
    snapshot: ::fjall::Snapshot,
    tables: &'a [Keyspace],
}

impl Snapshot for FjallSnapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.snapshot.get(&self.tables[table as usize], key)?.map(|value| value.to_vec()))
    }
}
