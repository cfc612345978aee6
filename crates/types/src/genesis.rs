//! Genesis: what all nodes of a ledger must agree on before its first block.
//!
//! D3.1 6.1.7.1, 6.2.2.1. The file is a geth or Besu genesis; what Ethereum has no word for stands under
//! `config.lonja`. Two nodes with different genesis files have different genesis hashes or refuse each other's channels.

mod lonja;
mod template;

pub use lonja::{ConsensusConfig, FeeMode, LonjaConfig, SimplexConfig, Validator};
pub use template::GenesisTemplate;

use crate::{B256, Block, BlockBody, BlockHash, Header};
use alloy_consensus::EMPTY_ROOT_HASH;
use alloy_consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_trie::root::state_root_ref_unhashed;
use crypto::keccak256;
use std::sync::Arc;

/// Base fee of the first EIP-1559 block where the file names none (EIP-1559, `INITIAL_BASE_FEE`), in wei.
const INITIAL_BASE_FEE: u64 = 1_000_000_000;
/// A genesis file above this is refused; a million funded accounts fit.
const GENESIS_BYTES_MAX: usize = 512 * 1024 * 1024;

/// A genesis file, read and checked, with the block that it describes.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// The Ethereum part: chain configuration and initial accounts.
    pub ethereum: Arc<alloy_genesis::Genesis>,
    /// The part that Ethereum has no word for.
    pub lonja: LonjaConfig,
    block: Arc<Block>,
    ledger_id: LedgerId,
}

/// Tells ledgers apart wherever several share a connection: hash of genesis block, chain id and `config.lonja`. The fork
/// schedule is no part of it, so that an upgrade can be announced to one node after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LedgerId(B256);

/// Why a file is no genesis.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// The text is too long to be one.
    #[error("a genesis of {0} bytes; the limit is {GENESIS_BYTES_MAX}")]
    TooLarge(usize),
    /// Not the JSON that geth and Besu write.
    #[error("not a genesis file: {0}")]
    Malformed(#[from] serde_json::Error),
    /// `config.chainId` is missing; a default would let transactions of another network be replayed.
    #[error("config.chainId is missing")]
    NoChainId,
    /// `config.lonja` is wrong.
    #[error("config.lonja: {0}")]
    Lonja(String),
    /// The fee mode asks for one base fee, the file says another.
    #[error("baseFeePerGas is {found} where the fee mode \"{mode}\" needs {expected}")]
    BaseFee {
        /// The fee mode's name.
        mode: &'static str,
        /// What the fee mode needs, in wei.
        expected: u64,
        /// What the file says, in wei.
        found: u128,
    },
}

impl Genesis {
    /// Reads a genesis file.
    pub fn parse(text: &str) -> Result<Genesis, GenesisError> {
        if text.len() > GENESIS_BYTES_MAX {
            return Err(GenesisError::TooLarge(text.len()));
        }
        let json: serde_json::Value = serde_json::from_str(text)?;
        if json.pointer("/config/chainId").is_none() {
            return Err(GenesisError::NoChainId);
        }
        Genesis::new(serde_json::from_str(text)?)
    }

    /// Checks a genesis and computes its block.
    pub fn new(ethereum: alloy_genesis::Genesis) -> Result<Genesis, GenesisError> {
        let lonja = LonjaConfig::of(&ethereum.config)?;
        let header = header(&ethereum, lonja.fees)?;
        let withdrawals = header.withdrawals_root.map(|_| Default::default());
        let block = Block::new(header, BlockBody { withdrawals, ..Default::default() });
        let ledger_id = LedgerId::new(block.hash(), ethereum.config.chain_id, &lonja);
        Ok(Genesis { ethereum: Arc::new(ethereum), lonja, block: Arc::new(block), ledger_id })
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&*self.ethereum).expect("a genesis has string keys only")
    }

    /// The block at height 0.
    pub fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// The hash of the block at height 0.
    pub fn hash(&self) -> BlockHash {
        self.block.hash()
    }

    /// EIP-155 chain id.
    pub fn chain_id(&self) -> u64 {
        self.ethereum.config.chain_id
    }

    /// The ledger's identity among the ledgers of one node.
    pub fn ledger_id(&self) -> LedgerId {
        self.ledger_id
    }
}

impl LedgerId {
    /// From what was parsed, not from the text: the order of keys in a file means nothing.
    fn new(genesis: BlockHash, chain_id: u64, lonja: &LonjaConfig) -> LedgerId {
        let rules = serde_json::to_vec(lonja).expect("the section has string keys only");
        LedgerId(keccak256([genesis.as_slice(), &chain_id.to_be_bytes(), &rules].concat()))
    }

    /// The whole hash.
    pub fn hash(&self) -> B256 {
        self.0
    }

    /// Prefix of the peers' messages that belong to this ledger.
    pub fn channel(&self) -> u64 {
        u64::from_be_bytes(self.0[..8].try_into().expect("eight of 32 bytes"))
    }
}

