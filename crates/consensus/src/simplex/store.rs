//! The engine's final blocks and certificates, kept in the ledger's own store: there is no second copy of the chain.
//!
//! D3.1 6.1.7. The engine hands over a final block before it is executed, and on catch-up long before:
//!
//! ```text
//!   height ≤ tip      in the ledger already
//!   height = tip + 1  in memory: the lane commits it next, with its certificate, in one durable transaction
//!   height > tip + 1  written ahead, by a writer on its own thread
//! ```
//!
//! The block after the tip needs no write of its own. Until it is committed the engine does not count it as processed,
//! and after a crash it has it again: from the journal's certificate and its cache of notarized blocks, or from peers.
//! Nothing here waits for the disk on the engine's thread, except reads.

use super::{block::Block, committee::Committee, digest::Digest, finality, finality::Certificate, scheme::Scheme};
use alloy_primitives::B256;
use commonware_consensus::{Heightable, marshal::store, types::Height};
use commonware_runtime::{Handle, Spawner};
use commonware_storage::{archive::Identifier, rmap::RMap};
use commonware_utils::channel::{mpsc, oneshot};
use ledger::{AheadError, Ledger, StorageError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Certificates below the tip that are found at start: enough for the engine to know its last rounds.
const RECENT: u64 = 1024;

/// Why a block or certificate cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The ledger could not be read.
    #[error("cannot read a final block from the ledger: {0}")]
    Storage(#[from] StorageError),
    /// The writer has ended.
    #[error("the writer of final blocks has ended")]
    Closed,
}

/// Why the writer ended.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep a final block or certificate: {0}")]
pub struct WriteError(#[from] AheadError);

/// Final blocks.
pub struct Blocks {
    shared: Shared,
    /// Heights present: the tip at start stands for all below it.
    held: RMap,
    tip: u64,
}

/// Certificates of final blocks. A height may have none: its descendant's covers it.
pub struct Certificates {
    shared: Shared,
    held: RMap,
}

#[derive(Clone)]
struct Shared {
    ledger: Ledger,
    committee: Committee,
    unwritten: Arc<Mutex<Unwritten>>,
    writer: mpsc::UnboundedSender<Batch>,
}

/// What only memory has. The block after the tip and what the writer has not reached yet: a few entries.
#[derive(Default)]
struct Unwritten {
    blocks: BTreeMap<u64, (Digest, Arc<Block>)>,
    certificates: BTreeMap<u64, Certificate>,
    /// Handed to the writer, not durable yet.
    queued_blocks: BTreeMap<u64, (Digest, Arc<Block>)>,
    queued_certificates: BTreeMap<u64, Certificate>,
}

/// Work for the writer.
struct Batch {
    blocks: Vec<Arc<Block>>,
    certificates: Vec<(u64, Certificate)>,
    done: oneshot::Sender<Result<(), commonware_runtime::Error>>,
}

/// Writes ahead. Runs until the engine drops the stores.
pub struct Writer {
    ledger: Ledger,
    unwritten: Arc<Mutex<Unwritten>>,
    batches: mpsc::UnboundedReceiver<Batch>,
}

/// Opens both stores over the ledger.
pub fn open(ledger: &Ledger, committee: &Committee) -> Result<(Certificates, Blocks, Writer), StoreError> {
    let tip = ledger.finalized().number;
    let snapshot = ledger.snapshot()?;
    let mut blocks = RMap::new();
    blocks.insert(tip);
    for height in snapshot.heights_ahead(tip + 1)? {
        blocks.insert(height?);
    }
    let mut certificates = RMap::new();
    for height in snapshot.finality_heights(tip.saturating_sub(RECENT))? {
        certificates.insert(height?);
    }
    let unwritten = Arc::new(Mutex::new(Unwritten::default()));
    let (sender, batches) = mpsc::unbounded_channel();
    let shared =
        Shared { ledger: ledger.clone(), committee: committee.clone(), unwritten: unwritten.clone(), writer: sender };
    let writer = Writer { ledger: ledger.clone(), unwritten, batches };
    Ok((Certificates { shared: shared.clone(), held: certificates }, Blocks { shared, held: blocks, tip }, writer))
}

impl Writer {
    /// Starts on its own thread.
    pub fn start<E: Spawner>(self, context: E) -> Handle<WriteError> {
        context.dedicated().spawn(move |_| self.run())
    }

    async fn run(mut self) -> WriteError {
        while let Some(batch) = self.batches.recv().await {
            if let Err(error) = self.write(&batch) {
                return WriteError(error);
            }
            let mut unwritten = lock(&self.unwritten);
            batch.blocks.iter().for_each(|block| drop(unwritten.queued_blocks.remove(&block.height().get())));
            batch.certificates.iter().for_each(|(height, _)| drop(unwritten.queued_certificates.remove(height)));
            drop(unwritten);
            let _ = batch.done.send(Ok(()));
        }
        futures::future::pending().await
    }

    fn write(&self, batch: &Batch) -> Result<(), AheadError> {
        for block in &batch.blocks {
            self.ledger.store_block_ahead(block.inner())?;
        }
        for (height, certificate) in &batch.certificates {
            if let Some(finality) = finality::pack(*height, certificate) {
                self.ledger.store_finality(&finality)?;
            }
        }
        Ok(self.ledger.sync()?)
    }
}

fn lock(unwritten: &Mutex<Unwritten>) -> MutexGuard<'_, Unwritten> {
    unwritten.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Hands everything that the next commit does not cover to the writer.
    fn flush(&self) -> Result<Handle<()>, StoreError> {
        let tip = self.ledger.finalized().number;
        let mut unwritten = lock(&self.unwritten);
        let keep = |height: &u64| *height == tip + 1;
        let blocks = unwritten.blocks.extract_if(.., |height, _| !keep(height)).collect::<Vec<_>>();
        let certificates = unwritten.certificates.extract_if(.., |height, _| !keep(height)).collect::<Vec<_>>();
        let blocks: Vec<_> = blocks.into_iter().filter(|(height, _)| *height > tip).collect();
        let snapshot = self.ledger.snapshot()?;
        let mut missing = Vec::new();
        for (height, certificate) in certificates {
            // A commit writes the certificate with its block, if it came in time.
            if height > tip || snapshot.finality(height)?.is_none() {
                missing.push((height, certificate));
            }
        }
        let certificates = missing;
        if blocks.is_empty() && certificates.is_empty() {
            return Ok(Handle::ready(Ok(())));
        }
        unwritten.queued_blocks.extend(blocks.iter().cloned());
        unwritten.queued_certificates.extend(certificates.iter().cloned());
        let (done, durable) = oneshot::channel();
        let blocks = blocks.into_iter().map(|(_, (_, block))| block).collect();
        self.writer.send(Batch { blocks, certificates, done }).map_err(|_| StoreError::Closed)?;
        Ok(Handle::from_receiver(durable))
    }

    async fn sync(&self) -> Result<(), StoreError> {
        self.flush()?.await.map_err(|_| StoreError::Closed)
    }

    fn block(&self, id: &Identifier<'_, Digest>) -> Result<Option<Arc<Block>>, StoreError> {
        if let Some(block) = lock(&self.unwritten).block(id) {
            return Ok(Some(block));
        }
        let snapshot = self.ledger.snapshot()?;
        let found = match id {
            Identifier::Index(height) => match snapshot.block(*height)? {
                Some(block) => Some(block),
                None => snapshot.block_ahead(*height)?,
            },
            Identifier::Key(digest) => match snapshot.height_of(B256::from(**digest))? {
                Some(height) => snapshot.block(height)?,
                None => match snapshot.height_of_block_ahead(B256::from(**digest))? {
                    Some(height) => snapshot.block_ahead(height)?,
                    None => None,
                },
            },
        };
        Ok(found.map(|block| Arc::new(Block::new(Arc::new(block)))))
    }

    fn certificate(&self, id: &Identifier<'_, Digest>) -> Result<Option<Certificate>, StoreError> {
        if let Some(certificate) = lock(&self.unwritten).certificate(id) {
            return Ok(Some(certificate));
        }
        let snapshot = self.ledger.snapshot()?;
        let found = match id {
            Identifier::Index(height) => snapshot.finality(*height)?,
            Identifier::Key(digest) => snapshot.finality_of(B256::from(**digest))?,
        };
        // What does not decode was not written by this engine; to the engine it is missing.
        Ok(found.and_then(|finality| finality::unpack(&self.committee, &finality).ok()))
    }
}

impl Unwritten {
    fn block(&self, id: &Identifier<'_, Digest>) -> Option<Arc<Block>> {
        let mut all = self.blocks.iter().chain(&self.queued_blocks);
        let found = all.find(|(height, (digest, _))| match id {
            Identifier::Index(wanted) => *height == wanted,
            Identifier::Key(wanted) => digest == *wanted,
        });
        found.map(|(_, (_, block))| block.clone())
    }

    fn certificate(&self, id: &Identifier<'_, Digest>) -> Option<Certificate> {
        let mut all = self.certificates.iter().chain(&self.queued_certificates);
        let found = all.find(|(height, certificate)| match id {
            Identifier::Index(wanted) => *height == wanted,
            Identifier::Key(wanted) => certificate.proposal.payload == **wanted,
        });
        found.map(|(_, certificate)| certificate.clone())
    }
}

impl store::Blocks for Blocks {
    type Block = Arc<Block>;
    type Error = StoreError;

    async fn put(mut self, digest: Digest, block: &Arc<Block>) -> Result<Self, StoreError> {
        let height = block.height().get();
        if self.held.get(height).is_none() && height > self.tip {
            lock(&self.shared.unwritten).blocks.insert(height, (digest, block.clone()));
            self.held.insert(height);
        }
        Ok(self)
    }

    async fn sync(self) -> Result<Self, StoreError> {
        self.shared.sync().await?;
        Ok(self)
    }

    async fn start_sync(self) -> Result<(Self, Handle<()>), StoreError> {
        let handle = self.shared.flush()?;
        Ok((self, handle))
    }

    async fn get(&self, id: Identifier<'_, Digest>) -> Result<Option<Arc<Block>>, StoreError> {
        self.shared.block(&id)
    }

    /// The ledger keeps all blocks.
    async fn prune(self, _min: Height) -> Result<Self, StoreError> {
        Ok(self)
    }

    fn missing_items(&self, start: Height, max: usize) -> Vec<Height> {
        let start = start.get().max(self.tip);
        self.held.missing_items(start, max).into_iter().map(Height::new).collect()
    }

    fn next_gap(&self, value: Height) -> (Option<Height>, Option<Height>) {
        let (end, next) = self.held.next_gap(value.get().max(self.tip));
        (end.map(Height::new), next.map(Height::new))
    }

    fn last_index(&self) -> Option<Height> {
        self.held.last_index().map(Height::new)
    }
}

impl store::Certificates for Certificates {
    type BlockDigest = Digest;
    type Commitment = Digest;
    type Scheme = Scheme;
    type Error = StoreError;

    async fn put(mut self, height: Height, _: Digest, certificate: &Certificate) -> Result<Self, StoreError> {
        let height = height.get();
        if self.shared.certificate(&Identifier::Index(height))?.is_none() {
            lock(&self.shared.unwritten).certificates.insert(height, certificate.clone());
        }
        self.held.insert(height);
        Ok(self)
    }

    async fn sync(self) -> Result<Self, StoreError> {
        self.shared.sync().await?;
        Ok(self)
    }

    async fn start_sync(self) -> Result<(Self, Handle<()>), StoreError> {
        let handle = self.shared.flush()?;
        Ok((self, handle))
    }

    async fn get(&self, id: Identifier<'_, Digest>) -> Result<Option<Certificate>, StoreError> {
        self.shared.certificate(&id)
    }

    async fn has(&self, height: Height) -> Result<bool, StoreError> {
        Ok(self.held.get(height.get()).is_some()
            || self.shared.certificate(&Identifier::Index(height.get()))?.is_some())
    }

    /// The ledger keeps all certificates.
    async fn prune(self, _min: Height) -> Result<Self, StoreError> {
        Ok(self)
    }

    fn last_index(&self) -> Option<Height> {
        self.held.last_index().map(Height::new)
    }

    fn ranges_from(&self, from: Height) -> impl Iterator<Item = (Height, Height)> {
        self.held.iter_from(from.get()).map(|(first, last)| (Height::new(*first), Height::new(*last)))
    }
}
