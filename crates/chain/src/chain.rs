//! The waist's one type, and what readers see of it.

use crate::pool::{Pool, PoolLimits, PoolStatus, Pooled, SenderContent};
use crate::tree::{Branch, Tree};
use execution::{BlockContext, ExecutionError, Rules};
use ledger::{AheadError, CommitError, ExecutedBlock, Ledger, SealedHeader, StateAtError, StateView, StorageError};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use types::{Address, Block, BlockHash, Header, Slot, TxHash};

/// How one node runs its chain; nodes may differ in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Bounds of the pool.
    pub pool: PoolLimits,
}

/// One ledger's transaction system. Cheap to clone.
#[derive(Clone)]
pub struct Chain(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) ledger: Ledger,
    pub(crate) rules: Rules,
    pub(crate) limits: PoolLimits,
    pub(crate) pool: Mutex<Pool>,
    pub(crate) tree: Mutex<Tree>,
    /// Propose, verify and finalize read and change the same branch: one at a time.
    pub(crate) lane: Mutex<()>,
    /// Counts arrivals in the pool: what an engine without work waits for.
    pub(crate) work: watch::Sender<u64>,
    /// The same for gossip. Apart, because waiters of one channel wake in no fixed order.
    pub(crate) fresh: watch::Sender<u64>,
    pub(crate) finalized: watch::Sender<u64>,
}

/// The node cannot go on: its store failed, or what must hold does not. Never the fault of a peer's message.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The store could not be read.
    #[error("cannot read the ledger")]
    Storage(#[from] StorageError),
    /// The block could not be written.
    #[error("cannot commit block {height}")]
    Commit {
        /// The block.
        height: u64,
        /// Why.
        #[source]
        source: CommitError,
    },
    /// The certificate of a block that is in the ledger could not be written.
    #[error("cannot store the certificate of block {height}")]
    Certificate {
        /// The block.
        height: u64,
        /// Why.
        #[source]
        source: AheadError,
    },
    /// The state could not be read during execution.
    #[error("cannot execute block {height}")]
    Execution {
        /// The block.
        height: u64,
        /// Why.
        #[source]
        source: ExecutionError,
    },
    /// Agreement finalised a block that does not follow the one before.
    #[error("block {height} ({hash}) was finalised, but its parent is not the finalised block {finalized}")]
    NotNext {
        /// The block.
        height: u64,
        /// Its hash.
        hash: BlockHash,
        /// Height of the finalised block.
        finalized: u64,
    },
    /// Agreement finalised two blocks at one height.
    #[error(
        "block {height}: {second} was finalised, but {first} is final here; more than a third of the committee lies"
    )]
    Conflict {
        /// Both blocks' height.
        height: u64,
        /// The one in the ledger.
        first: BlockHash,
        /// The other.
        second: BlockHash,
    },
    /// Agreement finalised a block that breaks the rules.
    #[error("block {height} ({hash}) was finalised, but {why}")]
    FinalizedInvalid {
        /// The block.
        height: u64,
        /// Its hash.
        hash: BlockHash,
        /// The rule.
        why: String,
    },
}

/// The environment of the block that comes next, for `pending`.
pub struct Pending {
    /// What its header would say.
    pub context: BlockContext,
    /// The state it would run on.
    pub state: StateView,
}

impl Chain {
    /// A chain over an open ledger.
    pub fn new(ledger: Ledger, rules: Rules, options: Options) -> Chain {
        let height = ledger.finalized().number;
        let pool = Pool::new(options.pool, rules.fees());
        Chain(Arc::new(Inner {
            ledger,
            rules,
            limits: options.pool,
            pool: Mutex::new(pool),
            tree: Mutex::default(),
            lane: Mutex::default(),
            work: watch::Sender::new(0),
            fresh: watch::Sender::new(0),
            finalized: watch::Sender::new(height),
        }))
    }

