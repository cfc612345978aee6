//! Merkle proofs of accounts and slots, as `eth_getProof` gives them.
//!
//! D3.1 6.1.7. Whoever knows a block's state root can check them with any Ethereum library.

use crate::Account;
use alloy_primitives::{Address, B256, Bytes, U256};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    pub address: Address,
    /// `None`: the nodes prove that there is no such account.
    pub account: Option<Account>,
    /// Root of the account's storage trie; the empty root when there is no account.
    pub storage_root: B256,
    /// From the state root down.
    pub nodes: Vec<Bytes>,
    /// In the order of the slots asked for.
    pub storage: Vec<StorageProof>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageProof {
    pub slot: B256,
    pub value: U256,
    /// From the storage root down.
    pub nodes: Vec<Bytes>,
}
