//! Past states against the model at every height, with pruning, and proofs from them.

use crate::world::{SLOTS, World, address, options, slot};
use alloy_primitives::keccak256;
use alloy_trie::{Nibbles, TrieAccount, proof::verify_proof};
use ledger::{History, StateAtError};

fn check_all(world: &World, oldest: u64) {
    for (height, model) in &world.models {
        match world.ledger.state_at(*height) {
            Ok(view) => {
                assert!(*height >= oldest, "block {height} should be pruned");
                model.check(&view);
                for number in [0, 1, *height % 50] {
                    let slots: Vec<_> = (0..SLOTS).step_by(7).map(slot).collect();
                    let proof = view.proof(address(number), &slots).unwrap();
                    let leaf = proof.account.map(|account| {
                        let (root, code) = (proof.storage_root, account.code_hash);
                        alloy_rlp::encode(TrieAccount::new(account.nonce, account.balance, root, code))
                    });
                    let key = Nibbles::unpack(keccak256(address(number)));
                    verify_proof(model.root(), key, leaf, &proof.nodes).unwrap();
                }
            }
            Err(StateAtError::Pruned { oldest: reported, .. }) => {
                assert!(*height < oldest && reported == oldest, "block {height}: pruned to {reported}, not {oldest}");
            }
            Err(other) => panic!("block {height}: {other}"),
        }
    }
    let beyond = world.height() + 1;
    assert!(matches!(world.ledger.state_at(beyond), Err(StateAtError::Future { .. })));
}

#[test]
fn every_past_state_is_that_of_its_block() {
    let mut world = World::new(20, options(1 << 20, History::Full));
    world.grow(60);
    check_all(&world, 0);
    world.reopen();
    check_all(&world, 0);
}

#[test]
fn pruned_states_are_refused_and_the_others_stay() {
    let mut world = World::new(21, options(0, History::Blocks(10)));
    world.grow(35);
    check_all(&world, 25);
    // A longer history cannot bring back what is gone; it keeps from here on.
    world.options.history = History::Full;
    world.reopen();
    world.grow(10);
    check_all(&world, 25);
    // A shorter one prunes what piled up.
    world.options.history = History::Blocks(0);
    world.reopen();
    world.grow(1);
    check_all(&world, world.height());
    for table in ["account_history", "storage_history"] {
        assert_eq!(world.disk.count(table), 0, "{table} of a ledger that keeps no history");
    }
}

#[test]
fn a_past_state_can_be_executed_upon() {
    let mut world = World::new(22, options(1 << 20, History::Full));
    world.grow(20);
    for height in 0..20 {
        let view = world.ledger.state_at(height).unwrap();
        let executed = &world.blocks[&(height + 1)];
        let again = view.apply(executed.overlay.changes().clone()).unwrap();
        assert_eq!(again.state_root(), executed.block.header().state_root);
    }
}
