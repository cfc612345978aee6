//! One machine of a cluster: what survives a crash, and the node that runs on it.

use super::disk::Disk;
use chain::Chain;
use commonware_cryptography::Signer as _;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey};
use commonware_p2p::simulated::Oracle;
use commonware_p2p::utils::mux;
use commonware_runtime::{Clock, Handle, Spawner as _, Supervisor as _, deterministic};
use commonware_utils::channel::watch;
use consensus::simplex::{self, watermark};
use consensus::status::{self, Status};
use execution::Rules;
use ledger::Ledger;
use network::presence::{self, Presence};
use network::{Channels, Quotas, Transport};
use rand_core::Rng as _;
use std::sync::Arc;
use std::time::Duration;
use types::Genesis;

pub type Context = deterministic::Context;

pub struct Machine {
    pub key: PrivateKey,
    pub disk: Disk,
    pub watermark: watermark::Memory,
    /// Prefix of the engine's files; another one is an engine directory that was wiped.
    pub partition: String,
    pub node: Option<Node>,
}

pub struct Node {
    pub chain: Chain,
    pub status: watch::Receiver<Status>,
    pub presence: watch::Receiver<Presence>,
    task: Handle<()>,
}

impl Machine {
    pub fn new(index: usize, key: PrivateKey) -> Machine {
        let partition = format!("machine-{index}");
        Machine { key, disk: Disk::default(), watermark: Default::default(), partition, node: None }
    }

    pub fn public(&self) -> PublicKey {
        self.key.public_key()
    }

    pub fn chain(&self) -> &Chain {
        &self.node.as_ref().expect("the node runs").chain
    }

    pub fn status(&self) -> Status {
        self.node.as_ref().expect("the node runs").status.borrow().clone()
    }

    pub async fn start(&mut self, context: &Context, oracle: &Oracle<PublicKey, Context>, genesis: &Genesis) {
        let ledger = Ledger::open_on(self.disk.backend(), genesis, small()).unwrap();
        let chain = Chain::new(ledger, Rules::new(genesis).unwrap(), Default::default());
        let (publisher, status) = status::channel();
        let (presence_sender, presence) = watch::channel(Presence::default());
        let (committee, connected) = watch::channel(0);
        let members = simplex::Committee::of(genesis).unwrap();
        let outputs = presence::Outputs {
            presence: presence_sender,
            committee,
            members: members.members().iter().cloned().collect(),
        };
        let options = simplex::Options {
            genesis: genesis.clone(),
            key: self.key.clone(),
            partition: self.partition.clone(),
            watermark: Arc::new(self.watermark.clone()),
            connected,
            status: publisher,
        };
        let channels = self.channels(oracle).await;
        let (control, manager) = (oracle.control(self.public()), oracle.manager());
        let (chain_of_task, heard, ledger_id) = (chain.clone(), presence.clone(), genesis.ledger_id().channel());
        let name = self.partition.clone();
        let task = context.child("machine").with_attribute("name", &name).spawn(move |context| async move {
            let mut transport =
                Transport::new(&context, manager, control, channels, mux::prefixed(message_bytes_max()));
            let channels = transport.ledger(ledger_id).await.unwrap();
            let gossip =
                network::gossip::start(context.child("gossip"), chain_of_task.clone(), channels.transactions, heard);
            let presence = context.child("presence");
            let presence = presence.spawn(move |context| presence::run(context, channels.presence, outputs));
            let network = simplex::Network {
                provider: transport.provider,
                blocker: transport.blocker,
                votes: channels.votes,
                certificates: channels.certificates,
                resolver: channels.resolver,
                backfill: channels.backfill,
                blocks: channels.blocks,
            };
            let engine = context.child("engine");
            let ended = engine.spawn(move |context| simplex::run(context, options, chain_of_task, network)).await;
            drop((gossip, presence));
            panic!("{name} ended: {ended:?}");
        });
        self.node = Some(Node { chain, status, presence, task });
    }

    async fn channels(
        &self,
        oracle: &Oracle<PublicKey, Context>,
    ) -> Channels<commonware_p2p::simulated::Sender<PublicKey, Context>, commonware_p2p::simulated::Receiver<PublicKey>>
    {
        let control = oracle.control(self.public());
        let mut opened = Vec::new();
        for (number, quota) in Quotas::ALL {
            opened.push(control.register(number, quota()).await.unwrap());
        }
        let mut opened = opened.into_iter();
        Channels::register(|_, _| opened.next().unwrap())
    }

    /// Cuts the power: what was not synced is lost, or not, as chance has it.
    pub fn crash(&mut self, context: &mut Context) {
        self.disk = self.disk.after_power_loss(|| context.next_u32().is_multiple_of(2));
        if let Some(node) = self.node.take() {
            node.task.abort();
        }
    }

    pub async fn wait_until(&self, context: &Context, what: &str, reached: impl Fn(&Machine) -> bool) {
        for _ in 0..6_000 {
            if reached(self) {
                return;
            }
            context.sleep(Duration::from_millis(10)).await;
        }
        panic!("{}: not within a minute: {what}; {:?}", self.partition, self.status());
    }
}

pub fn message_bytes_max() -> usize {
    simplex::message_bytes_max().max(network::gossip::message_bytes_max())
}

fn small() -> ledger::Options {
    ledger::Options { cache_bytes: 8 * 1024 * 1024, ..Default::default() }
}
