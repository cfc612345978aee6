//! Blocks that were read lately, decoded once however many ask: receipts of one block are asked for one by one.
//!
//! D3.1 6.1.7 (query). Invariant: what is remembered for a height is what the ledger holds there; a final block never
//! changes. Memory is bounded by the encoded size of what is remembered.

use crate::error::Failure;
use crate::render;
use crate::view::{Stored, View};
use alloy_rpc_types_eth::Log;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::value::RawValue;
use std::sync::Arc;
use types::Receipt;

/// Encoded bytes of blocks, and the same of receipts, that are remembered.
const BYTES: u64 = 32 * 1024 * 1024;
/// Blocks that subscribers are told of from memory.
const NEWS: usize = 64;
const BLOCKS: usize = 4_096;

/// What a block tells its subscribers.
pub(crate) struct News {
    pub(crate) header: Box<RawValue>,
    pub(crate) logs: Vec<Log>,
}

/// The memory of one ledger.
pub(crate) struct Recent {
    blocks: Cache<u64, Kept<Stored>, Bytes>,
    receipts: Cache<u64, Kept<Vec<Receipt>>, Bytes>,
    news: Cache<u64, Arc<News>>,
}

impl Recent {
    pub(crate) fn new() -> Recent {
        Recent {
            blocks: Cache::with_weighter(BLOCKS, BYTES, Bytes),
            receipts: Cache::with_weighter(BLOCKS, BYTES, Bytes),
            news: Cache::new(NEWS),
        }
    }

    pub(crate) fn block(
        &self,
        height: u64,
        read: impl FnOnce() -> Result<Stored, Failure>,
    ) -> Result<Arc<Stored>, Failure> {
        let kept = self.blocks.get_or_insert_with(&height, || {
            let stored = read()?;
            Ok::<_, Failure>(Kept { bytes: stored.block.rlp_length() as u64 + 1, value: Arc::new(stored) })
        });
        kept.map(|kept| kept.value)
    }

    pub(crate) fn receipts(
        &self,
        height: u64,
        read: impl FnOnce() -> Result<Vec<Receipt>, Failure>,
    ) -> Result<Arc<Vec<Receipt>>, Failure> {
        let kept = self.receipts.get_or_insert_with(&height, || {
            let receipts = read()?;
            Ok::<_, Failure>(Kept { bytes: bytes_of(&receipts), value: Arc::new(receipts) })
        });
        kept.map(|kept| kept.value)
    }

    /// The news of a block, if somebody has asked for them lately.
    pub(crate) fn known_news(&self, height: u64) -> Option<Arc<News>> {
        self.news.get(&height)
    }

    /// The news of a final block.
    pub(crate) fn news(&self, view: &View<'_>, height: u64) -> Result<Arc<News>, Failure> {
        self.news.get_or_insert_with(&height, || read_news(view, height).map(Arc::new))
    }
}

fn read_news(view: &View<'_>, height: u64) -> Result<News, Failure> {
    let (stored, receipts) = (view.stored(height)?, view.receipts(height)?);
    let header = serde_json::value::to_raw_value(&render::header(&stored.block, false));
    let header = header.map_err(|why| Failure::internal(&why))?;
    Ok(News { header, logs: render::logs(&stored.block, &receipts, |_| true) })
}

/// A rough measure of the encoded form.
fn bytes_of(receipts: &[Receipt]) -> u64 {
    let logs = receipts.iter().flat_map(|receipt| receipt.logs());
    let logs: usize = logs.map(|log| 64 + 32 * log.topics().len() + log.data.data.len()).sum();
    (logs + 320 * receipts.len() + 1) as u64
}

/// What is remembered, with its size.
struct Kept<T> {
    value: Arc<T>,
    bytes: u64,
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Kept<T> {
        Kept { value: Arc::clone(&self.value), bytes: self.bytes }
    }
}

/// Weighs by the size.
#[derive(Clone)]
struct Bytes;

impl<T> Weighter<u64, Kept<T>> for Bytes {
    fn weight(&self, _: &u64, kept: &Kept<T>) -> u64 {
        kept.bytes
    }
}
