//! Blocks: Ethereum's header and body, with the hash computed once.

use crate::{BlockHash, Header, Transaction, slot};
use alloy_rlp::{Decodable, Encodable};
use std::fmt;

/// The longest encoding of a block that anything here accepts, in bytes: EIP-7934's 10 MiB less its margin of 2 MiB.
pub const BLOCK_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a block carries below its header.
pub type BlockBody = alloy_consensus::BlockBody<Transaction>;

/// A block. Immutable: its hash was computed when it was made.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    hash: BlockHash,
    block: alloy_consensus::Block<Transaction>,
}

/// Why bytes are no block.
#[derive(Debug, thiserror::Error)]
pub enum BlockDecodeError {
    /// Longer than [`BLOCK_BYTES_MAX`].
    #[error("a block of {0} bytes; the limit is {BLOCK_BYTES_MAX}")]
    TooLarge(usize),
    /// Not an RLP block.
    #[error("malformed block: {0}")]
    Malformed(#[from] alloy_rlp::Error),
    /// The same block has another, shorter encoding; two encodings of one hash would split the network.
    #[error("malformed block: not in canonical form")]
    NotCanonical,
}

impl Block {
    /// Binds a body to its header and hashes the header. Whether they belong together is for verification to say.
    pub fn new(header: Header, body: BlockBody) -> Block {
        Block { hash: header.hash_slow(), block: alloy_consensus::Block { header, body } }
    }

    /// Reads the RLP form that Ethereum's export files and networks use.
    pub fn decode_rlp(bytes: &[u8]) -> Result<Block, BlockDecodeError> {
        if bytes.len() > BLOCK_BYTES_MAX {
            return Err(BlockDecodeError::TooLarge(bytes.len()));
        }
        let block = alloy_consensus::Block::<Transaction>::decode(&mut &*bytes)?;
        let decoded = Block { hash: block.header.hash_slow(), block };
        match decoded.encode_rlp() == bytes {
            true => Ok(decoded),
            false => Err(BlockDecodeError::NotCanonical),
        }
    }

    /// The RLP form.
    pub fn encode_rlp(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.block.length());
        self.block.encode(&mut bytes);
        bytes
    }

    /// Bytes of the RLP form.
    pub fn rlp_length(&self) -> usize {
        self.block.length()
    }

    /// Keccak-256 of the header: the block's identity and the digest that consensus agrees on.
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.block.header
    }

    /// The body.
    pub fn body(&self) -> &BlockBody {
        &self.block.body
    }

    /// Number of ancestors; 0 for genesis.
    pub fn height(&self) -> u64 {
        self.block.header.number
    }

    /// The block before.
    pub fn parent_hash(&self) -> BlockHash {
        self.block.header.parent_hash
    }

    /// Time of the block in milliseconds since the Unix epoch.
    pub fn timestamp_ms(&self) -> u64 {
        slot::timestamp_ms(&self.block.header)
    }

    /// The transactions in their order.
    pub fn transactions(&self) -> &[Transaction] {
        &self.block.body.transactions
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} {} with {} transactions)", self.height(), self.hash, self.transactions().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Slot;

    fn block() -> Block {
        let slot = Slot { epoch: 0, view: 7, parent_view: 6, proposer: 1, timestamp_ms: 1_234_567 };
        let header = Header {
            number: 3,
            timestamp: slot.timestamp(),
            extra_data: slot.extra_data(),
            base_fee_per_gas: Some(0),
            withdrawals_root: Some(alloy_consensus::constants::EMPTY_WITHDRAWALS),
            ..Default::default()
        };
        Block::new(header, BlockBody { withdrawals: Some(Default::default()), ..Default::default() })
    }

    #[test]
    fn survives_its_encoding() {
        let block = block();
        let bytes = block.encode_rlp();
        assert_eq!(bytes.len(), block.rlp_length());
        let decoded = Block::decode_rlp(&bytes).unwrap();
        assert_eq!(decoded, block);
        assert_eq!(decoded.timestamp_ms(), 1_234_567);
    }

    #[test]
    fn damaged_bytes_are_an_error_or_another_block() {
        let bytes = block().encode_rlp();
        for length in 0..bytes.len() {
            assert!(Block::decode_rlp(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(Block::decode_rlp(&[&bytes[..], &[0]].concat()).is_err());
        assert!(matches!(Block::decode_rlp(&vec![0; BLOCK_BYTES_MAX + 1]), Err(BlockDecodeError::TooLarge(_))));
        for index in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1;
            if let Ok(other) = Block::decode_rlp(&flipped) {
                assert_eq!(other.encode_rlp(), flipped);
            }
        }
    }
}
