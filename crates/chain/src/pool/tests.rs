//! The pool against its own invariants, under any order of arrivals, replacements and blocks.

use super::*;
use alloy_consensus::{Signed, TxEip1559};
use alloy_primitives::{B256, Signature};
use proptest::prelude::*;
use types::Transaction;

const RICH: U256 = U256::MAX;

fn limits() -> PoolLimits {
    PoolLimits { count_max: 12, bytes_max: 1_500, account_count_max: 6, nonce_ahead_max: 8, ..Default::default() }
}

fn sender(index: u8) -> Address {
    Address::repeat_byte(index + 1)
}

/// A pool entry; `salt` makes distinct transactions of one nonce.
fn entry(from: u8, nonce: u64, tip: u128, salt: u8) -> Pooled {
    let unsigned = TxEip1559 {
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: tip,
        max_priority_fee_per_gas: tip,
        input: vec![from, salt].into(),
        ..Default::default()
    };
    let mut name = [0; 32];
    name[..3].copy_from_slice(&[from, nonce as u8, salt]);
    name[3] = tip as u8;
    let hash = B256::from(name);
    let signed = Signed::new_unchecked(unsigned, Signature::test_signature(), hash);
    let transaction = Recovered::new_unchecked(Transaction::Eip1559(signed), sender(from));
    let cost = U256::from(100);
    let bytes = 100 + 150 * usize::from(salt);
    Pooled { transaction, hash, origin: Origin::Local, arrival: 0, cost, tip, fee_cap: tip, bytes }
}

fn picked(pool: &Pool) -> Vec<(u8, u64)> {
    let picked = pool.pick(u64::MAX, 0, &Default::default(), usize::MAX);
    picked.iter().map(|entry| (entry.sender()[0] - 1, entry.nonce())).collect()
}

fn funds(nonce: u64) -> Funds {
    Funds { nonce, balance: RICH }
}

fn pool(fees: FeeMode) -> Pool {
    Pool::new(limits(), fees)
}

#[test]
fn one_sender_does_not_push_the_others_back() {
    let mut pool = pool(FeeMode::Free);
    for nonce in 0..4 {
        pool.insert(entry(0, nonce, 0, 0), funds(0)).unwrap();
    }
    pool.insert(entry(1, 0, 0, 0), funds(0)).unwrap();
    pool.insert(entry(2, 0, 0, 0), funds(0)).unwrap();
    assert_eq!(picked(&pool), [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (0, 3)]);
}

#[test]
fn the_higher_tip_goes_first_but_nonces_keep_their_order() {
    let mut pool = pool(FeeMode::Eip1559);
    pool.insert(entry(0, 0, 5, 0), funds(0)).unwrap();
    pool.insert(entry(0, 1, 50, 0), funds(0)).unwrap();
    pool.insert(entry(1, 0, 10, 0), funds(0)).unwrap();
    assert_eq!(picked(&pool), [(1, 0), (0, 0), (0, 1)]);
}

#[test]
fn a_gap_waits_until_it_is_filled() {
    let mut pool = pool(FeeMode::Free);
    pool.insert(entry(0, 1, 0, 0), funds(0)).unwrap();
    assert_eq!(picked(&pool), []);
    assert_eq!(pool.status(), PoolStatus { pending: 0, queued: 1, bytes: 100 });
    pool.insert(entry(0, 0, 0, 0), funds(0)).unwrap();
    assert_eq!(picked(&pool), [(0, 0), (0, 1)]);
    assert_eq!(pool.next_nonce(&sender(0)), Some(2));
}

