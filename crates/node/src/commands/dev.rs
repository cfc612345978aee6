//! `lonja dev`: one node, ten funded accounts that every tool knows, each transaction final at once.

use crate::cli::{DevArgs, Fees};
use crate::config::{Log, Settings};
use crate::data_dir::{DataDir, random};
use crate::running::{self, Plan, Store};
use crate::{config, print, telemetry};
use crypto::{AccountKey, DEV_MNEMONIC, NodeKey};
use eyre::{Result, eyre};
use std::path::{Path, PathBuf};
use types::{ConsensusConfig, FeeMode, Genesis, GenesisTemplate, U256};

const ACCOUNTS: u32 = 10;

pub fn run(args: DevArgs) -> Result<()> {
    let scratch = Scratch::new(args.data_dir.is_none())?;
    let dir = DataDir::new(args.data_dir.as_deref().unwrap_or(&scratch.0));
    // The banner is for people; whoever asks for the log gets it.
    let quiet = Settings { log: Log { level: "warn".into(), ..Default::default() }, ..Default::default() };
    let mut settings = config::load(quiet, dir.path(), &args.settings)?;
    if settings.http.cors.is_empty() {
        settings.http.cors.push("*".into()); // a DApp under development is served from anywhere
    }
    telemetry::log(&settings.log)?;
    let keys =
        (0..ACCOUNTS).map(|index| AccountKey::from_mnemonic(DEV_MNEMONIC, index)).collect::<Result<Vec<_>, _>>()?;
    let genesis = genesis(&args, &dir, &keys)?;
    let store = if args.data_dir.is_some() { Store::Disk } else { Store::Memory };
    let key = NodeKey::from_seed(random()?);
    let signers = keys.clone();
    running::run(Plan { settings, genesis, key, signers, store, dir }, |plan| banner(plan, &keys))
}

/// A kept ledger keeps its genesis: flags that ask for another one are an error.
fn genesis(args: &DevArgs, dir: &DataDir, keys: &[AccountKey]) -> Result<Genesis> {
    if dir.genesis().exists() {
        let genesis = dir.read_genesis()?;
        return check_same(args, &genesis).map(|()| genesis);
    }
    let template = GenesisTemplate {
        chain_id: args.chain_id.unwrap_or(1337),
        fees: args.fees.unwrap_or(Fees::Free).into(),
        consensus: ConsensusConfig::Dev { block_period_ms: args.block_period_ms.unwrap_or(0) },
        funded: keys.iter().map(AccountKey::address).collect(),
        ..Default::default()
    };
    let genesis = template.build()?;
    if args.data_dir.is_some() {
        dir.write_new(&dir.genesis(), &genesis.to_json())?;
    }
    Ok(genesis)
}

fn check_same(args: &DevArgs, genesis: &Genesis) -> Result<()> {
    let period = args.block_period_ms.map(|block_period_ms| ConsensusConfig::Dev { block_period_ms });
    let differs = args.chain_id.is_some_and(|id| id != genesis.chain_id())
        || args.fees.is_some_and(|fees| FeeMode::from(fees) != genesis.lonja.fees)
        || period.is_some_and(|consensus| consensus != genesis.lonja.consensus);
    match differs {
        false => Ok(()),
        true => Err(eyre!(
            "the ledger there was made with chain id {}, fees {:?} and {:?}; leave these flags out, or choose another --data-dir",
            genesis.chain_id(),
            genesis.lonja.fees,
            genesis.lonja.consensus
        )),
    }
}

fn banner(plan: &Plan, keys: &[AccountKey]) {
    let ether = GenesisTemplate::BALANCE / U256::from(10).pow(U256::from(18));
    let mut text = format!(
        "lonja {} development node\n\nAccounts, each with {ether} ether at the start\n",
        env!("CARGO_PKG_VERSION")
    );
    for (index, key) in keys.iter().enumerate() {
        text.push_str(&format!("  ({index}) {}\n      {}\n", key.address(), key.secret()));
    }
    let http = plan.settings.http.address();
    text.push_str(&format!(
        "\nMnemonic    {DEV_MNEMONIC}\n            public: never for anything of value\nChain id    {}\nFees        {:?}\nJSON-RPC    http://{http}\nWebSocket   ws://{http}\nMetrics     http://{}/metrics\n\nCtrl-C stops it",
        plan.genesis.chain_id(),
        plan.genesis.lonja.fees,
        plan.settings.metrics.address(),
    ));
    print::line(&text);
}

/// A directory for the engine's files that is gone with the process.
struct Scratch(PathBuf);

impl Scratch {
    fn new(needed: bool) -> Result<Scratch> {
        let path = std::env::temp_dir().join(format!("lonja-dev-{}", std::process::id()));
        if needed {
            std::fs::create_dir_all(&path)?;
        }
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    let _ = std::fs::remove_dir_all(path); // it may never have been made
}
