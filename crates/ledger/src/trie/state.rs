//! The trie of accounts with the storage tries that hang from its leaves.
//!
//! An account's leaf carries the part of its storage trie that is in memory, so that the whole state
//! is one persistent tree. What the disk calls the owner of a storage trie is the hash of the address.

use super::{
    node::{Child, Content, Hashed, NodeSource, Root, place},
    update::{Edit, Writes, update},
};
use crate::{AccountChange, StorageError};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What an update of the state changes among the stored nodes. First every node of the `wiped`
/// storage tries goes, then the writes apply.
#[derive(Debug, Default)]
pub(crate) struct TrieWrites {
    pub wiped: BTreeSet<B256>,
    pub accounts: Writes,
    pub storage: BTreeMap<B256, Writes>,
}

impl TrieWrites {
    /// How many nodes were built, of those that are stored.
    pub fn built(&self) -> u32 {
        let writes = self.storage.values().chain([&self.accounts]);
        let built = writes.map(|writes| writes.values().flatten().count()).sum::<usize>();
        u32::try_from(built).unwrap_or(u32::MAX)
    }
}

pub(crate) struct StateUpdate {
    pub root: Root,
    pub writes: TrieWrites,
}

/// The state trie after these changes of accounts.
pub(crate) fn update_state(
    root: &Root,
    source: &dyn NodeSource,
    born: u64,
    changes: &BTreeMap<Address, AccountChange>,
) -> Result<StateUpdate, StorageError> {
    let mut hashed: Vec<(B256, &AccountChange)> =
        changes.iter().map(|(address, change)| (keccak256(address), change)).collect();
    hashed.sort_unstable_by_key(|(hash, _)| *hash);
    let keys: Vec<Nibbles> = hashed.iter().map(|(hash, _)| Nibbles::unpack(hash)).collect();
    let mut edit = AccountEdit { source, born, changes: &hashed, writes: TrieWrites::default() };
    let (root, accounts) = update(root, source, None, born, &keys, &mut edit)?;
    Ok(StateUpdate { root, writes: TrieWrites { accounts, ..edit.writes } })
}

/// The storage trie of the account whose leaf is `content`.
pub(crate) fn storage_root_of(owner: B256, content: &Content) -> Result<Root, StorageError> {
    match &content.storage {
        Some(root) => Ok(Root::Node(Child::Loaded(root.clone()))),
        None => Ok(Root::unloaded(decode(owner, content)?.storage_root)),
    }
}

fn decode(owner: B256, content: &Content) -> Result<TrieAccount, StorageError> {
    TrieAccount::decode(&mut &content.value[..])
        .map_err(|error| StorageError::corrupt(place(None, &Nibbles::unpack(owner)), error))
}

struct AccountEdit<'a> {
    source: &'a dyn NodeSource,
    born: u64,
    changes: &'a [(B256, &'a AccountChange)],
    writes: TrieWrites,
}

impl Edit for AccountEdit<'_> {
    fn edit(&mut self, index: usize, old: Option<&Content>) -> Result<Option<Content>, StorageError> {
        let (owner, change) = self.changes[index];
        let mut storage = match old {
            Some(content) => storage_root_of(owner, content)?,
            None => Root::Empty,
        };
        if change.clears_storage() && storage.hash() != EMPTY_ROOT_HASH {
            self.writes.wiped.insert(owner);
            storage = Root::Empty;
        }
        let Some(account) = &change.account else { return Ok(None) };
        if !change.storage.is_empty() {
            storage = self.update_storage(owner, &storage, &change.storage)?;
        }
        let leaf = TrieAccount::new(account.nonce, account.balance, storage.hash(), account.code_hash);
        Ok(Some(Content { value: alloy_rlp::encode(leaf).into(), storage: in_memory(storage) }))
    }
}

impl AccountEdit<'_> {
    fn update_storage(&mut self, owner: B256, root: &Root, slots: &BTreeMap<B256, U256>) -> Result<Root, StorageError> {
        let mut hashed: Vec<(B256, U256)> = slots.iter().map(|(slot, value)| (keccak256(slot), *value)).collect();
        hashed.sort_unstable_by_key(|(hash, _)| *hash);
        let keys: Vec<Nibbles> = hashed.iter().map(|(hash, _)| Nibbles::unpack(hash)).collect();
        let mut edit = SlotEdit(&hashed);
        let (root, writes) = update(root, self.source, Some(owner), self.born, &keys, &mut edit)?;
        if !writes.is_empty() {
            self.writes.storage.insert(owner, writes);
        }
        Ok(root)
    }
}

struct SlotEdit<'a>(&'a [(B256, U256)]);

impl Edit for SlotEdit<'_> {
    fn edit(&mut self, index: usize, _old: Option<&Content>) -> Result<Option<Content>, StorageError> {
        let (_, value) = self.0[index];
        Ok((!value.is_zero())
            .then(|| Content { value: alloy_rlp::encode_fixed_size(&value).as_slice().into(), storage: None }))
    }
}

fn in_memory(root: Root) -> Option<Arc<Hashed>> {
    match root {
        Root::Node(Child::Loaded(hashed)) => Some(hashed),
        _ => None,
    }
}
