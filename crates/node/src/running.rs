//! A running node: ledger, chain, engine, interfaces, in the order in which they need each other.
//!
//! ```text
//!   thread "engine"      consensus and peers      its own runtime
//!   thread "execution"   propose, verify, finalize (the engine's lane)
//!   this runtime         JSON-RPC, metrics, health
//! ```

use crate::config::Settings;
use crate::data_dir::DataDir;
use crate::engine::{self, Engine};
use crate::telemetry::{self, Sources};
use chain::Chain;
use crypto::{AccountKey, NodeKey, NodePublicKey};
use execution::Rules;
use eyre::{Result, WrapErr, eyre};
use ledger::{Ledger, OpenError};
use network::Peer;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use types::{ConsensusConfig, Genesis};

/// A process that was killed leaves its lock and its port for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const PORT_PATIENCE: Duration = Duration::from_secs(3);
/// How much clients' threads give way, on the system's scale of 0 to 19.
const CLIENT_NICENESS: i32 = 5;
/// Open files: the engine keeps one a view, each client one.
const OPEN_FILES: u64 = 65_536;

/// What a node is started with.
pub struct Plan {
    pub settings: Settings,
    pub genesis: Genesis,
    pub key: NodeKey,
    /// Accounts that JSON-RPC may sign with; for development only.
    pub signers: Vec<AccountKey>,
    pub store: Store,
    pub dir: DataDir,
}

/// Where the ledger is kept.
pub enum Store {
    /// In the data directory.
    Disk,
    /// In memory, gone with the process.
    Memory,
}

/// Runs a node until it is told to stop; `ready` is called when it serves.
pub fn run(plan: Plan, ready: impl FnOnce(&Plan)) -> Result<()> {
    raise_open_files();
    wait_for_ports(&plan.settings)?;
    let recorder = telemetry::metrics()?;
    let runtime = client_runtime()?;
    let chain = open_chain(&plan)?;
    let engine = start_engine(&plan, &chain)?;
    let outcome = runtime.block_on(async {
        let mut engine = engine;
        let sources = Sources {
            recorder,
            chain: chain.clone(),
            engine: engine.status.clone(),
            engine_metrics: engine.metrics.clone(),
        };
        telemetry::serve(plan.settings.metrics.address(), sources).await?;
        let server = rpc::serve(rpc_options(&plan), vec![ledger_api(&plan, &chain, &engine)]).await?;
        tracing::info!(http = %server.local_addr(), height = chain.finalized().number, "node is serving");
        ready(&plan);
        let outcome = tokio::select! {
            _ = stop_signal() => Ok(()),
            ended = &mut engine.ended => Err(ended.unwrap_or_else(|_| eyre!("the engine panicked; see the log above"))),
        };
        tracing::info!("stopping");
        server.stop().await;
        outcome.map(|()| engine)
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome.map(drop)
}

/// Where clients are served. Its threads, those of the lanes included, give way to agreement where cores are few.
fn client_runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_name("rpc").enable_all();
    builder.on_thread_start(|| {
        let _ = rustix::process::setpriority_process(None, CLIENT_NICENESS); // without it, it is only less fair
    });
    builder.build().wrap_err("cannot start the clients' runtime")
}

/// Ctrl-C, or what a supervisor sends.
pub async fn stop_signal() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return; // without signals nobody could stop us
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Makes sure that the ports are free before anything else is started.
fn wait_for_ports(settings: &Settings) -> Result<()> {
    wait_for_port(settings.http.address(), "--http-port")?;
    wait_for_port(settings.p2p.address(), "--p2p-port")?;
    wait_for_port(settings.metrics.address(), "--metrics-port")
}

/// Waits a moment for a port that a process which has just ended still holds.
pub fn wait_for_port(address: SocketAddr, flag: &str) -> Result<()> {
    let begin = Instant::now();
    loop {
        match TcpListener::bind(address) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::AddrInUse && begin.elapsed() < PORT_PATIENCE => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => {
                let what = format!("cannot listen at {address}; choose another port with {flag}, or stop who has it");
                return Err(error).wrap_err(what);
            }
        }
    }
}

fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        if setrlimit(Resource::Nofile, limit).is_err() {
            tracing::warn!(wanted, "cannot raise the limit of open files");
        }
    }
}

fn open_chain(plan: &Plan) -> Result<Chain> {
    let options = plan.settings.ledger.options()?;
    let rules = Rules::new(&plan.genesis).wrap_err("the genesis cannot be run")?;
    let ledger = match plan.store {
        Store::Memory => Ledger::open_on(redb::backends::InMemoryBackend::new(), &plan.genesis, options)?,
        Store::Disk => {
            let path = plan.dir.ledger(&plan.genesis.lonja.ledger);
            open_patiently(|| Ledger::open(&path, &plan.genesis, options.clone()))
                .wrap_err_with(|| format!("cannot open the ledger in {}", path.display()))?
        }
    };
    Ok(Chain::new(ledger, rules, chain::Options { pool: plan.settings.pool.limits() }))
}

fn open_patiently(open: impl Fn() -> Result<Ledger, OpenError>) -> Result<Ledger, OpenError> {
    let begin = Instant::now();
    loop {
        match open() {
            Err(OpenError::Locked) if begin.elapsed() < LOCK_PATIENCE => std::thread::sleep(Duration::from_millis(50)),
            outcome => return outcome,
        }
    }
}

fn start_engine(plan: &Plan, chain: &Chain) -> Result<Engine> {
    let peer = |peer: &crate::config::Peer| -> Result<Peer> {
        let key =
            crypto::parse_public_key(&peer.key).wrap_err_with(|| format!("p2p.peers has the key {:?}", peer.key))?;
        let address = peer.address.parse().wrap_err("p2p.peers is wrong")?;
        Ok(Peer { key, address })
    };
    let options = engine::Options {
        genesis: plan.genesis.clone(),
        key: plan.key.clone(),
        listen: plan.settings.p2p.address(),
        peers: plan.settings.p2p.peers.iter().map(peer).collect::<Result<_>>()?,
        directory: plan.dir.engine(&plan.genesis.lonja.ledger),
        watermark: plan.dir.watermark(&plan.genesis.lonja.ledger),
    };
    engine::start(options, chain.clone())
}

fn rpc_options(plan: &Plan) -> rpc::Options {
    let http = &plan.settings.http;
    rpc::Options {
        listen: http.address(),
        cors: http.cors.clone(),
        hosts: http.hosts.clone(),
        read_only: plan.settings.read_only,
        ..Default::default()
    }
}

fn ledger_api(plan: &Plan, chain: &Chain, engine: &Engine) -> rpc::LedgerApi {
    rpc::LedgerApi {
        name: plan.genesis.lonja.ledger.clone(),
        chain: chain.clone(),
        signers: plan.signers.clone(),
        status: follow_status(plan, engine),
    }
}

/// Translates what the engine and the network say of themselves for JSON-RPC.
fn follow_status(plan: &Plan, engine: &Engine) -> watch::Receiver<rpc::Status> {
    let names: BTreeMap<NodePublicKey, String> = match &plan.genesis.lonja.consensus {
        ConsensusConfig::Dev { .. } => BTreeMap::new(),
        ConsensusConfig::Simplex(simplex) => {
            simplex.validators.iter().map(|validator| (validator.key.clone(), validator.name.clone())).collect()
        }
    };
    let engine_name = if names.is_empty() { "dev" } else { "simplex" };
    let node = names.get(&plan.key.public()).cloned();
    let (mut status, mut presence) = (engine.status.clone(), engine.presence.clone());
    let translate = move |status: &consensus::Status, presence: &network::presence::Presence| rpc::Status {
        node: node.clone(),
        engine: engine_name.into(),
        epoch: status.epoch,
        view: status.view,
        validators: status.committee.iter().map(|member| member.name.clone()).collect(),
        peers: presence.peers.iter().map(|key| names.get(key).cloned().unwrap_or_else(|| key.to_string())).collect(),
        behind: None,
    };
    let (sender, receiver) = watch::channel(translate(&status.borrow(), &presence.borrow()));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                changed = presence.changed() => if changed.is_err() { return },
            }
            let translated = translate(&status.borrow_and_update(), &presence.borrow_and_update());
            sender.send_replace(translated);
        }
    });
    receiver
}
