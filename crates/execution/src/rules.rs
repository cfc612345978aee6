//! The rules of one chain: its identity, when each fork begins, what gas costs.
//!
//! D3.1 6.1.6.2 (contract execution environment), 6.2.3 (fees).
//!
//! Read from the genesis configuration as geth and Besu write it. Invariant: a fork implies all forks before
//! it, so that a file that names only its newest fork (as Besu's may) means what its author meant.

use alloy_eips::{
    eip1559::{BaseFeeParams, INITIAL_BASE_FEE},
    eip7840::BlobParams,
    eip7892::BlobScheduleBlobParams,
};
use alloy_genesis::ChainConfig;
use alloy_primitives::{Address, address};
use revm::primitives::hardfork::SpecId;
use types::{FeeMode, Genesis, Header};

/// Where Ethereum's deposits arrive when the genesis names no other contract (EIP-6110).
const MAINNET_DEPOSIT_CONTRACT: Address = address!("0x00000000219ab540356cbb839cbe05303d7705fa");

/// The consensus-critical parameters of one chain.
#[derive(Clone, Debug)]
pub struct Rules {
    chain_id: u64,
    fees: FeeMode,
    gas_limit: u64,
    /// Fork, first height; in the order of the forks.
    heights: Vec<(SpecId, u64)>,
    /// Fork, first second; in the order of the forks.
    times: Vec<(SpecId, u64)>,
    blobs: BlobScheduleBlobParams,
    deposit_contract: Address,
    contract_size_limit: Option<usize>,
    dao_fork: Option<u64>,
    ethash_rewards: bool,
    requires_predeploys: bool,
}

/// Why a genesis cannot be executed by this version.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error("the genesis schedules {fork} at {at}, which this version does not support")]
    UnsupportedFork { fork: &'static str, at: u64 },
    #[error("fees.mode \"fixed\" needs a base fee, which exists from London on: start the chain at London or later")]
    FixedFeeBeforeLondon,
    #[error("contractSizeLimit is {0}, not a number of bytes")]
    ContractSizeLimit(String),
}

impl Rules {
    pub fn new(genesis: &Genesis) -> Result<Rules, RulesError> {
        Rules::from_config(&genesis.ethereum.config, genesis.lonja.fees, genesis.block().header())
    }

    /// The rules of a chain whose genesis block has the header `genesis`.
    pub fn from_config(config: &ChainConfig, fees: FeeMode, genesis: &Header) -> Result<Rules, RulesError> {
        refuse_unsupported(config)?;
        let rules = Rules {
            chain_id: config.chain_id,
            fees,
            gas_limit: genesis.gas_limit,
            heights: heights(config),
            times: times(config),
            blobs: config.blob_schedule_blob_params(),
            deposit_contract: config.deposit_contract_address.unwrap_or(MAINNET_DEPOSIT_CONTRACT),
            contract_size_limit: contract_size_limit(config)?,
            dao_fork: config.dao_fork_block.filter(|_| config.dao_fork_support),
            ethash_rewards: config.ethash.is_some(),
            requires_predeploys: false,
        };
        rules.check_fees(genesis)?;
        Ok(rules)
    }

    fn check_fees(&self, genesis: &Header) -> Result<(), RulesError> {
        if !matches!(self.fees, FeeMode::Fixed { .. }) {
            return Ok(());
        }
        let first = self.spec_at(genesis.number + 1, genesis.timestamp);
        if !first.is_enabled_in(SpecId::LONDON) {
            return Err(RulesError::FixedFeeBeforeLondon);
        }
        Ok(())
    }

    /// Pays Ethereum's mining rewards before the merge; for chains that were mined. The default follows the
    /// genesis: yes when its configuration has an `ethash` section.
    pub fn with_ethash_rewards(mut self, pay: bool) -> Rules {
        self.ethash_rewards = pay;
        self
    }

    /// Whether a block is invalid when the EIP-7002 and EIP-7251 predeploys have no code, as Ethereum's
    /// specification has it. By default such a chain simply has no requests: a consortium that starts at
    /// Prague without the beacon chain's contracts must not stand still.
    pub fn with_required_predeploys(mut self, required: bool) -> Rules {
        self.requires_predeploys = required;
        self
    }

    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    pub fn fees(&self) -> FeeMode {
        self.fees
    }

    /// Every fee source says 0 and nothing is charged.
    pub fn is_free(&self) -> bool {
        matches!(self.fees, FeeMode::Free)
    }

    /// The gas limit of the genesis block; every block keeps its parent's.
    pub fn gas_limit(&self) -> u64 {
        self.gas_limit
    }

    pub fn deposit_contract(&self) -> Address {
        self.deposit_contract
    }

    pub(crate) fn contract_size_limit(&self) -> Option<usize> {
        self.contract_size_limit
    }

    pub(crate) fn requires_predeploys(&self) -> bool {
        self.requires_predeploys
    }

    pub(crate) fn is_dao_fork(&self, height: u64) -> bool {
        self.dao_fork == Some(height)
    }