#[test]
fn replacement_needs_a_tenth_more_where_prices_mean_something() {
    let mut priced = pool(FeeMode::Eip1559);
    priced.insert(entry(0, 0, 100, 0), funds(0)).unwrap();
    assert!(matches!(priced.insert(entry(0, 0, 109, 1), funds(0)), Err(Rejected::Underpriced)));
    priced.insert(entry(0, 0, 110, 2), funds(0)).unwrap();
    assert_eq!(priced.status().pending, 1);
    assert!(matches!(priced.insert(entry(0, 0, 110, 2), funds(0)), Err(Rejected::AlreadyKnown)));
    let mut free = pool(FeeMode::Free);
    free.insert(entry(0, 0, 0, 0), funds(0)).unwrap();
    free.insert(entry(0, 0, 0, 1), funds(0)).unwrap();
    assert_eq!(free.pick(u64::MAX, 0, &Default::default(), 9)[0].hash, entry(0, 0, 0, 1).hash);
}

#[test]
fn nonces_balances_and_accounts_are_bounded() {
    let mut pool = pool(FeeMode::Free);
    assert!(matches!(pool.insert(entry(0, 4, 0, 0), funds(5)), Err(Rejected::NonceTooLow { next: 5, found: 4 })));
    assert!(matches!(pool.insert(entry(0, 9, 0, 0), funds(0)), Err(Rejected::NonceTooHigh { .. })));
    let poor = Funds { nonce: 0, balance: U256::from(150) };
    pool.insert(entry(0, 0, 0, 0), poor).unwrap();
    assert!(matches!(pool.insert(entry(0, 1, 0, 0), poor), Err(Rejected::InsufficientFunds { .. })));
    for nonce in 0..6 {
        pool.insert(entry(1, nonce, 0, 0), funds(0)).unwrap();
    }
    assert!(matches!(pool.insert(entry(1, 6, 0, 0), funds(0)), Err(Rejected::AccountFull { limit: 6, .. })));
}

#[test]
fn a_full_pool_takes_from_the_longest_queue() {
    let mut pool = pool(FeeMode::Free);
    for from in 0..2 {
        for nonce in 0..6 {
            pool.insert(entry(from, nonce, 0, 0), funds(0)).unwrap();
        }
    }
    pool.insert(entry(2, 0, 0, 0), funds(0)).unwrap();
    assert_eq!(pool.status().pending, 12);
    assert_eq!(pool.next_nonce(&sender(1)), Some(5), "the youngest of the longest queues lost its last");
    assert!(matches!(pool.insert(entry(1, 5, 0, 0), funds(0)), Err(Rejected::PoolFull)));
}

#[test]
fn what_nobody_can_execute_yields_to_what_somebody_can() {
    let mut pool = pool(FeeMode::Free);
    for from in 0..12 {
        pool.insert(entry(from, 1, 0, 0), funds(0)).unwrap();
    }
    assert_eq!(pool.status(), PoolStatus { pending: 0, queued: 12, bytes: 1_200 });
    assert!(matches!(pool.insert(entry(20, 1, 0, 0), funds(0)), Err(Rejected::PoolFull)), "no better than they are");
    pool.insert(entry(21, 0, 0, 0), funds(0)).unwrap();
    assert_eq!((pool.status().pending, pool.status().queued), (1, 11));
}

#[test]
fn replacements_are_bounded_in_bytes_too() {
    let mut pool = pool(FeeMode::Free);
    for from in 0..12 {
        pool.insert(entry(from, 0, 0, 0), funds(0)).unwrap();
    }
    pool.insert(entry(0, 0, 0, 1), funds(0)).unwrap();
    pool.insert(entry(1, 0, 0, 1), funds(0)).unwrap();
    assert_eq!(pool.status().bytes, 1_500);
    assert!(matches!(pool.insert(entry(2, 0, 0, 1), funds(0)), Err(Rejected::PoolFull)));
    assert_eq!(pool.status().pending, 12, "the one that was to be replaced is still there");
}

#[test]
fn what_branches_hold_is_left_out() {
    let mut pool = pool(FeeMode::Free);
    for nonce in 0..3 {
        pool.insert(entry(0, nonce, 0, 0), funds(0)).unwrap();
    }
    let branch = [(sender(0), 2)].into_iter().collect();
    let picked = pool.pick(u64::MAX, 0, &branch, usize::MAX);
    assert_eq!(picked.iter().map(|entry| entry.nonce()).collect::<Vec<_>>(), [2]);
}

