//! A network's directory: `network.json`, and a data directory for each node.

use crate::cli::Fees;
use crate::commands::init::configuration;
use crate::config::{Endpoint, Http, P2p, Peer, Settings};
use crate::data_dir::{DataDir, random};
use crypto::{AccountKey, DEV_MNEMONIC, NodeKey};
use eyre::{Result, WrapErr, eyre};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use types::{Address, ConsensusConfig, FeeMode, Genesis, GenesisTemplate, SimplexConfig, Validator};

/// More processes than this do not fit one machine.
const VALIDATORS_MAX: usize = 64;
/// Accounts with a balance in a network that is made here: those of the development mnemonic.
const FUNDED_ACCOUNTS: u32 = 10;

/// What `network.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Layout {
    /// Absolute, so that a node's process is found again from anywhere.
    #[serde(skip)]
    pub dir: PathBuf,
    pub chain_id: u64,
    pub nodes: Vec<NodeEntry>,
}

/// A node of the network with its ports on the loopback.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeEntry {
    pub name: String,
    pub http: u16,
    pub p2p: u16,
    pub metrics: u16,
}

/// What a person chooses of a new network.
#[derive(Clone, Debug)]
pub struct Choice {
    pub validators: usize,
    pub http: u16,
    pub p2p: u16,
    pub metrics: u16,
    pub chain_id: u64,
    pub fees: Fees,
}

impl NodeEntry {
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.http)
    }

    pub fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.metrics)
    }
}

impl Layout {
    pub fn exists(dir: &Path) -> bool {
        file(dir).exists()
    }

    pub fn read(dir: &Path) -> Result<Layout> {
        let path = file(dir);
        let text = fs::read_to_string(&path)
            .wrap_err_with(|| format!("there is no network in {}; make one with: lonja network up", dir.display()))?;
        let layout: Layout =
            serde_json::from_str(&text).wrap_err_with(|| format!("{} is not usable", path.display()))?;
        Ok(Layout { dir: dir.canonicalize()?, ..layout })
    }

    /// Makes the keys, the genesis and the nodes' directories; `network.json` comes last, so that a network that has
    /// it is whole.
    pub fn create(dir: &Path, choice: &Choice) -> Result<Layout> {
        if choice.validators == 0 || choice.validators > VALIDATORS_MAX {
            return Err(eyre!("{} validators: choose 1 to {VALIDATORS_MAX}", choice.validators));
        }
        let nodes = (0..choice.validators).map(|index| entry(choice, index)).collect::<Result<Vec<_>>>()?;
        fs::create_dir_all(dir).wrap_err_with(|| format!("cannot make {}", dir.display()))?;
        let layout = Layout { dir: dir.canonicalize()?, chain_id: choice.chain_id, nodes };
        let keys = layout.nodes.iter().map(|_| Ok(NodeKey::from_seed(random()?))).collect::<Result<Vec<_>>>()?;
        let genesis = layout.genesis(choice, &keys)?;
        if let Some(node) = layout.nodes.iter().find(|node| layout.folder(node).path().exists()) {
            let path = layout.folder(node).path().display().to_string();
            return Err(eyre!("{path} is there already, but no network.json; choose another --dir, or delete it"));
        }
        for (node, key) in layout.nodes.iter().zip(&keys) {
            if let Err(error) = layout.write_node(node, key, &keys, &genesis) {
                layout.nodes.iter().for_each(|node| drop(fs::remove_dir_all(layout.folder(node).path())));
                return Err(error);
            }
        }
        let text = serde_json::to_string_pretty(&layout)?;
        fs::write(file(dir), text).wrap_err_with(|| format!("cannot write {}", file(dir).display()))?;
        Ok(layout)
    }

    /// The node's data directory.
    pub fn folder(&self, node: &NodeEntry) -> DataDir {
        DataDir::new(&self.dir.join(&node.name))
    }

    /// Deletes what `create` made, and nothing else: the directory may hold other things.
    pub fn delete(&self) -> Result<()> {
        for node in &self.nodes {
            let folder = self.dir.join(&node.name);
            if folder.exists() {
                fs::remove_dir_all(&folder).wrap_err_with(|| format!("cannot delete {}", folder.display()))?;
            }
        }
        fs::remove_file(file(&self.dir)).wrap_err("cannot delete network.json")?; // last: what has it can be deleted again
        let _ = fs::remove_dir(&self.dir); // only when nothing else is in it
        Ok(())
    }

    fn genesis(&self, choice: &Choice, keys: &[NodeKey]) -> Result<Genesis> {
        let validator = |(node, key): (&NodeEntry, &NodeKey)| Validator {
            name: node.name.clone(),
            key: key.public(),
            beneficiary: Address::ZERO,
        };
        let validators = self.nodes.iter().zip(keys).map(validator).collect();
        let account = |index| AccountKey::from_mnemonic(DEV_MNEMONIC, index).map(|key| key.address());
        let template = GenesisTemplate {
            chain_id: choice.chain_id,
            timestamp: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()).saturating_sub(60),
            fees: choice.fees.into(),
            consensus: ConsensusConfig::Simplex(SimplexConfig::new(validators)),
            funded: (0..FUNDED_ACCOUNTS).map(account).collect::<Result<_, _>>()?,
            ..Default::default()
        };
        Ok(template.build()?)
    }

    fn write_node(&self, node: &NodeEntry, key: &NodeKey, keys: &[NodeKey], genesis: &Genesis) -> Result<()> {
        let peer = |(other, key): (&NodeEntry, &NodeKey)| Peer {
            key: format!("0x{}", key.public()),
            address: format!("127.0.0.1:{}", other.p2p),
        };
        let peers = self.nodes.iter().zip(keys).filter(|(other, _)| other.name != node.name).map(peer).collect();
        let settings = Settings {
            http: Http { port: node.http, ..Default::default() },
            p2p: P2p { port: node.p2p, peers, ..Default::default() },
            metrics: Endpoint { port: node.metrics, ..Default::default() },
            ..Default::default()
        };
        let folder = self.folder(node);
        folder.write_new(&folder.genesis(), &genesis.to_json())?;
        folder.write_new(&folder.config(), &configuration(&settings)?)?;
        key.save(&folder.node_key())?;
        Ok(())
    }
}

impl From<Fees> for FeeMode {
    fn from(fees: Fees) -> FeeMode {
        match fees {
            Fees::Free => FeeMode::Free,
            Fees::Eip1559 => FeeMode::Eip1559,
        }
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("network.json")
}

fn entry(choice: &Choice, index: usize) -> Result<NodeEntry> {
    let port = |base: u16| {
        let port = u16::try_from(index).ok().and_then(|index| base.checked_add(index));
        port.ok_or_else(|| eyre!("port {base} + {index} is above 65535"))
    };
    Ok(NodeEntry {
        name: format!("validator-{index}"),
        http: port(choice.http)?,
        p2p: port(choice.p2p)?,
        metrics: port(choice.metrics)?,
    })
}