    /// The wei that mining the block at `height` earns, before uncles.
    pub(crate) fn block_reward(&self, spec: SpecId) -> Option<u128> {
        const ETHER: u128 = 1_000_000_000_000_000_000;
        if !self.ethash_rewards || spec.is_enabled_in(SpecId::MERGE) {
            None
        } else if spec.is_enabled_in(SpecId::PETERSBURG) {
            Some(2 * ETHER)
        } else if spec.is_enabled_in(SpecId::BYZANTIUM) {
            Some(3 * ETHER)
        } else {
            Some(5 * ETHER)
        }
    }

    /// The newest fork in force.
    pub fn spec_at(&self, height: u64, timestamp: u64) -> SpecId {
        let by_time = self.times.iter().rev().find(|(_, first)| timestamp >= *first);
        let by_height = self.heights.iter().rev().find(|(_, first)| height >= *first);
        by_time.or(by_height).map_or(SpecId::FRONTIER, |(spec, _)| *spec)
    }

    /// The fork of an existing block. A network that merged by total difficulty does not say at which height:
    /// its first block without difficulty tells.
    pub fn spec_of(&self, header: &Header) -> SpecId {
        let spec = self.spec_at(header.number, header.timestamp);
        let merged = header.difficulty.is_zero() && header.number > 0;
        if spec == SpecId::LONDON && merged && header.base_fee_per_gas.is_some() {
            return SpecId::MERGE;
        }
        spec
    }

    /// The blob schedule in force; none before Cancun.
    pub fn blob_params_at(&self, height: u64, timestamp: u64) -> Option<BlobParams> {
        let spec = self.spec_at(height, timestamp);
        if let Some(scheduled) = self.blobs.active_scheduled_params_at_timestamp(timestamp) {
            return Some(*scheduled);
        }
        match spec {
            _ if spec.is_enabled_in(SpecId::OSAKA) => Some(self.blobs.osaka),
            _ if spec.is_enabled_in(SpecId::PRAGUE) => Some(self.blobs.prague),
            _ if spec.is_enabled_in(SpecId::CANCUN) => Some(self.blobs.cancun),
            _ => None,
        }
    }

    /// The base fee of the block after `parent`; none before London.
    pub fn next_base_fee(&self, parent: &Header, spec: SpecId) -> Option<u64> {
        if !spec.is_enabled_in(SpecId::LONDON) {
            return None;
        }
        Some(match self.fees {
            FeeMode::Free => 0,
            FeeMode::Fixed { gas_price } => gas_price,
            FeeMode::Eip1559 => parent.next_block_base_fee(BaseFeeParams::ethereum()).unwrap_or(INITIAL_BASE_FEE),
        })
    }
}

/// Amsterdam and later are not in force anywhere yet; running them half would be worse than not at all.
fn refuse_unsupported(config: &ChainConfig) -> Result<(), RulesError> {
    let later = [("Amsterdam", config.amsterdam_time), ("Bogota", config.bogota_time)];
    match later.into_iter().find_map(|(fork, at)| Some((fork, at?))) {
        Some((fork, at)) => Err(RulesError::UnsupportedFork { fork, at }),
        None => Ok(()),
    }
}

/// Forks that only delay the difficulty bomb change nothing that is executed, and are left out.
fn heights(config: &ChainConfig) -> Vec<(SpecId, u64)> {
    scheduled(&[
        (SpecId::HOMESTEAD, config.homestead_block),
        (SpecId::TANGERINE, config.eip150_block),
        (SpecId::SPURIOUS_DRAGON, config.eip158_block),
        (SpecId::BYZANTIUM, config.byzantium_block),
        (SpecId::PETERSBURG, petersburg(config)),
        (SpecId::ISTANBUL, config.istanbul_block),
        (SpecId::BERLIN, config.berlin_block),
        (SpecId::LONDON, config.london_block),
        (SpecId::MERGE, merge_height(config)),
    ])
}

fn times(config: &ChainConfig) -> Vec<(SpecId, u64)> {
    scheduled(&[
        (SpecId::SHANGHAI, config.shanghai_time),
        (SpecId::CANCUN, config.cancun_time),
        (SpecId::PRAGUE, config.prague_time),
        (SpecId::OSAKA, config.osaka_time),
    ])
}

fn scheduled(forks: &[(SpecId, Option<u64>)]) -> Vec<(SpecId, u64)> {
    forks.iter().filter_map(|(spec, first)| Some((*spec, (*first)?))).collect()
}

/// Constantinople ran on test networks only, between two blocks; the EVM library has its successor, which
/// differs in the gas of a repeated SSTORE (EIP-1283). Besu writes `constantinopleFixBlock`.
fn petersburg(config: &ChainConfig) -> Option<u64> {
    let besu = config.extra_fields.get("constantinopleFixBlock").and_then(|value| value.as_u64());
    let fixed = config.petersburg_block.or(besu);
    match (config.constantinople_block, fixed) {
        (Some(first), Some(fixed)) => Some(first.min(fixed)),
        (first, fixed) => first.or(fixed),
    }
}

