//! A consistent reading of the store: everything up to one finalised block.
//!
//! D3.1 6.1.7 (query). A snapshot keeps the version of the store it was taken from, whatever is
//! committed meanwhile; it should therefore not be kept for longer than a request.

use crate::{
    LogBlocks, StorageError,
    encoding::{decode_receipts, decode_rlp, decode_senders},
    tables::{
        AHEAD, AHEAD_HEIGHTS, BODIES, CERTIFICATE_HEIGHTS, CERTIFICATES, HEADERS, HEIGHTS, LOGS, META, RECEIPTS,
        SENDERS, TRANSACTIONS, Table, history_from,
    },
};
use alloy_primitives::{Address, B256, BlockHash, TxHash};
use redb::ReadTransaction;
use std::{ops::RangeInclusive, sync::Arc};
use types::{Block, BlockBody, Finality, Header, Receipt};

/// A header with its hash.
pub type SealedHeader = alloy_primitives::Sealed<Header>;

pub struct Snapshot {
    pub(crate) txn: ReadTransaction,
    pub(crate) finalized: Arc<SealedHeader>,
}

impl Snapshot {
    /// The block that this snapshot ends with.
    pub fn finalized(&self) -> &Arc<SealedHeader> {
        &self.finalized
    }

    pub fn header(&self, height: u64) -> Result<Option<SealedHeader>, StorageError> {
        read_header(&self.txn, height)
    }

    pub fn header_by_hash(&self, hash: BlockHash) -> Result<Option<SealedHeader>, StorageError> {
        match self.height_of(hash)? {
            Some(height) => self.header(height),
            None => Ok(None),
        }
    }

    pub fn hash_of(&self, height: u64) -> Result<Option<BlockHash>, StorageError> {
        let row = self.txn.open_table(HEADERS)?.get(height)?;
        row.map(|row| split_header(height, row.value()).map(|(hash, _)| hash)).transpose()
    }

    /// Height of a finalised block.
    pub fn height_of(&self, hash: BlockHash) -> Result<Option<u64>, StorageError> {
        Ok(self.txn.open_table(HEIGHTS)?.get(&hash.0)?.map(|height| height.value()))
    }

    pub fn body(&self, height: u64) -> Result<Option<BlockBody>, StorageError> {
        let body = self.bytes(BODIES, height)?;
        body.map(|bytes| decode_rlp(format_args!("body of block {height}"), &bytes)).transpose()
    }

    pub fn block(&self, height: u64) -> Result<Option<Block>, StorageError> {
        let Some(header) = self.header(height)? else { return Ok(None) };
        let body = self.body(height)?;
        let body = body.ok_or_else(|| StorageError::corrupt(format_args!("body of block {height}"), "missing"))?;
        let block = Block::new(header.inner().clone(), body);
        if block.hash() != header.hash() {
            return Err(StorageError::corrupt(format_args!("header of block {height}"), "does not have its hash"));
        }
        Ok(Some(block))
    }

    pub fn receipts(&self, height: u64) -> Result<Option<Vec<Receipt>>, StorageError> {
        self.bytes(RECEIPTS, height)?.map(|bytes| decode_receipts(height, &bytes)).transpose()
    }

    pub fn senders(&self, height: u64) -> Result<Option<Vec<Address>>, StorageError> {
        self.bytes(SENDERS, height)?.map(|bytes| decode_senders(height, &bytes)).transpose()
    }

    /// Block and position of a finalised transaction.
    pub fn transaction(&self, hash: TxHash) -> Result<Option<(u64, usize)>, StorageError> {
        let Some(place) = self.txn.open_table(TRANSACTIONS)?.get(&hash.0)? else { return Ok(None) };
        let (height, index) = place.value().split_first_chunk::<8>().expect("eight of twelve bytes");
        let index = u32::from_be_bytes(index.try_into().expect("the other four bytes"));
        Ok(Some((u64::from_be_bytes(*height), index as usize)))
    }

