//! Transactions admitted but not yet final.
//!
//! D3.1 6.1.6.1 (verification). Everything here passed admission; nothing here has executed.
//!
//! ```text
//! sender ──► Queue: nonce → transaction        executable: consecutive from the account's next nonce
//!              heads: first executable of each queue, best first      (who goes into the next block)
//!              tails: last of each queue, worst first                 (who leaves when the pool is full)
//! ```
//!
//! Invariant: a queue's transactions have distinct nonces at or above the account's next nonce, and the account's
//! balance covers their sum. Order is tip, then place in the sender's queue, then arrival: between equal tips every
//! sender's first transaction comes before anybody's second, so one sender cannot push the others back.

mod pick;
mod queue;

pub use pick::Picked;

use crate::Rejected;
use alloy_primitives::map::AddressMap;
use queue::{Queue, Tail};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use types::{Address, FeeMode, Recovered, TxHash, U256};

/// Arrivals that subscribers may lag behind.
const ARRIVED_MAX: usize = 65_536;

/// Bounds of the pool. Each is enforced at admission.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Transactions in all.
    pub count_max: usize,
    /// Bytes of encoded transactions in all.
    pub bytes_max: usize,
    /// Transactions of one account.
    pub account_count_max: usize,
    /// How far above the account's next nonce a transaction may be.
    pub nonce_ahead_max: u64,
    /// Bytes of one encoded transaction.
    pub transaction_bytes_max: usize,
}

impl Default for PoolLimits {
    fn default() -> PoolLimits {
        PoolLimits {
            count_max: 100_000,
            bytes_max: 256 * 1024 * 1024,
            account_count_max: 10_000,
            nonce_ahead_max: 10_000,
            transaction_bytes_max: 128 * 1024,
        }
    }
}

/// Who handed us a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client of this node. The node gossips it.
    Local,
    /// A peer. Whoever has it from a client gossips it; passing it on would echo.
    Peer,
}

/// A transaction with what the pool needs to know of it, computed once.
#[derive(Debug)]
pub struct Pooled {
    /// The transaction and its sender.
    pub transaction: Recovered,
    /// Its hash.
    pub hash: TxHash,
    /// Who handed it to us.
    pub origin: Origin,
    /// Place in the order of arrival at this node.
    pub arrival: u64,
    /// Wei it can cost at most: value and gas at the highest price it allows.
    pub cost: U256,
    /// Wei per gas for the proposer, at most.
    pub tip: u128,
    /// Wei per gas in all, at most.
    pub fee_cap: u128,
    /// Length of its encoding.
    pub bytes: usize,
}

/// An account's part of the state, as admission needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Funds {
    /// Next nonce.
    pub nonce: u64,
    /// Wei.
    pub balance: U256,
}

/// What `txpool_status` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Transactions that could go into the next block.
    pub pending: usize,
    /// Transactions that wait for one with a lower nonce.
    pub queued: usize,
    /// Bytes of all.
    pub bytes: usize,
}

/// The transactions of one sender, for `txpool_content`.
#[derive(Clone, Debug, Default)]
pub struct SenderContent {
    /// Executable, by nonce.
    pub pending: Vec<Arc<Pooled>>,
    /// Behind a gap, by nonce.
    pub queued: Vec<Arc<Pooled>>,
}

/// The pool. One lock around it, held for microseconds: nothing executes inside.
#[derive(Debug)]
pub(crate) struct Pool {
    limits: PoolLimits,
    fees: FeeMode,
    queues: AddressMap<Queue>,
    by_hash: HashMap<TxHash, Arc<Pooled>>,
    heads: BTreeSet<pick::Rank>,
    tails: BTreeSet<Tail>,
    local: BTreeMap<u64, Arc<Pooled>>,
    /// Hashes of the last arrivals, whatever became of them; the last is that of arrival `arrivals - 1`.
    arrived: VecDeque<TxHash>,
    arrivals: u64,
    bytes: usize,
    executable: usize,
}

impl Pool {
    pub(crate) fn new(limits: PoolLimits, fees: FeeMode) -> Pool {
        Pool {
            limits,
            fees,
            queues: Default::default(),
            by_hash: Default::default(),
            heads: Default::default(),
            tails: Default::default(),
            local: Default::default(),
            arrived: Default::default(),
            arrivals: 0,
            bytes: 0,
            executable: 0,
        }
    }

