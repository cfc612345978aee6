//! What each word of the command line does.

mod account;
mod completions;
mod config;
mod dev;
mod init;
mod key;
mod network;
mod node;

use crate::cli::{Cli, Command};
use eyre::Result;

/// Runs the command to its end.
pub fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Dev(args) => dev::run(args),
        Command::Network(command) => network::run(command),
        Command::Init(args) => init::run(args),
        Command::Node(args) => node::run(args),
        Command::Account(command) => account::run(command),
        Command::Key(command) => key::run(command),
        Command::Config(command) => config::run(command),
        Command::Completions { shell } => completions::run(shell),
    }
}
