//! The state after one block, finalised or speculative or past.
//!
//! D3.1 6.1.7 (query). A view is a snapshot of the store at the finalised height F with, on top, the
//! overlays of speculative blocks above F, or below, a past height that is read through the history.
//!
//! Why a finalisation in between mixes nothing: the snapshot never changes, and every flat value comes
//! from it or from an overlay above its very height (older overlays are dropped when the view is made,
//! after checking that they led to the finalised state). A trie in an overlay may have been computed
//! over an older store than this snapshot; a node it left unloaded is unchanged on the way from there
//! to the overlay's block. F lies on that way, so the snapshot has this node, at the same path. Were the
//! overlays of another branch, the state roots would not link and the view would not be made.

mod range;

use crate::{
    Account, AccountProof, Overlay, Snapshot, StateAtError, StateChanges, StorageError, StorageProof,
    encoding::{decode_account, decode_value},
    history::Past,
    hot::HotState,
    tables::{CODES, node_key, slot_key},
    trie::{NodeSource, Proven, Root, prove, storage_root_of, update_state},
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, Nibbles};
use redb::ReadOnlyTable;
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// Changed values that a proof from a past state undoes at most.
pub(crate) const UNDONE_MAX: usize = 100_000;

/// Cheap to clone; any thread may read.
#[derive(Clone)]
pub struct StateView(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub snapshot: Snapshot,
    pub accounts: ReadOnlyTable<&'static [u8; 20], &'static [u8]>,
    pub storage: ReadOnlyTable<&'static [u8; 52], &'static [u8]>,
    pub nodes: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub hot: Arc<HotState>,
    pub layers: Layers,
    pub state_root: B256,
    /// State trie of the finalised block.
    pub finalized_trie: Root,
    /// State trie of a past block, once somebody needed it.
    pub past_trie: OnceLock<Root>,
}

/// What lies between the finalised state and the one that is viewed.
pub(crate) enum Layers {
    /// Oldest first; empty for the finalised state itself.
    Overlays(Vec<Arc<Overlay>>),
    Past {
        height: u64,
        history: Past,
    },
}

impl fmt::Debug for StateView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateView({} {})", self.height(), self.state_root())
    }
}

impl StateView {
    /// Height of the block after which this is the state.
    pub fn height(&self) -> u64 {
        match &self.0.layers {
            Layers::Overlays(overlays) => overlays.last().map_or(self.finalized(), |tip| tip.height),
            Layers::Past { height, .. } => *height,
        }
    }

    pub fn state_root(&self) -> B256 {
        self.0.state_root
    }

    /// The snapshot below: blocks, receipts and indexes of the same moment.
    pub fn snapshot(&self) -> &Snapshot {
        &self.0.snapshot
    }

    pub fn account(&self, address: Address) -> Result<Option<Account>, StorageError> {
        match &self.0.layers {
            Layers::Overlays(overlays) => {
                let change = overlays.iter().rev().find_map(|overlay| overlay.changes.accounts.get(&address));
                match change {
                    Some(change) => Ok(change.account),
                    None => self.finalized_account(address),
                }
            }
            Layers::Past { height, history } => match history.account(*height, address)? {
                Some(account) => Ok(account),
                None => self.finalized_account(address),
            },
        }
    }

    pub fn storage(&self, address: Address, slot: B256) -> Result<U256, StorageError> {
        match &self.0.layers {
            Layers::Overlays(overlays) => {
                for change in overlays.iter().rev().filter_map(|overlay| overlay.changes.accounts.get(&address)) {
                    match change.storage.get(&slot) {
                        Some(value) if change.account.is_some() => return Ok(*value),
                        _ if change.clears_storage() => return Ok(U256::ZERO),
                        _ => {}
                    }
                }
                self.finalized_slot(address, slot)
            }
            Layers::Past { height, history } => match history.slot(*height, address, slot)? {
                Some(value) => Ok(value),
                None => self.finalized_slot(address, slot),
            },
        }
    }

    pub fn code(&self, code_hash: B256) -> Result<Bytes, StorageError> {
        if code_hash == KECCAK_EMPTY {
            return Ok(Bytes::new());
        }
        for overlay in self.overlays().iter().rev() {
            if let Some(code) = overlay.changes.codes.get(&code_hash) {
                return Ok(code.clone());
            }
        }
        if let Some(code) = self.0.hot.code(code_hash) {
            return Ok(code);
        }
        let code = self.0.snapshot.txn.open_table(CODES)?.get(&code_hash.0)?;
        let code = code.ok_or_else(|| StorageError::corrupt(format_args!("code {code_hash}"), "missing"))?;
        let code = Bytes::copy_from_slice(code.value());
        self.0.hot.add_code(code_hash, code.clone());
        Ok(code)
    }

