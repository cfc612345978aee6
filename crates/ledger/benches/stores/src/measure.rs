//! What one process does to one store: it is started for one measurement, so that its CPU time and its
//! input and output are those of the store alone, background threads included.

use crate::{
    store::{Snapshot, Store},
    workload::{Block, FINALIZED, Random, Table, account_key, preload},
};
use eyre::{OptionExt, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Transactions a block of the process that is killed.
const KILLED_SIZE: u64 = 200;

pub fn load<S: Store>(directory: &Path, depth: u32) -> Result<()> {
    let store = S::open(directory)?;
    preload(depth).try_for_each(|block| store.commit(&block))?;
    store.commit(&Block::new(1, 10, depth))
}

/// Commits without readers.
pub fn commits<S: Store>(directory: &Path, depth: u32, size: u64, count: u64) -> Result<()> {
    let store = S::open(directory)?;
    let blocks = next_blocks(&store, depth, size, count)?;
    let rows: usize = blocks.iter().map(Block::writes).sum();
    let (cpu, written) = (cpu_us(), written_bytes()?);
    let latencies = timed(&store, &blocks, &AtomicU64::new(0))?;
    println!("cpu_us {}", (cpu_us() - cpu) / count);
    println!("written_bytes {}", (written_bytes()? - written) / count);
    println!("rows {}", rows as u64 / count);
    print_latencies(&latencies);
    Ok(())
}

/// Commits while another thread reads accounts, each hundred from a new snapshot.
pub fn read<S: Store>(directory: &Path, depth: u32, size: u64, count: u64) -> Result<()> {
    let store = S::open(directory)?;
    let blocks = next_blocks(&store, depth, size, count)?;
    let (last, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let reader = scope.spawn(|| point_reads(&store, depth, &done));
        let watcher = scope.spawn(|| watch(&store, &last, &done));
        let latencies = timed(&store, &blocks, &last);
        done.store(true, Ordering::SeqCst);
        let reads = reader.join().map_err(|_| eyre::eyre!("the reader panicked"))??;
        let watched = watcher.join().map_err(|_| eyre::eyre!("the watcher panicked"))??;
        println!("reads_per_second {reads}");
        println!("snapshots_watched {watched}");
        print_latencies(&latencies?);
        Ok(())
    })
}

/// Commits until it is killed, and says after each which block is durable.
pub fn endless<S: Store>(directory: &Path, depth: u32) -> Result<()> {
    let store = S::open(directory)?;
    for height in height(&store.snapshot()?)? + 1.. {
        store.commit(&Block::new(height, KILLED_SIZE, depth))?;
        println!("durable {height}");
    }
    Ok(())
}

/// Opens a store whose process was killed: the acknowledged blocks have to be there, and the last one whole.
pub fn reopen<S: Store>(directory: &Path, depth: u32, acknowledged: u64) -> Result<()> {
    let start = Instant::now();
    let store = S::open(directory)?;
    let snapshot = store.snapshot()?;
    let height = height(&snapshot)?;
    println!("open_us {}", start.elapsed().as_micros());
    ensure!(height >= acknowledged, "block {acknowledged} was acknowledged, the store ends with {height}");
    for (table, rows) in &Block::new(height, KILLED_SIZE, depth).rows {
        for (key, value) in rows {
            ensure!(snapshot.get(*table, key)?.as_ref() == Some(value), "block {height} is torn in {table:?}");
        }
    }
    ensure!(!has_header(&snapshot, height + 1)?, "a part of block {} is there", height + 1);
    Ok(())
}

fn next_blocks<S: Store>(store: &S, depth: u32, size: u64, count: u64) -> Result<Vec<Block>> {
    let next = height(&store.snapshot()?)? + 1;
    Ok((next..next + count).map(|height| Block::new(height, size, depth)).collect())
}

fn timed<S: Store>(store: &S, blocks: &[Block], last: &AtomicU64) -> Result<Vec<u64>> {
    let commit = |block: &Block| -> Result<u64> {
        let start = Instant::now();
        store.commit(block)?;
        last.store(block.height, Ordering::SeqCst);
        Ok(start.elapsed().as_micros() as u64)
    };
    blocks.iter().map(commit).collect()
}

fn point_reads<S: Store>(store: &S, depth: u32, done: &AtomicBool) -> Result<u64> {
    let mut random = Random(7);
    let keys: Vec<_> = (0..100_000).map(|_| account_key(random.below(1 << (4 * depth)), depth)).collect();
    let (start, mut reads) = (Instant::now(), 0);
    for keys in keys.chunks(100).cycle() {
        if done.load(Ordering::SeqCst) {
            break;
        }
        let snapshot = store.snapshot()?;
        for key in keys {
            snapshot.get(Table::Accounts, key)?.ok_or_eyre("an account is missing")?;
        }
        reads += 100;
    }
    Ok((reads as f64 / start.elapsed().as_secs_f64()) as u64)
}

/// A snapshot shows one block, whatever is committed while it is held. Says how many were held.
fn watch<S: Store>(store: &S, last: &AtomicU64, done: &AtomicBool) -> Result<u64> {
    let mut watched = 0;
    while !done.load(Ordering::SeqCst) {
        let snapshot = store.snapshot()?;
        let seen = height(&snapshot)?;
        while last.load(Ordering::SeqCst) < seen + 2 && !done.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        ensure!(height(&snapshot)? == seen, "the snapshot of block {seen} moved");
        ensure!(has_header(&snapshot, seen)? && !has_header(&snapshot, seen + 1)?, "snapshot {seen} is not one block");
        watched += 1;
    }
    Ok(watched)
}

fn height(snapshot: &impl Snapshot) -> Result<u64> {
    let value = snapshot.get(Table::Meta, FINALIZED)?.ok_or_eyre("the store is not loaded")?;
    Ok(u64::from_be_bytes(*value.first_chunk().ok_or_eyre("a short row")?))
}

fn has_header(snapshot: &impl Snapshot, height: u64) -> Result<bool> {
    Ok(snapshot.get(Table::Headers, &height.to_be_bytes())?.is_some())
}

fn print_latencies(latencies: &[u64]) {
    let latencies: Vec<_> = latencies.iter().map(u64::to_string).collect();
    println!("commit_us {}", latencies.join(" "));
}

/// Of all threads.
fn cpu_us() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

/// Given to write calls by all threads. (`write_bytes` counts a whole large folio for each page written.)
fn written_bytes() -> Result<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).ok_or_eyre("no wchar")?;
    Ok(line.parse()?)
}
