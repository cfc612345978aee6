//! The state while a block runs on it: what the ledger holds, overlaid with what the block has changed.
//!
//! D3.1 6.1.7 (ledger state). Invariant: after `commit`, reading through a `WorkingState` gives what reading
//! a ledger to which `changes` were applied would give.

use std::collections::BTreeMap;

use alloy_primitives::{
    Address, B256, Bytes, KECCAK256_EMPTY, U256,
    map::{AddressMap, B256Map, Entry, U256Map},
};
use ledger::{AccountChange, StateChanges, StateView, StorageError};
use revm::{
    Database, DatabaseCommit, DatabaseRef,
    context::DBErrorMarker,
    state::{Account, AccountInfo, Bytecode},
};

/// The hashes of earlier blocks. It must know the last 256 before the block that runs.
pub type BlockHashes<'a> = &'a dyn Fn(u64) -> Option<B256>;

/// Why the state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the hash of block {0} is not at hand")]
    MissingBlockHash(u64),
}

impl DBErrorMarker for StateError {}

/// A state view with the changes of the running block above it.
#[derive(Clone)]
pub struct WorkingState<'a> {
    view: &'a StateView,
    block_hashes: BlockHashes<'a>,
    accounts: AddressMap<Cached>,
    codes: B256Map<Bytecode>,
    new_codes: BTreeMap<B256, Bytes>,
    /// What a simulation wants earlier blocks to be called.
    overridden_hashes: BTreeMap<u64, B256>,
}

/// One account as last read or written.
#[derive(Clone, Default)]
struct Cached {
    info: Option<AccountInfo>,
    changed: bool,
    /// What the ledger has in storage is void.
    cleared: bool,
    storage: U256Map<Slot>,
}

#[derive(Clone, Copy)]
struct Slot {
    value: U256,
    changed: bool,
}

impl std::fmt::Debug for WorkingState<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkingState").field("accounts", &self.accounts.len()).finish_non_exhaustive()
    }
}

impl<'a> WorkingState<'a> {
    pub fn new(view: &'a StateView, block_hashes: BlockHashes<'a>) -> WorkingState<'a> {
        WorkingState {
            view,
            block_hashes,
            accounts: AddressMap::default(),
            codes: B256Map::default(),
            new_codes: BTreeMap::new(),
            overridden_hashes: BTreeMap::new(),
        }
    }

    pub fn view(&self) -> &'a StateView {
        self.view
    }

    /// Everything that differs from the view, ordered.
    pub fn changes(&self) -> StateChanges {
        let changed = self.accounts.iter().filter(|(_, cached)| cached.changed);
        let accounts = changed.map(|(address, cached)| (*address, cached.change())).collect();
        StateChanges { accounts, codes: self.new_codes.clone() }
    }

    /// Adds to a balance outside any transaction. Adding nothing still removes an empty account.
    pub(crate) fn add_balance(&mut self, address: Address, wei: U256) -> Result<(), StateError> {
        let mut info = self.basic(address)?.unwrap_or_default();
        info.balance = info.balance.saturating_add(wei);
        self.set_account(address, info);
        Ok(())
    }

    /// Replaces an account's balance, nonce and code; an empty account is removed.
    pub(crate) fn set_account(&mut self, address: Address, info: AccountInfo) {
        let info = (!info.is_empty()).then_some(info);
        self.keep_code(info.as_ref());
        self.accounts.entry(address).or_default().set_info(info);
    }

    pub(crate) fn set_storage(&mut self, address: Address, slot: U256, value: U256) {
        let cached = self.accounts.entry(address).or_default();
        cached.changed = true;
        cached.storage.insert(slot, Slot { value, changed: true });
    }

    pub(crate) fn clear_storage(&mut self, address: Address) {
        let cached = self.accounts.entry(address).or_default();
        cached.changed = true;
        cached.clear();
    }

    pub(crate) fn override_hashes(&mut self, hashes: BTreeMap<u64, B256>) {
        self.overridden_hashes = hashes;
    }

    fn load(&mut self, address: Address) -> Result<&mut Cached, StateError> {
        match self.accounts.entry(address) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let info = self.view.account(address)?.map(account_info);
                Ok(entry.insert(Cached { info, ..Cached::default() }))
            }
        }
    }

    fn keep_code(&mut self, info: Option<&AccountInfo>) {
        let Some(info) = info else { return };
        let Some(code) = info.code.as_ref().filter(|_| info.code_hash != KECCAK256_EMPTY) else { return };
        if self.codes.insert(info.code_hash, code.clone()).is_none() {
            self.new_codes.insert(info.code_hash, code.original_bytes());
        }
    }

    fn commit_account(&mut self, address: Address, account: Account) {
        if !account.is_touched() {
            return;
        }
        if account.is_selfdestructed() {
            return self.accounts.entry(address).or_default().destroy();
        }
        let created = account.is_created();
        // Before Spurious Dragon the journal marks an empty account that must stay as created.
        let gone = account.info.is_empty() && !created;
        let info = (!gone).then_some(account.info);
        self.keep_code(info.as_ref());
        let cached = self.accounts.entry(address).or_default();
        if gone {
            return if cached.info.is_some() {
                cached.destroy()
            };
        }
        if created {
            cached.create();
        }
        cached.set_info(info);
        for (slot, value) in account.storage {
            if value.is_changed() {
                cached.changed = true;
                cached.storage.insert(slot, Slot { value: value.present_value, changed: true });
            }
        }
    }
}

