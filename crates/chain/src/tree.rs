//! Executed blocks above the finalised one, by hash.
//!
//! D3.1 6.1.5.2. Agreement may run ahead of finality and may abandon what it tried; each block here knows its parent by
//! hash only, so that abandoned branches are dropped without a trace.

use alloy_primitives::map::{AddressMap, B256Map};
use ledger::ExecutedBlock;
use std::sync::Arc;
use types::BlockHash;

/// A line of executed blocks above the finalised one, oldest first; empty when its tip is the finalised block.
pub(crate) type Branch = Vec<Arc<ExecutedBlock>>;

#[derive(Default)]
pub(crate) struct Tree(B256Map<Arc<ExecutedBlock>>);

impl Tree {
    pub(crate) fn get(&self, hash: &BlockHash) -> Option<&Arc<ExecutedBlock>> {
        self.0.get(hash)
    }

    pub(crate) fn insert(&mut self, executed: Arc<ExecutedBlock>) {
        self.0.insert(executed.block.hash(), executed);
    }

    /// The line from above `finalized` up to `tip`; none when a block between them is missing.
    pub(crate) fn branch(&self, finalized: &BlockHash, tip: &BlockHash) -> Option<Branch> {
        let mut branch = Branch::new();
        let mut at = *tip;
        while at != *finalized {
            let executed = self.0.get(&at)?;
            branch.push(executed.clone());
            at = executed.block.parent_hash();
        }
        branch.reverse();
        Some(branch)
    }

    /// Forgets everything that can no longer become final: all blocks at or below the finalised height, and whatever
    /// stood on one of them that was not finalised.
    pub(crate) fn prune(&mut self, height: u64, finalized: &BlockHash) {
        let alive: Vec<BlockHash> =
            self.0.keys().filter(|hash| self.branch(finalized, hash).is_some()).copied().collect();
        let mut kept: B256Map<_> = Default::default();
        for hash in alive {
            if let Some(executed) = self.0.remove(&hash).filter(|executed| executed.block.height() > height) {
                kept.insert(hash, executed);
            }
        }
        self.0 = kept;
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The next nonce of each sender in the branch.
pub(crate) fn nonces(branch: &Branch) -> AddressMap<u64> {
    let mut nonces = AddressMap::default();
    for executed in branch {
        for (sender, transaction) in executed.senders.iter().zip(executed.block.transactions()) {
            nonces.insert(*sender, alloy_consensus::Transaction::nonce(transaction) + 1);
        }
    }
    nonces
}
