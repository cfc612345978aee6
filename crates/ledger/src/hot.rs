//! Accounts, slots and codes of the finalised state that are in use, in memory.
//!
//! Invariant: an entry's value is that of every finalised height from its `since` to the cache's
//! height. A commit replaces the entries of what it changed and then raises the height; a reader adds a
//! value only while the cache stands at the very height it read from. Codes are known by their hash and
//! never change.

use crate::Account;
use alloy_primitives::{Address, B256, Bytes, U256};
use parking_lot::RwLock;
use quick_cache::{Weighter, sync::Cache};

/// Rough size of an entry with its keys and bookkeeping, to turn bytes into a count.
const ENTRY_BYTES: usize = 192;
/// A usual size of a code, to guess how many there will be.
const CODE_BYTES: usize = 8 * 1024;

#[derive(Clone, Copy)]
struct Entry<T> {
    value: T,
    since: u64,
}

pub(crate) struct HotState {
    height: RwLock<u64>,
    accounts: Cache<Address, Entry<Option<Account>>>,
    slots: Cache<(Address, B256), Entry<U256>>,
    codes: Cache<B256, Bytes, ByLength>,
}

#[derive(Clone)]
struct ByLength;

impl Weighter<B256, Bytes> for ByLength {
    fn weight(&self, _hash: &B256, code: &Bytes) -> u64 {
        (code.len() + ENTRY_BYTES) as u64
    }
}

impl HotState {
    pub fn new(height: u64, bytes: usize) -> Self {
        let codes = bytes / 4;
        let entries = ((bytes - codes) / ENTRY_BYTES).max(64);
        Self {
            height: RwLock::new(height),
            accounts: Cache::new(entries / 3),
            slots: Cache::new(entries - entries / 3),
            codes: Cache::with_weighter(codes / CODE_BYTES + 1, codes as u64, ByLength),
        }
    }

    /// The account at finalised height `at`, if it is known here.
    pub fn account(&self, at: u64, address: Address) -> Option<Option<Account>> {
        let height = self.height.read();
        self.accounts.get(&address).filter(|entry| entry.since <= at && at <= *height).map(|entry| entry.value)
    }

    pub fn slot(&self, at: u64, address: Address, slot: B256) -> Option<U256> {
        let height = self.height.read();
        self.slots.get(&(address, slot)).filter(|entry| entry.since <= at && at <= *height).map(|entry| entry.value)
    }

    pub fn add_account(&self, at: u64, address: Address, value: Option<Account>) {
        let height = self.height.read();
        if *height == at {
            self.accounts.insert(address, Entry { value, since: at });
        }
    }

    pub fn add_slot(&self, at: u64, address: Address, slot: B256, value: U256) {
        let height = self.height.read();
        if *height == at {
            self.slots.insert((address, slot), Entry { value, since: at });
        }
    }

    pub fn code(&self, hash: B256) -> Option<Bytes> {
        self.codes.get(&hash)
    }

    pub fn add_code(&self, hash: B256, code: Bytes) {
        self.codes.insert(hash, code);
    }

    /// Goes to the next finalised height with everything that its block changed.
    pub fn advance(
        &self,
        to: u64,
        accounts: impl IntoIterator<Item = (Address, Option<Account>)>,
        slots: impl IntoIterator<Item = ((Address, B256), U256)>,
    ) {
        let mut height = self.height.write();
        for (address, value) in accounts {
            self.accounts.insert(address, Entry { value, since: to });
        }
        for (key, value) in slots {
            self.slots.insert(key, Entry { value, since: to });
        }
        *height = to;
    }
}