/// The genesis header as geth computes it, with the fields of every fork that is active at height 0.
fn header(genesis: &alloy_genesis::Genesis, fees: FeeMode) -> Result<Header, GenesisError> {
    let config = &genesis.config;
    let (height, timestamp) = (genesis.number.unwrap_or(0), genesis.timestamp);
    let since = |fork: Option<u64>| fork.is_some_and(|fork| fork <= timestamp);
    // A fork implies all before it, whether or not the file names them.
    let prague = since(config.prague_time) || since(config.osaka_time);
    let cancun = prague || since(config.cancun_time);
    let shanghai = cancun || since(config.shanghai_time);
    let london = shanghai || config.london_block.is_some_and(|fork| fork <= height);
    Ok(Header {
        parent_hash: genesis.parent_hash.unwrap_or_default(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: genesis.coinbase,
        state_root: state_root_ref_unhashed(&genesis.alloc),
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        difficulty: genesis.difficulty,
        number: height,
        gas_limit: genesis.gas_limit,
        timestamp,
        extra_data: genesis.extra_data.clone(),
        mix_hash: genesis.mix_hash,
        nonce: genesis.nonce.into(),
        base_fee_per_gas: london.then(|| base_fee(genesis, fees)).transpose()?,
        withdrawals_root: shanghai.then_some(EMPTY_WITHDRAWALS),
        blob_gas_used: cancun.then(|| genesis.blob_gas_used.unwrap_or(0)),
        excess_blob_gas: cancun.then(|| genesis.excess_blob_gas.unwrap_or(0)),
        parent_beacon_block_root: cancun.then_some(B256::ZERO),
        requests_hash: prague.then_some(EMPTY_REQUESTS_HASH),
        ..Default::default()
    })
}

fn base_fee(genesis: &alloy_genesis::Genesis, fees: FeeMode) -> Result<u64, GenesisError> {
    let (expected, mode) = match fees {
        FeeMode::Free => (0, "free"),
        FeeMode::Fixed { gas_price } => (gas_price, "fixed"),
        FeeMode::Eip1559 => return Ok(genesis.base_fee_per_gas.map_or(INITIAL_BASE_FEE, |fee| fee as u64)),
    };
    match genesis.base_fee_per_gas {
        Some(found) if found != u128::from(expected) => Err(GenesisError::BaseFee { mode, expected, found }),
        _ => Ok(expected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{address, b256};

    /// The form that geth's and Besu's development files share.
    const PLAIN: &str = r#"{ "config": { "chainId": 1337, "homesteadBlock": 0, "londonBlock": 0 }, "gasLimit": "0x1c9c380",
        "difficulty": "0x1", "alloc": { "fe3b557e8fb62b89f4916b721be55ceb828dbd73": { "balance": "0xad78ebc5ac6200000" } } }"#;

    #[test]
    fn reads_a_plain_ethereum_genesis() {
        let genesis = Genesis::parse(PLAIN).unwrap();
        assert_eq!((genesis.chain_id(), genesis.lonja.fees), (1337, FeeMode::Eip1559));
        assert_eq!(genesis.block().header().base_fee_per_gas, Some(INITIAL_BASE_FEE));
        assert_eq!(genesis.block().header().withdrawals_root, None, "Shanghai is not scheduled");
        let newer = PLAIN.replacen("\"londonBlock\": 0", "\"cancunTime\": 0", 1);
        let header = Genesis::parse(&newer).unwrap().block().header().clone();
        assert!(
            header.base_fee_per_gas.is_some() && header.withdrawals_root.is_some() && header.blob_gas_used.is_some()
        );
        assert_eq!(header.requests_hash, None, "Prague is not scheduled");
    }

    /// Mainnet's genesis header, without its 8,893 accounts: the header's encoding is Ethereum's.
    #[test]
    fn header_of_the_main_network() {
        let header = Header {
            gas_limit: 5000,
            difficulty: alloy_primitives::U256::from(0x4_0000_0000u64),
            nonce: 0x42u64.into(),
            extra_data: b256!("11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa").to_vec().into(),
            state_root: b256!("d7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544"),
            ..Default::default()
        };
        let hash = Block::new(header, BlockBody::default()).hash();
        assert_eq!(hash, b256!("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"));
    }

    #[test]
    fn fees_decide_the_base_fee() {
        let free = |base_fee: &str| {
            let text = PLAIN.replacen("\"chainId\"", "\"lonja\": { \"fees\": { \"mode\": \"free\" } }, \"chainId\"", 1);
            Genesis::parse(&text.replacen("\"gasLimit\"", &format!("{base_fee} \"gasLimit\""), 1))
        };
        assert_eq!(free("").unwrap().block().header().base_fee_per_gas, Some(0));
        assert!(matches!(free("\"baseFeePerGas\": \"0x1\","), Err(GenesisError::BaseFee { found: 1, .. })));
    }

    #[test]
    fn the_rules_are_part_of_the_identity() {
        let template = GenesisTemplate::default();
        let free = template.clone().build().unwrap();
        let quick = GenesisTemplate { consensus: ConsensusConfig::Dev { block_period_ms: 5 }, ..template };
        let quick = quick.build().unwrap();
        let elsewhere = GenesisTemplate { chain_id: 7, ..GenesisTemplate::default() }.build().unwrap();
        assert_eq!((free.hash(), free.hash()), (quick.hash(), elsewhere.hash()));
        let ids = [&free, &quick, &elsewhere].map(Genesis::ledger_id);
        assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2]);
    }

    #[test]
    fn a_template_survives_its_file() {
        let account = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        let template = GenesisTemplate { funded: vec![account], ..Default::default() };
        let genesis = template.build().unwrap();
        let again = Genesis::parse(&genesis.to_json()).unwrap();
        assert_eq!(again.hash(), genesis.hash());
        assert_eq!(again.ledger_id(), genesis.ledger_id());
        assert_eq!(again.lonja, genesis.lonja);
    }

    #[test]
    fn mistakes_are_named() {
        let no_chain = PLAIN.replace("\"chainId\": 1337,", "");
        assert!(matches!(Genesis::parse(&no_chain), Err(GenesisError::NoChainId)));
        let unknown = PLAIN.replacen("\"chainId\"", "\"lonja\": { \"fes\": {} }, \"chainId\"", 1);
        let error = Genesis::parse(&unknown).unwrap_err().to_string();
        assert!(error.contains("fes"), "{error}");
        assert!(matches!(Genesis::parse("{"), Err(GenesisError::Malformed(_))));
    }
}
