//! The ledger as the rest of the node holds it.
//!
//! D3.1 6.1.4. One writer at a time; any number of readers, which never wait for it.
//!
//! Invariant on what is in memory: `tips` holds the finalised block with its trie, and during a commit
//! also the one that is being written. A reader takes whichever is that of its snapshot, so it does not
//! matter on which side of the commit it began.

use crate::{
    Overlay, SealedHeader, Snapshot, StateAtError, StateView, StorageError,
    history::Past,
    hot::HotState,
    snapshot::read_header,
    tables::{ACCOUNTS, NODES, STORAGE, finalized},
    trie::{Root, evict},
    view::{Inner as ViewInner, Layers},
};
use alloy_primitives::B256;
use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadableDatabase};
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, OnceLock},
};

/// How much of the past state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    Full,
    /// The states of the last so many blocks before the finalised one.
    Blocks(u64),
}

/// How this node keeps its copy of the ledger; no matter of agreement.
#[derive(Clone, Debug)]
pub struct Options {
    pub history: History,
    /// Memory for caches, in bytes: half for pages of the store, a quarter each for hot accounts,
    /// slots and codes, and for trie nodes.
    pub cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { history: History::Full, cache_bytes: 256 * 1024 * 1024 }
    }
}

/// A handle; clones are the same ledger.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    store: Database,
    history: History,
    hot: Arc<HotState>,
    tips: RwLock<Tips>,
    writer: Mutex<Births>,
    trie_nodes_max: u32,
}

struct Tips {
    current: Arc<Tip>,
    next: Option<Arc<Tip>>,
}

/// A finalised block and its state trie.
pub(crate) struct Tip {
    pub header: Arc<SealedHeader>,
    pub trie: Root,
}

/// How many trie nodes the last blocks built, newest last; held by the writer.
#[derive(Default)]
pub(crate) struct Births {
    blocks: VecDeque<(u64, u32)>,
    total: u32,
}

/// Rough size of a trie node in memory, to turn bytes into a count.
const NODE_BYTES: usize = 512;

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tip = self.finalized();
        write!(f, "Ledger(finalized {} {})", tip.number, tip.hash())
    }
}

impl Ledger {
    pub(crate) fn over(store: Database, header: SealedHeader, options: &Options) -> Self {
        let trie = Root::unloaded(header.state_root);
        let hot = Arc::new(HotState::new(header.number, options.cache_bytes / 4));
        Self(Arc::new(Inner {
            store,
            history: options.history,
            hot,
            tips: RwLock::new(Tips { current: Arc::new(Tip { header: Arc::new(header), trie }), next: None }),
            writer: Mutex::default(),
            trie_nodes_max: u32::try_from(options.cache_bytes / 4 / NODE_BYTES).unwrap_or(u32::MAX),
        }))
    }

    /// The last finalised block.
    pub fn finalized(&self) -> Arc<SealedHeader> {
        self.0.tips.read().current.header.clone()
    }

    /// The store at this moment.
    pub fn snapshot(&self) -> Result<Snapshot, StorageError> {
        self.begin().map(|(snapshot, _)| snapshot)
    }

    /// The state after the last of the overlays, which continue the finalised block, oldest first;
    /// without any, the finalised state. Overlays that were finalised in the meantime may be among them.
    pub fn state(&self, overlays: Vec<Arc<Overlay>>) -> Result<StateView, StorageError> {
        let (snapshot, trie) = self.begin()?;
        let overlays = above(&snapshot.finalized, overlays)?;
        let state_root = overlays.last().map_or(snapshot.finalized.state_root, |tip| tip.state_root);
        self.view(snapshot, trie, Layers::Overlays(overlays), state_root)
    }

    /// The state after a finalised block.
    pub fn state_at(&self, height: u64) -> Result<StateView, StateAtError> {
        let (snapshot, trie) = self.begin()?;
        let finalized = snapshot.finalized.number;
        if height > finalized {
            return Err(StateAtError::Future { height, finalized });
        }
        let oldest = snapshot.oldest_state()?;
        if height < oldest {
            return Err(StateAtError::Pruned { height, oldest });
        }
        let header = snapshot.header(height)?;
        let header =
            header.ok_or_else(|| StorageError::corrupt(format_args!("header of block {height}"), "missing"))?;
        let layers = match height == finalized {
            true => Layers::Overlays(Vec::new()),
            false => Layers::Past { height, history: Past::open(&snapshot.txn)? },
        };
        Ok(self.view(snapshot, trie, layers, header.state_root)?)
    }

