//! Proof that a block is final: the committee's certificate, detached from the block.
//!
//! D3.1 6.1.5.2. Nodes may hold different certificates for one block (any quorum will do), therefore the certificate
//! is never part of what is hashed. A certificate makes all ancestors of its block final too.

use crate::{BlockHash, Bytes};
use alloy_rlp::{RlpDecodable, RlpEncodable};

/// A quorum's statement that `block_hash` is final.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Finality {
    /// Height of the block.
    pub height: u64,
    /// The block.
    pub block_hash: BlockHash,
    /// Epoch whose committee signed.
    pub epoch: u32,
    /// View in which it signed.
    pub view: u64,
    /// The engine's encoding of the signatures; opaque below the engine.
    pub certificate: Bytes,
}
