//! The state through many commits: incremental roots, flat values, stored nodes, overlays, proofs.

use crate::{
    disk::Disk,
    world::{SLOTS, World, address, options, slot},
};
use alloy_primitives::{U256, keccak256};
use alloy_trie::{Nibbles, TrieAccount, proof::verify_proof};
use ledger::{CommitError, ExecutedBlock, History, Ledger, StateView, StorageError};
use std::sync::Arc;
use types::Header;

fn check_proof(view: &StateView, number: u64) {
    let slots: Vec<_> = (0..SLOTS).map(slot).collect();
    let proof = view.proof(address(number), &slots).unwrap();
    assert_eq!(proof.account, view.account(address(number)).unwrap());
    let leaf = proof.account.map(|account| {
        alloy_rlp::encode(TrieAccount::new(account.nonce, account.balance, proof.storage_root, account.code_hash))
    });
    let key = Nibbles::unpack(keccak256(address(number)));
    verify_proof(view.state_root(), key, leaf, &proof.nodes).unwrap();
    for storage in proof.storage {
        assert_eq!(storage.value, view.storage(address(number), storage.slot).unwrap());
        let value = (!storage.value.is_zero()).then(|| alloy_rlp::encode(storage.value));
        let key = Nibbles::unpack(keccak256(storage.slot));
        verify_proof(proof.storage_root, key, value, &storage.nodes).unwrap();
    }
}

/// Caches of nothing, of little, and of plenty.
#[test]
fn many_blocks_agree_with_the_model_and_leave_no_stale_node() {
    for (seed, cache_bytes) in [(1, 0), (2, 40_000), (3, 64 << 20)] {
        let mut world = World::new(seed, options(cache_bytes, History::Blocks(3)));
        for round in 0..150 {
            world.grow(1);
            let view = world.ledger.state(Vec::new()).unwrap();
            assert_eq!(view.state_root(), world.model().root(), "seed {seed}, block {round}");
            if round % 10 == 0 {
                world.model().check(&view);
                for number in 0..5 {
                    check_proof(&view, number);
                }
            }
            if round % 25 == 24 {
                assert_eq!(world.disk.rows("nodes"), world.fresh_nodes(), "seed {seed}, block {round}");
                world.reopen();
                world.model().check(&world.ledger.state(Vec::new()).unwrap());
                world.check_store();
            }
        }
    }
}

/// Speculative blocks in two branches, while the ledger moves on below them.
#[test]
fn overlays_read_as_their_own_state_while_blocks_become_final() {
    for cache_bytes in [0, 64 << 20] {
        let mut world = World::new(4, options(cache_bytes, History::Full));
        world.grow(5);
        for round in 0..20 {
            let (mut main, mut models) = (Vec::new(), Vec::new());
            let mut model = world.model().clone();
            for _ in 0..4 {
                let changes = world.random.changes(&model);
                model.apply(&changes);
                let view = world.ledger.state(main.clone()).unwrap();
                main.push(Arc::new(view.apply(changes).unwrap()));
                models.push(model.clone());
            }
            let mut other_model = world.model().clone();
            let other = world.random.changes(&other_model);
            other_model.apply(&other);
            let other = Arc::new(world.ledger.state(Vec::new()).unwrap().apply(other).unwrap());

            let views: Vec<_> = (1..=4).map(|count| world.ledger.state(main[..count].to_vec()).unwrap()).collect();
            let branch = world.ledger.state(vec![other.clone()]).unwrap();
            for (index, overlay) in main.iter().enumerate() {
                let parent = world.ledger.finalized();
                let header = Header { number: parent.number + 1, parent_hash: parent.hash(), ..Header::default() };
                let executed = world.block(header, overlay.clone());
                world.commit(executed);
                if index == 0 || round % 5 == 0 {
                    for (view, model) in views.iter().zip(&models) {
                        model.check(view);
                        check_proof(view, round);
                    }
                    other_model.check(&branch);
                }
                // The whole list again: what is final by now is left out.
                let again = world.ledger.state(main.clone()).unwrap();
                models[3].check(&again);
                check_proof(&again, round);
                // An overlay on a tip that is not in the store, over a store that moved on.
                let late = again.apply(world.random.changes(&models[3])).unwrap();
                let mut expected = models[3].clone();
                expected.apply(late.changes());
                assert_eq!(late.state_root(), expected.root());
            }
            let stale = world.ledger.state(vec![other]).unwrap_err();
            assert!(matches!(stale, StorageError::Detached { .. }), "{stale}");
        }
        assert_eq!(world.disk.rows("nodes"), world.fresh_nodes());
    }
}

#[test]
fn an_overlay_of_another_branch_at_the_finalised_height_is_refused() {
    let mut world = World::new(5, options(0, History::Full));
    world.grow(2);
    let empty = world.ledger.state(Vec::new()).unwrap();
    let set = |nonce| {
        let mut changes = ledger::StateChanges::default();
        let account = Some(ledger::Account { nonce, ..Default::default() });
        changes.accounts.insert(address(0), ledger::AccountChange { account, ..Default::default() });
        changes
    };
    let (one, two) = (Arc::new(empty.apply(set(1_000)).unwrap()), Arc::new(empty.apply(set(2_000)).unwrap()));
    let child = Arc::new(world.ledger.state(vec![two.clone()]).unwrap().apply(set(3_000)).unwrap());
    let parent = world.ledger.finalized();
    let header = Header { number: parent.number + 1, parent_hash: parent.hash(), ..Header::default() };
    let executed = world.block(header, one);
    world.commit(executed);
    for overlays in [vec![two.clone()], vec![two, child.clone()], vec![child.clone()]] {
        assert!(matches!(world.ledger.state(overlays), Err(StorageError::Detached { .. })));
    }
    assert_eq!(child.changes().accounts.len(), 1);
}

