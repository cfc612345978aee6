//! The program `bench`: a load generator for any Ethereum JSON-RPC node.
//!
//! It knows of a node what crosses the wire and nothing else, so that its figures compare one node with another.
//! Invariant: a transaction counts as final only when every endpoint showed its successful receipt in a block.

mod accounts;
mod burst;
mod cli;
mod endpoint;
mod funding;
mod latency;
mod network;
mod observe;
mod report;
mod tally;
mod workload;

use clap::Parser;
use cli::{Cli, Command};
use report::Outcome;
use std::io::Write;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Latency(options) => latency::run(&options).await,
        Command::Burst(options) => burst::run(&options).await,
    };
    match outcome {
        Ok(Outcome::Passed) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::Interrupted) => ExitCode::from(130), // what shells expect after Ctrl-C
        Err(error) => {
            let causes = error.chain().skip(1).map(|cause| format!("\n  because: {cause}"));
            let text: String = [format!("error: {error}")].into_iter().chain(causes).collect();
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}
