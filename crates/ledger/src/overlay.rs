//! The immutable result of one block above the finalised state.
//!
//! D3.1 6.1.7.1. An overlay holds what its block changed, the root of the state trie after it and
//! the trie nodes to write when it becomes final. It shares every untouched node with its parent, and may
//! be shared by any number of views.

use crate::{
    StateChanges,
    trie::{Root, TrieWrites},
};
use alloy_primitives::B256;

#[derive(Debug)]
pub struct Overlay {
    pub(crate) height: u64,
    pub(crate) parent_root: B256,
    pub(crate) state_root: B256,
    pub(crate) changes: StateChanges,
    pub(crate) trie: Root,
    pub(crate) writes: TrieWrites,
}

impl Overlay {
    /// Height of the block that gave these changes.
    pub fn height(&self) -> u64 {
        self.height
    }

    pub fn state_root(&self) -> B256 {
        self.state_root
    }

    /// State root of the block before.
    pub fn parent_root(&self) -> B256 {
        self.parent_root
    }

    pub fn changes(&self) -> &StateChanges {
        &self.changes
    }
}
