//! The command line.

use crate::endpoint::Endpoint;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Load generator for any Ethereum JSON-RPC node.
#[derive(Parser)]
#[command(name = "bench", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Lone transfers on an idle network, one at a time: how long from sending to the final receipt
    Latency(LatencyOptions),
    /// Many transactions at once, signed beforehand: how long until all are final on every endpoint
    Burst(BurstOptions),
}

/// What every command takes.
#[derive(Args)]
pub struct Common {
    /// JSON-RPC endpoints (http://HOST:PORT), separated by commas
    #[arg(long, value_name = "URL", required = true, value_delimiter = ',')]
    pub rpc: Vec<Endpoint>,
    /// Sender accounts are derived from this word and the run's number
    #[arg(long, default_value = "lonja")]
    pub seed: String,
    /// Another number: other accounts, with no transactions of an earlier run
    #[arg(long, default_value_t = 0)]
    pub run: u64,
    /// Wei that each native transfer carries [default: 1, or 0 where nothing costs and nobody can fund]
    #[arg(long, value_name = "WEI")]
    pub value: Option<u64>,
    /// File with the private key that funds the senders [default: first account of the development mnemonic]
    #[arg(long, value_name = "FILE")]
    pub funder_key_file: Option<PathBuf>,
    /// Give up when nothing has become final for so long
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub timeout: Duration,
    /// Print the results as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct LatencyOptions {
    #[command(flatten)]
    pub common: Common,
    /// Transfers that are measured
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
    /// Transfers before them that are not
    #[arg(long, default_value_t = 3)]
    pub warm_up: u64,
    /// Rest between two transfers
    #[arg(long, default_value_t = 250)]
    pub pause_ms: u64,
    /// Time between two looks at a receipt, where eth_sendRawTransactionSync is missing
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub poll_ms: u64,
}

#[derive(Args)]
pub struct BurstOptions {
    #[command(flatten)]
    pub common: Common,
    /// What the transactions do
    #[arg(long, value_enum)]
    pub workload: Workload,
    /// Transactions
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Accounts that send them, in turn
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub senders: u32,
    /// Transactions in one JSON-RPC batch
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// Batches that one endpoint is answering at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: u32,
    /// Time between two looks at an endpoint's height: the resolution of the latencies
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub poll_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// Transfers of the chain's own currency between the senders
    Native,
    /// Transfers of one new ERC-20 token between the senders
    Erc20,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    match seconds > 0.0 && seconds <= 86_400.0 {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err("expected more than 0 and at most 86400 seconds".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let line = ["bench", "burst", "--rpc", "http://a:1,http://b:2", "--workload", "erc20", "--timeout", "0.5"];
        let Command::Burst(burst) = Cli::parse_from(line).command else { panic!("not burst") };
        assert_eq!(burst.common.rpc.iter().map(Endpoint::url).collect::<Vec<_>>(), ["http://a:1", "http://b:2"]);
        assert_eq!(burst.common.timeout, Duration::from_millis(500));
    }

    #[test]
    fn refuses_what_cannot_work() {
        for bad in
            [["--rpc", "a:1"], ["--rpc", "https://a"], ["--timeout", "0"], ["--timeout", "inf"], ["--count", "0"]]
        {
            let line = [&["bench", "burst", "--workload", "native", "--rpc", "http://a"][..], &bad].concat();
            let line = if bad[0] == "--rpc" { [&line[..4], &bad].concat() } else { line };
            assert!(Cli::try_parse_from(line).is_err(), "{bad:?}");
        }
    }
}
