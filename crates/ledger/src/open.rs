//! Opening the store, and its first transaction: genesis.
//!
//! D3.1 6.1.4. A store is opened only by the format, chain and genesis that it was made with. Genesis is
//! written in one transaction, so a store holds all of it or is still empty; a file gets its name only
//! after that.

use crate::{
    Account, AccountChange, Ledger, OpenError, Options, StateChanges, StorageError,
    commit::{write_block, write_nodes},
    encoding::{encode_account, encode_value},
    snapshot::read_header,
    tables::{
        self, ACCOUNTS, CODES, FORMAT, META, META_CHAIN_ID, META_FORMAT, META_GENESIS, META_HISTORY_FROM, META_RULES,
        NODES, STORAGE, create_all, node_key, put_finalized, slot_key,
    },
    trie::{NodeSource, Root, StateUpdate, update_state},
};
use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, Nibbles};
use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, StorageBackend, TableHandle, WriteTransaction,
};
use std::path::Path;
use types::Genesis;

/// Name of the store in the ledger's directory.
const FILE: &str = "ledger.redb";
/// Its name while it is being made.
const UNFINISHED: &str = "ledger.redb.new";

impl Ledger {
    /// Opens the ledger in this directory, or begins it there.
    pub fn open(directory: &Path, genesis: &Genesis, options: Options) -> Result<Ledger, OpenError> {
        let path = directory.join(FILE);
        if !path.exists() {
            make(directory, &path, genesis, &options)?;
        }
        let place = path.display().to_string();
        let store = builder(&options).open(&path).map_err(|error| refused(&place, error))?;
        Self::open_store(store, &place, genesis, &options)
    }

    /// Opens the ledger on a store of the caller's: memory, or a disk that fails at will.
    pub fn open_on(backend: impl StorageBackend, genesis: &Genesis, options: Options) -> Result<Ledger, OpenError> {
        let store = builder(&options).create_with_backend(backend).map_err(|error| refused("the store", error))?;
        Self::open_store(store, "the store", genesis, &options)
    }

    fn open_store(store: Database, place: &str, genesis: &Genesis, options: &Options) -> Result<Ledger, OpenError> {
        if is_new(&store)? {
            begin(&store, genesis)?;
        }
        let txn = store.begin_read().map_err(StorageError::from)?;
        check_meta(&txn, place, genesis)?;
        let (height, hash) = tables::finalized(&txn)?;
        let header = read_header(&txn, height)?.filter(|header| header.hash() == hash);
        let header = header
            .ok_or_else(|| StorageError::corrupt(format_args!("header of block {height}"), "not the finalised one"))?;
        check_root(&txn, height, header.state_root)?;
        drop(txn);
        Ok(Ledger::over(store, header, options))
    }
}

/// Makes the store under another name and renames it when it is complete, so that a file of the right
/// name is a whole ledger, or was damaged.
fn make(directory: &Path, path: &Path, genesis: &Genesis, options: &Options) -> Result<(), OpenError> {
    let failed = |source| OpenError::Directory { path: directory.display().to_string(), source };
    std::fs::create_dir_all(directory).map_err(failed)?;
    let unfinished = directory.join(UNFINISHED);
    let place = unfinished.display().to_string();
    match builder(options).create(&unfinished) {
        Err(DatabaseError::DatabaseAlreadyOpen) => return Err(OpenError::Locked),
        // An earlier attempt that was cut short.
        Err(_) => std::fs::remove_file(&unfinished).map_err(failed)?,
        Ok(store) if is_new(&store)? => {}
        Ok(_) => std::fs::remove_file(&unfinished).map_err(failed)?,
    }
    let store = builder(options).create(&unfinished).map_err(|error| refused(&place, error))?;
    begin(&store, genesis)?;
    drop(store);
    std::fs::rename(&unfinished, path).map_err(failed)?;
    std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

fn builder(options: &Options) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes / 2);
    builder.set_repair_callback(|repair| {
        tracing::info!(progress = repair.progress(), "checking the ledger's store after an unclean stop");
    });
    builder
}

fn refused(place: &str, error: DatabaseError) -> OpenError {
    let not_a_ledger = |what: String| OpenError::NotALedger { path: place.into(), what };
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Locked,
        DatabaseError::UpgradeRequired(version) => not_a_ledger(format!("store format {version} is too old")),
        DatabaseError::Storage(redb::StorageError::Corrupted(what)) => not_a_ledger(what),
        DatabaseError::Storage(redb::StorageError::Io(error)) if is_content(&error) => not_a_ledger(error.to_string()),
        other => OpenError::Storage(other.into()),
    }
}

/// Whether it is the content of the file that is wrong, and not the disk.
fn is_content(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
}

/// Whether nothing was ever written to the store.
fn is_new(store: &Database) -> Result<bool, OpenError> {
    let txn = store.begin_read().map_err(StorageError::from)?;
    let mut tables = txn.list_tables().map_err(StorageError::from)?;
    Ok(tables.next().is_none())
}

