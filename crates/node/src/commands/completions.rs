//! `lonja completions SHELL`.

use crate::cli::Cli;
use clap::CommandFactory;
use eyre::Result;

pub fn run(shell: clap_complete::Shell) -> Result<()> {
    clap_complete::generate(shell, &mut Cli::command(), "lonja", &mut std::io::stdout());
    Ok(())
}
