//! Compares embedded stores on the ledger's own access pattern: see README.md.
//!
//! Each measurement is a process of its own; the stores take turns within a round, so that what else the
//! machine does falls on all of them alike. Ratios are of measurements of the same round.

mod fjall;
#[cfg(feature = "mdbx")]
mod mdbx;
mod measure;
mod redb;
mod report;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod store;
mod workload;

use eyre::{OptionExt, Result, bail, ensure};
use report::{Figures, Report};
use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use workload::{Block, DEPTH, DEPTH_QUICK};

/// The first is what the others are compared with.
const STORES: &[&str] = &[
    "redb",
    "redb quick repair",
    "fjall",
    #[cfg(feature = "rocksdb")]
    "rocksdb",
    #[cfg(feature = "mdbx")]
    "mdbx",
];

/// Transactions a block, and how many such blocks a measurement commits.
const SIZES: [(u64, u64); 3] = [(10, 80), (200, 30), (2000, 10)];
const ROUNDS: usize = 5;
const KILLED_AFTER: usize = 50;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match &arguments[..] {
        ["child", store, task, directory, depth, numbers @ ..] => {
            let numbers: Vec<u64> = numbers.iter().map(|number| number.parse()).collect::<Result<_, _>>()?;
            child(store, task, Path::new(directory), depth.parse()?, &numbers)
        }
        [directory] => compare(Path::new(directory), DEPTH, ROUNDS),
        ["--quick", directory] => compare(Path::new(directory), DEPTH_QUICK, 1),
        _ => bail!("usage: stores [--quick] DIRECTORY"),
    }
}

fn child(store: &str, task: &str, directory: &Path, depth: u32, numbers: &[u64]) -> Result<()> {
    match store {
        "redb" => perform::<redb::Redb<false>>(task, directory, depth, numbers),
        "redb quick repair" => perform::<redb::Redb<true>>(task, directory, depth, numbers),
        "fjall" => perform::<fjall::Fjall>(task, directory, depth, numbers),
        #[cfg(feature = "rocksdb")]
        "rocksdb" => perform::<rocksdb::RocksDb>(task, directory, depth, numbers),
        #[cfg(feature = "mdbx")]
        "mdbx" => perform::<mdbx::Mdbx>(task, directory, depth, numbers),
        _ => bail!("no store {store}"),
    }
}

fn perform<S: store::Store>(task: &str, directory: &Path, depth: u32, numbers: &[u64]) -> Result<()> {
    match (task, numbers) {
        ("load", []) => measure::load::<S>(directory, depth),
        ("commits", [size, count]) => measure::commits::<S>(directory, depth, *size, *count),
        ("read", [size, count]) => measure::read::<S>(directory, depth, *size, *count),
        ("endless", []) => measure::endless::<S>(directory, depth),
        ("reopen", [acknowledged]) => measure::reopen::<S>(directory, depth, *acknowledged),
        _ => bail!("no task {task}"),
    }
}

fn compare(directory: &Path, depth: u32, rounds: usize) -> Result<()> {
    let mut report = Report::default();
    for store in STORES {
        let place = directory.join(store);
        ensure!(!place.exists(), "{} is there already", place.display());
        std::fs::create_dir_all(&place)?;
        eprintln!("loading {store}");
        run(&mut task(store, "load", &place, depth, &[])?)?;
        report.loaded(store, size_on_disk(&place)?);
    }
    for round in 0..rounds {
        eprintln!("round {round}, load average {}", std::fs::read_to_string("/proc/loadavg")?.trim());
        for turn in 0..STORES.len() {
            let store = STORES[(turn + round) % STORES.len()];
            let place = directory.join(store);
            for (size, count) in SIZES {
                let numbers = [size, count];
                report.commits(store, size, run(&mut task(store, "commits", &place, depth, &numbers)?)?);
                report.read(store, size, run(&mut task(store, "read", &place, depth, &numbers)?)?);
            }
            let acknowledged = kill(store, &place, depth)?;
            report.reopened(store, run(&mut task(store, "reopen", &place, depth, &[acknowledged])?)?);
        }
    }
    for store in STORES {
        let place = directory.join(store);
        report.ended(store, size_on_disk(&place)?);
        for (size, _) in SIZES {
            report.syncs(store, size, syncs(store, &place, depth, size)?);
        }
    }
    let blocks: Vec<_> = (1..20).map(|height| Block::new(height, 200, DEPTH_QUICK)).collect();
    let (syncs, same) = redb::in_memory(&blocks)?;
    report.print(STORES, &SIZES.map(|(size, _)| size));
    println!("redb on a storage in memory of ours: {syncs} syncs a commit, two runs byte for byte the same: {same}");
    Ok(())
}

fn task(store: &str, task: &str, place: &Path, depth: u32, numbers: &[u64]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["child", store, task]).arg(place).arg(depth.to_string());
    command.args(numbers.iter().map(u64::to_string));
    Ok(command)
}

fn run(command: &mut Command) -> Result<Figures> {
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    let mut figures = HashMap::new();
    for line in text.lines() {
        let (name, numbers) = line.split_once(' ').ok_or_eyre("a line without a figure")?;
        let numbers = numbers.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        figures.insert(name.to_owned(), numbers);
    }
    Ok(figures)
}

/// Kills a process amid its commits. Gives the last block that it said was durable.
fn kill(store: &str, place: &Path, depth: u32) -> Result<u64> {
    let mut child = task(store, "endless", place, depth, &[])?.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or_eyre("the output is piped")?;
    let mut acknowledged = 0;
    for (number, line) in BufReader::new(output).lines().enumerate() {
        if number == KILLED_AFTER {
            child.kill()?;
        }
        acknowledged = line?.strip_prefix("durable ").ok_or_eyre("not a height")?.parse()?;
    }
    child.wait()?;
    Ok(acknowledged)
}

/// Syncs a commit: those of many commits less those of few, so that opening and closing do not count.
fn syncs(store: &str, place: &Path, depth: u32, size: u64) -> Result<f64> {
    const FEW: u64 = 5;
    const MANY: u64 = 25;
    let count = |commits| -> Result<u64> {
        let summary = PathBuf::from(place).join("strace");
        let traced = task(store, "commits", place, depth, &[size, commits])?;
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "--seccomp-bpf", "-c", "-e", "trace=fsync,fdatasync,msync,sync_file_range", "-o"])
            .arg(&summary);
        run(strace.arg(traced.get_program()).args(traced.get_args()))?;
        let text = std::fs::read_to_string(&summary)?;
        let calls = text.lines().filter(|line| line.contains("sync") && !line.contains("usecs"));
        Ok(calls.filter_map(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok()).sum())
    };
    let (few, many) = (count(FEW)?, count(MANY)?);
    Ok((many as f64 - few as f64) / (MANY - FEW) as f64)
}

/// What it takes on the disk, not what the file's length says.
fn size_on_disk(place: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    for entry in std::fs::read_dir(place)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += if metadata.is_dir() { size_on_disk(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(total)
}
