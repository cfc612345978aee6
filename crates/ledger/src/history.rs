//! Past values: what each block overwrote.
//!
//! D3.1 6.1.7. For every account and slot that block `h` changed, the value before `h` is kept under
//! (key, h), and the list of these keys under h. So the value after block `t` is what the first change
//! after `t` overwrote, or the present value if there was none.
//!
//! Invariant: for every height from `history_from` to the finalised one, the changes after it are all there.

use crate::{
    Account, AccountChange, StateChanges, StorageError,
    encoding::{decode_account, decode_value, encode_account, encode_value},
    tables::{
        ACCOUNT_HISTORY, ACCOUNTS, CHANGES, META, META_HISTORY_FROM, STORAGE, STORAGE_HISTORY, account_history_key,
        history_from, join, slot_key, storage_history_key,
    },
};
use alloy_primitives::{Address, B256, U256};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, Table, WriteTransaction};
use std::collections::{BTreeMap, BTreeSet};

/// Keys of past values that one commit removes at most, beyond those of one block: bounds its length.
const PRUNED_KEYS_MAX: usize = 20_000;

/// What a block changed in the flat state.
#[derive(Default)]
pub(crate) struct Written {
    pub accounts: Vec<(Address, Option<Account>)>,
    pub slots: Vec<((Address, B256), U256)>,
}

/// Writes a block's changes to the flat state, and what they overwrite to the history.
pub(crate) fn write(txn: &WriteTransaction, height: u64, changes: &StateChanges) -> Result<Written, StorageError> {
    let mut flat = Flat {
        height,
        accounts: txn.open_table(ACCOUNTS)?,
        storage: txn.open_table(STORAGE)?,
        account_history: txn.open_table(ACCOUNT_HISTORY)?,
        storage_history: txn.open_table(STORAGE_HISTORY)?,
    };
    let mut written = Written::default();
    let mut list = Vec::new();
    for (address, change) in &changes.accounts {
        let account = flat.write_account(*address, change.account.as_ref())?;
        let slots = flat.slot_writes(*address, change)?;
        let slots = flat.write_slots(*address, slots)?;
        if account || !slots.is_empty() {
            list_entry(&mut list, *address, account, slots.iter().map(|(slot, _)| slot));
        }
        written.accounts.push((*address, change.account));
        written.slots.extend(slots.into_iter().map(|(slot, value)| ((*address, slot), value)));
    }
    txn.open_table(CHANGES)?.insert(height, &list[..])?;
    Ok(written)
}

/// The flat state and its history, open for the writing of one block.
struct Flat<'txn> {
    height: u64,
    accounts: Table<'txn, &'static [u8; 20], &'static [u8]>,
    storage: Table<'txn, &'static [u8; 52], &'static [u8]>,
    account_history: Table<'txn, &'static [u8; 28], &'static [u8]>,
    storage_history: Table<'txn, &'static [u8; 60], &'static [u8]>,
}

impl Flat<'_> {
    /// Whether the account changed.
    fn write_account(&mut self, address: Address, account: Option<&Account>) -> Result<bool, StorageError> {
        let old = self.accounts.get(&address.0.0)?.map(|old| old.value().to_vec()).unwrap_or_default();
        let new = account.map(encode_account).unwrap_or_default();
        if old == new {
            return Ok(false);
        }
        if new.is_empty() {
            self.accounts.remove(&address.0.0)?;
        } else {
            self.accounts.insert(&address.0.0, &new[..])?;
        }
        self.account_history.insert(&account_history_key(address, self.height), &old[..])?;
        Ok(true)
    }

    /// The slots to write: those set, and those that a clearing takes away.
    fn slot_writes(&self, address: Address, change: &AccountChange) -> Result<BTreeMap<B256, U256>, StorageError> {
        let mut slots = BTreeMap::new();
        if change.clears_storage() {
            let (first, last) = (slot_key(address, B256::ZERO), slot_key(address, B256::repeat_byte(0xff)));
            for row in self.storage.range::<&[u8; 52]>(&first..=&last)? {
                slots.insert(slot_of(row?.0.value()), U256::ZERO);
            }
        }
        if change.account.is_some() {
            slots.extend(change.storage.iter().map(|(slot, value)| (*slot, *value)));
        }
        Ok(slots)
    }

    /// The slots that really changed.
    fn write_slots(
        &mut self,
        address: Address,
        slots: BTreeMap<B256, U256>,
    ) -> Result<Vec<(B256, U256)>, StorageError> {
        let mut changed = Vec::new();
        for (slot, value) in slots {
            let key = slot_key(address, slot);
            let old = self.storage.get(&key)?.map(|old| old.value().to_vec()).unwrap_or_default();
            let new = encode_value(value);
            if old == new {
                continue;
            }
            if new.is_empty() {
                self.storage.remove(&key)?;
            } else {
                self.storage.insert(&key, &new[..])?;
            }
            self.storage_history.insert(&storage_history_key(address, slot, self.height), &old[..])?;
            changed.push((slot, value));
        }
        Ok(changed)
    }
}

fn slot_of(key: &[u8; 52]) -> B256 {
    B256::from_slice(&key[20..])
}

fn list_entry<'a>(list: &mut Vec<u8>, address: Address, account: bool, slots: impl ExactSizeIterator<Item = &'a B256>) {
    list.extend_from_slice(address.as_slice());
    list.push(u8::from(account));
    list.extend_from_slice(&(slots.len() as u32).to_be_bytes());
    list.extend(slots.flat_map(|slot| slot.0));
}

