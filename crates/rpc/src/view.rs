//! What a call sees: one consistent snapshot of the ledger, and the block that the caller named in it.
//!
//! D3.1 6.3.1. Blocks are final when they are visible: `latest`, `safe` and `finalized` are one block. `pending` is
//! the surroundings of the next block on the state of the last final one, and in nonces the waiting transactions too;
//! as a block it is the last final one, since no other has an identity yet.

use crate::error::Failure;
use crate::served::Served;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256};
use chain::Pending;
use execution::BlockContext;
use ledger::{Snapshot, StateView};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use types::{Block, Header, Receipt, Transaction};

/// One snapshot, for the time of one call.
pub(crate) struct View<'a> {
    pub(crate) ledger: &'a Served,
    pub(crate) snapshot: Snapshot,
}

/// A block and what was stored beside it.
pub(crate) struct Stored {
    pub(crate) block: Block,
    pub(crate) senders: Vec<Address>,
}

impl Stored {
    pub(crate) fn header(&self) -> &Header {
        self.block.header()
    }

    pub(crate) fn transaction(&self, index: usize) -> Option<(&Transaction, Address)> {
        Some((self.block.transactions().get(index)?, *self.senders.get(index)?))
    }
}

impl Served {
    pub(crate) fn view(&self) -> Result<View<'_>, Failure> {
        let snapshot = self.chain.ledger().snapshot()?;
        Ok(View { ledger: self, snapshot })
    }

    /// Height of the last final block, from memory.
    pub(crate) fn head(&self) -> u64 {
        self.chain.finalized().number
    }

    /// What the next block would run in, were it proposed now.
    fn pending(&self) -> Result<Pending, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let parent = self.chain.finalized().timestamp.saturating_add(1).saturating_mul(1000);
        Ok(self.chain.pending(now.max(parent))?)
    }
}

impl View<'_> {
    /// Height of the last final block.
    pub(crate) fn head(&self) -> u64 {
        self.snapshot.finalized().number
    }

    /// The height that the caller named, if there is such a block.
    pub(crate) fn height(&self, id: BlockId) -> Result<Option<u64>, Failure> {
        match id {
            BlockId::Hash(hash) => Ok(self.snapshot.height_of(hash.block_hash)?),
            BlockId::Number(number) => Ok(self.height_at(number)),
        }
    }

    pub(crate) fn height_at(&self, number: BlockNumberOrTag) -> Option<u64> {
        match number {
            BlockNumberOrTag::Number(height) => (height <= self.head()).then_some(height),
            BlockNumberOrTag::Earliest => Some(0),
            _ => Some(self.head()),
        }
    }

    /// Like `height`, but a block that is not there is an error.
    pub(crate) fn height_or_fail(&self, id: BlockId) -> Result<u64, Failure> {
        self.height(id)?.ok_or_else(|| match id {
            BlockId::Hash(_) => Failure::not_found("header for hash not found"),
            BlockId::Number(_) => Failure::not_found("header not found"),
        })
    }

    pub(crate) fn header(&self, height: u64) -> Result<Header, Failure> {
        let header = self.snapshot.header(height)?.ok_or_else(|| missing("header", height))?;
        Ok(header.into_inner())
    }

    pub(crate) fn hash(&self, height: u64) -> Result<B256, Failure> {
        self.snapshot.hash_of(height)?.ok_or_else(|| missing("hash", height))
    }

    /// A block below the head.
    pub(crate) fn stored(&self, height: u64) -> Result<Arc<Stored>, Failure> {
        self.ledger.recent.block(height, || {
            let block = self.snapshot.block(height)?.ok_or_else(|| missing("block", height))?;
            let senders = self.snapshot.senders(height)?.ok_or_else(|| missing("senders", height))?;
            Ok(Stored { block, senders })
        })
    }

    /// The block that the caller named, if there is such a block.
    pub(crate) fn block(&self, id: BlockId) -> Result<Option<Arc<Stored>>, Failure> {
        self.height(id)?.map(|height| self.stored(height)).transpose()
    }

    pub(crate) fn receipts(&self, height: u64) -> Result<Arc<Vec<Receipt>>, Failure> {
        self.ledger
            .recent
            .receipts(height, || self.snapshot.receipts(height)?.ok_or_else(|| missing("receipts", height)))
    }

    /// The state after the block that the caller named.
    pub(crate) fn state(&self, id: BlockId) -> Result<StateView, Failure> {
        if id.is_pending() {
            return Ok(self.ledger.pending()?.state);
        }
        Ok(self.ledger.chain.ledger().state_at(self.height_or_fail(id)?)?)
    }

    /// The state after that block, and the surroundings that a transaction in it would see.
    pub(crate) fn stage(&self, id: BlockId) -> Result<(BlockContext, StateView), Failure> {
        if id.is_pending() {
            let Pending { context, state } = self.ledger.pending()?;
            return Ok((context, state));
        }
        let height = self.height_or_fail(id)?;
        let context = BlockContext::of(self.ledger.chain.rules(), &self.header(height)?);
        Ok((context, self.ledger.chain.ledger().state_at(height)?))
    }
}

/// Below the head everything is stored: what misses is the store's fault.
fn missing(what: &str, height: u64) -> Failure {
    tracing::error!(what, height, "the ledger misses a record of a final block");
    Failure::Internal
}
