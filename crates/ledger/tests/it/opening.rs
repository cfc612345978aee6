//! Opening: what is not this ledger is refused, and says what it is.

use crate::{
    disk::Disk,
    world::{Model, World, genesis, options, start},
};
use ledger::{History, Ledger, OpenError, Options};
use std::collections::BTreeMap;
use types::Genesis;

#[test]
fn a_ledger_in_a_directory_survives_and_is_locked_while_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledgers").join("main");
    let (genesis, model) = start();
    let ledger = Ledger::open(&path, &genesis, Options::default()).unwrap();
    assert!(path.join("ledger.redb").is_file());
    assert!(matches!(Ledger::open(&path, &genesis, Options::default()), Err(OpenError::Locked)));
    drop(ledger);
    let ledger = Ledger::open(&path, &genesis, Options::default()).unwrap();
    assert_eq!(ledger.finalized().hash(), genesis.hash());
    model.check(&ledger.state(Vec::new()).unwrap());
    assert!(matches!(ledger.snapshot().unwrap().block(0), Ok(Some(block)) if block == **genesis.block()));
}

#[test]
fn another_genesis_or_chain_is_refused() {
    let (genesis, model) = start();
    let disk = Disk::default();
    drop(Ledger::open_on(disk.clone(), &genesis, Options::default()).unwrap());
    let open = |genesis: &Genesis| Ledger::open_on(Disk::of(disk.image()), genesis, Options::default());
    let other = crate::world::genesis(&Model::default(), &BTreeMap::new());
    assert!(matches!(open(&other), Err(OpenError::Genesis { .. })));
    let mut ethereum = (*genesis.ethereum).clone();
    ethereum.config.chain_id = 7;
    let chain = Genesis::new(ethereum).unwrap();
    assert!(matches!(open(&chain), Err(OpenError::Chain { found: 1337, expected: 7 })));
    let mut ethereum = (*genesis.ethereum).clone();
    ethereum.config.extra_fields.insert("lonja".into(), serde_json::json!({ "ledger": "other" }));
    assert!(matches!(open(&Genesis::new(ethereum).unwrap()), Err(OpenError::Rules)));
    model.check(&open(&genesis).unwrap().state(Vec::new()).unwrap());
}

#[test]
fn an_empty_genesis_has_the_empty_state() {
    let genesis = genesis(&Model::default(), &BTreeMap::new());
    let ledger = Ledger::open_on(Disk::default(), &genesis, Options::default()).unwrap();
    let view = ledger.state(Vec::new()).unwrap();
    assert_eq!(view.state_root(), alloy_trie::EMPTY_ROOT_HASH);
    assert!(view.proof(crate::world::address(0), &[]).unwrap().nodes.is_empty());
    assert!(view.accounts_from(None, 10).unwrap().is_empty());
}

#[test]
fn foreign_and_truncated_files_are_refused() {
    let (genesis, _) = start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ledger.redb");
    let refused = |what: &str| match Ledger::open(directory.path(), &genesis, Options::default()) {
        Err(OpenError::NotALedger { .. }) => {}
        Err(other) => panic!("{what}: {other}: {other:?}"),
        Ok(_) => panic!("{what} was opened"),
    };
    for foreign in [b"SQLite format 3\0".to_vec(), vec![0; 5_000], vec![1; 100_000], b"x".to_vec(), Vec::new()] {
        std::fs::write(&file, &foreign).unwrap();
        refused("a foreign file");
        assert!(std::fs::read(&file).unwrap() == foreign, "a refused file is not touched");
    }
    let mut world = World::new(50, options(1 << 20, History::Full));
    world.grow(20);
    let (disk, running) = (world.disk.clone(), world.disk.image());
    drop(world);
    let image = disk.image();
    for (state, image) in [("stopped", &image), ("running", &running)] {
        let ends = [10, 320, 4_096, 5_000, image.len() - 4_096, image.len() - 1];
        for length in ends.into_iter().chain((1..40).map(|part| image.len() * part / 40)) {
            std::fs::write(&file, &image[..length]).unwrap();
            refused(&format!("{length} of {} bytes of a {state} node", image.len()));
        }
    }
    std::fs::write(&file, &image).unwrap();
    assert_eq!(Ledger::open(directory.path(), &genesis, Options::default()).unwrap().finalized().number, 20);
}

#[test]
fn a_store_of_another_program_is_refused() {
    let disk = Disk::default();
    let store = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
    let txn = store.begin_write().unwrap();
    txn.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap().insert(1, 2).unwrap();
    txn.commit().unwrap();
    drop(store);
    let (genesis, _) = start();
    let refused = Ledger::open_on(disk, &genesis, Options::default());
    assert!(matches!(refused, Err(OpenError::NotALedger { .. })));
}

#[test]
fn another_format_is_refused() {
    let (genesis, _) = start();
    let disk = Disk::default();
    drop(Ledger::open_on(disk.clone(), &genesis, Options::default()).unwrap());
    let store = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
    let txn = store.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    txn.open_table(meta).unwrap().insert("format", &99u32.to_be_bytes()[..]).unwrap();
    txn.commit().unwrap();
    drop(store);
    let refused = Ledger::open_on(disk, &genesis, Options::default());
    assert!(matches!(refused, Err(OpenError::Format { found: 99, .. })));
}
