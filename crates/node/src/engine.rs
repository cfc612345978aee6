//! The consensus engine and the peer network on a thread and a runtime of their own, so that no client can delay a vote.
//!
//! D3.1 6.1.5, 6.1.2. This is the one place where a genesis chooses an engine.

use chain::Chain;
use commonware_runtime::{Metrics, Runner as _, Spawner, Supervisor, tokio as runtime};
use consensus::simplex::{self, watermark::Files};
use consensus::status::Publisher;
use consensus::{Status, dev};
use crypto::NodeKey;
use eyre::{Result, WrapErr, eyre};
use network::presence::{self, Presence};
use network::{Peer, gossip};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use types::{Address, ConsensusConfig, Genesis};

/// Threads of the engine's runtime. Two suffice for the busiest committee; the chain's work has threads of its own.
const WORKERS: usize = 2;
/// The engine's metrics stand apart from the node's by this prefix.
const LABEL: &str = "engine";

/// What the engine needs of the node.
pub struct Options {
    pub genesis: Genesis,
    pub key: NodeKey,
    /// Where peers connect.
    pub listen: SocketAddr,
    pub peers: Vec<Peer>,
    /// The engine's own journal.
    pub directory: PathBuf,
    /// The last-signed watermark, apart from the journal.
    pub watermark: PathBuf,
}

/// A running engine.
pub struct Engine {
    pub status: watch::Receiver<Status>,
    pub presence: watch::Receiver<Presence>,
    /// The runtime's metrics as Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Says why the engine ended; closed without a word when it panicked.
    pub ended: oneshot::Receiver<eyre::Report>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What the engine's thread writes to.
struct Outputs {
    status: Publisher,
    presence: watch::Sender<Presence>,
    stop: oneshot::Receiver<()>,
}

/// Starts the engine that the genesis names, on a thread of its own.
pub fn start(options: Options, chain: Chain) -> Result<Engine> {
    let (status, status_receiver) = consensus::status::channel();
    let (presence, presence_receiver) = watch::channel(Presence::default());
    let (stop, stop_receiver) = oneshot::channel();
    let (ended, ended_receiver) = oneshot::channel();
    let (ready, is_ready) = std::sync::mpsc::channel::<Arc<dyn Fn() -> String + Send + Sync>>();
    let outputs = Outputs { status, presence, stop: stop_receiver };
    std::fs::create_dir_all(&options.directory)
        .wrap_err_with(|| format!("cannot make {}", options.directory.display()))?;
    let config = runtime::Config::new()
        .with_worker_threads(WORKERS)
        .with_tcp_nodelay(Some(true))
        .with_catch_panics(false)
        .with_storage_directory(&options.directory);
    let thread = std::thread::Builder::new().name("engine".into()).spawn(move || {
        runtime::Runner::new(config).start(|context| async move {
            let metrics = context.child("metrics");
            let _ = ready.send(Arc::new(move || metrics.encode()));
            if let Some(report) = run(context, options, chain, outputs).await {
                let _ = ended.send(report);
            }
        });
    });
    let thread = thread.wrap_err("cannot start the engine's thread")?;
    let metrics = is_ready.recv().map_err(|_| eyre!("the engine's runtime did not start"))?;
    Ok(Engine {
        status: status_receiver,
        presence: presence_receiver,
        metrics,
        ended: ended_receiver,
        stop: Some(stop),
        thread: Some(thread),
    })
}

impl Drop for Engine {
    /// Stops the engine and waits until its files are closed.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic was reported when it happened
        }
    }
}

/// Runs until the engine ends, which is an error, or until it is told to stop, which is not.
async fn run(context: runtime::Context, options: Options, chain: Chain, outputs: Outputs) -> Option<eyre::Report> {
    let Outputs { status, presence, stop } = outputs;
    let engine = async {
        match options.genesis.lonja.consensus.clone() {
            ConsensusConfig::Dev { block_period_ms } => seal(context, block_period_ms, chain, status).await,
            ConsensusConfig::Simplex(_) => agree(context, options, chain, status, presence).await,
        }
    };
    tokio::select! {
        ended = engine => Some(ended),
        _ = stop => None,
    }
}

fn seal(
    context: runtime::Context,
    block_period_ms: u64,
    chain: Chain,
    status: Publisher,
) -> impl Future<Output = eyre::Report> {
    let (_, demands) = mpsc::channel(1);
    let options = dev::Options { block_period_ms, beneficiary: Address::ZERO, demands, status };
    async move { dev::run(context, options, chain).await.into() }
}

/// The committee's engine on the peer network.
async fn agree(
    context: runtime::Context,
    options: Options,
    chain: Chain,
    status: Publisher,
    presence: watch::Sender<Presence>,
) -> eyre::Report {
    match connect_and_agree(context, options, chain, status, presence).await {
        Ok(report) | Err(report) => report,
    }
}

async fn connect_and_agree(
    context: runtime::Context,
    options: Options,
    chain: Chain,
    status: Publisher,
    presence: watch::Sender<Presence>,
) -> Result<eyre::Report> {
    let ledger = options.genesis.ledger_id();
    let message_bytes_max = simplex::message_bytes_max().max(gossip::message_bytes_max());
    let (mut transport, connections) = network::open(
        context.child("network"),
        network::Options {
            key: options.key.signer().clone(),
            namespace: [b"lonja/".as_slice(), ledger.hash().as_slice()].concat(),
            listen: options.listen,
            peers: options.peers,
            message_bytes_max,
        },
    )?;
    let channels = transport.ledger(ledger.channel()).await?;
    let (committee, connected) = watch::channel(0);
    let members = members(&options.genesis);
    let outputs = presence::Outputs { presence: presence.clone(), committee, members };
    let present = context.child("presence").spawn(|context| presence::run(context, channels.presence, outputs));
    let gossip = gossip::start(context.child("gossip"), chain.clone(), channels.transactions, presence.subscribe());
    let network = simplex::Network {
        provider: transport.provider,
        blocker: transport.blocker,
        votes: channels.votes,
        certificates: channels.certificates,
        resolver: channels.resolver,
        backfill: channels.backfill,
        blocks: channels.blocks,
    };
    let engine_options = simplex::Options {
        genesis: options.genesis,
        key: options.key.signer().clone(),
        partition: "simplex".into(),
        watermark: Arc::new(Files::new(&options.watermark)),
        connected,
        status,
    };
    let engine = simplex::run(context.child(LABEL), engine_options, chain, network);
    Ok(tokio::select! {
        ended = engine => ended.into(),
        _ = connections => eyre!("the peer network has ended"),
        _ = present => eyre!("the presence channel has closed"),
        _ = gossip => eyre!("the gossip channel has closed"),
    })
}

fn members(genesis: &Genesis) -> std::collections::BTreeSet<crypto::NodePublicKey> {
    match &genesis.lonja.consensus {
        ConsensusConfig::Dev { .. } => Default::default(),
        ConsensusConfig::Simplex(simplex) => simplex.validators.iter().map(|validator| validator.key.clone()).collect(),
    }
}
