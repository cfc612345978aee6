//! A cluster under a seed.

use super::machine::{Context, Machine};
use commonware_cryptography::Signer as _;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey};
use commonware_p2p::Manager as _;
use commonware_p2p::simulated::{Config, Link, Network, Oracle};
use commonware_p2p::utils::mux;
use commonware_runtime::{Clock as _, Runner as _, Supervisor as _, deterministic};
use commonware_utils::{NZUsize, ordered::Set, probability};
use crypto::{AccountKey, DEV_MNEMONIC};
use std::future::Future;
use std::time::{Duration, UNIX_EPOCH};
use types::{Address, B256, ConsensusConfig, FeeMode, Genesis, GenesisTemplate, SimplexConfig, TxHash, Validator};

pub struct Simulation {
    pub context: Context,
    pub oracle: Oracle<PublicKey, Context>,
    pub genesis: Genesis,
    pub machines: Vec<Machine>,
}

/// What a run ends with. Two runs of one seed end with the same.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    pub heads: Vec<(u64, B256)>,
    pub state_roots: Vec<B256>,
    pub images: Vec<B256>,
}

/// Runs `scenario` on four machines; returns its result and the state of the runtime's auditor, which has seen every
/// event in its order.
pub fn run<T, F, Fut>(seed: u64, epoch_length: u64, scenario: F) -> (T, String)
where
    F: FnOnce(Simulation) -> Fut,
    Fut: Future<Output = T>,
{
    let config = deterministic::Config::new()
        .with_seed(seed)
        .with_cycle(Duration::from_micros(50))
        .with_start_time(UNIX_EPOCH + Duration::from_secs(1_800_000_000))
        .with_timeout(Some(Duration::from_secs(3_600)));
    deterministic::Runner::new(config).start(|context| async move {
        let auditor = context.auditor();
        let simulation = Simulation::new(context, epoch_length).await;
        let result = scenario(simulation).await;
        (result, auditor.state())
    })
}

impl Simulation {
    async fn new(context: Context, epoch_length: u64) -> Simulation {
        let keys: Vec<_> = (1..=4).map(PrivateKey::from_seed).collect();
        let genesis = genesis(&keys, epoch_length);
        let max_size = u32::try_from(mux::prefixed(super::machine::message_bytes_max())).unwrap();
        let config = Config {
            max_size,
            max_peers_per_set: NZUsize!(8),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(2),
        };
        let (network, oracle) = Network::new(context.child("network"), config);
        network.start();
        let publics: Vec<_> = keys.iter().map(PrivateKey::public_key).collect();
        oracle.manager().track(0, Set::from_iter_dedup(publics.clone()));
        for from in &publics {
            for to in publics.iter().filter(|to| *to != from) {
                oracle.add_link(from.clone(), to.clone(), link()).await.unwrap();
            }
        }
        let machines = keys.into_iter().enumerate().map(|(index, key)| Machine::new(index, key)).collect();
        let mut simulation = Simulation { context, oracle, genesis, machines };
        for index in 0..4 {
            simulation.start(index).await;
        }
        simulation
    }

    pub async fn start(&mut self, index: usize) {
        self.machines[index].start(&self.context, &self.oracle, &self.genesis).await;
    }

    pub fn crash(&mut self, index: usize) {
        self.machines[index].crash(&mut self.context);
    }

    pub async fn sleep(&self, duration: Duration) {
        self.context.sleep(duration).await;
    }

    pub fn running(&self) -> Vec<usize> {
        (0..self.machines.len()).filter(|index| self.machines[*index].node.is_some()).collect()
    }

    pub fn heights(&self) -> Vec<u64> {
        self.running().into_iter().map(|index| self.machines[index].chain().finalized().number).collect()
    }

    pub fn is_final_everywhere(&self, hash: &TxHash) -> bool {
        self.running().into_iter().all(|index| {
            let snapshot = self.machines[index].chain().ledger().snapshot().unwrap();
            snapshot.transaction(*hash).unwrap().is_some()
        })
    }

    pub async fn wait_for_height(&self, index: usize, height: u64) {
        let machine = &self.machines[index];
        machine
            .wait_until(&self.context, &format!("height {height}"), |machine| {
                machine.chain().finalized().number >= height
            })
            .await;
    }

    /// Waits until all machines have the same head.
    pub async fn settle(&self) {
        for _ in 0..3_000 {
            let heights = self.heights();
            if heights.iter().all(|height| *height == heights[0]) {
                return;
            }
            self.sleep(Duration::from_millis(20)).await;
        }
        panic!("heads differ for a minute: {:?}", self.heights());
    }

    /// Every certificate of every machine verifies, every block follows the one before, and all chains are one.
    pub fn check_ledgers(&self) {
        let mut first: Vec<B256> = Vec::new();
        for (at, index) in self.running().into_iter().enumerate() {
            let machine = &self.machines[index];
            assert_eq!(machine.status().faults, 0, "someone contradicted itself");
            let snapshot = machine.chain().ledger().snapshot().unwrap();
            let mut hashes = Vec::new();
            for height in 0..=snapshot.finalized().number {
                let header = snapshot.header(height).unwrap().unwrap();
                if let Some(parent) = hashes.last() {
                    assert_eq!(header.parent_hash, *parent);
                }
                hashes.push(header.hash());
                if let Some(finality) = snapshot.finality(height).unwrap() {
                    assert_eq!(finality.block_hash, header.hash());
                    consensus::verify_finality(&self.genesis, &finality).unwrap();
                }
            }
            let shared = hashes.len().min(first.len());
            assert_eq!(hashes[..shared], first[..shared], "machine {index} has another chain");
            if at == 0 || hashes.len() > first.len() {
                first = hashes;
            }
        }
    }

    pub fn end(&self) -> End {
        let finalized: Vec<_> = self.machines.iter().map(|machine| machine.chain().finalized()).collect();
        End {
            heads: finalized.iter().map(|header| (header.number, header.hash())).collect(),
            state_roots: finalized.iter().map(|header| header.state_root).collect(),
            images: self.machines.iter().map(|machine| machine.disk.image_hash()).collect(),
        }
    }
}

fn link() -> Link {
    Link { latency: Duration::from_millis(10), jitter: Duration::from_millis(2), success_rate: probability!(1.0) }
}

fn genesis(keys: &[PrivateKey], epoch_length: u64) -> Genesis {
    let validator = |(index, key): (usize, &PrivateKey)| Validator {
        name: format!("validator-{index}"),
        key: key.public_key(),
        beneficiary: Address::repeat_byte(index as u8 + 1),
    };
    let validators = keys.iter().enumerate().map(validator).collect();
    let funded = (0..10).map(|index| AccountKey::from_mnemonic(DEV_MNEMONIC, index).unwrap().address()).collect();
    let simplex = SimplexConfig { epoch_length, ..SimplexConfig::new(validators) };
    let template = GenesisTemplate {
        fees: FeeMode::Free,
        consensus: ConsensusConfig::Simplex(simplex),
        funded,
        ..Default::default()
    };
    template.build().unwrap()
}
