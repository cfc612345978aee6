//! What goes into the next block.

use super::{Pool, Pooled};
use alloy_primitives::map::AddressMap;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::Address;

/// Candidates for a block, best first; of one sender in the order of their nonces.
pub type Picked = Vec<Arc<Pooled>>;

/// A transaction is charged at most this part of the gas on offer: what it reserves says little of what it uses, and a
/// few that reserve much must not keep the others out.
const SHARE: u64 = 4096;

/// Place in the order of proposal; the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    tip: Reverse<u128>,
    depth: usize,
    arrival: u64,
    sender: Address,
    nonce: u64,
}

impl Rank {
    pub(super) fn of(entry: &Pooled, depth: usize) -> Rank {
        let (sender, nonce) = (entry.sender(), entry.nonce());
        Rank { tip: Reverse(entry.tip), depth, arrival: entry.arrival, sender, nonce }
    }
}

impl Pool {
    /// At most `count_max` executable transactions for `gas`, at this base fee. `nonces` are
    /// the next nonces of senders that have transactions in blocks above the finalised one: those are left out.
    pub(crate) fn pick(&self, gas: u64, base_fee: u64, nonces: &AddressMap<u64>, count_max: usize) -> Picked {
        let mut heads = self.heads.iter().filter(|rank| !nonces.contains_key(&rank.sender)).copied().peekable();
        let mut followers: BTreeSet<Rank> = BTreeSet::new();
        let ordered: BTreeMap<_, _> = nonces.iter().collect();
        for (sender, nonce) in ordered {
            followers.extend(self.rank(sender, *nonce, 0));
        }
        let (mut picked, mut left, most) = (Vec::new(), gas, (gas / SHARE).max(1));
        while picked.len() < count_max {
            let rank = match (heads.peek(), followers.first()) {
                (Some(head), Some(follower)) if follower < head => followers.pop_first(),
                (Some(_), _) => heads.next(),
                (None, _) => followers.pop_first(),
            };
            let Some(rank) = rank else { break };
            let Some(entry) = self.queues[&rank.sender].executable(rank.nonce) else { continue };
            if entry.fee_cap < u128::from(base_fee) {
                continue; // the sender's later transactions wait behind it
            }
            let Some(rest) = left.checked_sub(entry.gas_limit().min(most)) else { break };
            left = rest;
            picked.push(entry.clone());
            followers.extend(self.rank(&rank.sender, rank.nonce + 1, rank.depth + 1));
        }
        picked
    }

    fn rank(&self, sender: &Address, nonce: u64, depth: usize) -> Option<Rank> {
        self.queues.get(sender)?.executable(nonce).map(|entry| Rank::of(entry, depth))
    }
}