    /// Admits one transaction whose static checks have passed. `funds` is the sender's account at the finalised block.
    pub(crate) fn insert(&mut self, mut entry: Pooled, funds: Funds) -> Result<(), Rejected> {
        if self.by_hash.contains_key(&entry.hash) {
            return Err(Rejected::AlreadyKnown);
        }
        entry.arrival = self.arrivals;
        self.advance(entry.sender(), funds);
        self.check_nonce(&entry, funds)?;
        let replaced = self.check_queue(&entry, funds)?;
        self.make_room(&entry, replaced.as_deref(), funds)?;
        self.arrivals += 1;
        self.place(Arc::new(entry), funds);
        Ok(())
    }

    fn check_nonce(&self, entry: &Pooled, funds: Funds) -> Result<(), Rejected> {
        let (found, next, ahead) = (entry.nonce(), funds.nonce, self.limits.nonce_ahead_max);
        if found < next {
            return Err(Rejected::NonceTooLow { next, found });
        }
        if found - next > ahead {
            return Err(Rejected::NonceTooHigh { next, found, ahead });
        }
        Ok(())
    }

    /// Checks the entry against the sender's other transactions; returns the one that it replaces.
    fn check_queue(&self, entry: &Pooled, funds: Funds) -> Result<Option<Arc<Pooled>>, Rejected> {
        let queue = self.queues.get(&entry.sender());
        let replaced = queue.and_then(|queue| queue.get(entry.nonce())).cloned();
        let committed = queue.map_or(U256::ZERO, |queue| queue.cost);
        let freed = replaced.as_ref().map_or(U256::ZERO, |old| old.cost);
        let want = (committed - freed).saturating_add(entry.cost);
        if want > funds.balance {
            return Err(Rejected::InsufficientFunds { address: entry.sender(), have: funds.balance, want });
        }
        match &replaced {
            Some(old) if !self.may_replace(old, entry) => Err(Rejected::Underpriced),
            None if queue.is_some_and(|queue| queue.len() >= self.limits.account_count_max) => {
                Err(Rejected::AccountFull { address: entry.sender(), limit: self.limits.account_count_max })
            }
            _ => Ok(replaced),
        }
    }

    /// Ten percent above on both prices, as everywhere. Where gas is free a price says nothing and a stuck transaction
    /// could never be replaced: there a sender may always replace its own.
    fn may_replace(&self, old: &Pooled, new: &Pooled) -> bool {
        let exceeds = |old: u128, new: u128| new >= old.saturating_add(old.div_ceil(10)).max(1);
        self.fees == FeeMode::Free || (exceeds(old.tip, new.tip) && exceeds(old.fee_cap, new.fee_cap))
    }

    /// Evicts from the worst tails until the entry fits, or says that the entry itself would be the worst.
    fn make_room(&mut self, entry: &Pooled, replaced: Option<&Pooled>, funds: Funds) -> Result<(), Rejected> {
        let queue = self.queues.get(&entry.sender());
        let ready = entry.nonce() <= queue.map_or(funds.nonce, Queue::next_nonce);
        let length = queue.map_or(0, Queue::len) + usize::from(replaced.is_none());
        let (count, bytes) = replaced.map_or((1, entry.bytes), |old| (0, entry.bytes.saturating_sub(old.bytes)));
        while self.by_hash.len() + count > self.limits.count_max || self.bytes + bytes > self.limits.bytes_max {
            let Some(worst) = self.tails.first().copied() else { return Err(Rejected::PoolFull) };
            if worst.sender == entry.sender() || !worst.yields_to(ready, entry.tip, length) {
                return Err(Rejected::PoolFull);
            }
            self.change(worst.sender, |queue| queue.pop_last().into_iter().collect());
        }
        Ok(())
    }

    fn place(&mut self, entry: Arc<Pooled>, funds: Funds) {
        if entry.origin == Origin::Local {
            self.local.insert(entry.arrival, entry.clone());
        }
        if self.arrived.len() >= ARRIVED_MAX {
            self.arrived.pop_front();
        }
        self.arrived.push_back(entry.hash);
        self.bytes += entry.bytes;
        self.by_hash.insert(entry.hash, entry.clone());
        self.queues.entry(entry.sender()).or_default();
        self.change(entry.sender(), |queue| {
            queue.funds = funds;
            queue.insert(entry).into_iter().collect()
        });
    }