    /// The heights, ascending, of the finalised blocks in `range` that may have logs of one of the
    /// addresses and, at each position, one of the topics; an empty list asks for nothing. A superset:
    /// the receipts decide.
    pub fn blocks_with_logs(
        &self,
        range: RangeInclusive<u64>,
        addresses: &[Address],
        topics: &[Vec<B256>],
    ) -> Result<LogBlocks, StorageError> {
        let range = *range.start()..=*range.end().min(&self.finalized.number);
        Ok(LogBlocks::new(self.txn.open_table(LOGS)?, range, addresses, topics))
    }

    /// Height of the oldest block whose state can be read.
    pub fn oldest_state(&self) -> Result<u64, StorageError> {
        history_from(&self.txn.open_table(META)?)
    }

    /// The certificate for this very height; a later one covers its ancestors too.
    pub fn finality(&self, height: u64) -> Result<Option<Finality>, StorageError> {
        let bytes = self.bytes(CERTIFICATES, height)?;
        bytes.map(|bytes| decode_rlp(format_args!("certificate of block {height}"), &bytes)).transpose()
    }

    pub fn finality_of(&self, hash: BlockHash) -> Result<Option<Finality>, StorageError> {
        match self.txn.open_table(CERTIFICATE_HEIGHTS)?.get(&hash.0)? {
            Some(height) => self.finality(height.value()),
            None => Ok(None),
        }
    }

    /// The first certificate at this height or later.
    pub fn finality_from(&self, height: u64) -> Result<Option<Finality>, StorageError> {
        match self.finality_heights(height)?.next().transpose()? {
            Some(height) => self.finality(height),
            None => Ok(None),
        }
    }

    /// The heights, ascending from `from`, that have a certificate; heights above the finalised block too.
    pub fn finality_heights(
        &self,
        from: u64,
    ) -> Result<impl DoubleEndedIterator<Item = Result<u64, StorageError>> + use<>, StorageError> {
        heights(&self.txn, CERTIFICATES, from)
    }

    /// A block that is final but not yet part of the ledger, because an ancestor is missing or not executed.
    pub fn block_ahead(&self, height: u64) -> Result<Option<Block>, StorageError> {
        let Some(bytes) = self.bytes(AHEAD, height)? else { return Ok(None) };
        let block = Block::decode_rlp(&bytes);
        block.map(Some).map_err(|error| StorageError::corrupt(format_args!("block {height}, kept ahead"), error))
    }

    pub fn height_of_block_ahead(&self, hash: BlockHash) -> Result<Option<u64>, StorageError> {
        Ok(self.txn.open_table(AHEAD_HEIGHTS)?.get(&hash.0)?.map(|height| height.value()))
    }

    /// The heights, ascending from `from`, of the blocks kept ahead.
    pub fn heights_ahead(
        &self,
        from: u64,
    ) -> Result<impl DoubleEndedIterator<Item = Result<u64, StorageError>> + use<>, StorageError> {
        heights(&self.txn, AHEAD, from)
    }

    fn bytes(&self, table: Table<u64>, height: u64) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.txn.open_table(table)?.get(height)?.map(|value| value.value().to_vec()))
    }
}

fn heights(
    txn: &ReadTransaction,
    table: Table<u64>,
    from: u64,
) -> Result<impl DoubleEndedIterator<Item = Result<u64, StorageError>> + use<>, StorageError> {
    Ok(txn.open_table(table)?.range(from..)?.map(|row| Ok(row?.0.value())))
}

pub(crate) fn read_header(txn: &ReadTransaction, height: u64) -> Result<Option<SealedHeader>, StorageError> {
    let Some(row) = txn.open_table(HEADERS)?.get(height)? else { return Ok(None) };
    let (hash, rlp) = split_header(height, row.value())?;
    let header: Header = decode_rlp(format_args!("header of block {height}"), rlp)?;
    Ok(Some(SealedHeader::new_unchecked(header, hash)))
}

/// A header is stored after its hash.
fn split_header(height: u64, value: &[u8]) -> Result<(BlockHash, &[u8]), StorageError> {
    match value.split_first_chunk::<32>() {
        Some((hash, rlp)) => Ok((B256::from(*hash), rlp)),
        None => Err(StorageError::corrupt(format_args!("header of block {height}"), "malformed")),
    }
}
