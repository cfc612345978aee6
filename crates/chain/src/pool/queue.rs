//! One sender's transactions by nonce.

use super::pick::Rank;
use super::{Funds, Pooled, SenderContent};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use types::{Address, U256};

/// One sender's transactions. `ready` counts those consecutive from the account's next nonce.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) funds: Funds,
    pub(super) cost: U256,
    entries: BTreeMap<u64, Arc<Pooled>>,
    ready: usize,
}

/// A queue's last transaction, as a candidate for eviction. The least is evicted first: what waits behind a gap, then the
/// lowest tip, then the longest queue, then the youngest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tail {
    ready: bool,
    tip: u128,
    length: Reverse<usize>,
    arrival: Reverse<u64>,
    pub(super) sender: Address,
}

impl Tail {
    /// True when a transaction, executable or not, with this tip, the n-th of its sender, has the better right to a place.
    pub(super) fn yields_to(&self, ready: bool, tip: u128, length: usize) -> bool {
        (self.ready, self.tip, self.length) < (ready, tip, Reverse(length))
    }
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn executable_len(&self) -> usize {
        self.ready
    }

    pub(super) fn get(&self, nonce: u64) -> Option<&Arc<Pooled>> {
        self.entries.get(&nonce)
    }

    pub(super) fn next_nonce(&self) -> u64 {
        self.funds.nonce + self.ready as u64
    }

    /// The executable transaction with this nonce.
    pub(super) fn executable(&self, nonce: u64) -> Option<&Arc<Pooled>> {
        (nonce < self.next_nonce()).then(|| self.entries.get(&nonce)).flatten()
    }

    pub(super) fn head_rank(&self) -> Option<Rank> {
        self.executable(self.funds.nonce).map(|entry| Rank::of(entry, 0))
    }

    pub(super) fn tail(&self) -> Option<Tail> {
        let (_, last) = self.entries.last_key_value()?;
        let (ready, length) = (last.nonce() < self.next_nonce(), Reverse(self.entries.len()));
        Some(Tail { ready, tip: last.tip, length, arrival: Reverse(last.arrival), sender: last.sender() })
    }

    /// Inserts, and returns the transaction whose place it took.
    pub(super) fn insert(&mut self, entry: Arc<Pooled>) -> Option<Arc<Pooled>> {
        let cost = entry.cost;
        let replaced = self.entries.insert(entry.nonce(), entry);
        self.cost = self.cost - replaced.as_ref().map_or(U256::ZERO, |old| old.cost) + cost;
        self.count_ready();
        replaced
    }

    pub(super) fn remove(&mut self, nonce: u64) -> Option<Arc<Pooled>> {
        let removed = self.entries.remove(&nonce)?;
        self.cost -= removed.cost;
        self.ready = self.ready.min(nonce.saturating_sub(self.funds.nonce) as usize);
        Some(removed)
    }

    pub(super) fn pop_last(&mut self) -> Option<Arc<Pooled>> {
        let nonce = *self.entries.last_key_value()?.0;
        self.remove(nonce)
    }

    /// Follows the account; returns what is final or can no longer be paid for.
    pub(super) fn advance(&mut self, funds: Funds) -> Vec<Arc<Pooled>> {
        let later = self.entries.split_off(&funds.nonce);
        let mut left: Vec<_> = std::mem::replace(&mut self.entries, later).into_values().collect();
        self.cost -= left.iter().map(|entry| entry.cost).sum::<U256>();
        self.ready = self.ready.saturating_sub(funds.nonce.saturating_sub(self.funds.nonce) as usize);
        self.funds = funds;
        while self.cost > funds.balance {
            left.extend(self.pop_last());
        }
        self.count_ready();
        left
    }

    /// Walks on from what is already known to be consecutive, so that n insertions cost n steps, not n².
    fn count_ready(&mut self) {
        while self.entries.contains_key(&(self.funds.nonce + self.ready as u64)) {
            self.ready += 1;
        }
    }

    pub(super) fn content(&self) -> SenderContent {
        let next = self.next_nonce();
        let (pending, queued) = self.entries.values().cloned().partition(|entry| entry.nonce() < next);
        SenderContent { pending, queued }
    }
}