    /// The store.
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.0.rules
    }

    /// The finalised header.
    pub fn finalized(&self) -> Arc<SealedHeader> {
        self.0.ledger.finalized()
    }

    /// Changes with each finalised height. Readers then read the ledger by cursor; none is lost.
    pub fn heights(&self) -> watch::Receiver<u64> {
        self.0.finalized.subscribe()
    }

    /// Changes when the pool gains a transaction. For the engine.
    pub fn work(&self) -> watch::Receiver<u64> {
        self.0.work.subscribe()
    }

    /// Changes when the pool gains a transaction. For gossip.
    pub fn fresh(&self) -> watch::Receiver<u64> {
        self.0.fresh.subscribe()
    }

    /// Local transactions that wait in the pool and arrived at or after `cursor`, and the cursor behind them.
    pub fn local_since(&self, cursor: u64, count_max: usize) -> (Vec<Arc<Pooled>>, u64) {
        self.0.pool.lock().local_since(cursor, count_max)
    }

    /// Hashes of transactions of any origin that arrived at or after `cursor`, and the cursor behind them. For
    /// subscribers: a transaction that has already left the pool is named too.
    pub fn arrived_since(&self, cursor: u64, count_max: usize) -> (Vec<TxHash>, u64) {
        self.0.pool.lock().arrived_since(cursor, count_max)
    }

    /// A block executed here above the finalised one, or a finalised one.
    pub fn block(&self, hash: &BlockHash) -> Result<Option<Arc<Block>>, ChainError> {
        if let Some(executed) = self.0.tree.lock().get(hash) {
            return Ok(Some(executed.block.clone()));
        }
        let snapshot = self.0.ledger.snapshot()?;
        let Some(height) = snapshot.height_of(*hash)? else { return Ok(None) };
        Ok(snapshot.block(height)?.map(Arc::new))
    }

    /// The pooled transaction with this hash.
    pub fn pooled(&self, hash: &TxHash) -> Option<Arc<Pooled>> {
        self.0.pool.lock().get(hash).cloned()
    }

    /// The account's next nonce when its executable transactions in the pool are counted; none when there are none.
    pub fn pooled_nonce(&self, sender: &Address) -> Option<u64> {
        self.0.pool.lock().next_nonce(sender)
    }

    /// Counts of the pool.
    pub fn pool_status(&self) -> PoolStatus {
        self.0.pool.lock().status()
    }

    /// The pool by sender.
    pub fn pool_content(&self) -> BTreeMap<Address, SenderContent> {
        self.0.pool.lock().content()
    }

    /// One sender's part of the pool.
    pub fn pool_content_of(&self, sender: &Address) -> SenderContent {
        self.0.pool.lock().content_of(sender)
    }

    /// Blocks that are executed but not final.
    pub fn speculative_len(&self) -> usize {
        self.0.tree.lock().len()
    }

    /// What the next block would run in, were it proposed at `timestamp_ms`.
    pub fn pending(&self, timestamp_ms: u64) -> Result<Pending, ChainError> {
        let parent = self.finalized();
        let slot = Slot { timestamp_ms, ..Slot::default() };
        let context = self.0.rules.next_context(parent.inner(), &slot, parent.inner().beneficiary);
        let state = self.0.ledger.state(Vec::new())?;
        Ok(Pending { context, state })
    }

    /// The state after a finalised block.
    pub fn state_at(&self, height: u64) -> Result<StateView, StateAtError> {
        self.0.ledger.state_at(height)
    }

    /// The blocks between the finalised one and `tip`, when all are known.
    pub(crate) fn branch(&self, tip: &BlockHash) -> Option<Branch> {
        let tree = self.0.tree.lock();
        tree.branch(&self.0.ledger.finalized().hash(), tip)
    }

    pub(crate) fn state_after(&self, branch: &Branch) -> Result<StateView, StorageError> {
        self.0.ledger.state(branch.iter().map(|executed| executed.overlay.clone()).collect())
    }

    /// The header at the tip of a branch.
    pub(crate) fn tip_header(&self, branch: &Branch) -> Header {
        match branch.last() {
            Some(executed) => executed.block.header().clone(),
            None => self.finalized().inner().clone(),
        }
    }

    /// Hashes of ancestors by height, for BLOCKHASH: the branch's, then the ledger's.
    pub(crate) fn block_hash(&self, branch: &Branch, height: u64) -> Result<Option<BlockHash>, StorageError> {
        match branch.iter().find(|executed| executed.block.height() == height) {
            Some(executed) => Ok(Some(executed.block.hash())),
            None => self.0.ledger.snapshot()?.hash_of(height),
        }
    }
}

/// A block with what its execution gave, for the tree.
pub(crate) type Executed = Arc<ExecutedBlock>;

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let finalized = self.finalized();
        f.debug_struct("Chain").field("height", &finalized.number).field("hash", &finalized.hash()).finish()
    }
}
