//! A new ledger's genesis: the newest forks, Ethereum's system contracts, the given accounts and rules.

use super::{ConsensusConfig, FeeMode, Genesis, GenesisError, LonjaConfig};
use crate::{Address, Bytes, U256};
use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_genesis::{ChainConfig, GenesisAccount};
use alloy_primitives::{address, bytes};

/// The factory that deployment tools expect on every chain for CREATE2 (Arachnid's deterministic deployment proxy).
const CREATE2_FACTORY: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");
static CREATE2_FACTORY_CODE: Bytes = bytes!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);

/// What a person chooses of a new ledger; everything else is the standard.
#[derive(Clone, Debug)]
pub struct GenesisTemplate {
    /// The ledger's name.
    pub ledger: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    /// Gas that one block may use.
    pub gas_limit: u64,
    /// Who pays what for gas.
    pub fees: FeeMode,
    /// How blocks become final.
    pub consensus: ConsensusConfig,
    /// Accounts that begin with [`GenesisTemplate::BALANCE`].
    pub funded: Vec<Address>,
}

impl Default for GenesisTemplate {
    fn default() -> GenesisTemplate {
        GenesisTemplate {
            ledger: "main".into(),
            chain_id: 1337,
            timestamp: 0,
            gas_limit: 100_000_000,
            fees: FeeMode::Free,
            consensus: ConsensusConfig::Dev { block_period_ms: 0 },
            funded: Vec::new(),
        }
    }
}

impl GenesisTemplate {
    /// Wei of a funded account: 10,000 ether, as development tools give.
    pub const BALANCE: U256 = U256::from_limbs([0x19e0_c9ba_b240_0000, 0x21e, 0, 0]);

    /// The genesis.
    pub fn build(self) -> Result<Genesis, GenesisError> {
        let consensus = self.consensus;
        let lonja = LonjaConfig { ledger: self.ledger, fees: self.fees, consensus };
        let mut config = newest_forks(self.chain_id);
        config.extra_fields.insert("lonja".into(), serde_json::to_value(&lonja)?);
        let funded = GenesisAccount::default().with_balance(Self::BALANCE);
        let funded = self.funded.into_iter().map(|address| (address, funded.clone()));
        let genesis = alloy_genesis::Genesis {
            config,
            timestamp: self.timestamp,
            gas_limit: self.gas_limit,
            alloc: system_contracts().into_iter().chain(funded).collect(),
            ..Default::default()
        };
        Genesis::new(genesis)
    }
}

/// Every fork up to Osaka at the start, the last that the EVM library supports in full.
fn newest_forks(chain_id: u64) -> ChainConfig {
    ChainConfig {
        chain_id,
        homestead_block: Some(0),
        eip150_block: Some(0),
        eip155_block: Some(0),
        eip158_block: Some(0),
        byzantium_block: Some(0),
        constantinople_block: Some(0),
        petersburg_block: Some(0),
        istanbul_block: Some(0),
        berlin_block: Some(0),
        london_block: Some(0),
        terminal_total_difficulty: Some(U256::ZERO),
        terminal_total_difficulty_passed: true,
        shanghai_time: Some(0),
        cancun_time: Some(0),
        prague_time: Some(0),
        osaka_time: Some(0),
        ..Default::default()
    }
}

/// Contracts that Ethereum's own rules call, and the one that deployment tools call.
fn system_contracts() -> [(Address, GenesisAccount); 5] {
    let contract = |code: &Bytes| GenesisAccount::default().with_nonce(Some(1)).with_code(Some(code.clone()));
    [
        (eip4788::BEACON_ROOTS_ADDRESS, contract(&eip4788::BEACON_ROOTS_CODE)),
        (eip2935::HISTORY_STORAGE_ADDRESS, contract(&eip2935::HISTORY_STORAGE_CODE)),
        (eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, contract(&eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_CODE)),
        (eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, contract(&eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_CODE)),
        (CREATE2_FACTORY, contract(&CREATE2_FACTORY_CODE)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::b256;
    use crypto::keccak256;

    #[test]
    fn funded_accounts_hold_ten_thousand_ether() {
        let ether = U256::from(10).pow(U256::from(18));
        assert_eq!(GenesisTemplate::BALANCE, U256::from(10_000) * ether);
    }

    #[test]
    fn the_factory_is_the_one_that_tools_check_for() {
        let hash = b256!("2fa86add0aed31f33a762c9d88e807c475bd51d0f52bd0955754b2608f7e4989");
        assert_eq!(keccak256(&CREATE2_FACTORY_CODE), hash);
    }
}