#[test]
fn gossip_sees_local_transactions_only_and_each_once() {
    let mut pool = pool(FeeMode::Free);
    pool.insert(entry(0, 0, 0, 0), funds(0)).unwrap();
    pool.insert(Pooled { origin: Origin::Peer, ..entry(1, 0, 0, 0) }, funds(0)).unwrap();
    pool.insert(entry(2, 0, 0, 0), funds(0)).unwrap();
    let (first, cursor) = pool.local_since(0, 1);
    assert_eq!(first[0].sender(), sender(0));
    let (rest, cursor) = pool.local_since(cursor, 10);
    assert_eq!(rest.iter().map(|entry| entry.sender()).collect::<Vec<_>>(), [sender(2)]);
    assert!(pool.local_since(cursor, 10).0.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Insert { from: u8, nonce: u64, tip: u128, salt: u8 },
    Advance { from: u8, by: u64, balance: u64 },
    Remove { from: u8, nonce: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..5u8, 0..8u64, 0..4u128, 0..2u8)
            .prop_map(|(from, nonce, tip, salt)| Step::Insert { from, nonce, tip, salt }),
        2 => (0..5u8, 0..3u64, 0..900u64).prop_map(|(from, by, balance)| Step::Advance { from, by, balance }),
        1 => (0..5u8, 0..8u64).prop_map(|(from, nonce)| Step::Remove { from, nonce }),
    ]
}

/// Recomputes from the queues everything that the pool keeps beside them.
fn check(pool: &Pool) {
    let content = pool.content();
    let all: Vec<_> =
        content.values().flat_map(|content| content.pending.iter().chain(&content.queued)).cloned().collect();
    assert_eq!(all.len(), pool.by_hash.len());
    assert_eq!(all.iter().map(|entry| entry.bytes).sum::<usize>(), pool.bytes);
    assert_eq!(content.values().map(|content| content.pending.len()).sum::<usize>(), pool.executable);
    assert_eq!(pool.heads.len(), content.values().filter(|content| !content.pending.is_empty()).count());
    assert_eq!(pool.tails.len(), content.len());
    assert_eq!(pool.local.len(), all.len());
    assert!(all.len() <= pool.limits.count_max && pool.bytes <= pool.limits.bytes_max);
    for (sender, queue) in &pool.queues {
        let content = &content[sender];
        let cost: U256 = content.pending.iter().chain(&content.queued).map(|entry| entry.cost).sum();
        assert_eq!(cost, queue.cost);
        assert!(cost <= queue.funds.balance);
        for (offset, entry) in content.pending.iter().enumerate() {
            assert_eq!(entry.nonce(), queue.funds.nonce + offset as u64);
        }
        assert!(content.queued.iter().all(|entry| entry.nonce() > queue.next_nonce()));
    }
    let picked = picked(pool);
    assert_eq!(picked.len(), pool.executable, "everything executable is picked, once");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn what_is_kept_beside_the_queues_follows_them(free: bool, steps in proptest::collection::vec(step(), 1..80)) {
        let mut pool = pool(if free { FeeMode::Free } else { FeeMode::Eip1559 });
        let mut accounts = [Funds { nonce: 0, balance: U256::from(900) }; 5];
        for step in steps {
            match step {
                Step::Insert { from, nonce, tip, salt } => {
                    let _ = pool.insert(entry(from, nonce, tip, salt), accounts[usize::from(from)]);
                }
                Step::Advance { from, by, balance } => {
                    let account = &mut accounts[usize::from(from)];
                    *account = Funds { nonce: account.nonce + by, balance: U256::from(balance) };
                    pool.advance(sender(from), *account);
                }
                Step::Remove { from, nonce } => {
                    (0..4).for_each(|tip| (0..2).for_each(|salt| pool.remove(&entry(from, nonce, tip, salt).hash)));
                }
            }
            check(&pool);
        }
    }
}
