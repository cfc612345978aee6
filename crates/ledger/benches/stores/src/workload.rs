//! What a block of the ledger writes and reads, made from its height: the same for every store.
//!
//! The tables, the keys and their order are those of `ledger`; the values have the lengths of real ones.
//!
//! Invariant: a block is a function of its height and size, so that after a crash it can be told whether
//! all of it is there.

use eyre::Result;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Meta,
    Headers,
    Heights,
    Bodies,
    Senders,
    Receipts,
    Transactions,
    Logs,
    Accounts,
    Storage,
    Nodes,
    Changes,
    AccountHistory,
    StorageHistory,
}

pub const TABLES: [&str; 14] = [
    "meta",
    "headers",
    "heights",
    "bodies",
    "senders",
    "receipts",
    "transactions",
    "logs",
    "accounts",
    "storage",
    "nodes",
    "changes",
    "account_history",
    "storage_history",
];

pub const FINALIZED: &[u8] = b"finalized";
/// Memory for pages or blocks of a store that keeps its own cache.
pub const CACHE_BYTES: usize = 128 << 20;

/// Accounts behind a trie whose leaves all lie at the same depth: 16 to the power of it.
pub const DEPTH: u32 = 5;
pub const DEPTH_QUICK: u32 = 4;

const CONTRACT_SLOTS: u64 = 1 << 16;
const LOG_TERMS: u64 = 10_000;
const LEAF_BYTES: usize = 110;
const BRANCH_BYTES: usize = 532;

pub type Row = (Vec<u8>, Vec<u8>);

/// One durable transaction.
pub struct Block {
    pub height: u64,
    /// In the order in which they are written; sorted in each table.
    pub rows: Vec<(Table, Vec<Row>)>,
    terms: Vec<Vec<u8>>,
}

impl Block {
    /// A block of so many transactions, that change as many accounts and as many slots.
    pub fn new(height: u64, size: u64, depth: u32) -> Self {
        let accounts = 1 << (4 * depth);
        let mut random = Random(height);
        let changed = random.distinct(size, accounts);
        let slots = random.distinct(size, accounts);
        let hash = random.bytes(32);
        let number = height.to_be_bytes().to_vec();
        let body = (size as usize * 140).clamp(10_000, 100_000);

        let mut transactions: Vec<Row> =
            (0..size).map(|index| (random.bytes(32), [&number[..], &(index as u32).to_be_bytes()].concat())).collect();
        transactions.sort();
        let accounts = changed.iter().map(|index| (address(*index, accounts), random.bytes(70))).collect();
        let storage = slots.iter().map(|index| (slot(*index), random.bytes(33))).collect();
        let terms: BTreeSet<_> = (0..2 * size).map(|_| term(height, random.below(LOG_TERMS))).collect();
        let rows = vec![
            (Table::Headers, vec![(number.clone(), random.bytes(600))]),
            (Table::Heights, vec![(hash.clone(), number.clone())]),
            (Table::Bodies, vec![(number.clone(), random.bytes(body))]),
            (Table::Senders, vec![(number.clone(), random.bytes(20 * size as usize))]),
            (Table::Receipts, vec![(number.clone(), random.bytes(60 * size as usize))]),
            (Table::Transactions, transactions),
            (Table::Accounts, accounts),
            (Table::Storage, storage),
            (Table::Changes, vec![(number.clone(), random.bytes(77 * size as usize))]),
            (Table::Nodes, nodes(&changed, depth, &mut random)),
            (Table::Meta, vec![(FINALIZED.to_vec(), [number, hash].concat())]),
        ];
        Self { height, rows, terms: terms.into_iter().collect() }
    }

    /// The rows that depend on what is stored: past values, and the log index with this block's bit set.
    pub fn dependent(
        &self,
        mut get: impl FnMut(Table, &[u8]) -> Result<Option<Vec<u8>>>,
    ) -> Result<Vec<(Table, Vec<Row>)>> {
        let mut dependent = Vec::new();
        for (from, to) in [(Table::Accounts, Table::AccountHistory), (Table::Storage, Table::StorageHistory)] {
            let mut past = Vec::new();
            for (key, _) in self.rows.iter().filter(|(table, _)| *table == from).flat_map(|(_, rows)| rows) {
                let old = get(from, key)?.unwrap_or_default();
                past.push(([&key[..], &self.height.to_be_bytes()].concat(), old));
            }
            dependent.push((to, past));
        }
        let mut index = Vec::new();
        for key in &self.terms {
            let old = get(Table::Logs, key)?.and_then(|mask| mask.try_into().ok()).map_or(0, u64::from_be_bytes);
            index.push((key.clone(), (old | 1 << (self.height & 63)).to_be_bytes().to_vec()));
        }
        dependent.push((Table::Logs, index));
        Ok(dependent)
    }

