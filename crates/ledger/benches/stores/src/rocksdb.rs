//! RocksDB: a log-structured merge tree, in C++. Reads before a write see the last commit: there is one writer.

use crate::{
    store::{Snapshot, Store},
    workload::{Block, CACHE_BYTES, TABLES, Table},
};
use ::rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, Options,
    SnapshotWithThreadMode, WriteBatch, WriteOptions,
};
use eyre::{OptionExt, Result};
use std::path::Path;

pub struct RocksDb(DB);

impl Store for RocksDb {
    type Snapshot<'a> = RocksDbSnapshot<'a>;

    fn open(directory: &Path) -> Result<Self> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_background_jobs(2);
        let mut tables = Options::default();
        tables.set_compression_type(DBCompressionType::None);
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
        blocks.set_bloom_filter(10.0, false);
        tables.set_block_based_table_factory(&blocks);
        let families = TABLES.map(|name| ColumnFamilyDescriptor::new(name, tables.clone()));
        Ok(Self(DB::open_cf_descriptors(&options, directory.join("store.rocksdb"), families)?))
    }

    fn commit(&self, block: &Block) -> Result<()> {
        let mut batch = WriteBatch::default();
        let dependent = block.dependent(|table, key| Ok(self.0.get_cf(self.family(table)?, key)?))?;
        for (table, rows) in block.rows.iter().chain(&dependent) {
            let family = self.family(*table)?;
            for (key, value) in rows {
                batch.put_cf(family, key, value);
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        Ok(self.0.write_opt(batch, &options)?)
    }

    fn snapshot(&self) -> Result<RocksDbSnapshot<'_>> {
        Ok(RocksDbSnapshot { snapshot: self.0.snapshot(), store: self })
    }
}

impl RocksDb {
    fn family(&self, table: Table) -> Result<&ColumnFamily> {
        self.0.cf_handle(TABLES[table as usize]).ok_or_eyre("a column family is missing")
    }
}

pub struct RocksDbSnapshot<'a> {
    snapshot: SnapshotWithThreadMode<'a, DB>,
    store: &'a RocksDb,
}

impl Snapshot for RocksDbSnapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.snapshot.get_cf(self.store.family(table)?, key)?)
    }
}