impl Cached {
    fn set_info(&mut self, info: Option<AccountInfo>) {
        // The nonce, the balance and the code's hash make two accounts equal.
        if self.info != info {
            self.changed = true;
        }
        self.info = info.map(|info| AccountInfo { code: None, ..info });
    }

    fn clear(&mut self) {
        self.cleared = true;
        self.storage.clear();
    }

    fn destroy(&mut self) {
        self.changed = true;
        self.info = None;
        self.clear();
    }

    /// A new contract starts with empty storage. What was not there before has none to clear.
    fn create(&mut self) {
        self.changed = true;
        if self.info.is_some() {
            self.cleared = true;
        }
        self.storage.clear();
    }

    fn change(&self) -> AccountChange {
        let exists = self.info.is_some();
        let changed = self.storage.iter().filter(|(_, slot)| slot.changed && exists);
        AccountChange {
            account: self.info.as_ref().map(|info| ledger::Account {
                nonce: info.nonce,
                balance: info.balance,
                code_hash: info.code_hash,
            }),
            storage_cleared: self.cleared,
            storage: changed.map(|(key, slot)| (B256::from(*key), slot.value)).collect(),
        }
    }

    /// A slot's value as far as it is known without asking the ledger.
    fn known(&self, slot: &U256) -> Option<U256> {
        match self.storage.get(slot) {
            Some(slot) => Some(slot.value),
            None => (self.cleared || self.info.is_none()).then_some(U256::ZERO),
        }
    }
}

fn account_info(account: ledger::Account) -> AccountInfo {
    AccountInfo {
        nonce: account.nonce,
        balance: account.balance,
        code_hash: account.code_hash,
        code: None,
        ..AccountInfo::default()
    }
}

impl Database for WorkingState<'_> {
    type Error = StateError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        Ok(self.load(address)?.info.clone())
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, StateError> {
        if let Some(code) = self.codes.get(&hash) {
            return Ok(code.clone());
        }
        let code = self.code_by_hash_ref(hash)?;
        self.codes.insert(hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        if let Some(value) = self.load(address)?.known(&slot) {
            return Ok(value);
        }
        let value = self.view.storage(address, slot.into())?;
        self.load(address)?.storage.insert(slot, Slot { value, changed: false });
        Ok(value)
    }

    fn block_hash(&mut self, height: u64) -> Result<B256, StateError> {
        self.block_hash_ref(height)
    }
}

impl DatabaseRef for WorkingState<'_> {
    type Error = StateError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        match self.accounts.get(&address) {
            Some(cached) => Ok(cached.info.clone()),
            None => Ok(self.view.account(address)?.map(account_info)),
        }
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, StateError> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        if let Some(code) = self.codes.get(&hash) {
            return Ok(code.clone());
        }
        // Before EIP-3541 any code could begin like a delegation. Such code is what it always was: code.
        let code = self.view.code(hash)?;
        Ok(Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code)))
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        match self.accounts.get(&address).and_then(|cached| cached.known(&slot)) {
            Some(value) => Ok(value),
            None => Ok(self.view.storage(address, slot.into())?),
        }
    }

    fn block_hash_ref(&self, height: u64) -> Result<B256, StateError> {
        let overridden = self.overridden_hashes.get(&height).copied();
        overridden.or_else(|| (self.block_hashes)(height)).ok_or(StateError::MissingBlockHash(height))
    }
}

impl DatabaseCommit for WorkingState<'_> {
    fn commit(&mut self, changes: AddressMap<Account>) {
        for (address, account) in changes {
            self.commit_account(address, account);
        }
    }
}
