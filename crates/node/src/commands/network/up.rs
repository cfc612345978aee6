//! `lonja network up`.

use super::layout::{Choice, Layout, NodeEntry};
use super::{client, process, stop_all};
use crate::cli::{Fees, UpArgs};
use crate::print;
use crate::running::wait_for_port;
use crypto::{AccountKey, DEV_MNEMONIC};
use eyre::{Result, WrapErr, eyre};
use serde_json::json;
use std::net::Ipv4Addr;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A network that is not final by then will not be.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(50);

/// The nodes that this process started.
type Children<'a> = Vec<(&'a NodeEntry, Child)>;

pub fn run(args: UpArgs) -> Result<()> {
    let begin = Instant::now();
    let layout = open(&args)?;
    let down: Vec<_> = layout.nodes.iter().filter(|node| process::running(&layout.folder(node)).is_none()).collect();
    down.iter().try_for_each(|node| check_ports(node))?;
    let stopping = Arc::new(AtomicBool::new(false));
    if !args.detach {
        catch_interrupt(stopping.clone())?;
    }
    let mut children = Children::new();
    let started = down.iter().try_for_each(|node| {
        children.push((node, process::spawn(&layout.folder(node))?));
        Ok(())
    });
    let ready = started.and_then(|()| wait_until_final(&layout, &mut children, &stopping));
    if let Err(error) = ready {
        for (node, child) in &children {
            process::ask_to_stop(child.id())?;
            process::wait_for_end(&layout.folder(node), child.id())?;
        }
        return Err(error);
    }
    announce(&layout, &args, begin.elapsed())?;
    match args.detach {
        true => Ok(()),
        false => attend(&layout, children, &stopping),
    }
}

fn open(args: &UpArgs) -> Result<Layout> {
    if Layout::exists(&args.dir.dir) {
        let layout = Layout::read(&args.dir.dir)?;
        check_same(args, &layout)?;
        return Ok(layout);
    }
    let choice = Choice {
        validators: args.validators.unwrap_or(4),
        http: args.http_port.unwrap_or(8545),
        p2p: args.p2p_port.unwrap_or(30303),
        metrics: args.metrics_port.unwrap_or(9545),
        chain_id: args.chain_id.unwrap_or(1337),
        fees: args.fees.unwrap_or(Fees::Free),
    };
    Layout::create(&args.dir.dir, &choice)
}

/// A flag that asks for another network than the one that is there is a mistake worth a word.
fn check_same(args: &UpArgs, layout: &Layout) -> Result<()> {
    let first = &layout.nodes[0];
    let differs = args.validators.is_some_and(|count| count != layout.nodes.len())
        || args.http_port.is_some_and(|port| port != first.http)
        || args.p2p_port.is_some_and(|port| port != first.p2p)
        || args.metrics_port.is_some_and(|port| port != first.metrics)
        || args.chain_id.is_some_and(|id| id != layout.chain_id)
        || args.fees.is_some();
    if !differs {
        return Ok(());
    }
    Err(eyre!(
        "{} already holds a network of {} validators (chain {}, ports {}, {}, {}), and these flags are for a new one; \
         leave them out to resume it, choose another --dir, or delete it with: lonja network reset",
        layout.dir.display(),
        layout.nodes.len(),
        layout.chain_id,
        first.http,
        first.p2p,
        first.metrics
    ))
}

fn check_ports(node: &NodeEntry) -> Result<()> {
    for (port, flag) in [(node.http, "--http-port"), (node.p2p, "--p2p-port"), (node.metrics, "--metrics-port")] {
        wait_for_port((Ipv4Addr::LOCALHOST, port).into(), flag).wrap_err_with(|| {
            format!("{} needs port {port}, which is taken; a new network in another --dir can have others", node.name)
        })?;
    }
    Ok(())
}

