//! The command line: words, flags, help. What they do stands in `commands`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;

/// A distributed-ledger platform in one program: Ethereum-compatible, final in milliseconds, for consortium networks.
#[derive(Debug, Parser)]
#[command(name = "lonja", version, about, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a single development node with ten funded accounts; each transaction is final at once
    Dev(DevArgs),
    /// Run a whole network of validators on this machine, one process each
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Prepare a data directory: node key, configuration, genesis
    Init(InitArgs),
    /// Run a node from its data directory
    Node(NodeArgs),
    /// Manage the accounts that sign transactions
    #[command(subcommand)]
    Account(AccountCommand),
    /// Manage the key that is a node's identity
    #[command(subcommand)]
    Key(KeyCommand),
    /// Show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

/// Settings that a flag can override. See `lonja config show --origin`.
#[derive(Clone, Debug, Default, Args)]
pub struct SettingArgs {
    /// Address that JSON-RPC listens at [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub http_listen: Option<IpAddr>,
    /// Port of JSON-RPC, HTTP and WebSocket [default: 8545]
    #[arg(long, value_name = "PORT")]
    pub http_port: Option<u16>,
    /// Origin that a browser may call from; repeat for several, * for all
    #[arg(long, value_name = "ORIGIN")]
    pub http_cors: Vec<String>,
    /// Address that peers connect to [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub p2p_listen: Option<IpAddr>,
    /// Port that peers connect to [default: 30303]
    #[arg(long, value_name = "PORT")]
    pub p2p_port: Option<u16>,
    /// Address of metrics and health [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_listen: Option<IpAddr>,
    /// Port of metrics and health [default: 9545]
    #[arg(long, value_name = "PORT")]
    pub metrics_port: Option<u16>,
    /// Blocks whose state stays readable: a number, or "full" [default: full]
    #[arg(long, value_name = "BLOCKS")]
    pub history: Option<String>,
    /// Refuse transactions; answer questions only
    #[arg(long)]
    pub read_only: bool,
    /// Form of the log
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What to log, as in "info,consensus=debug" [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log_level: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Pretty,
    Json,
}

#[derive(Debug, Args)]
pub struct DevArgs {
    /// Keep the ledger here; without it, it is gone with the process
    #[arg(long, value_name = "DIR", env = "LONJA_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// EIP-155 chain id of a new ledger [default: 1337]
    #[arg(long)]
    pub chain_id: Option<u64>,
    /// Who pays what for gas in a new ledger [default: free]
    #[arg(long)]
    pub fees: Option<Fees>,
    /// Milliseconds between blocks of a new ledger; 0 makes each transaction final at once [default: 0]
    #[arg(long, value_name = "MS")]
    pub block_period_ms: Option<u64>,
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// A fee mode on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fees {
    /// Nothing is charged
    Free,
    /// Ethereum's rule
    Eip1559,
}

#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Start the network; makes it when it is not there, resumes it when it is
    Up(UpArgs),
    /// Stop every node of the network; the data stays
    Down(DirArgs),
    /// Show every validator: height, peers, whether it runs
    Status(DirArgs),
    /// Print the nodes' logs
    Logs(LogsArgs),
    /// Stop the network and delete its data
    Reset(ResetArgs),
    /// Kill one node at once, as a power cut would
    Kill(OneArgs),
    /// Start one node that is down
    Start(OneArgs),
}

#[derive(Clone, Debug, Args)]
pub struct DirArgs {
    /// The network's directory
    #[arg(long, value_name = "DIR", default_value = "lonja-network")]
    pub dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct UpArgs {
    #[command(flatten)]
    pub dir: DirArgs,
    /// Validators of a new network [default: 4]
    #[arg(long, value_name = "N")]
    pub validators: Option<usize>,
    /// Node i's JSON-RPC listens at this port + i [default: 8545]
    #[arg(long, value_name = "BASE")]
    pub http_port: Option<u16>,
    /// Node i's peers connect to this port + i [default: 30303]
    #[arg(long, value_name = "BASE")]
    pub p2p_port: Option<u16>,
    /// Node i's metrics are at this port + i [default: 9545]
    #[arg(long, value_name = "BASE")]
    pub metrics_port: Option<u16>,
    /// EIP-155 chain id of a new network [default: 1337]
    #[arg(long)]
    pub chain_id: Option<u64>,
    /// Who pays what for gas in a new network [default: free]
    #[arg(long)]
    pub fees: Option<Fees>,
    /// Leave the nodes running and return when blocks are final
    #[arg(long)]
    pub detach: bool,
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    pub dir: DirArgs,
    /// Only this node
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Last lines of each node
    #[arg(long, short = 'n', default_value_t = 20)]
    pub lines: usize,
    /// Go on printing what is added
    #[arg(long, short = 'f')]
    pub follow: bool,
}

#[derive(Debug, Args)]
pub struct ResetArgs {
    #[command(flatten)]
    pub dir: DirArgs,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct OneArgs {
    /// The node, as `network status` names it
    pub name: String,
    #[command(flatten)]
    pub dir: DirArgs,
}

#[derive(Clone, Debug, Args)]
pub struct DataDirArgs {
    /// The node's data directory
    #[arg(long, value_name = "DIR", env = "LONJA_DATA_DIR", default_value = "lonja-data")]
    pub data_dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    #[command(flatten)]
    pub data: DataDirArgs,
    /// The network's genesis file, geth or Besu style; without it, get it from your consortium and put it there
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct NodeArgs {
    #[command(flatten)]
    pub data: DataDirArgs,
    #[command(flatten)]
    pub settings: SettingArgs,
}

#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Make a new account in a keystore file
    New(AccountArgs),
    /// Put a private key, read from standard input, into a keystore file
    Import(AccountArgs),
    /// List the keystore's accounts
    List(KeystoreArgs),
}

#[derive(Clone, Debug, Args)]
pub struct KeystoreArgs {
    /// Folder of keystore files [default: DATA_DIR/keys/accounts]
    #[arg(long, value_name = "DIR")]
    pub keystore: Option<PathBuf>,
    #[command(flatten)]
    pub data: DataDirArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct AccountArgs {
    #[command(flatten)]
    pub keystore: KeystoreArgs,
    /// File whose first line is the password; without it, the password is asked for
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a node key
    Generate(KeyArgs),
    /// Print the public half of a node key: the node's identity
    Show(KeyArgs),
}

#[derive(Debug, Args)]
pub struct KeyArgs {
    /// The key file [default: DATA_DIR/keys/node.key]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub data: DataDirArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting as the node would use it
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Say where each value comes from
    #[arg(long)]
    pub origin: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub data: DataDirArgs,
    #[command(flatten)]
    pub settings: SettingArgs,
}
