//! The Merkle-Patricia trie of the state, as a persistent (immutable, structurally shared) tree.
//!
//! D3.1 6.1.7.1 (ledger structure). A trie is a root and nothing else; updating it gives another
//! root that shares every untouched node, so that the state after each speculative block costs only
//! what that block changed. Nodes not in memory are references, read from the store by
//! (owner, path) when something walks over them.
//!
//! Invariants:
//! - A node is never changed after it was built, and its reference (hash, or its own RLP when that
//!   is shorter than 32 bytes) is computed when it is built.
//! - A node read from the store is compared with the reference its parent holds. So whichever version
//!   of the store it was read from, it is the right node or an error, never a wrong answer.
//! - Keys are 32 bytes (hashes), so a value sits only in a leaf.
//! - Stored under (owner, path) are exactly the root and the nodes that are referenced by hash.

mod evict;
mod node;
mod proof;
mod state;
mod update;

pub(crate) use evict::evict;
pub(crate) use node::{NodeSource, Root};
pub(crate) use proof::{Proven, prove};
pub(crate) use state::{StateUpdate, TrieWrites, storage_root_of, update_state};

#[cfg(test)]
mod tests;