    /// The state after a block with these changes on top of this one. Computes the new state root
    /// from what changed.
    pub fn apply(&self, changes: StateChanges) -> Result<Overlay, StorageError> {
        let trie = self.trie().map_err(|error| match error {
            StateAtError::Storage(error) => error,
            other => StorageError::Detached { finalized: self.finalized(), what: other.to_string() },
        })?;
        let height = self.height() + 1;
        let update = update_state(&trie, self, height, &changes.accounts)?;
        Ok(Overlay {
            height,
            parent_root: self.state_root(),
            state_root: update.root.hash(),
            changes,
            trie: update.root,
            writes: update.writes,
        })
    }

    /// Proves the account and the slots against the state root. For a past state, what changed since is
    /// undone in memory first, which is refused when it is too much.
    pub fn proof(&self, address: Address, slots: &[B256]) -> Result<AccountProof, StateAtError> {
        let owner = keccak256(address);
        let Proven { nodes, content } = prove(&self.trie()?, self, None, &owner)?;
        let storage_trie = match &content {
            Some(content) => storage_root_of(owner, content)?,
            None => Root::Empty,
        };
        let storage = slots.iter().map(|slot| self.prove_slot(&storage_trie, owner, address, *slot));
        Ok(AccountProof {
            address,
            account: self.account(address)?,
            storage_root: storage_trie.hash(),
            nodes,
            storage: storage.collect::<Result<_, _>>()?,
        })
    }

    fn prove_slot(
        &self,
        storage_trie: &Root,
        owner: B256,
        address: Address,
        slot: B256,
    ) -> Result<StorageProof, StorageError> {
        let nodes = prove(storage_trie, self, Some(owner), &keccak256(slot))?.nodes;
        let value = if storage_trie.hash() == EMPTY_ROOT_HASH { U256::ZERO } else { self.storage(address, slot)? };
        Ok(StorageProof { slot, value, nodes })
    }

    pub(crate) fn trie(&self) -> Result<Root, StateAtError> {
        match &self.0.layers {
            Layers::Overlays(overlays) => {
                Ok(overlays.last().map_or_else(|| self.0.finalized_trie.clone(), |tip| tip.trie.clone()))
            }
            Layers::Past { height, history } => match self.0.past_trie.get() {
                Some(trie) => Ok(trie.clone()),
                None => {
                    let trie = self.undo(*height, history)?;
                    Ok(self.0.past_trie.get_or_init(|| trie).clone())
                }
            },
        }
    }

    /// The trie of a past state: the finalised one with all later changes taken back.
    fn undo(&self, height: u64, history: &Past) -> Result<Root, StateAtError> {
        let changed = history.changed_since(height, UNDONE_MAX)?;
        let changed = changed.ok_or(StateAtError::TooFar { height, limit: UNDONE_MAX })?;
        let mut changes = StateChanges::default();
        for address in &changed.accounts {
            changes.accounts.entry(*address).or_default().account = self.account(*address)?;
        }
        for (address, slot) in &changed.slots {
            if !changes.accounts.contains_key(address) {
                changes.accounts.entry(*address).or_default().account = self.account(*address)?;
            }
            let change = changes.accounts.entry(*address).or_default();
            change.storage.insert(*slot, self.storage(*address, *slot)?);
        }
        let trie = update_state(&self.0.finalized_trie, self, height, &changes.accounts)?.root;
        if trie.hash() != self.state_root() {
            let what = format!("undoing the later blocks gives state root {}", trie.hash());
            return Err(StorageError::corrupt(format_args!("history of block {height}"), what).into());
        }
        Ok(trie)
    }

    fn overlays(&self) -> &[Arc<Overlay>] {
        match &self.0.layers {
            Layers::Overlays(overlays) => overlays,
            Layers::Past { .. } => &[],
        }
    }

    /// Height of the finalised block below.
    fn finalized(&self) -> u64 {
        self.0.snapshot.finalized.number
    }

    fn finalized_account(&self, address: Address) -> Result<Option<Account>, StorageError> {
        let at = self.finalized();
        if let Some(account) = self.0.hot.account(at, address) {
            return Ok(account);
        }
        let row = self.0.accounts.get(&address.0.0)?;
        let account = row.map(|row| decode_account(address, row.value())).transpose()?;
        self.0.hot.add_account(at, address, account);
        Ok(account)
    }

    fn finalized_slot(&self, address: Address, slot: B256) -> Result<U256, StorageError> {
        let at = self.finalized();
        if let Some(value) = self.0.hot.slot(at, address, slot) {
            return Ok(value);
        }
        let row = self.0.storage.get(&slot_key(address, slot))?;
        let value = row.map_or(Ok(U256::ZERO), |row| decode_value(address, slot, row.value()))?;
        self.0.hot.add_slot(at, address, slot, value);
        Ok(value)
    }
}

impl NodeSource for StateView {
    fn node(&self, owner: Option<B256>, path: &Nibbles) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.nodes.get(&node_key(owner, path)[..])?.map(|rlp| rlp.value().to_vec()))
    }
}
