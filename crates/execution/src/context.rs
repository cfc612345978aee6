//! Everything a block needs before its first transaction runs.
//!
//! D3.1 6.1.6.1. A proposer derives it from the parent and its slot (`Rules::next_context`), a verifier does
//! the same and compares; reading history takes it from the block's own header (`BlockContext::of`).

use alloy_eips::{eip7840::BlobParams, merge::BEACON_NONCE};
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, B64, B256, Bytes, U256, keccak256};
use revm::{
    context::{BlockEnv, CfgEnv},
    context_interface::block::BlobExcessGasAndPrice,
    primitives::hardfork::SpecId,
};
use types::{Header, Slot};

use crate::Rules;

/// The environment of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockContext {
    pub spec: SpecId,
    pub height: u64,
    /// Seconds since 1970.
    pub timestamp: u64,
    pub parent_hash: B256,
    pub beneficiary: Address,
    pub gas_limit: u64,
    /// None before London.
    pub base_fee: Option<u64>,
    pub difficulty: U256,
    /// The header's mix hash: `PREVRANDAO` since the merge.
    pub prev_randao: B256,
    /// Zero on our own blocks, there being no beacon chain; none before Cancun.
    pub parent_beacon_root: Option<B256>,
    /// None before Cancun.
    pub excess_blob_gas: Option<u64>,
    /// None before Cancun.
    pub blobs: Option<BlobParams>,
    pub extra_data: Bytes,
    pub nonce: B64,
}

impl Rules {
    /// What the block after `parent` must be built on, in `slot`.
    ///
    /// `PREVRANDAO` is keccak256(parent's mix hash ‖ parent's hash ‖ view): the same for every node, and
    /// **predictable** by whoever knows the parent. No contract may rely on it as a source of chance.
    pub fn next_context(&self, parent: &Header, slot: &Slot, beneficiary: Address) -> BlockContext {
        let height = parent.number + 1;
        let timestamp = slot.timestamp_ms / 1000;
        let parent_hash = parent.hash_slow();
        let spec = self.spec_at(height, timestamp);
        let blobs = self.blob_params_at(height, timestamp);
        BlockContext {
            spec,
            height,
            timestamp,
            parent_hash,
            beneficiary,
            gas_limit: parent.gas_limit,
            base_fee: self.next_base_fee(parent, spec),
            difficulty: own_difficulty(spec),
            prev_randao: prev_randao(parent, parent_hash, slot.view),
            parent_beacon_root: spec.is_enabled_in(SpecId::CANCUN).then_some(B256::ZERO),
            excess_blob_gas: blobs.map(|blobs| parent.next_block_excess_blob_gas(blobs).unwrap_or(0)),
            blobs,
            extra_data: slot.extra_data(),
            nonce: BEACON_NONCE.into(),
        }
    }

    /// The machine's settings for a block of this chain.
    pub(crate) fn evm_env(&self, context: &BlockContext) -> EvmEnv {
        let mut cfg = CfgEnv::new().with_chain_id(self.chain_id()).with_spec_and_mainnet_gas_params(context.spec);
        cfg.tx_chain_id_check = true;
        cfg.limit_contract_code_size = self.contract_size_limit();
        if let Some(blobs) = context.blobs {
            cfg.max_blobs_per_tx = Some(blobs.max_blobs_per_tx);
            cfg.blob_base_fee_update_fraction = Some(update_fraction(&blobs));
        }
        EvmEnv::new(cfg, context.block_env())
    }
}

impl BlockContext {
    /// The context of an existing block, ours or another network's.
    pub fn of(rules: &Rules, header: &Header) -> BlockContext {
        BlockContext {
            spec: rules.spec_of(header),
            height: header.number,
            timestamp: header.timestamp,
            parent_hash: header.parent_hash,
            beneficiary: header.beneficiary,
            gas_limit: header.gas_limit,
            base_fee: header.base_fee_per_gas,
            difficulty: header.difficulty,
            prev_randao: header.mix_hash,
            parent_beacon_root: header.parent_beacon_block_root,
            excess_blob_gas: header.excess_blob_gas,
            blobs: rules.blob_params_at(header.number, header.timestamp),
            extra_data: header.extra_data.clone(),
            nonce: header.nonce,
        }
    }

    fn block_env(&self) -> BlockEnv {
        BlockEnv {
            number: U256::from(self.height),
            beneficiary: self.beneficiary,
            timestamp: U256::from(self.timestamp),
            gas_limit: self.gas_limit,
            basefee: self.base_fee.unwrap_or(0),
            difficulty: self.difficulty,
            prevrandao: self.spec.is_enabled_in(SpecId::MERGE).then_some(self.prev_randao),
            blob_excess_gas_and_price: self.blob_gas_price(),
            slot_num: 0,
        }
    }

    fn blob_gas_price(&self) -> Option<BlobExcessGasAndPrice> {
        let (excess, blobs) = (self.excess_blob_gas?, self.blobs?);
        Some(BlobExcessGasAndPrice::new(excess, update_fraction(&blobs)))
    }
}

fn update_fraction(blobs: &BlobParams) -> u64 {
    u64::try_from(blobs.update_fraction).unwrap_or(u64::MAX)
}

/// Before the merge a block without mining has difficulty 1, as in Besu's and GoQuorum's networks; since the
/// merge it must be 0.
fn own_difficulty(spec: SpecId) -> U256 {
    if spec.is_enabled_in(SpecId::MERGE) { U256::ZERO } else { U256::ONE }
}

fn prev_randao(parent: &Header, parent_hash: B256, view: u64) -> B256 {
    let mut seed = [0; 72];
    seed[..32].copy_from_slice(parent.mix_hash.as_slice());
    seed[32..64].copy_from_slice(parent_hash.as_slice());
    seed[64..].copy_from_slice(&view.to_be_bytes());
    keccak256(seed)
}