    /// Changes one sender's queue; everything derived from it follows, and what `change` returns leaves the pool.
    fn change(&mut self, sender: Address, change: impl FnOnce(&mut Queue) -> Vec<Arc<Pooled>>) {
        let Some(queue) = self.queues.get_mut(&sender) else { return };
        if let Some(rank) = queue.head_rank() {
            self.heads.remove(&rank);
        }
        if let Some(tail) = queue.tail() {
            self.tails.remove(&tail);
        }
        self.executable -= queue.executable_len();
        let left = change(queue);
        self.executable += queue.executable_len();
        self.heads.extend(queue.head_rank());
        self.tails.extend(queue.tail());
        if queue.len() == 0 {
            self.queues.remove(&sender);
        }
        for entry in left {
            self.bytes -= entry.bytes;
            self.by_hash.remove(&entry.hash);
            self.local.remove(&entry.arrival);
        }
    }

    /// Follows an account to its state after a new final block: what can no longer be executed leaves.
    pub(crate) fn advance(&mut self, sender: Address, funds: Funds) {
        self.change(sender, |queue| queue.advance(funds));
    }

    /// Removes a transaction that execution refused for good.
    pub(crate) fn remove(&mut self, hash: &TxHash) {
        let Some(entry) = self.by_hash.get(hash).cloned() else { return };
        self.change(entry.sender(), |queue| queue.remove(entry.nonce()).into_iter().collect());
    }

    /// True when the pool holds transactions of this account.
    pub(crate) fn knows(&self, sender: &Address) -> bool {
        self.queues.contains_key(sender)
    }

    pub(crate) fn get(&self, hash: &TxHash) -> Option<&Arc<Pooled>> {
        self.by_hash.get(hash)
    }

    /// The nonce after the sender's last executable transaction, when it has one here.
    pub(crate) fn next_nonce(&self, sender: &Address) -> Option<u64> {
        self.queues.get(sender).map(Queue::next_nonce)
    }

    /// Local transactions that arrived at or after `cursor`, oldest first, and the cursor behind them.
    pub(crate) fn local_since(&self, cursor: u64, count_max: usize) -> (Vec<Arc<Pooled>>, u64) {
        let found: Vec<_> = self.local.range(cursor..).take(count_max).map(|(_, entry)| entry.clone()).collect();
        let cursor = found.last().map_or(cursor, |entry| entry.arrival + 1);
        (found, cursor)
    }

    /// Hashes of transactions that arrived at or after `cursor`, oldest first, and the cursor behind them. A
    /// transaction is named even when it has already left the pool; only the last `ARRIVED_MAX` are remembered.
    pub(crate) fn arrived_since(&self, cursor: u64, count_max: usize) -> (Vec<TxHash>, u64) {
        let first = self.arrivals - self.arrived.len() as u64;
        let skipped = cursor.saturating_sub(first) as usize;
        let found: Vec<_> = self.arrived.iter().skip(skipped).take(count_max).copied().collect();
        let cursor = cursor.max(first) + found.len() as u64;
        (found, cursor)
    }

    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals
    }

    pub(crate) fn status(&self) -> PoolStatus {
        let queued = self.by_hash.len() - self.executable;
        PoolStatus { pending: self.executable, queued, bytes: self.bytes }
    }

    pub(crate) fn content(&self) -> BTreeMap<Address, SenderContent> {
        self.queues.iter().map(|(sender, queue)| (*sender, queue.content())).collect()
    }

    pub(crate) fn content_of(&self, sender: &Address) -> SenderContent {
        self.queues.get(sender).map(Queue::content).unwrap_or_default()
    }
}

impl Pooled {
    /// Who signed it.
    pub fn sender(&self) -> Address {
        self.transaction.signer()
    }

    /// Its place among the sender's transactions.
    pub fn nonce(&self) -> u64 {
        alloy_consensus::Transaction::nonce(self.transaction.inner())
    }

    /// Gas it may use at most.
    pub fn gas_limit(&self) -> u64 {
        alloy_consensus::Transaction::gas_limit(self.transaction.inner())
    }
}

#[cfg(test)]
mod tests;
