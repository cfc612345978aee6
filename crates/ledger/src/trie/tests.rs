//! The incremental trie against a full rebuild (alloy-trie) and a second library (eth_trie).
//!
//! `LONJA_TRIE_OPERATIONS` sets the number of random operations (default 100,000).

use super::{
    evict,
    node::{Content, NodeSource, Root},
    prove,
    update::{Edit, Writes, update},
};
use crate::StorageError;
use alloy_primitives::{B256, Bytes};
use alloy_trie::{HashBuilder, Nibbles, proof::verify_proof};
use eth_trie::{EthTrie, MemoryDB, Trie};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

type Model = BTreeMap<B256, Vec<u8>>;
type Batch = BTreeMap<B256, Option<Vec<u8>>>;

/// Stored nodes of one trie.
#[derive(Default)]
struct Disk(BTreeMap<Nibbles, Vec<u8>>);

impl NodeSource for Disk {
    fn node(&self, _owner: Option<B256>, path: &Nibbles) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.get(path).cloned())
    }
}

impl Disk {
    fn write(&mut self, writes: Writes) {
        for (path, rlp) in writes {
            match rlp {
                Some(rlp) => self.0.insert(path, rlp),
                None => self.0.remove(&path),
            };
        }
    }
}

struct Set(Vec<Option<Vec<u8>>>);

impl Edit for Set {
    fn edit(&mut self, index: usize, _old: Option<&Content>) -> Result<Option<Content>, StorageError> {
        Ok(self.0[index].as_ref().map(|value| Content { value: value.as_slice().into(), storage: None }))
    }
}

fn apply(root: &Root, disk: &Disk, born: u64, batch: &Batch) -> (Root, Writes) {
    let keys: Vec<Nibbles> = batch.keys().map(|key| Nibbles::unpack(key)).collect();
    update(root, disk, None, born, &keys, &mut Set(batch.values().cloned().collect())).unwrap()
}

fn rebuilt(model: &Model) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in model {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    builder.root()
}

/// The stored nodes of a trie built at once.
fn fresh(model: &Model) -> BTreeMap<Nibbles, Vec<u8>> {
    let batch = model.iter().map(|(key, value)| (*key, Some(value.clone()))).collect();
    let mut disk = Disk::default();
    let (_, writes) = apply(&Root::Empty, &disk, 0, &batch);
    disk.write(writes);
    disk.0
}

/// The trie under test with the two that it is compared with.
struct Compared {
    root: Root,
    disk: Disk,
    model: Model,
    other: EthTrie<MemoryDB>,
    height: u64,
}

impl Compared {
    fn new() -> Self {
        // Keeps what it would remove: its store knows nodes by hash, and equal nodes occur twice.
        let other = EthTrie::new(Arc::new(MemoryDB::new(false)));
        Self { root: Root::Empty, disk: Disk::default(), model: Model::new(), other, height: 0 }
    }

    fn apply(&mut self, batch: &Batch) {
        self.height += 1;
        let (root, writes) = apply(&self.root, &self.disk, self.height, batch);
        self.root = root;
        self.disk.write(writes);
        for (key, value) in batch {
            match value {
                Some(value) => {
                    self.model.insert(*key, value.clone());
                    self.other.insert(key.as_slice(), value).unwrap();
                }
                None => {
                    self.model.remove(key);
                    self.other.remove(key.as_slice()).unwrap();
                }
            }
        }
    }

    fn check(&mut self) {
        let hash = self.root.hash();
        assert_eq!(hash, rebuilt(&self.model), "rebuild after batch {}", self.height);
        assert_eq!(hash, B256::from(self.other.root_hash().unwrap().0), "eth_trie after batch {}", self.height);
        assert_eq!(self.disk.0, fresh(&self.model), "stored nodes after batch {}", self.height);
    }

    fn check_proof(&self, key: &B256) {
        let proven = prove(&self.root, &self.disk, None, key).unwrap();
        let expected = self.model.get(key).cloned();
        assert_eq!(proven.content.map(|content| content.value.to_vec()), expected);
        verify_proof(self.root.hash(), Nibbles::unpack(key), expected, &proven.nodes).unwrap();
    }
}

/// A small generator of reproducible numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Keys that share long prefixes with one another, and sometimes one that shares none.
    fn key(&mut self) -> B256 {
        let mut nibbles = [0u8; 64];
        if self.below(4) == 0 {
            nibbles.fill_with(|| self.below(16) as u8);
        } else {
            nibbles.fill(self.below(3) as u8);
            for _ in 0..self.below(4) {
                nibbles[self.below(64) as usize] = self.below(3) as u8;
            }
            nibbles[60..].fill_with(|| self.below(2) as u8);
        }
        B256::from_slice(&Nibbles::from_nibbles(nibbles).pack())
    }

    /// Short ones make nodes that are inlined in their parents. No single byte from 0x80 on: values
    /// in Ethereum's tries are RLP, and eth_trie reads such a byte back wrongly.
    fn value(&mut self) -> Vec<u8> {
        let length = if self.below(2) == 0 { 1 + self.below(4) } else { 1 + self.below(80) };
        (0..length).map(|_| 1 + self.below(127) as u8).collect()
    }
}