/// Writes the genesis block and its state.
fn begin(store: &Database, genesis: &Genesis) -> Result<(), OpenError> {
    let (block, changes) = (genesis.block(), genesis_state(genesis));
    let update = update_state(&Root::Empty, &NoNodes, block.height(), &changes.accounts)?;
    let (header, computed) = (block.header().state_root, update.root.hash());
    if header != computed {
        return Err(OpenError::GenesisRoot { header, computed });
    }
    let txn = store.begin_write().map_err(StorageError::from)?;
    write_genesis(&txn, genesis, &changes, &update)?;
    txn.commit().map_err(StorageError::from)?;
    Ok(())
}

fn write_genesis(
    txn: &WriteTransaction,
    genesis: &Genesis,
    changes: &StateChanges,
    update: &StateUpdate,
) -> Result<(), StorageError> {
    let block = genesis.block();
    create_all(txn)?;
    write_block(txn, block, &[], &[])?;
    write_accounts(txn, changes)?;
    write_nodes(txn, &update.writes)?;
    put_finalized(txn, block.height(), block.hash())?;
    let mut meta = txn.open_table(META)?;
    meta.insert(META_FORMAT, &FORMAT.to_be_bytes()[..])?;
    meta.insert(META_CHAIN_ID, &genesis.chain_id().to_be_bytes()[..])?;
    meta.insert(META_GENESIS, genesis.hash().as_slice())?;
    meta.insert(META_RULES, genesis.ledger_id().hash().as_slice())?;
    meta.insert(META_HISTORY_FROM, &block.height().to_be_bytes()[..])?;
    Ok(())
}

/// Nothing precedes genesis, so it has no history.
fn write_accounts(txn: &WriteTransaction, changes: &StateChanges) -> Result<(), StorageError> {
    let (mut accounts, mut storage) = (txn.open_table(ACCOUNTS)?, txn.open_table(STORAGE)?);
    for (address, change) in &changes.accounts {
        if let Some(account) = &change.account {
            accounts.insert(&address.0.0, &encode_account(account)[..])?;
        }
        for (slot, value) in &change.storage {
            storage.insert(&slot_key(*address, *slot), &encode_value(*value)[..])?;
        }
    }
    let mut codes = txn.open_table(CODES)?;
    for (hash, code) in &changes.codes {
        codes.insert(&hash.0, &code[..])?;
    }
    Ok(())
}

fn genesis_state(genesis: &Genesis) -> StateChanges {
    let mut changes = StateChanges::default();
    for (address, account) in &genesis.ethereum.alloc {
        let code = account.code.as_ref().filter(|code| !code.is_empty());
        let code_hash = code.map_or(KECCAK_EMPTY, keccak256);
        changes.codes.extend(code.map(|code| (code_hash, code.clone())));
        let slots = account.storage.iter().flatten().map(|(slot, value)| (*slot, U256::from_be_bytes(value.0)));
        let change = AccountChange {
            account: Some(Account { nonce: account.nonce.unwrap_or(0), balance: account.balance, code_hash }),
            storage_cleared: false,
            storage: slots.filter(|(_, value)| !value.is_zero()).collect(),
        };
        changes.accounts.insert(*address, change);
    }
    changes
}

/// Genesis is built from nothing.
struct NoNodes;

impl NodeSource for NoNodes {
    fn node(&self, _owner: Option<B256>, _path: &Nibbles) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(None)
    }
}

fn check_meta(txn: &ReadTransaction, place: &str, genesis: &Genesis) -> Result<(), OpenError> {
    let mut tables = txn.list_tables().map_err(StorageError::from)?;
    if !tables.any(|table| table.name() == META.name()) {
        return Err(OpenError::NotALedger { path: place.into(), what: "it has other tables".into() });
    }
    let found = u32::from_be_bytes(meta(txn, META_FORMAT)?);
    if found != FORMAT {
        return Err(OpenError::Format { found, supported: FORMAT });
    }
    let (found, expected) = (u64::from_be_bytes(meta(txn, META_CHAIN_ID)?), genesis.chain_id());
    if found != expected {
        return Err(OpenError::Chain { found, expected });
    }
    let (found, expected) = (B256::from(meta::<32>(txn, META_GENESIS)?), genesis.hash());
    if found != expected {
        return Err(OpenError::Genesis { found, expected });
    }
    if meta::<32>(txn, META_RULES)? != genesis.ledger_id().hash().0 {
        return Err(OpenError::Rules);
    }
    Ok(())
}

fn meta<const N: usize>(txn: &ReadTransaction, key: &str) -> Result<[u8; N], StorageError> {
    let value = txn.open_table(META)?.get(key)?;
    let value = value.as_ref().and_then(|value| value.value().try_into().ok());
    value.ok_or_else(|| StorageError::corrupt("meta table", format_args!("no {key}")))
}

/// The state trie that is stored has the root that the finalised block names.
fn check_root(txn: &ReadTransaction, height: u64, expected: B256) -> Result<(), StorageError> {
    if expected == EMPTY_ROOT_HASH {
        return Ok(());
    }
    let node = txn.open_table(NODES)?.get(&node_key(None, &Nibbles::new())[..])?;
    match node.map(|node| keccak256(node.value())) {
        Some(found) if found == expected => Ok(()),
        found => {
            let what = format!("block {height} has state root {expected}, the state trie stored has {found:?}");
            Err(StorageError::corrupt("state trie", what))
        }
    }
}
