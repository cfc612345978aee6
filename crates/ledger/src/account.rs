//! Accounts, and what a block does to them.
//!
//! D3.1 6.1.7.1 (ledger state).

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::KECCAK_EMPTY;
use std::collections::BTreeMap;

/// An account without its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub nonce: u64,
    pub balance: U256,
    /// Hash of the code; `KECCAK_EMPTY` for none.
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK_EMPTY }
    }
}

/// One account after a block, and the slots that the block changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// `None`: the account is gone, with all of its storage.
    pub account: Option<Account>,
    /// All storage from before the block is gone; `storage` is what was set afterwards.
    pub storage_cleared: bool,
    /// Zero: removed.
    pub storage: BTreeMap<B256, U256>,
}

impl AccountChange {
    pub(crate) fn clears_storage(&self) -> bool {
        self.storage_cleared || self.account.is_none()
    }
}

/// The touched accounts with their values after a block, and the codes it deployed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateChanges {
    pub accounts: BTreeMap<Address, AccountChange>,
    pub codes: BTreeMap<B256, Bytes>,
}
