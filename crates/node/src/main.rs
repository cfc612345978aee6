//! The program `lonja`: configuration, wiring, telemetry, commands.
//!
//! D3.1 6.2.2.1, 6.3.5. Everything that a node is made of meets here and only here.

mod cli;
mod commands;
mod config;
mod data_dir;
mod engine;
mod print;
mod running;
mod telemetry;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print::failure(&error);
            ExitCode::FAILURE
        }
    }
}