#[test]
fn random_operations_agree_with_two_other_implementations() {
    let operations = std::env::var("LONJA_TRIE_OPERATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000u64);
    let mut random = Random(1);
    let (mut compared, mut done) = (Compared::new(), 0);
    while done < operations {
        // Growing and shrinking by turns, down to nothing.
        let shrinking = done / 2_000 % 2 == 1;
        let mut batch = Batch::new();
        for _ in 0..1 + random.below(40) {
            let known = compared.model.range(random.key()..).next().map(|(key, _)| *key);
            let known = known.filter(|_| random.below(3) != 0);
            let value = (random.below(10) < if shrinking { 1 } else { 8 }).then(|| random.value());
            batch.insert(known.unwrap_or_else(|| random.key()), value);
        }
        if shrinking && random.below(60) == 0 {
            batch = compared.model.keys().map(|key| (*key, None)).collect();
        }
        done += batch.len() as u64;
        compared.apply(&batch);
        compared.check();
        compared.check_proof(&random.key());
        if let Some(key) = batch.keys().next() {
            compared.check_proof(key);
        }
        match random.below(8) {
            0 => compared.root = Root::unloaded(compared.root.hash()),
            1 => compared.root = evict(&compared.root, compared.height.saturating_sub(random.below(20))),
            _ => {}
        }
    }
}

/// Like the state of a ledger: hashed keys, many leaves, few changes at a time.
#[test]
fn a_large_trie_of_hashed_keys_agrees() {
    let mut compared = Compared::new();
    let key = |number: u64| alloy_primitives::keccak256(number.to_be_bytes());
    let mut random = Random(2);
    compared.apply(&(0..20_000).map(|number| (key(number), Some(random.value()))).collect());
    compared.check();
    for round in 0..30 {
        let numbers: Vec<u64> = (0..200).map(|_| random.below(22_000)).collect();
        let batch = numbers.iter().map(|number| (key(*number), (number % 3 != 0).then(|| random.value())));
        compared.apply(&batch.collect());
        if round % 10 == 9 {
            compared.check();
        }
        if round % 4 == 3 {
            compared.root = Root::unloaded(compared.root.hash());
        }
    }
}

#[test]
fn a_trie_shares_what_a_change_leaves_alone() {
    let mut compared = Compared::new();
    let mut random = Random(3);
    compared.apply(&(0..1_000).map(|_| (random.key(), Some(random.value()))).collect());
    let before = (compared.root.clone(), compared.root.hash(), rebuilt(&compared.model));
    let key = *compared.model.keys().next().unwrap();
    compared.apply(&Batch::from([(key, None)]));
    assert_ne!(compared.root.hash(), before.1);
    assert_eq!(before.0.hash(), before.2);
    let (again, writes) = apply(&compared.root, &compared.disk, 9, &Batch::from([(key, None)]));
    assert!(writes.is_empty(), "removing what is not there writes nothing");
    assert_eq!(again.hash(), compared.root.hash());
}

#[test]
fn eviction_bounds_what_is_loaded_and_changes_nothing() {
    let mut compared = Compared::new();
    let mut random = Random(4);
    for _ in 0..50 {
        compared.apply(&(0..100).map(|_| (random.key(), Some(random.value()))).collect());
    }
    let evicted = evict(&compared.root, compared.height);
    assert!(evicted.loaded() < compared.root.loaded() / 4);
    assert_eq!(evict(&compared.root, compared.height + 1).loaded(), 0);
    compared.root = evicted;
    compared.apply(&(0..100).map(|_| (random.key(), Some(random.value()))).collect());
    compared.check();
}

#[test]
fn damaged_and_missing_nodes_are_named() {
    let mut compared = Compared::new();
    let mut random = Random(5);
    compared.apply(&(0..100).map(|_| (random.key(), Some(random.value()))).collect());
    let root = Root::unloaded(compared.root.hash());
    let keys: Vec<B256> = compared.model.keys().copied().collect();
    for path in compared.disk.0.keys().copied().collect::<Vec<_>>() {
        let rlp = compared.disk.0[&path].clone();
        for damaged in [None, Some([&rlp[1..], &[0]].concat()), Some(Vec::new())] {
            match damaged {
                Some(damaged) => compared.disk.0.insert(path, damaged),
                None => compared.disk.0.remove(&path),
            };
            let on_the_way = keys.iter().find(|key| Nibbles::unpack(key).starts_with(&path)).unwrap();
            let error = prove(&root, &compared.disk, None, on_the_way).map(|_| ()).unwrap_err();
            assert!(matches!(&error, StorageError::Corrupt { place, .. } if place.contains("account trie node")));
        }
        compared.disk.0.insert(path, rlp);
    }
}

fn short_key() -> impl Strategy<Value = B256> {
    (0u8..2, 0usize..64, 0u8..16, 0u8..4).prop_map(|(fill, at, nibble, last)| {
        let mut nibbles = [fill; 64];
        nibbles[at] = nibble;
        nibbles[63] = last;
        B256::from_slice(&Nibbles::from_nibbles(nibbles).pack())
    })
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        2 => Just(None),
        2 => proptest::collection::vec(1u8..0x80, 1..3).prop_map(Some),
        1 => proptest::collection::vec(1u8.., 30..36).prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_batches_agree(batches in proptest::collection::vec((proptest::collection::btree_map(short_key(), value(), 0..12), any::<bool>()), 1..10)) {
        let mut compared = Compared::new();
        for (batch, unload) in batches {
            compared.apply(&batch);
            compared.check();
            for key in batch.keys() {
                compared.check_proof(key);
            }
            if unload {
                compared.root = Root::unloaded(compared.root.hash());
            }
        }
    }

    #[test]
    fn damaged_nodes_never_panic(rlp in proptest::collection::vec(any::<u8>(), 0..600), path in 0u8..16) {
        // Every node is compared with its hash before it is decoded; only who can make hashes collide gets further.
        let mut disk = Disk::default();
        let hash = alloy_primitives::keccak256(&rlp);
        disk.0.insert(Nibbles::new(), rlp);
        disk.0.insert(Nibbles::from_nibbles([path]), vec![0xc0]);
        let _ = prove(&Root::unloaded(hash), &disk, None, &B256::repeat_byte(path << 4)).map(|proven| Bytes::from(proven.nodes.concat()));
    }
}