fn merge_height(config: &ChainConfig) -> Option<u64> {
    let from_genesis = config.terminal_total_difficulty.is_some_and(|total| total.is_zero());
    match config.merge_netsplit_block {
        Some(height) => Some(height),
        None => from_genesis.then_some(0),
    }
}

/// Besu's `contractSizeLimit`, a number or its decimal text.
fn contract_size_limit(config: &ChainConfig) -> Result<Option<usize>, RulesError> {
    let Some(value) = config.extra_fields.get("contractSizeLimit") else { return Ok(None) };
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    match number.and_then(|number| usize::try_from(number).ok()) {
        Some(limit) => Ok(Some(limit)),
        None => Err(RulesError::ContractSizeLimit(value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use types::Slot;

    fn rules(config: &str) -> Result<Rules, RulesError> {
        let genesis =
            format!(r#"{{ "config": {config}, "gasLimit": "0x1c9c380", "difficulty": "0x1", "alloc": {{}} }}"#);
        Rules::new(&Genesis::parse(&genesis).unwrap())
    }

    #[test]
    fn a_fork_implies_those_before_it() {
        let besu = rules(r#"{ "chainId": 1, "berlinBlock": 7, "qbft": {} }"#).unwrap();
        assert_eq!(besu.spec_at(6, u64::MAX), SpecId::FRONTIER);
        assert_eq!(besu.spec_at(7, 0), SpecId::BERLIN);
        let shanghai = rules(r#"{ "chainId": 1, "shanghaiTime": 0 }"#).unwrap();
        assert_eq!(shanghai.spec_at(0, 0), SpecId::SHANGHAI);
    }

    #[test]
    fn heights_then_times() {
        let config = r#"{ "chainId": 1, "byzantiumBlock": 1, "constantinopleBlock": 2, "constantinopleFixBlock": 3,
            "istanbulBlock": 4, "londonBlock": 5, "mergeNetsplitBlock": 6, "terminalTotalDifficulty": 9,
            "shanghaiTime": 100, "cancunTime": 200, "pragueTime": 300, "osakaTime": 400 }"#;
        let rules = rules(config).unwrap();
        let at = |height, time| rules.spec_at(height, time);
        assert_eq!([at(1, 0), at(2, 0), at(3, 0)], [SpecId::BYZANTIUM, SpecId::PETERSBURG, SpecId::PETERSBURG]);
        assert_eq!([at(4, 0), at(5, 0), at(6, 0)], [SpecId::ISTANBUL, SpecId::LONDON, SpecId::MERGE]);
        assert_eq!([at(6, 99), at(6, 100), at(6, 200)], [SpecId::MERGE, SpecId::SHANGHAI, SpecId::CANCUN]);
        assert_eq!([at(9, 300), at(9, 400)], [SpecId::PRAGUE, SpecId::OSAKA]);
    }

    #[test]
    fn the_blob_schedule_moves_without_a_fork() {
        let config = r#"{ "chainId": 1, "londonBlock": 0, "terminalTotalDifficulty": 0, "shanghaiTime": 0,
            "cancunTime": 10, "pragueTime": 20, "osakaTime": 30, "bpo1Time": 40, "bpo5Time": 50, "blobSchedule": {
            "bpo1": { "target": 10, "max": 15, "baseFeeUpdateFraction": 8346193 },
            "bpo5": { "target": 20, "max": 30, "baseFeeUpdateFraction": 16692386 } } }"#;
        let rules = rules(config).unwrap();
        let max = |time| rules.blob_params_at(1, time).map(|blobs| blobs.max_blob_count);
        assert_eq!([max(9), max(10), max(20), max(30)], [None, Some(6), Some(9), Some(9)]);
        assert_eq!([max(40), max(50)], [Some(15), Some(30)]);
    }

    #[test]
    fn what_is_not_supported_is_said() {
        let amsterdam = rules(r#"{ "chainId": 1, "amsterdamTime": 5 }"#).unwrap_err();
        assert!(amsterdam.to_string().contains("Amsterdam at 5"), "{amsterdam}");
        assert!(matches!(
            rules(r#"{ "chainId": 1, "contractSizeLimit": "big" }"#),
            Err(RulesError::ContractSizeLimit(_))
        ));
        let besu = rules(r#"{ "chainId": 1, "contractSizeLimit": 49152 }"#).unwrap();
        assert_eq!(besu.contract_size_limit(), Some(49_152));
    }

    #[test]
    fn each_view_has_its_own_prev_randao() {
        let rules = rules(r#"{ "chainId": 1, "londonBlock": 0, "terminalTotalDifficulty": 0 }"#).unwrap();
        let parent = Header { mix_hash: B256::repeat_byte(1), gas_limit: 77, ..Header::default() };
        let slot = |view| Slot { epoch: 0, view, parent_view: 0, proposer: 0, timestamp_ms: 5_050 };
        let next = |view| rules.next_context(&parent, &slot(view), Address::ZERO);
        assert_eq!(next(3), next(3));
        assert_ne!(next(3).prev_randao, next(4).prev_randao);
        assert_eq!((next(3).timestamp, next(3).gas_limit, next(3).height), (5, 77, 1));
    }
}