fn wait_until_final(layout: &Layout, children: &mut Children, stopping: &AtomicBool) -> Result<()> {
    let spinner = print::spinner(format!("starting {} validators", layout.nodes.len()));
    let begin = Instant::now();
    let mut waiting: Vec<_> = layout.nodes.iter().collect();
    while !waiting.is_empty() {
        if stopping.load(Ordering::Relaxed) {
            return Err(eyre!("interrupted"));
        }
        check_alive(layout, children)?;
        waiting.retain(|node| !client::height(&node.http_url(), "finalized").is_ok_and(|height| height > 0));
        if begin.elapsed() > PATIENCE {
            let names: Vec<_> = waiting.iter().map(|node| node.name.as_str()).collect();
            return Err(eyre!("no final block within {} s at {}", PATIENCE.as_secs(), names.join(", ")));
        }
        spinner.set_message(format!(
            "{} of {} validators are final",
            layout.nodes.len() - waiting.len(),
            layout.nodes.len()
        ));
        std::thread::sleep(STEP);
    }
    spinner.finish_and_clear();
    Ok(())
}

/// Waits until a node that was started alone answers.
pub fn wait_until_answering(layout: &Layout, node: &NodeEntry, child: &mut Child) -> Result<()> {
    let begin = Instant::now();
    while client::height(&node.http_url(), "latest").is_err() {
        if let Some(status) = child.try_wait()? {
            return Err(ended(layout, node, status));
        }
        if begin.elapsed() > PATIENCE {
            return Err(eyre!("{} does not answer within {} s", node.name, PATIENCE.as_secs()));
        }
        std::thread::sleep(STEP);
    }
    Ok(())
}

fn check_alive(layout: &Layout, children: &mut Children) -> Result<()> {
    for (node, child) in children {
        if let Some(status) = child.try_wait()? {
            return Err(ended(layout, node, status));
        }
    }
    Ok(())
}

fn ended(layout: &Layout, node: &NodeEntry, status: std::process::ExitStatus) -> eyre::Report {
    let folder = layout.folder(node);
    let words = process::last_words(&folder, 10);
    eyre!("{} ended ({status}); its log {} ends with\n{words}", node.name, folder.log().display())
}

fn announce(layout: &Layout, args: &UpArgs, took: Duration) -> Result<()> {
    if args.dir.json {
        let nodes: Vec<_> = layout
            .nodes
            .iter()
            .map(|node| json!({ "name": node.name, "http": node.http_url(), "ws": node.ws_url(), "metrics": node.metrics_url() }))
            .collect();
        let dir = layout.dir.display().to_string();
        return print::json(
            &json!({ "chain_id": layout.chain_id, "dir": dir, "validators": nodes, "ms": took.as_millis() }),
        );
    }
    let count = layout.nodes.len();
    print::line(&format!("{count} validators, chain {}, final after {:.1} s\n", layout.chain_id, took.as_secs_f64()));
    let row = |node: &NodeEntry| vec![node.name.clone(), node.http_url(), node.ws_url(), node.metrics_url()];
    print::table(&["NAME", "JSON-RPC", "WEBSOCKET", "METRICS"], &layout.nodes.iter().map(row).collect::<Vec<_>>());
    let account = AccountKey::from_mnemonic(DEV_MNEMONIC, 0)?;
    print::line(&format!("\nfunded account {}\n  private key  {}", account.address(), account.secret()));
    print::line("  (from a public mnemonic: never for anything of value)");
    let dir = layout.dir.display();
    print::line(&match args.detach {
        true => format!("\nstate: lonja network status --dir {dir}   stop: lonja network down --dir {dir}"),
        false => "\nCtrl-C stops the network; its data stays".to_string(),
    });
    Ok(())
}

/// Stays until Ctrl-C. A node that ends by itself is reported, and the others go on.
fn attend(layout: &Layout, mut children: Children, stopping: &AtomicBool) -> Result<()> {
    while !stopping.load(Ordering::Relaxed) {
        children.retain_mut(|(node, child)| match child.try_wait() {
            Ok(Some(status)) => {
                print::line(&format!("{} ended ({status}); again: lonja network start {}", node.name, node.name));
                false
            }
            _ => true,
        });
        std::thread::sleep(STEP);
    }
    print::line("stopping");
    stop_all(layout).map(drop)
}

/// Ctrl-C and SIGTERM set the flag, from a small runtime of their own.
fn catch_interrupt(stopping: Arc<AtomicBool>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(crate::running::stop_signal());
        stopping.store(true, Ordering::Relaxed);
    });
    Ok(())
}