    /// How many rows a commit of it writes.
    pub fn writes(&self) -> usize {
        let count = |wanted: &[Table]| -> usize {
            self.rows.iter().filter(|(table, _)| wanted.contains(table)).map(|(_, rows)| rows.len()).sum()
        };
        let plain: usize = self.rows.iter().map(|(_, rows)| rows.len()).sum();
        plain + count(&[Table::Accounts, Table::Storage]) + self.terms.len()
    }
}

/// The state before the first block, in transactions of bounded size.
pub fn preload(depth: u32) -> impl Iterator<Item = Block> {
    const CHUNK: u64 = 1 << 15;
    let count = 1u64 << (4 * depth);
    let chunks = count.div_ceil(CHUNK);
    let state = (0..chunks).map(move |chunk| {
        let mut random = Random(u64::MAX - chunk);
        let range = chunk * CHUNK..count.min((chunk + 1) * CHUNK);
        let accounts = range.clone().map(|index| (address(index, count), random.bytes(70))).collect();
        let storage = range.map(|index| (slot(index), random.bytes(33))).collect();
        vec![(Table::Accounts, accounts), (Table::Storage, storage)]
    });
    let trie = (0..=depth).flat_map(move |level| {
        let nodes = 1u64 << (4 * level);
        (0..nodes.div_ceil(CHUNK)).map(move |chunk| {
            let mut random = Random(u64::MAX / 2 - chunk - (u64::from(level) << 32));
            let range = chunk * CHUNK..nodes.min((chunk + 1) * CHUNK);
            vec![(Table::Nodes, range.map(|path| node(path, level, depth, &mut random)).collect())]
        })
    });
    state.chain(trie).map(|rows| Block { height: 0, rows, terms: Vec::new() })
}

/// Every node on the way from the root to the changed accounts, sorted by key.
fn nodes(changed: &[u64], depth: u32, random: &mut Random) -> Vec<Row> {
    let leaves = 1u64 << (4 * depth);
    // Where an account lies in the trie has nothing to do with where its address lies in the table.
    let paths = changed.iter().map(|index| index.wrapping_mul(0x9e37_79b1) % leaves);
    let touched: BTreeSet<_> =
        paths.flat_map(|path| (0..=depth).map(move |level| (path >> (4 * (depth - level)), level))).collect();
    let mut rows: Vec<_> = touched.into_iter().map(|(path, level)| node(path, level, depth, random)).collect();
    rows.sort();
    rows
}

/// `0 ‖ path ‖ number of nibbles`, a leaf or a branch.
fn node(path: u64, level: u32, depth: u32, random: &mut Random) -> Row {
    let packed = if level == 0 { 0 } else { path << (64 - 4 * level) };
    let bytes = level.div_ceil(2) as usize;
    let key = [&[0], &packed.to_be_bytes()[..bytes], &[level as u8]].concat();
    let length = if level == depth { LEAF_BYTES } else { BRANCH_BYTES };
    (key, random.bytes(length))
}

/// Spread evenly and sorted by index.
fn address(index: u64, count: u64) -> Vec<u8> {
    let mut random = Random(index ^ 0xadd7);
    let step = u64::MAX / count;
    [&(index * step + random.below(step)).to_be_bytes()[..], &random.bytes(12)].concat()
}

pub fn account_key(index: u64, depth: u32) -> Vec<u8> {
    address(index, 1 << (4 * depth))
}

fn slot(index: u64) -> Vec<u8> {
    let (contract, slot) = (index / CONTRACT_SLOTS, index % CONTRACT_SLOTS);
    let mut random = Random(index ^ 0x5107);
    let spread = slot * (u64::MAX / CONTRACT_SLOTS) + random.below(u64::MAX / CONTRACT_SLOTS);
    [&address(contract, 1 << 16)[..], &spread.to_be_bytes(), &random.bytes(24)].concat()
}

fn term(height: u64, number: u64) -> Vec<u8> {
    [&[0], &(height >> 6).to_be_bytes()[..], &Random(number).next().to_be_bytes()].concat()
}

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| self.next().to_be_bytes()).collect();
        bytes.truncate(length);
        bytes
    }

    /// Sorted.
    fn distinct(&mut self, count: u64, bound: u64) -> Vec<u64> {
        let mut chosen = BTreeSet::new();
        while (chosen.len() as u64) < count {
            chosen.insert(self.below(bound));
        }
        chosen.into_iter().collect()
    }
}