/// The keys that a block changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub accounts: BTreeSet<Address>,
    pub slots: BTreeSet<(Address, B256)>,
}

impl Changed {
    pub fn len(&self) -> usize {
        self.accounts.len() + self.slots.len()
    }

    fn add(&mut self, height: u64, list: &[u8]) -> Result<(), StorageError> {
        self.parse(list).ok_or_else(|| StorageError::corrupt(format_args!("changes of block {height}"), "malformed"))
    }

    fn parse(&mut self, mut list: &[u8]) -> Option<()> {
        while !list.is_empty() {
            let (address, rest) = list.split_first_chunk::<20>()?;
            let (account, rest) = rest.split_first()?;
            let (count, rest) = rest.split_first_chunk::<4>()?;
            let (slots, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*count)).ok()? * 32)?;
            let address = Address::from(*address);
            if *account == 1 {
                self.accounts.insert(address);
            }
            self.slots.extend(slots.chunks_exact(32).map(|slot| (address, B256::from_slice(slot))));
            list = rest;
        }
        Some(())
    }
}

/// Removes past values until every state from `keep_from` on remains, or until enough is done for one
/// commit.
pub(crate) fn prune(txn: &WriteTransaction, keep_from: u64) -> Result<(), StorageError> {
    let mut meta = txn.open_table(META)?;
    let (mut from, mut removed) = (history_from(&meta)?, 0);
    if from >= keep_from {
        return Ok(());
    }
    while from < keep_from && removed < PRUNED_KEYS_MAX {
        from += 1;
        removed += prune_block(txn, from)?;
    }
    meta.insert(META_HISTORY_FROM, &from.to_be_bytes()[..])?;
    Ok(())
}

fn prune_block(txn: &WriteTransaction, height: u64) -> Result<usize, StorageError> {
    let mut changed = Changed::default();
    if let Some(list) = txn.open_table(CHANGES)?.remove(height)? {
        changed.add(height, list.value())?;
    }
    let mut accounts = txn.open_table(ACCOUNT_HISTORY)?;
    for address in &changed.accounts {
        accounts.remove(&account_history_key(*address, height))?;
    }
    let mut storage = txn.open_table(STORAGE_HISTORY)?;
    for (address, slot) in &changed.slots {
        storage.remove(&storage_history_key(*address, *slot, height))?;
    }
    Ok(1 + changed.len())
}

/// The history as one snapshot has it.
pub(crate) struct Past {
    accounts: ReadOnlyTable<&'static [u8; 28], &'static [u8]>,
    storage: ReadOnlyTable<&'static [u8; 60], &'static [u8]>,
    changes: ReadOnlyTable<u64, &'static [u8]>,
}

impl Past {
    pub fn open(txn: &ReadTransaction) -> Result<Self, StorageError> {
        Ok(Self {
            accounts: txn.open_table(ACCOUNT_HISTORY)?,
            storage: txn.open_table(STORAGE_HISTORY)?,
            changes: txn.open_table(CHANGES)?,
        })
    }

    /// The account after block `at`, if it changed since.
    pub fn account(&self, at: u64, address: Address) -> Result<Option<Option<Account>>, StorageError> {
        let first = account_history_key(address, at.saturating_add(1));
        let last = account_history_key(address, u64::MAX);
        let Some(row) = self.accounts.range::<&[u8; 28]>(&first..=&last)?.next() else { return Ok(None) };
        match row?.1.value() {
            [] => Ok(Some(None)),
            bytes => decode_account(address, bytes).map(|account| Some(Some(account))),
        }
    }

    /// The slot's value after block `at`, if it changed since.
    pub fn slot(&self, at: u64, address: Address, slot: B256) -> Result<Option<U256>, StorageError> {
        let first = storage_history_key(address, slot, at.saturating_add(1));
        let last = storage_history_key(address, slot, u64::MAX);
        let Some(row) = self.storage.range::<&[u8; 60]>(&first..=&last)?.next() else { return Ok(None) };
        decode_value(address, slot, row?.1.value()).map(Some)
    }

    /// The keys that changed after block `at`; `None` when they are more than `limit`.
    pub fn changed_since(&self, at: u64, limit: usize) -> Result<Option<Changed>, StorageError> {
        let mut changed = Changed::default();
        for row in self.changes.range(at.saturating_add(1)..)? {
            let (height, list) = row?;
            changed.add(height.value(), list.value())?;
            if changed.len() > limit {
                return Ok(None);
            }
        }
        Ok(Some(changed))
    }

    /// The first address at or after `from` that has a past value.
    pub fn next_account(&self, from: Address) -> Result<Option<Address>, StorageError> {
        let row = self.accounts.range::<&[u8; 28]>(&account_history_key(from, 0)..)?.next().transpose()?;
        Ok(row.map(|(key, _)| Address::from_slice(&key.value()[..20])))
    }

    /// The first slot of the account at or after `from` that has a past value.
    pub fn next_slot(&self, address: Address, from: B256) -> Result<Option<B256>, StorageError> {
        let last: [u8; 60] = join(slot_key(address, B256::repeat_byte(0xff)), [0xff; 8]);
        let row =
            self.storage.range::<&[u8; 60]>(&storage_history_key(address, from, 0)..=&last)?.next().transpose()?;
        Ok(row.map(|(key, _)| B256::from_slice(&key.value()[20..52])))
    }
}
