//! A disk in memory that knows what was synced, so that losing power can lose the rest.

use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    live: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// What a machine finds after losing power: everything synced, and of the rest those that `survives` picks.
    pub fn after_power_loss(&self, mut survives: impl FnMut() -> bool) -> Disk {
        let state = self.lock();
        let mut image = state.synced.clone();
        for change in &state.unsynced {
            if survives() {
                change.apply(&mut image);
            }
        }
        Disk(Arc::new(Mutex::new(State { live: image.clone(), synced: image, unsynced: Vec::new() })))
    }

    pub fn image_hash(&self) -> types::B256 {
        crypto::keccak256(&self.lock().live)
    }

    pub fn backend(&self) -> Backend {
        Backend(self.clone())
    }
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Change::Length(length) => image.resize(*length, 0),
            Change::Write(offset, bytes) => {
                let end = offset + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

/// The disk as the store sees it. When the machine is cut off from it, a dying store can no longer write.
#[derive(Debug)]
pub struct Backend(Disk);

impl Backend {
    fn change(&self, change: Change) {
        let mut state = self.0.lock();
        change.apply(&mut state.live);
        state.unsynced.push(change);
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock();
        let offset = offset as usize;
        let bytes = state.live.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(Change::Length(length as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        let changes = std::mem::take(&mut state.unsynced);
        changes.iter().for_each(|change| change.apply(&mut state.synced));
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset as usize, bytes.to_vec()));
        Ok(())
    }
}
