//! Power cuts inside commits.

use crate::{
    disk::{Disk, after_power_cut},
    random::Random,
    world::{World, genesis as genesis_of, options, start},
};
use ledger::{History, Ledger, Options};

/// At every write and sync of some commits, several times each with other sectors lost.
#[test]
fn a_power_cut_leaves_this_block_or_the_one_before() {
    let mut world = World::new(60, options(1 << 20, History::Blocks(4)));
    world.grow(6);
    let mut random = Random(61);
    let (mut cuts, mut before, mut after) = (0, 0, 0);
    while cuts < 1_000 {
        let (height, image) = (world.height(), world.disk.image());
        let executed = world.next();
        let operations = world.disk.record(|| world.ledger.commit(&executed, None).unwrap());
        world.committed(executed);
        for count in 0..=operations.len() {
            for _ in 0..3 {
                let left = after_power_cut(&image, &operations, count, &mut random);
                let ledger = Ledger::open_on(Disk::of(left), &world.genesis, world.options.clone()).unwrap();
                let found = ledger.finalized();
                let expected =
                    if found.number == height + 1 { &world.blocks[&(height + 1)] } else { &world.blocks[&height] };
                assert_eq!(found.hash(), expected.block.hash(), "cut after {count} operations");
                let view = ledger.state(Vec::new()).unwrap();
                world.models[&found.number].check(&view);
                if count == operations.len() {
                    assert_eq!(found.number, height + 1, "what was acknowledged is there");
                } else if found.number == height {
                    // It goes on from there, on whatever the trie on disk is now.
                    ledger.commit(&world.blocks[&(height + 1)], None).unwrap();
                }
                before += u64::from(found.number == height);
                after += u64::from(found.number == height + 1);
                cuts += 1;
            }
        }
    }
    assert!(before > 100 && after > 50, "{before} before, {after} after");
}

/// The very first transaction too: a ledger whose making was cut short is made again.
#[test]
fn a_power_cut_while_the_ledger_is_made_loses_nothing() {
    let (genesis, model) = start();
    let other = genesis_of(&Default::default(), &Default::default());
    let disk = Disk::default();
    let operations = disk.record(|| drop(Ledger::open_on(disk.clone(), &genesis, Options::default()).unwrap()));
    let mut random = Random(62);
    for count in 0..=operations.len() {
        for _ in 0..3 {
            let directory = tempfile::tempdir().unwrap();
            let left = after_power_cut(&[], &operations, count, &mut random);
            let unfinished = directory.path().join("ledger.redb.new");
            std::fs::write(&unfinished, left).unwrap();
            let ledger = Ledger::open(directory.path(), &genesis, Options::default());
            let ledger = ledger.unwrap_or_else(|error| panic!("cut after {count} of {}: {error}", operations.len()));
            model.check(&ledger.state(Vec::new()).unwrap());
            assert!(!unfinished.exists());
        }
    }
    // Not even a finished one of another genesis is in the way.
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ledger.redb.new"), disk.image()).unwrap();
    let ledger = Ledger::open(directory.path(), &other, Options::default()).unwrap();
    assert_eq!(ledger.finalized().hash(), other.hash());
}
