//! redb: a copy-on-write B+tree in one file, in Rust.

use crate::{
    store::{Snapshot, Store},
    workload::{Block, CACHE_BYTES, TABLES, Table},
};
use ::redb::{
    Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, WriteTransaction,
};
use eyre::Result;
use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// With `QUICK_REPAIR` each commit also saves the allocator's state, with a second sync, so that opening after
/// a crash need not walk the whole file.
pub struct Redb<const QUICK_REPAIR: bool>(Database);

impl<const QUICK_REPAIR: bool> Store for Redb<QUICK_REPAIR> {
    type Snapshot<'a> = RedbSnapshot;

    fn open(directory: &Path) -> Result<Self> {
        let store = Database::builder().set_cache_size(CACHE_BYTES).create(directory.join("store.redb"))?;
        Self::over(store)
    }

    fn commit(&self, block: &Block) -> Result<()> {
        let mut txn = self.0.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        txn.set_quick_repair(QUICK_REPAIR);
        write(&txn, block)?;
        Ok(txn.commit()?)
    }

    fn snapshot(&self) -> Result<RedbSnapshot> {
        let txn = self.0.begin_read()?;
        let tables = TABLES.iter().map(|name| txn.open_table(Definition::new(name))).collect::<Result<_, _>>()?;
        Ok(RedbSnapshot { tables, _txn: txn })
    }
}

impl<const QUICK_REPAIR: bool> Redb<QUICK_REPAIR> {
    fn over(store: Database) -> Result<Self> {
        let txn = store.begin_write()?;
        for name in TABLES {
            txn.open_table(Definition::new(name))?;
        }
        txn.commit()?;
        Ok(Self(store))
    }
}

fn write(txn: &WriteTransaction, block: &Block) -> Result<()> {
    let mut tables: Vec<_> =
        TABLES.iter().map(|name| txn.open_table(Definition::new(name))).collect::<Result<_, _>>()?;
    let dependent =
        block.dependent(|table, key| Ok(tables[table as usize].get(key)?.map(|value| value.value().to_vec())))?;
    for (table, rows) in block.rows.iter().chain(&dependent) {
        for (key, value) in rows {
            tables[*table as usize].insert(&key[..], &value[..])?;
        }
    }
    Ok(())
}

pub struct RedbSnapshot {
    tables: Vec<ReadOnlyTable<&'static [u8], &'static [u8]>>,
    _txn: ReadTransaction,
}

impl Snapshot for RedbSnapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.tables[table as usize].get(key)?.map(|value| value.value().to_vec()))
    }
}

/// Runs the workload twice on a storage in memory that is ours: syncs a commit, and whether the bytes
/// came out the same.
pub fn in_memory(blocks: &[Block]) -> Result<(f64, bool)> {
    let run = || -> Result<Memory> {
        let memory = Memory::default();
        let store = Redb::<false>::over(Database::builder().create_with_backend(memory.clone())?)?;
        let before = memory.state().syncs;
        blocks.iter().try_for_each(|block| store.commit(block))?;
        memory.state().syncs -= before;
        let counted = Memory(Arc::new(Mutex::new(memory.state().clone())));
        Ok(counted)
    };
    let (first, second) = (run()?, run()?);
    let (first, second) = (first.state(), second.state());
    Ok((first.syncs as f64 / blocks.len() as f64, first.bytes == second.bytes))
}

#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<MemoryState>>);

#[derive(Clone, Debug, Default)]
struct MemoryState {
    bytes: Vec<u8>,
    syncs: u64,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = offset as usize;
        let state = self.state();
        let found = state.bytes.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.state().bytes.resize(length as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state().syncs += 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = offset as usize;
        let mut state = self.state();
        let place = state.bytes.get_mut(offset..offset + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        place.copy_from_slice(data);
        Ok(())
    }
}
