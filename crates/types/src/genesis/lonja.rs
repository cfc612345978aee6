//! The section `config.lonja`: ledger name, fees, consensus.

use super::GenesisError;
use crate::Address;
use crypto::{NodePublicKey, parse_public_key};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;

/// A committee above this size cannot fill `Slot::proposer` in any sensible network.
const VALIDATORS_MAX: usize = 1024;
const NAME_BYTES_MAX: usize = 64;

/// What a ledger's nodes agree on beyond Ethereum's chain configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LonjaConfig {
    /// The ledger's name in paths and files.
    pub ledger: String,
    /// Who pays what for gas.
    pub fees: FeeMode,
    /// How blocks become final.
    pub consensus: ConsensusConfig,
}

/// The rule that sets the price of gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "mode", deny_unknown_fields)]
pub enum FeeMode {
    /// Nothing is charged, whatever a transaction declares.
    Free,
    /// The base fee is this constant, in wei.
    Fixed {
        /// Wei per gas.
        gas_price: u64,
    },
    /// Ethereum's rule.
    Eip1559,
}

/// The engine that orders blocks, and its committee. A closed set: an unknown engine is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "engine", deny_unknown_fields)]
pub enum ConsensusConfig {
    /// One node seals each transaction at once, or each `block_period_ms` when that is not 0. No fault tolerance.
    Dev {
        /// Milliseconds between blocks; 0 seals at once.
        #[serde(default)]
        block_period_ms: u64,
    },
    /// BFT with a committee: commonware's simplex.
    Simplex(SimplexConfig),
}

/// Committee and pace of the BFT engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SimplexConfig {
    /// The committee, in the order of `Slot::proposer`. One member, one vote; n members tolerate (n-1)/3 faulty ones.
    pub validators: Vec<Validator>,
    /// Blocks an epoch.
    #[serde(default = "epoch_length")]
    pub epoch_length: u64,
    /// An idle ledger adds one empty block each so many milliseconds.
    #[serde(default = "empty_block_period_ms")]
    pub empty_block_period_ms: u64,
    /// Under load, milliseconds between a block's time and its child's.
    #[serde(default = "min_block_interval_ms")]
    pub min_block_interval_ms: u64,
}

/// A member of the committee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Validator {
    /// What people call it.
    pub name: String,
    /// Ed25519 key that signs its votes and authenticates its node.
    #[serde(serialize_with = "write_key", deserialize_with = "read_key")]
    pub key: NodePublicKey,
    /// Account that receives fees of blocks it proposes.
    #[serde(default)]
    pub beneficiary: Address,
}

impl Default for LonjaConfig {
    /// What a file of another client means: Ethereum's fees, and no committee.
    fn default() -> LonjaConfig {
        let consensus = ConsensusConfig::Dev { block_period_ms: 0 };
        LonjaConfig { ledger: "main".into(), fees: FeeMode::Eip1559, consensus }
    }
}

impl LonjaConfig {
    pub(super) fn of(config: &alloy_genesis::ChainConfig) -> Result<LonjaConfig, GenesisError> {
        let Some(section) = config.extra_fields.get("lonja") else { return Ok(LonjaConfig::default()) };
        let parsed: LonjaConfig =
            serde_json::from_value(section.clone()).map_err(|error| GenesisError::Lonja(error.to_string()))?;
        parsed.check().map_err(GenesisError::Lonja)?;
        Ok(parsed)
    }

    fn check(&self) -> Result<(), String> {
        check_name("ledger", &self.ledger)?;
        match &self.consensus {
            ConsensusConfig::Dev { .. } => Ok(()),
            ConsensusConfig::Simplex(simplex) => simplex.check(),
        }
    }
}

impl SimplexConfig {
    /// A committee at the standard pace.
    pub fn new(validators: Vec<Validator>) -> SimplexConfig {
        SimplexConfig {
            validators,
            epoch_length: epoch_length(),
            empty_block_period_ms: empty_block_period_ms(),
            min_block_interval_ms: min_block_interval_ms(),
        }
    }

    fn check(&self) -> Result<(), String> {
        let count = self.validators.len();
        if count == 0 || count > VALIDATORS_MAX {
            return Err(format!("{count} validators; there must be 1 to {VALIDATORS_MAX}"));
        }
        let keys: BTreeSet<_> = self.validators.iter().map(|validator| &validator.key).collect();
        let names: BTreeSet<_> = self.validators.iter().map(|validator| &validator.name).collect();
        if keys.len() != count || names.len() != count {
            return Err("two validators have the same name or the same key".into());
        }
        self.validators.iter().try_for_each(|validator| check_name("validator", &validator.name))?;
        within("epochLength", self.epoch_length, 2, u64::from(u32::MAX))?;
        within("emptyBlockPeriodMs", self.empty_block_period_ms, 100, 60_000)?;
        within("minBlockIntervalMs", self.min_block_interval_ms, 0, self.empty_block_period_ms)
    }
}

/// Names become folders, path segments and metric labels.
fn check_name(what: &str, name: &str) -> Result<(), String> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    match plain && !name.is_empty() && name.len() <= NAME_BYTES_MAX {
        true => Ok(()),
        false => Err(format!("{what} name {name:?}: use 1 to {NAME_BYTES_MAX} letters, digits, - and _")),
    }
}

fn within(key: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(format!("{key} is {value}; it must be {least} to {most}")),
    }
}

fn epoch_length() -> u64 {
    100_000
}

fn empty_block_period_ms() -> u64 {
    10_000
}

fn min_block_interval_ms() -> u64 {
    50
}

fn write_key<S: Serializer>(key: &NodePublicKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("0x{key}"))
}

fn read_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodePublicKey, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_public_key(&text).map_err(|error| serde::de::Error::custom(format!("key {text:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use crypto::NodeKey;

    fn validator(index: u8) -> Validator {
        let key = NodeKey::from_seed(B256::repeat_byte(index)).public();
        Validator { name: format!("validator-{index}"), key, beneficiary: Address::ZERO }
    }

    fn check(change: impl FnOnce(&mut SimplexConfig)) -> Result<(), String> {
        let mut simplex = SimplexConfig::new((0..4).map(validator).collect());
        change(&mut simplex);
        simplex.check()
    }

    #[test]
    fn a_committee_has_distinct_members_and_a_sane_pace() {
        check(|_| ()).unwrap();
        check(|simplex| simplex.validators.clear()).unwrap_err();
        check(|simplex| simplex.validators[1] = simplex.validators[0].clone()).unwrap_err();
        check(|simplex| simplex.validators[0].name = "../etc".into()).unwrap_err();
        check(|simplex| simplex.epoch_length = 1).unwrap_err();
        check(|simplex| simplex.empty_block_period_ms = 0).unwrap_err();
        check(|simplex| simplex.min_block_interval_ms = 20_000).unwrap_err();
    }

    #[test]
    fn survives_json() {
        let consensus = ConsensusConfig::Simplex(SimplexConfig::new((0..4).map(validator).collect()));
        let config = LonjaConfig { ledger: "main".into(), fees: FeeMode::Fixed { gas_price: 7 }, consensus };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<LonjaConfig>(&text).unwrap(), config, "{text}");
    }
}
