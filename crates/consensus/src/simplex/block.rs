//! Blocks as they travel between validators and rest in the engine's store.
//!
//! D3.1 6.1.5. The form is a length and the block's RLP. The digest covers the header alone, therefore decoding proves
//! that the body belongs to the header: one digest never stands for two contents. Everything wrong is a codec error.

use super::digest::Digest;
use alloy_consensus::proofs;
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, Write, varint::MAX_U32_VARINT_SIZE};
use commonware_consensus::{BoundedBlock, Heightable, types::Height};
use commonware_cryptography::{Digested, Digestible};
use std::sync::Arc;

/// A block with its encoding, which broadcast, store and backfill share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    block: Arc<types::Block>,
    encoded: Bytes,
}

impl Block {
    /// Encodes `block` once.
    pub fn new(block: Arc<types::Block>) -> Block {
        let encoded = Bytes::from(block.encode_rlp());
        Block { block, encoded }
    }

    /// The block itself.
    pub fn inner(&self) -> &Arc<types::Block> {
        &self.block
    }

    /// The form that the engine passes around; nobody hashes again.
    pub fn digested(self) -> Digested<Block> {
        let digest = self.digest();
        Digested::precomputed(self, digest)
    }
}

/// Whether the header's roots commit to the body.
fn belongs(block: &types::Block) -> Result<(), &'static str> {
    let (header, body) = (block.header(), block.body());
    if proofs::calculate_transaction_root(&body.transactions) != header.transactions_root {
        return Err("transactions do not match the header");
    }
    if proofs::calculate_ommers_root(&body.ommers) != header.ommers_hash {
        return Err("ommers do not match the header");
    }
    let withdrawals = body.withdrawals.as_ref().map(|list| proofs::calculate_withdrawals_root(list));
    match withdrawals == header.withdrawals_root {
        true => Ok(()),
        false => Err("withdrawals do not match the header"),
    }
}

impl Write for Block {
    fn write(&self, buf: &mut impl BufMut) {
        self.encoded.write(buf);
    }
}

impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        self.encoded.encode_size()
    }
}

impl Read for Block {
    /// The longest RLP accepted, in bytes.
    type Cfg = usize;

    fn read_cfg(buf: &mut impl Buf, bytes_max: &usize) -> Result<Self, Error> {
        let encoded = Bytes::read_cfg(buf, &RangeCfg::from(..=*bytes_max))?;
        let block = types::Block::decode_rlp(&encoded).map_err(|_| Error::Invalid("Block", "malformed RLP"))?;
        belongs(&block).map_err(|why| Error::Invalid("Block", why))?;
        Ok(Block { block: Arc::new(block), encoded })
    }
}

impl Digestible for Block {
    type Digest = Digest;

    fn digest(&self) -> Digest {
        self.block.hash().into()
    }
}

impl Heightable for Block {
    fn height(&self) -> Height {
        Height::new(self.block.height())
    }
}

impl commonware_consensus::Block for Block {
    fn parent(&self) -> Digest {
        self.block.parent_hash().into()
    }
}

impl BoundedBlock for Block {
    fn max_encode_size(bytes_max: &usize) -> usize {
        bytes_max + MAX_U32_VARINT_SIZE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_codec::{Decode, Encode};
    use types::{BLOCK_BYTES_MAX, BlockBody, Header};

    fn block() -> Block {
        let header = Header { number: 7, extra_data: vec![1; 25].into(), ..Default::default() };
        Block::new(Arc::new(types::Block::new(header, BlockBody::default())))
    }

    #[test]
    fn survives_its_encoding() {
        let block = block();
        let encoded = block.encode();
        assert_eq!(encoded.len(), block.encode_size());
        assert_eq!(Block::decode_cfg(encoded.clone(), &BLOCK_BYTES_MAX).unwrap(), block);
        assert!(encoded.len() <= Block::max_encode_size(&BLOCK_BYTES_MAX));
        assert!(Block::decode_cfg(encoded.clone(), &(encoded.len() - 10)).is_err(), "longer than allowed");
    }

    #[test]
    fn a_foreign_body_is_refused() {
        let ommer = Header { number: 6, ..Default::default() };
        let body = BlockBody { ommers: vec![ommer], ..Default::default() };
        let header = block().inner().header().clone();
        let forged = Block::new(Arc::new(types::Block::new(header.clone(), body)));
        assert_eq!(forged.digest(), block().digest(), "same header, same digest");
        assert!(Block::decode_cfg(forged.encode(), &BLOCK_BYTES_MAX).is_err());
        let body = BlockBody { withdrawals: Some(Default::default()), ..Default::default() };
        let forged = Block::new(Arc::new(types::Block::new(header, body)));
        assert!(Block::decode_cfg(forged.encode(), &BLOCK_BYTES_MAX).is_err());
    }

    #[test]
    fn damaged_bytes_are_errors() {
        let encoded = block().encode();
        for length in 0..encoded.len() {
            assert!(Block::decode_cfg(encoded.slice(..length), &BLOCK_BYTES_MAX).is_err());
        }
    }
}
