//! A final block becomes part of the ledger: one durable transaction.
//!
//! D3.1 6.1.4, 6.1.5.2. Everything is checked before anything is written. A failed write is an error
//! after which the store is as before, and the caller stops the node.
//!
//! Invariant: the same blocks committed in the same order give byte-identical stores; what is written is
//! sorted.

use crate::{
    CommitError, History, Ledger, Overlay, SealedHeader, StorageError,
    ahead::{AheadError, put_finality, remove_ahead, stored_finality},
    encoding::{encode_receipts, encode_senders},
    history::{self, Written},
    ledger::Tip,
    logs,
    tables::{
        BODIES, CODES, HEADERS, HEIGHTS, NODES, RECEIPTS, SENDERS, TRANSACTIONS, join, node_key, node_range,
        put_finalized,
    },
    trie::TrieWrites,
};
use alloy_primitives::Address;
use redb::WriteTransaction;
use std::sync::Arc;
use types::{Block, Finality, Receipt};

/// A block with all that its execution gave.
#[derive(Clone, Debug)]
pub struct ExecutedBlock {
    pub block: Arc<Block>,
    /// One a transaction.
    pub senders: Vec<Address>,
    /// One a transaction.
    pub receipts: Vec<Receipt>,
    pub overlay: Arc<Overlay>,
}

impl Ledger {
    /// Makes the block the finalised one, durably. Its parent is the finalised block so far.
    pub fn commit(&self, executed: &ExecutedBlock, finality: Option<&Finality>) -> Result<(), CommitError> {
        let mut births = self.writer();
        let (block, overlay) = (&executed.block, &executed.overlay);
        check(&self.finalized(), executed, finality)?;

        let txn = self.store().begin_write().map_err(StorageError::from)?;
        check_certificate(&txn, block)?;
        let written = write(&txn, executed, finality, self.history())?;

        let header = SealedHeader::new_unchecked(block.header().clone(), block.hash());
        let trie = self.bounded(&mut births, block.height(), overlay.writes.built(), &overlay.trie);
        self.set_next(Some(Tip { header: Arc::new(header), trie }));
        if let Err(error) = txn.commit() {
            self.set_next(None);
            return Err(StorageError::from(error).into());
        }
        self.hot().advance(block.height(), written.accounts, written.slots);
        self.advance();
        Ok(())
    }
}

fn check(finalized: &SealedHeader, executed: &ExecutedBlock, finality: Option<&Finality>) -> Result<(), CommitError> {
    let (block, overlay) = (&executed.block, &executed.overlay);
    let (height, hash) = (block.height(), block.hash());
    let inconsistent = |what: &str| Err(CommitError::Inconsistent { height, what: what.into() });
    if height != finalized.number + 1 || block.parent_hash() != finalized.hash() {
        let (finalized, finalized_hash) = (finalized.number, finalized.hash());
        return Err(CommitError::NotNext { height, hash, finalized, finalized_hash });
    }
    let transactions = block.transactions().len();
    if executed.senders.len() != transactions || executed.receipts.len() != transactions {
        return inconsistent("not one sender and one receipt a transaction");
    }
    if overlay.height != height || overlay.parent_root != finalized.state_root {
        return inconsistent("its execution did not start from the state of its parent");
    }
    if overlay.state_root != block.header().state_root {
        let (header, computed) = (block.header().state_root, overlay.state_root);
        return Err(CommitError::StateRoot { height, header, computed });
    }
    match finality {
        Some(finality) if finality.height == height && finality.block_hash != hash => {
            Err(CommitError::Finality { height, hash, certified: finality.block_hash })
        }
        Some(finality) if finality.height < height => inconsistent("its finality certificate is for an earlier block"),
        _ => Ok(()),
    }
}

/// A certificate may have come before its block.
fn check_certificate(txn: &WriteTransaction, block: &Block) -> Result<(), CommitError> {
    let (height, hash) = (block.height(), block.hash());
    match stored_finality(txn, height)? {
        Some(stored) if stored.block_hash != hash => {
            Err(CommitError::Finality { height, hash, certified: stored.block_hash })
        }
        _ => Ok(()),
    }
}

fn write(
    txn: &WriteTransaction,
    executed: &ExecutedBlock,
    finality: Option<&Finality>,
    history: History,
) -> Result<Written, CommitError> {
    let height = executed.block.height();
    write_block(txn, &executed.block, &executed.senders, &executed.receipts)?;
    logs::write(txn, height, &executed.receipts)?;
    let written = write_state(txn, &executed.overlay)?;
    if let History::Blocks(count) = history {
        history::prune(txn, height.saturating_sub(count))?;
    }
    remove_ahead(txn, height)?;
    if let Some(finality) = finality {
        put_finality(txn, finality).map_err(|error| match error {
            AheadError::Conflict { height, known, given } => {
                CommitError::Finality { height, hash: known, certified: given }
            }
            AheadError::Storage(error) => error.into(),
        })?;
    }
    put_finalized(txn, height, executed.block.hash())?;
    Ok(written)
}

pub(crate) fn write_block(
    txn: &WriteTransaction,
    block: &Block,
    senders: &[Address],
    receipts: &[Receipt],
) -> Result<(), StorageError> {
    let (height, hash) = (block.height(), block.hash());
    let mut header = hash.to_vec();
    alloy_rlp::Encodable::encode(block.header(), &mut header);
    txn.open_table(HEADERS)?.insert(height, &header[..])?;
    txn.open_table(HEIGHTS)?.insert(&hash.0, height)?;
    txn.open_table(BODIES)?.insert(height, &alloy_rlp::encode(block.body())[..])?;
    txn.open_table(SENDERS)?.insert(height, &encode_senders(senders)[..])?;
    txn.open_table(RECEIPTS)?.insert(height, &encode_receipts(receipts)[..])?;

    let hashes = block.transactions().iter().map(|transaction| *transaction.tx_hash());
    let mut index: Vec<_> = hashes.zip(0u32..).collect();
    index.sort_unstable();
    let mut transactions = txn.open_table(TRANSACTIONS)?;
    for (hash, position) in index {
        transactions.insert(&hash.0, &join(height.to_be_bytes(), position.to_be_bytes()))?;
    }
    Ok(())
}

/// Flat state, codes, history and trie nodes.
pub(crate) fn write_state(txn: &WriteTransaction, overlay: &Overlay) -> Result<Written, StorageError> {
    let written = history::write(txn, overlay.height, &overlay.changes)?;
    let mut codes = txn.open_table(CODES)?;
    for (hash, code) in &overlay.changes.codes {
        codes.insert(&hash.0, &code[..])?;
    }
    write_nodes(txn, &overlay.writes)?;
    Ok(written)
}

pub(crate) fn write_nodes(txn: &WriteTransaction, writes: &TrieWrites) -> Result<(), StorageError> {
    let mut nodes = txn.open_table(NODES)?;
    for owner in &writes.wiped {
        let (first, beyond) = node_range(*owner);
        nodes.retain_in(&first[..]..&beyond[..], |_, _| false)?;
    }
    let accounts = [(None, &writes.accounts)];
    let storage = writes.storage.iter().map(|(owner, writes)| (Some(*owner), writes));
    for (owner, writes) in accounts.into_iter().chain(storage) {
        for (path, rlp) in writes {
            let key = node_key(owner, path);
            match rlp {
                Some(rlp) => nodes.insert(&key[..], &rlp[..])?,
                None => nodes.remove(&key[..])?,
            };
        }
    }
    Ok(())
}
