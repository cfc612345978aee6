//! The log index against reading every block.

use crate::{
    random::Random,
    world::{World, address, has_match, options, topic},
};
use alloy_primitives::{Address, B256};
use ledger::History;

#[test]
fn no_block_with_a_match_is_left_out_and_few_others_are_named() {
    let mut world = World::new(30, options(1 << 20, History::Blocks(0)));
    world.grow(330);
    let mut random = Random(31);
    let (mut named, mut matching) = (0, 0);
    for _ in 0..400 {
        let addresses: Vec<Address> = (0..random.below(3)).map(|_| address(random.below(8))).collect();
        let topics: Vec<Vec<B256>> =
            (0..random.below(5)).map(|_| (0..random.below(3)).map(|_| topic(random.below(8))).collect()).collect();
        let start = random.below(340);
        let range = start..=start + random.below(340);
        let snapshot = world.ledger.snapshot().unwrap();
        let found = snapshot.blocks_with_logs(range.clone(), &addresses, &topics).unwrap();
        let found: Vec<u64> = found.collect::<Result<_, _>>().unwrap();
        assert!(found.is_sorted() && found.iter().all(|height| range.contains(height)));
        for (height, executed) in world.blocks.range(range) {
            let receipts = &executed.receipts;
            let matches = has_match(receipts, &addresses, &topics);
            assert!(!matches || found.contains(height), "block {height} has a match and is not named");
            // Exact where the terms need not be in one log.
            if addresses.is_empty() && topics.iter().filter(|options| !options.is_empty()).count() == 1 {
                let loose = topics.iter().rposition(|options| !options.is_empty()).unwrap();
                assert_eq!(has_match(receipts, &[], &topics[..=loose]), found.contains(height), "block {height}");
            }
            matching += u64::from(matches);
        }
        named += found.len() as u64;
    }
    assert!(matching > 1_000 && named < matching * 3, "{named} named, {matching} match");
}

#[test]
fn without_a_filter_the_blocks_with_any_log_are_named() {
    let mut world = World::new(32, options(1 << 20, History::Blocks(0)));
    world.grow(100);
    let snapshot = world.ledger.snapshot().unwrap();
    let found: Vec<u64> = snapshot.blocks_with_logs(0..=u64::MAX, &[], &[]).unwrap().map(Result::unwrap).collect();
    let expected = world.blocks.iter().filter(|(_, executed)| has_match(&executed.receipts, &[], &[]));
    assert_eq!(found, expected.map(|(height, _)| *height).collect::<Vec<_>>());
    let (start, end) = (50, 40);
    assert_eq!(snapshot.blocks_with_logs(start..=end, &[], &[]).unwrap().count(), 0);
    let only: Vec<u64> = snapshot.blocks_with_logs(64..=64, &[], &[]).unwrap().map(Result::unwrap).collect();
    assert!(only.iter().all(|height| *height == 64));
}
