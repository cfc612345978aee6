//! `lonja network`: a whole network of validators on this machine, one process each.
//!
//! D3.1 6.3.5. What `up` makes, every other word finds again from the directory alone: `network.json` names the nodes,
//! each node's folder is an ordinary data directory with its process number in `node.pid`.

mod client;
mod layout;
mod logs;
mod process;
mod status;
mod up;

use crate::cli::{DirArgs, NetworkCommand, OneArgs, ResetArgs};
use crate::print;
use eyre::{Result, WrapErr, eyre};
use layout::{Layout, NodeEntry};
use serde_json::json;
use std::io::IsTerminal;

pub fn run(command: NetworkCommand) -> Result<()> {
    match command {
        NetworkCommand::Up(args) => up::run(args),
        NetworkCommand::Down(args) => down(&args),
        NetworkCommand::Status(args) => status::run(&args),
        NetworkCommand::Logs(args) => logs::run(&args),
        NetworkCommand::Reset(args) => reset(&args),
        NetworkCommand::Kill(args) => kill(&args),
        NetworkCommand::Start(args) => start(&args),
    }
}

fn down(args: &DirArgs) -> Result<()> {
    let layout = Layout::read(&args.dir)?;
    let stopped = stop_all(&layout)?;
    match args.json {
        true => print::json(&json!({ "stopped": stopped })),
        false => {
            print::line(&match stopped.len() {
                0 => "no node was running".into(),
                _ => format!("stopped {}", stopped.join(", ")),
            });
            Ok(())
        }
    }
}

/// Asks all nodes to stop, waits for all, and returns the names of those that ran.
fn stop_all(layout: &Layout) -> Result<Vec<String>> {
    let running: Vec<_> =
        layout.nodes.iter().filter_map(|node| Some((node, process::running(&layout.folder(node))?))).collect();
    running.iter().try_for_each(|(_, pid)| process::ask_to_stop(*pid))?;
    let mut stopped = Vec::new();
    for (node, pid) in running {
        process::wait_for_end(&layout.folder(node), pid)?;
        stopped.push(node.name.clone());
    }
    Ok(stopped)
}

fn reset(args: &ResetArgs) -> Result<()> {
    let layout = Layout::read(&args.dir.dir)?;
    if !args.yes && !confirmed(&layout)? {
        return Err(eyre!("nothing was deleted"));
    }
    stop_all(&layout)?;
    layout.delete()?;
    match args.dir.json {
        true => print::json(&json!({ "deleted": args.dir.dir })),
        false => {
            print::line(&format!("deleted {}", args.dir.dir.display()));
            Ok(())
        }
    }
}

fn confirmed(layout: &Layout) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(eyre!("no terminal to ask; use --yes to delete {}", layout.dir.display()));
    }
    eprint!("Delete {} with all blocks of {} nodes? [y/N] ", layout.dir.display(), layout.nodes.len());
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

fn kill(args: &OneArgs) -> Result<()> {
    let (layout, node) = find(args)?;
    let folder = layout.folder(&node);
    let pid = process::running(&folder).ok_or_else(|| eyre!("{} is not running", node.name))?;
    process::kill(pid)?;
    process::wait_for_end(&folder, pid)?;
    report(args, "killed", &node, pid)
}

fn start(args: &OneArgs) -> Result<()> {
    let (layout, node) = find(args)?;
    if let Some(pid) = process::running(&layout.folder(&node)) {
        return Err(eyre!("{} is running already (process {pid})", node.name));
    }
    let mut child = process::spawn(&layout.folder(&node))?;
    let pid = child.id();
    up::wait_until_answering(&layout, &node, &mut child)?;
    report(args, "started", &node, pid)
}

fn report(args: &OneArgs, what: &str, node: &NodeEntry, pid: u32) -> Result<()> {
    match args.dir.json {
        true => print::json(&json!({ "name": node.name, "pid": pid, "action": what })),
        false => {
            print::line(&format!("{what} {} (process {pid})", node.name));
            Ok(())
        }
    }
}

fn find(args: &OneArgs) -> Result<(Layout, NodeEntry)> {
    let layout = Layout::read(&args.dir.dir)?;
    let node = layout.nodes.iter().find(|node| node.name == args.name).cloned();
    let node = node.ok_or_else(|| {
        let names: Vec<_> = layout.nodes.iter().map(|node| node.name.as_str()).collect();
        eyre!("there is no node {:?} in {}; it has {}", args.name, args.dir.dir.display(), names.join(", "))
    });
    node.wrap_err("nothing was done").map(|node| (layout, node))
}
