//! Finality certificates, and final blocks that the ledger cannot take yet.
//!
//! D3.1 6.1.5.2. A consensus engine learns that block 100 is final while blocks 90 to 99 are still being
//! fetched. What it must not forget is kept here until `commit` reaches it. These writes are seen by
//! readers at once and are durable from the next `sync` or `commit` on, whichever comes first.

use crate::{
    Ledger, StorageError,
    encoding::decode_rlp,
    tables::{AHEAD, AHEAD_HEIGHTS, CERTIFICATE_HEIGHTS, CERTIFICATES, HEADERS},
};
use alloy_primitives::{B256, BlockHash};
use redb::{Durability, ReadableTable, WriteTransaction};
use types::{Block, Finality};

#[derive(Debug, thiserror::Error)]
pub enum AheadError {
    #[error("block {height} is {known} here, what came names {given}")]
    Conflict { height: u64, known: BlockHash, given: BlockHash },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Ledger {
    /// Keeps a certificate. A height that has one keeps it: any quorum's certificate is as good.
    pub fn store_finality(&self, finality: &Finality) -> Result<(), AheadError> {
        self.buffered(|txn| put_finality(txn, finality))
    }

    /// Keeps a final block until `commit` reaches its height. One that the ledger has already is ignored.
    pub fn store_block_ahead(&self, block: &Block) -> Result<(), AheadError> {
        self.buffered(|txn| {
            let (height, hash) = (block.height(), block.hash());
            match known_hash(txn, height)? {
                Some(known) if known != hash => return Err(AheadError::Conflict { height, known, given: hash }),
                Some(_) => return Ok(()),
                None => {}
            }
            insert_ahead(txn, block).map_err(AheadError::from)
        })
    }

    /// Makes everything stored so far durable.
    pub fn sync(&self) -> Result<(), StorageError> {
        let txn = self.store().begin_write()?;
        txn.commit()?;
        Ok(())
    }

    fn buffered(&self, write: impl FnOnce(&WriteTransaction) -> Result<(), AheadError>) -> Result<(), AheadError> {
        let mut txn = self.store().begin_write().map_err(StorageError::from)?;
        txn.set_durability(Durability::None).map_err(StorageError::from)?;
        match write(&txn) {
            Ok(()) => Ok(txn.commit().map_err(StorageError::from)?),
            Err(error) => {
                txn.abort().map_err(StorageError::from)?;
                Err(error)
            }
        }
    }
}

pub(crate) fn put_finality(txn: &WriteTransaction, finality: &Finality) -> Result<(), AheadError> {
    let (height, given) = (finality.height, finality.block_hash);
    if let Some(known) = known_hash(txn, height)?.filter(|known| *known != given) {
        return Err(AheadError::Conflict { height, known, given });
    }
    match stored_finality(txn, height)?.map(|stored| stored.block_hash) {
        Some(known) if known != given => Err(AheadError::Conflict { height, known, given }),
        Some(_) => Ok(()),
        None => insert_finality(txn, finality).map_err(AheadError::from),
    }
}

pub(crate) fn stored_finality(txn: &WriteTransaction, height: u64) -> Result<Option<Finality>, StorageError> {
    let certificates = txn.open_table(CERTIFICATES)?;
    let Some(bytes) = certificates.get(height)? else { return Ok(None) };
    decode_rlp(format_args!("certificate of block {height}"), bytes.value()).map(Some)
}

fn insert_finality(txn: &WriteTransaction, finality: &Finality) -> Result<(), StorageError> {
    txn.open_table(CERTIFICATES)?.insert(finality.height, &alloy_rlp::encode(finality)[..])?;
    txn.open_table(CERTIFICATE_HEIGHTS)?.insert(&finality.block_hash.0, finality.height)?;
    Ok(())
}

fn insert_ahead(txn: &WriteTransaction, block: &Block) -> Result<(), StorageError> {
    txn.open_table(AHEAD)?.insert(block.height(), &block.encode_rlp()[..])?;
    txn.open_table(AHEAD_HEIGHTS)?.insert(&block.hash().0, block.height())?;
    Ok(())
}

/// The hash of the block at `height`, from whatever is known of it.
fn known_hash(txn: &WriteTransaction, height: u64) -> Result<Option<BlockHash>, StorageError> {
    if let Some(header) = txn.open_table(HEADERS)?.get(height)? {
        return Ok(header.value().first_chunk::<32>().map(|hash| B256::from(*hash)));
    }
    Ok(ahead(txn, height)?.map(|block| block.hash()))
}

fn ahead(txn: &WriteTransaction, height: u64) -> Result<Option<Block>, StorageError> {
    let table = txn.open_table(AHEAD)?;
    let Some(bytes) = table.get(height)? else { return Ok(None) };
    let block = Block::decode_rlp(bytes.value());
    block.map(Some).map_err(|error| StorageError::corrupt(format_args!("block {height}, kept ahead"), error))
}

/// Removes what was kept ahead for a height that the ledger has reached.
pub(crate) fn remove_ahead(txn: &WriteTransaction, height: u64) -> Result<(), StorageError> {
    let Some(block) = ahead(txn, height)? else { return Ok(()) };
    txn.open_table(AHEAD)?.remove(height)?;
    txn.open_table(AHEAD_HEIGHTS)?.remove(&block.hash().0)?;
    Ok(())
}
