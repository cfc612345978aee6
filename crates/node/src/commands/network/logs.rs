//! `lonja network logs`.

use super::layout::{Layout, NodeEntry};
use super::process;
use crate::cli::LogsArgs;
use crate::print;
use eyre::{Result, eyre};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

pub fn run(args: &LogsArgs) -> Result<()> {
    let layout = Layout::read(&args.dir.dir)?;
    let chosen = |node: &&NodeEntry| args.name.as_ref().is_none_or(|name| *name == node.name);
    let nodes: Vec<_> = layout.nodes.iter().filter(chosen).collect();
    if nodes.is_empty() {
        return Err(eyre!("there is no such node in {}", args.dir.dir.display()));
    }
    for node in &nodes {
        show(node, nodes.len(), &process::last_words(&layout.folder(node), args.lines));
    }
    match args.follow {
        true => follow(&layout, &nodes),
        false => Ok(()),
    }
}

/// Lines carry the node's name when there are several.
fn show(node: &NodeEntry, nodes: usize, text: &str) {
    for line in text.lines() {
        match nodes {
            1 => print::line(line),
            _ => print::line(&format!("{:<12} {line}", node.name)),
        }
    }
}

fn follow(layout: &Layout, nodes: &[&NodeEntry]) -> Result<()> {
    let length = |node: &NodeEntry| layout.folder(node).log().metadata().map_or(0, |metadata| metadata.len());
    let mut read: Vec<u64> = nodes.iter().map(|node| length(node)).collect();
    loop {
        std::thread::sleep(Duration::from_millis(200));
        for (node, read) in nodes.iter().zip(&mut read) {
            let end = length(node);
            if end <= *read {
                *read = end; // a file that was cut begins anew
                continue;
            }
            let mut file = File::open(layout.folder(node).log())?;
            file.seek(SeekFrom::Start(*read))?;
            let mut added = Vec::new();
            file.take(end - *read).read_to_end(&mut added)?;
            *read = end;
            show(node, nodes.len(), &String::from_utf8_lossy(&added));
        }
    }
}
