//! Certificates, and final blocks that come before their ancestors.

use crate::{
    disk::Disk,
    world::{World, options},
};
use ledger::{AheadError, CommitError, History, Ledger};
use types::{Block, Finality};

fn certificate(block: &Block) -> Finality {
    let (height, block_hash) = (block.height(), block.hash());
    Finality { height, block_hash, epoch: 1, view: height * 2, certificate: vec![7; 96].into() }
}

#[test]
fn certificates_are_kept_by_height_and_by_block() {
    let mut world = World::new(40, options(1 << 20, History::Full));
    for _ in 0..10 {
        let executed = world.next();
        let finality = certificate(&executed.block);
        let with = executed.block.height().is_multiple_of(3);
        world.ledger.commit(&executed, with.then_some(&finality)).unwrap();
        world.committed(executed);
    }
    let late = certificate(&world.blocks[&8].block);
    world.ledger.store_finality(&late).unwrap();
    let other = Finality { certificate: vec![8; 96].into(), ..late.clone() };
    world.ledger.store_finality(&other).unwrap();

    let snapshot = world.ledger.snapshot().unwrap();
    assert_eq!(snapshot.finality(8).unwrap(), Some(late.clone()), "the first certificate stays");
    assert_eq!(snapshot.finality_of(late.block_hash).unwrap(), Some(late));
    assert_eq!(snapshot.finality(7).unwrap(), None);
    assert_eq!(snapshot.finality_from(7).unwrap().unwrap().height, 8);
    assert_eq!(snapshot.finality_from(10).unwrap(), None);
    let heights: Vec<u64> = snapshot.finality_heights(4).unwrap().map(Result::unwrap).collect();
    assert_eq!(heights, [6, 8, 9]);
    assert_eq!(snapshot.finality_heights(0).unwrap().next_back().unwrap().unwrap(), 9);
}

#[test]
fn a_certificate_for_another_block_is_a_conflict() {
    let mut world = World::new(41, options(1 << 20, History::Full));
    world.grow(3);
    let wrong = Finality { block_hash: world.blocks[&2].block.hash(), ..certificate(&world.blocks[&3].block) };
    assert!(matches!(world.ledger.store_finality(&wrong), Err(AheadError::Conflict { height: 3, .. })));
    let other = Finality { height: 9, ..wrong.clone() };
    let third = Finality { block_hash: world.blocks[&1].block.hash(), ..other.clone() };
    world.ledger.store_finality(&other).unwrap();
    assert!(matches!(world.ledger.store_finality(&third), Err(AheadError::Conflict { height: 9, .. })));
    // One that came before its block stops the block that it does not name.
    let executed = world.next();
    let ahead = Finality { block_hash: wrong.block_hash, ..certificate(&executed.block) };
    world.ledger.store_finality(&ahead).unwrap();
    assert!(matches!(world.ledger.commit(&executed, None), Err(CommitError::Finality { .. })));
    assert_eq!(world.height(), 3);
}

#[test]
fn blocks_ahead_wait_for_their_turn() {
    let mut world = World::new(42, options(1 << 20, History::Full));
    world.grow(2);
    let mut builder = World::new(42, options(1 << 20, History::Full));
    builder.grow(8);
    for height in [7, 5, 4, 2] {
        world.ledger.store_block_ahead(&builder.blocks[&height].block).unwrap();
        world.ledger.store_finality(&certificate(&builder.blocks[&height].block)).unwrap();
    }
    let snapshot = world.ledger.snapshot().unwrap();
    let ahead = |from| snapshot.heights_ahead(from).unwrap().map(Result::unwrap).collect::<Vec<u64>>();
    assert_eq!(ahead(0), [4, 5, 7], "block 2 is in the ledger already");
    assert_eq!(snapshot.block_ahead(7).unwrap().as_ref(), Some(&*builder.blocks[&7].block));
    assert_eq!(snapshot.height_of_block_ahead(builder.blocks[&5].block.hash()).unwrap(), Some(5));
    assert_eq!(snapshot.finalized().number, 2);

    // Seen at once, durable after a sync.
    let cut = Ledger::open_on(Disk::of(world.disk.image()), &world.genesis, world.options.clone()).unwrap();
    assert_eq!(cut.snapshot().unwrap().heights_ahead(0).unwrap().count(), 0);
    world.ledger.sync().unwrap();
    let kept = Ledger::open_on(Disk::of(world.disk.image()), &world.genesis, world.options.clone()).unwrap();
    assert_eq!(kept.snapshot().unwrap().heights_ahead(0).unwrap().count(), 3);

    for height in 3..=8 {
        world.commit(builder.blocks[&height].clone());
    }
    let snapshot = world.ledger.snapshot().unwrap();
    assert_eq!(snapshot.heights_ahead(0).unwrap().count(), 0);
    assert_eq!(snapshot.height_of_block_ahead(builder.blocks[&5].block.hash()).unwrap(), None);
    assert_eq!(snapshot.finality(7).unwrap().unwrap().block_hash, builder.blocks[&7].block.hash());
}
