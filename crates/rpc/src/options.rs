//! What the interface is told by the node: where to listen, whom to serve, and how much of everything.
//!
//! D3.1 6.3.1. Every limit on what a stranger may send or ask is a named field here, with its unit.

use crate::lane::LaneLimits;
use chain::Chain;
use crypto::AccountKey;
use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::watch;

/// The port that Ethereum tools expect.
pub const DEFAULT_PORT: u16 = 8545;

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where HTTP and WebSocket are served.
    pub listen: SocketAddr,
    /// Origins of web pages that may call; `*` is any. Empty: no page may.
    pub cors: Vec<String>,
    /// `Host` names that are answered; `*` is any. Loopback names and addresses are always answered, so that a page
    /// which rebinds its own name to this machine is not.
    pub hosts: Vec<String>,
    /// Refuses transactions.
    pub read_only: bool,
    /// What `web3_clientVersion` says.
    pub client_version: String,
    /// How much of everything.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            cors: Vec::new(),
            hosts: Vec::new(),
            read_only: false,
            client_version: concat!("lonja/v", env!("CARGO_PKG_VERSION")).to_string(),
            limits: Limits::default(),
        }
    }
}

/// One ledger that is served, at `/ledger/NAME`; the first of the list also at `/`.
#[derive(Clone, Debug)]
pub struct LedgerApi {
    /// The path's last part.
    pub name: String,
    /// What answers.
    pub chain: Chain,
    /// Keys that `eth_sendTransaction` and `eth_accounts` may use. For development only: whoever reaches the port
    /// can spend from them.
    pub signers: Vec<AccountKey>,
    /// What the node knows of itself and the chain does not.
    pub status: watch::Receiver<Status>,
}

/// The node's view of its own place in the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Name of this node among the validators, if it is one.
    pub node: Option<String>,
    /// Which engine orders blocks.
    pub engine: String,
    /// Current epoch.
    pub epoch: u64,
    /// Current view.
    pub view: u64,
    /// The committee of the epoch.
    pub validators: Vec<String>,
    /// Names or keys of the connected peers.
    pub peers: Vec<String>,
    /// The highest height known to be final elsewhere, while this node is behind it.
    pub behind: Option<u64>,
}

/// Bounds on what is accepted, computed and kept.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open TCP connections.
    pub connections: usize,
    /// One request's body, batch or not.
    pub body_bytes: u32,
    /// All request bodies above [`Limits::SMALL_BODY_BYTES`] that are in memory at once.
    pub bodies_bytes: usize,
    /// One response, batch or not.
    pub response_bytes: u32,
    /// Calls in one batch.
    pub batch_calls: u32,
    /// Nested arrays and objects in one call's parameters.
    pub depth: usize,
    /// Calls of one WebSocket connection that are being answered at once.
    pub connection_calls: usize,
    /// From the first to the last byte of one HTTP exchange.
    pub request_deadline: Duration,
    /// For all the calls of one batch together.
    pub batch_deadline: Duration,
    /// A client that reads nothing for so long is disconnected.
    pub write_stall: Duration,
    /// Subscriptions of one connection.
    pub subscriptions: u32,
    /// Subscriptions of all connections to one ledger.
    pub subscriptions_all: usize,
    /// Messages kept for one WebSocket connection that has not read them.
    pub unread_messages: u32,
    /// Filters of all clients of one ledger.
    pub filters: usize,
    /// A filter that nobody asks about is forgotten.
    pub filter_idle: Duration,
    /// Blocks that one log query may name.
    pub log_blocks: u64,
    /// Logs that one log query may answer.
    pub log_results: usize,
    /// Addresses and topics that one log query may name.
    pub log_terms: usize,
    /// Storage slots that one proof may cover.
    pub proof_slots: usize,
    /// Gas of one call, estimate, simulation or trace, whatever the request says.
    pub call_gas: u64,
    /// Calls of one simulation.
    pub simulate_calls: usize,
    /// Memory that the traces of one request may take.
    pub trace_bytes: usize,
    /// Blocks of one fee history.
    pub fee_blocks: u64,
    /// `eth_sendRawTransactionSync` calls that are waiting.
    pub sync_waits: usize,
    /// How long `eth_sendRawTransactionSync` waits when the caller does not say.
    pub sync_timeout: Duration,
    /// The longest that a caller may ask it to wait.
    pub sync_timeout_max: Duration,
    /// Reads of one account, block or transaction.
    pub read: LaneLimits,
    /// Executions: call, estimate, access list, simulation.
    pub execute: LaneLimits,
    /// Log queries and proofs.
    pub scan: LaneLimits,
    /// Traces.
    pub trace: LaneLimits,
    /// Submissions.
    pub submit: LaneLimits,
}

impl Limits {
    /// Bodies up to this size are not counted against [`Limits::bodies_bytes`].
    pub const SMALL_BODY_BYTES: usize = 64 * KIB;
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

impl Default for Limits {
    fn default() -> Limits {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let lane =
            |concurrency, queue, seconds| LaneLimits { concurrency, queue, deadline: Duration::from_secs(seconds) };
        Limits {
            connections: 1_000,
            body_bytes: 5 * MIB as u32,
            bodies_bytes: 256 * MIB,
            response_bytes: 25 * MIB as u32,
            batch_calls: 1_000,
            depth: 48,
            connection_calls: 1_000,
            request_deadline: Duration::from_secs(90),
            batch_deadline: Duration::from_secs(60),
            write_stall: Duration::from_secs(20),
            subscriptions: 128,
            subscriptions_all: 10_000,
            unread_messages: 256,
            filters: 1_000,
            filter_idle: Duration::from_secs(300),
            log_blocks: 1_000_000,
            log_results: 20_000,
            log_terms: 1_000,
            proof_slots: 1_000,
            call_gas: 50_000_000,
            simulate_calls: 1_000,
            trace_bytes: 128 * MIB,
            fee_blocks: 1_024,
            sync_waits: 4_096,
            sync_timeout: Duration::from_secs(2),
            sync_timeout_max: Duration::from_secs(30),
            read: lane(2 * cores, 4_096, 10),
            execute: lane(cores, 512, 10),
            scan: lane(cores, 64, 20),
            trace: lane(cores.div_ceil(4), 16, 30),
            submit: lane(cores, 4_096, 10),
        }
    }
}
