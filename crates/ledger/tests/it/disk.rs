//! A disk in memory that outlives the store on it, notes what is written between syncs, and can be
//! told to fail.

use crate::random::Random;
use redb::{ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use std::{
    collections::BTreeMap,
    io::{Error, ErrorKind},
    sync::{Arc, Mutex},
};

#[derive(Clone, Debug)]
pub enum Operation {
    Write(u64, Vec<u8>),
    SetLength(u64),
    Sync,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    journal: Option<Vec<Operation>>,
    /// Writes and syncs until all fail.
    left: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Content>>);

impl Disk {
    pub fn of(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Content { bytes, ..Content::default() })))
    }

    pub fn image(&self) -> Vec<u8> {
        self.0.lock().unwrap().bytes.clone()
    }

    /// What happens to the disk while `act` runs.
    pub fn record(&self, act: impl FnOnce()) -> Vec<Operation> {
        self.0.lock().unwrap().journal = Some(Vec::new());
        act();
        self.0.lock().unwrap().journal.take().unwrap()
    }

    pub fn fail_after(&self, operations: Option<u64>) {
        self.0.lock().unwrap().left = operations;
    }

    /// All rows of a table with variable keys.
    pub fn rows(&self, table: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let store = redb::Builder::new().create_with_backend(Disk::of(self.image())).unwrap();
        let table = store.begin_read().unwrap().open_table(TableDefinition::<&[u8], &[u8]>::new(table)).unwrap();
        let rows = table.iter().unwrap().map(|row| row.unwrap());
        rows.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())).collect()
    }

    /// How many rows a table has, whatever its types.
    pub fn count(&self, table: &str) -> u64 {
        let store = redb::Builder::new().create_with_backend(Disk::of(self.image())).unwrap();
        let txn = store.begin_read().unwrap();
        let handle = txn.list_tables().unwrap().find(|handle| redb::TableHandle::name(handle) == table).unwrap();
        redb::ReadableTableMetadata::len(&txn.open_untyped_table(handle).unwrap()).unwrap()
    }

    fn operate(&self, operation: Operation) -> Result<(), Error> {
        let mut content = self.0.lock().unwrap();
        if let Some(left) = &mut content.left {
            *left = left.checked_sub(1).ok_or_else(|| Error::new(ErrorKind::StorageFull, "no space left"))?;
        }
        apply(&mut content.bytes, &operation);
        if let Some(journal) = &mut content.journal {
            journal.push(operation);
        }
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let content = self.0.lock().unwrap();
        let bytes = content.bytes.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), Error> {
        self.operate(Operation::SetLength(length))
    }

    fn sync_data(&self) -> Result<(), Error> {
        self.operate(Operation::Sync)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.operate(Operation::Write(offset, bytes.to_vec()))
    }
}

fn apply(bytes: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Write(offset, data) => {
            let end = *offset as usize + data.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[*offset as usize..end].copy_from_slice(data);
        }
        Operation::SetLength(length) => bytes.resize(*length as usize, 0),
        Operation::Sync => {}
    }
}

/// What is on the disk when the power goes after the first `count` operations: all that was synced, and
/// of the rest whichever sectors of 512 bytes happened to be written.
pub fn after_power_cut(before: &[u8], operations: &[Operation], count: usize, random: &mut Random) -> Vec<u8> {
    let done = &operations[..count];
    let synced = done.iter().rposition(|operation| matches!(operation, Operation::Sync)).map_or(0, |last| last + 1);
    let mut bytes = before.to_vec();
    done[..synced].iter().for_each(|operation| apply(&mut bytes, operation));
    let arrived = [0, 10, 50, 90, 99, 100, 100][random.below(7) as usize];
    for operation in &done[synced..] {
        match operation {
            Operation::Write(offset, data) => {
                for (index, sector) in data.chunks(512).enumerate() {
                    if random.chance(arrived) {
                        apply(&mut bytes, &Operation::Write(offset + index as u64 * 512, sector.to_vec()));
                    }
                }
            }
            other if random.chance(arrived) => apply(&mut bytes, other),
            _ => {}
        }
    }
    bytes
}
