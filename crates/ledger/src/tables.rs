//! The tables of the store and how their keys are made. `docs/formats.md` describes the bytes.
//!
//! Numbers in keys and values are big-endian, so that keys sort as numbers do. Whoever changes a
//! layout raises `FORMAT`.

use crate::StorageError;
use alloy_primitives::{Address, B256, BlockHash};
use alloy_trie::Nibbles;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

/// Version of the store's layout.
pub const FORMAT: u32 = 1;

pub(crate) type Table<K, V = &'static [u8]> = TableDefinition<'static, K, V>;

pub(crate) const META: Table<&str> = Table::new("meta");
pub(crate) const META_FORMAT: &str = "format";
pub(crate) const META_CHAIN_ID: &str = "chain_id";
pub(crate) const META_GENESIS: &str = "genesis";
pub(crate) const META_RULES: &str = "rules";
pub(crate) const META_FINALIZED: &str = "finalized";
pub(crate) const META_HISTORY_FROM: &str = "history_from";

pub(crate) const HEADERS: Table<u64> = Table::new("headers");
pub(crate) const HEIGHTS: Table<&[u8; 32], u64> = Table::new("heights");
pub(crate) const BODIES: Table<u64> = Table::new("bodies");
pub(crate) const SENDERS: Table<u64> = Table::new("senders");
pub(crate) const RECEIPTS: Table<u64> = Table::new("receipts");
pub(crate) const TRANSACTIONS: Table<&[u8; 32], &[u8; 12]> = Table::new("transactions");
pub(crate) const LOGS: Table<&[u8; 17], u64> = Table::new("logs");

pub(crate) const ACCOUNTS: Table<&[u8; 20]> = Table::new("accounts");
pub(crate) const STORAGE: Table<&[u8; 52]> = Table::new("storage");
pub(crate) const CODES: Table<&[u8; 32]> = Table::new("codes");
pub(crate) const NODES: Table<&[u8]> = Table::new("nodes");

pub(crate) const CHANGES: Table<u64> = Table::new("changes");
pub(crate) const ACCOUNT_HISTORY: Table<&[u8; 28]> = Table::new("account_history");
pub(crate) const STORAGE_HISTORY: Table<&[u8; 60]> = Table::new("storage_history");

pub(crate) const CERTIFICATES: Table<u64> = Table::new("certificates");
pub(crate) const CERTIFICATE_HEIGHTS: Table<&[u8; 32], u64> = Table::new("certificate_heights");
pub(crate) const AHEAD: Table<u64> = Table::new("ahead");
pub(crate) const AHEAD_HEIGHTS: Table<&[u8; 32], u64> = Table::new("ahead_heights");

/// Makes every table, so that readers find them all.
pub(crate) fn create_all(txn: &WriteTransaction) -> Result<(), StorageError> {
    txn.open_table(META)?;
    for table in [HEADERS, BODIES, SENDERS, RECEIPTS, CHANGES, CERTIFICATES, AHEAD] {
        txn.open_table(table)?;
    }
    for table in [HEIGHTS, CERTIFICATE_HEIGHTS, AHEAD_HEIGHTS] {
        txn.open_table(table)?;
    }
    txn.open_table(TRANSACTIONS)?;
    txn.open_table(LOGS)?;
    txn.open_table(ACCOUNTS)?;
    txn.open_table(STORAGE)?;
    txn.open_table(CODES)?;
    txn.open_table(NODES)?;
    txn.open_table(ACCOUNT_HISTORY)?;
    txn.open_table(STORAGE_HISTORY)?;
    Ok(())
}

/// Height and hash of the block that a snapshot ends with.
pub(crate) fn finalized(txn: &ReadTransaction) -> Result<(u64, BlockHash), StorageError> {
    let value = txn.open_table(META)?.get(META_FINALIZED)?;
    let value = value.as_ref().map_or(&[][..], |value| value.value());
    match value.split_first_chunk::<8>() {
        Some((height, hash)) if hash.len() == 32 => Ok((u64::from_be_bytes(*height), B256::from_slice(hash))),
        _ => Err(StorageError::corrupt("meta table", "no finalised block")),
    }
}

pub(crate) fn put_finalized(txn: &WriteTransaction, height: u64, hash: BlockHash) -> Result<(), StorageError> {
    let value = [&height.to_be_bytes()[..], hash.as_slice()].concat();
    txn.open_table(META)?.insert(META_FINALIZED, &value[..])?;
    Ok(())
}

/// Height of the oldest block whose state can be read.
pub(crate) fn history_from(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<u64, StorageError> {
    let value = meta.get(META_HISTORY_FROM)?;
    let value = value.as_ref().and_then(|value| value.value().try_into().ok());
    value.map(u64::from_be_bytes).ok_or_else(|| StorageError::corrupt("meta table", "no oldest kept state"))
}

pub(crate) fn slot_key(address: Address, slot: B256) -> [u8; 52] {
    join(address.0.0, slot.0)
}

pub(crate) fn account_history_key(address: Address, height: u64) -> [u8; 28] {
    join(address.0.0, height.to_be_bytes())
}

pub(crate) fn storage_history_key(address: Address, slot: B256, height: u64) -> [u8; 60] {
    join(slot_key(address, slot), height.to_be_bytes())
}

/// `0 ‖ path` for a node of the account trie, `1 ‖ owner ‖ path` for one of a storage trie; a path
/// is its nibbles packed, then their number.
pub(crate) fn node_key(owner: Option<B256>, path: &Nibbles) -> Vec<u8> {
    let mut key = Vec::with_capacity(34 + path.byte_len());
    match owner {
        None => key.push(0),
        Some(owner) => {
            key.push(1);
            key.extend_from_slice(owner.as_slice());
        }
    }
    key.extend_from_slice(&path.pack());
    key.push(path.len() as u8);
    key
}

/// The first key of a storage trie and the first key beyond it.
pub(crate) fn node_range(owner: B256) -> (Vec<u8>, Vec<u8>) {
    let first = [&[1][..], owner.as_slice()].concat();
    let beyond = [&first[..], &[0xff; 34]].concat();
    (first, beyond)
}

pub(crate) fn join<const A: usize, const B: usize, const N: usize>(a: [u8; A], b: [u8; B]) -> [u8; N] {
    const { assert!(A + B == N, "the parts make the whole") };
    let mut key = [0; N];
    key[..A].copy_from_slice(&a);
    key[A..].copy_from_slice(&b);
    key
}