#[test]
fn commits_that_do_not_fit_change_nothing() {
    let mut world = World::new(6, options(1 << 20, History::Full));
    world.grow(3);
    let image = world.disk.image();
    let good = world.next();
    let with_header = |change: &dyn Fn(&mut Header)| {
        let mut header = good.block.header().clone();
        change(&mut header);
        let block = types::Block::new(header, good.block.body().clone());
        world.ledger.commit(&ExecutedBlock { block: Arc::new(block), ..good.clone() }, None).unwrap_err()
    };
    assert!(matches!(with_header(&|header| header.number += 1), CommitError::NotNext { .. }));
    assert!(matches!(with_header(&|header| header.parent_hash.0[0] ^= 1), CommitError::NotNext { .. }));
    assert!(matches!(with_header(&|header| header.state_root.0[0] ^= 1), CommitError::StateRoot { .. }));
    let more = ExecutedBlock { senders: vec![address(0); 9], ..good.clone() };
    assert!(matches!(world.ledger.commit(&more, None), Err(CommitError::Inconsistent { .. })));
    let old = world.blocks[&2].overlay.clone();
    let foreign = ExecutedBlock { overlay: old, ..good.clone() };
    assert!(matches!(world.ledger.commit(&foreign, None), Err(CommitError::Inconsistent { .. })));
    assert!(world.disk.image() == image, "a refused block leaves no trace");
    world.commit(good.clone());
    assert!(matches!(world.ledger.commit(&good, None), Err(CommitError::NotNext { .. })));
}

#[test]
fn the_same_commits_give_the_same_bytes() {
    let run = |cache_bytes| {
        let mut world = World::new(7, options(cache_bytes, History::Blocks(5)));
        world.grow(40);
        world.disk.image()
    };
    let first = run(1 << 20);
    assert!(first == run(1 << 20));
    assert!(!first.is_empty());
}

/// Readers work on while blocks are committed, and never see half of one.
#[test]
fn readers_beside_a_writer_see_whole_blocks() {
    let mut world = World::new(8, options(100_000, History::Full));
    world.grow(5);
    let ledger: Ledger = world.ledger.clone();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (ledger, stop) = (ledger.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut seen = 0u64;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let view = ledger.state(Vec::new()).unwrap();
                    assert_eq!(view.state_root(), view.snapshot().finalized().state_root);
                    assert!(view.height() >= seen);
                    seen = view.height();
                    check_proof(&view, seen % 50);
                    check_proof(&ledger.state_at(seen - 3).unwrap(), seen % 50);
                }
            })
        })
        .collect();
    world.grow(150);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    world.model().check(&world.ledger.state(Vec::new()).unwrap());
}

#[test]
fn a_large_self_destruct_leaves_nothing_behind() {
    let mut world = World::new(9, options(0, History::Full));
    let big = address(7);
    let put = |world: &mut World, account: Option<ledger::Account>, storage: Vec<(u64, u64)>, cleared: bool| {
        let mut changes = ledger::StateChanges::default();
        let storage = storage.into_iter().map(|(key, value)| (slot(key), U256::from(value))).collect();
        changes.accounts.insert(big, ledger::AccountChange { account, storage_cleared: cleared, storage });
        let overlay = Arc::new(world.ledger.state(Vec::new()).unwrap().apply(changes).unwrap());
        let parent = world.ledger.finalized();
        let header = Header { number: parent.number + 1, parent_hash: parent.hash(), ..Header::default() };
        let executed = world.block(header, overlay);
        world.commit(executed);
    };
    let account = Some(ledger::Account { nonce: 1, ..Default::default() });
    put(&mut world, account, (0..3_000).map(|key| (key, key + 1)).collect(), false);
    put(&mut world, None, Vec::new(), false);
    assert_eq!(world.disk.rows("nodes"), world.fresh_nodes());
    assert!(world.ledger.state(Vec::new()).unwrap().storage_from(big, slot(0), 10).unwrap().is_empty());
    put(&mut world, account, vec![(5, 6)], true);
    put(&mut world, account, vec![(1, 1), (2, 2)], true);
    assert_eq!(world.disk.rows("nodes"), world.fresh_nodes());
    for height in 1..=4 {
        world.models[&height].check(&world.ledger.state_at(height).unwrap());
    }
    let first = world.ledger.state_at(1).unwrap();
    assert_eq!(first.storage_from(big, slot(0), 5_000).unwrap().len(), 3_000);
    let proof = first.proof(big, &[slot(2_999)]).unwrap();
    assert_eq!(proof.storage[0].value, U256::from(3_000));
}

#[test]
fn a_failing_disk_is_an_error_and_the_ledger_reopens() {
    let mut world = World::new(10, options(1 << 20, History::Full));
    world.grow(3);
    for operations in 0.. {
        let executed = world.next();
        let before = world.disk.image();
        world.disk.fail_after(Some(operations));
        let result = world.ledger.commit(&executed, None);
        world.disk.fail_after(None);
        if result.is_ok() {
            break;
        }
        assert!(matches!(result, Err(CommitError::Storage(_))));
        assert_eq!(world.ledger.finalized().number, 3, "a failed commit is not announced");
        // The next start finds the block before, whatever arrived of this one.
        world.disk = Disk::of(before);
        world.reopen();
        assert_eq!(world.height(), 3);
        world.model().check(&world.ledger.state(Vec::new()).unwrap());
    }
}
