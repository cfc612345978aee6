//! `lonja network status`.

use super::layout::{Layout, NodeEntry};
use super::{client, process};
use crate::cli::DirArgs;
use crate::print;
use eyre::Result;
use serde::Serialize;

/// What `--json` prints; scripts rely on its form.
#[derive(Debug, Serialize)]
struct Status {
    chain_id: u64,
    /// Highest block that any node has.
    height: u64,
    /// Highest block that any node says is final.
    finalized: u64,
    validators: Vec<ValidatorStatus>,
}

#[derive(Debug, Serialize)]
struct ValidatorStatus {
    name: String,
    http: String,
    height: Option<u64>,
    finalized: Option<u64>,
    peers: Option<u64>,
    pid: Option<u32>,
    up: bool,
}

pub fn run(args: &DirArgs) -> Result<()> {
    let layout = Layout::read(&args.dir)?;
    let validators: Vec<_> = layout.nodes.iter().map(|node| ask(&layout, node)).collect();
    let status = Status {
        chain_id: layout.chain_id,
        height: validators.iter().filter_map(|validator| validator.height).max().unwrap_or(0),
        finalized: validators.iter().filter_map(|validator| validator.finalized).max().unwrap_or(0),
        validators,
    };
    if args.json {
        return print::json(&status);
    }
    show(&status);
    Ok(())
}

/// A node is up when its process runs and answers.
fn ask(layout: &Layout, node: &NodeEntry) -> ValidatorStatus {
    let (http, pid) = (node.http_url(), process::running(&layout.folder(node)));
    let height = pid.and_then(|_| client::height(&http, "latest").ok());
    ValidatorStatus {
        name: node.name.clone(),
        height,
        finalized: height.and_then(|_| client::height(&http, "finalized").ok()),
        peers: height.and_then(|_| client::peers(&http).ok()),
        pid,
        up: height.is_some(),
        http,
    }
}

fn show(status: &Status) {
    print::line(&format!("chain {}   height {}   final {}\n", status.chain_id, status.height, status.finalized));
    let number = |value: Option<u64>| value.map_or("-".into(), |value| value.to_string());
    let row = |validator: &ValidatorStatus| {
        vec![
            validator.name.clone(),
            if validator.up { "up".into() } else { "down".into() },
            number(validator.height),
            number(validator.finalized),
            number(validator.peers),
            number(validator.pid.map(u64::from)),
            validator.http.clone(),
        ]
    };
    let rows: Vec<_> = status.validators.iter().map(row).collect();
    print::table(&["NAME", "STATE", "HEIGHT", "FINAL", "PEERS", "PROCESS", "JSON-RPC"], &rows);
}
