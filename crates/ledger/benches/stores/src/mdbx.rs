//! libmdbx: a copy-on-write B+tree in one memory-mapped file, in C. Its cache is the kernel's and has no limit.

use crate::{
    store::{Snapshot, Store},
    workload::{Block, TABLES, Table},
};
use eyre::Result;
use signet_libmdbx::{
    Database, DatabaseFlags, Environment, Geometry, Mode, SyncMode, WriteFlags, tx::aliases::RoTxUnsync,
};
use std::path::Path;

const SIZE_MAX: usize = 64 << 30;

pub struct Mdbx {
    store: Environment,
    tables: Vec<Database>,
}

impl Store for Mdbx {
    type Snapshot<'a> = MdbxSnapshot<'a>;

    fn open(directory: &Path) -> Result<Self> {
        let directory = directory.join("store.mdbx");
        std::fs::create_dir_all(&directory)?;
        let store = Environment::builder()
            .set_max_dbs(TABLES.len())
            .set_flags(Mode::ReadWrite { sync_mode: SyncMode::Durable }.into())
            .set_geometry(Geometry { size: Some(0..SIZE_MAX), growth_step: Some(64 << 20), ..Geometry::default() })
            .open(&directory)?;
        let txn = store.begin_rw_unsync()?;
        let tables = TABLES.iter().map(|name| txn.create_db(Some(name), DatabaseFlags::empty()));
        let tables = tables.collect::<Result<_, _>>()?;
        txn.commit()?;
        Ok(Self { store, tables })
    }

    fn commit(&self, block: &Block) -> Result<()> {
        let txn = self.store.begin_rw_unsync()?;
        let dependent = block.dependent(|table, key| Ok(txn.get(self.tables[table as usize].dbi(), key)?))?;
        for (table, rows) in block.rows.iter().chain(&dependent) {
            for (key, value) in rows {
                txn.put(self.tables[*table as usize], key, value, WriteFlags::empty())?;
            }
        }
        Ok(txn.commit()?)
    }

    fn snapshot(&self) -> Result<MdbxSnapshot<'_>> {
        Ok(MdbxSnapshot { txn: self.store.begin_ro_unsync()?, tables: &self.tables })
    }
}

pub struct MdbxSnapshot<'a> {
    txn: RoTxUnsync,
    tables: &'a [Database],
}

impl Snapshot for MdbxSnapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.txn.get(self.tables[table as usize].dbi(), key)?)
    }
}