    fn view(
        &self,
        snapshot: Snapshot,
        finalized_trie: Root,
        layers: Layers,
        state_root: B256,
    ) -> Result<StateView, StorageError> {
        Ok(StateView(Arc::new(ViewInner {
            accounts: snapshot.txn.open_table(ACCOUNTS)?,
            storage: snapshot.txn.open_table(STORAGE)?,
            nodes: snapshot.txn.open_table(NODES)?,
            snapshot,
            hot: self.0.hot.clone(),
            layers,
            state_root,
            finalized_trie,
            past_trie: OnceLock::new(),
        })))
    }

    /// A snapshot, and the state trie of its finalised block.
    fn begin(&self) -> Result<(Snapshot, Root), StorageError> {
        let txn = self.0.store.begin_read()?;
        let (height, hash) = finalized(&txn)?;
        if let Some(tip) = self.tip(hash) {
            return Ok((Snapshot { txn, finalized: tip.header.clone() }, tip.trie.clone()));
        }
        // Two commits since the transaction began: all is still in the store, only colder.
        let header = read_header(&txn, height)?.filter(|header| header.hash() == hash);
        let header = header
            .ok_or_else(|| StorageError::corrupt(format_args!("header of block {height}"), "not the finalised one"))?;
        let trie = Root::unloaded(header.state_root);
        Ok((Snapshot { txn, finalized: Arc::new(header) }, trie))
    }

    fn tip(&self, hash: B256) -> Option<Arc<Tip>> {
        let tips = self.0.tips.read();
        [Some(&tips.current), tips.next.as_ref()].into_iter().flatten().find(|tip| tip.header.hash() == hash).cloned()
    }

    pub(crate) fn store(&self) -> &Database {
        &self.0.store
    }

    pub(crate) fn history(&self) -> History {
        self.0.history
    }

    pub(crate) fn hot(&self) -> &HotState {
        &self.0.hot
    }

    /// One writer at a time.
    pub(crate) fn writer(&self) -> parking_lot::MutexGuard<'_, Births> {
        self.0.writer.lock()
    }

    /// Announces the block that is being written, before any reader can see it in the store.
    pub(crate) fn set_next(&self, tip: Option<Tip>) {
        self.0.tips.write().next = tip.map(Arc::new);
    }

    /// The block that was being written is the finalised one now.
    pub(crate) fn advance(&self) {
        let mut tips = self.0.tips.write();
        if let Some(next) = tips.next.take() {
            tips.current = next;
        }
    }

    /// The trie of a new finalised block, within the bound on what stays in memory: when it is
    /// exceeded, what was not written in the blocks that built the newer half goes.
    pub(crate) fn bounded(&self, births: &mut Births, height: u64, built: u32, trie: &Root) -> Root {
        let max = self.0.trie_nodes_max;
        births.blocks.push_back((height, built));
        births.total = births.total.saturating_add(built);
        while births.total > max / 2 && births.blocks.len() > 1 {
            let Some((_, built)) = births.blocks.pop_front() else { break };
            births.total = births.total.saturating_sub(built);
        }
        match births.blocks.front() {
            Some((oldest, _)) if trie.loaded() > max => evict(trie, *oldest),
            _ => trie.clone(),
        }
    }
}

/// The overlays above the finalised block, after checking that they continue it.
fn above(finalized: &SealedHeader, overlays: Vec<Arc<Overlay>>) -> Result<Vec<Arc<Overlay>>, StorageError> {
    let detached = |what: String| Err(StorageError::Detached { finalized: finalized.number, what });
    if let Some(tip) = overlays.last().filter(|tip| tip.height < finalized.number) {
        return detached(format!("the last overlay is that of block {}", tip.height));
    }
    let (mut height, mut root) = (finalized.number, finalized.state_root);
    let mut kept = Vec::with_capacity(overlays.len());
    for overlay in overlays {
        if overlay.height == finalized.number && overlay.state_root != root {
            return detached(format!("an overlay of that height has state root {}", overlay.state_root));
        }
        if overlay.height <= finalized.number {
            continue;
        }
        if overlay.height != height + 1 || overlay.parent_root != root {
            return detached(format!("the overlay of block {} does not follow block {height}", overlay.height));
        }
        (height, root) = (overlay.height, overlay.state_root);
        kept.push(overlay);
    }
    Ok(kept)
}
