//! Admission: from bytes to the pool.
//!
//! D3.1 6.1.6.1. In batches: hash, decode and recover outside every lock, read the accounts from one view of the
//! state, then insert all under one lock.

use crate::pool::{Funds, Pool, Pooled};
use crate::{Chain, Origin, Rejected};
use alloy_consensus::Transaction as _;
use alloy_primitives::map::{AddressMap, B256Map, Entry};
use execution::admission::{Conditions, check_stateless};
use ledger::{StateView, StorageError};
use types::{Address, Bytes, Recovered, TxHash, decode_transaction, recover};

impl Chain {
    /// Admits one transaction of a local client.
    pub fn submit(&self, raw: Bytes) -> Result<TxHash, Rejected> {
        self.submit_batch(vec![raw], Origin::Local).pop().expect("one answer for one transaction")
    }

    /// Admits encoded transactions in their order; one answer each.
    pub fn submit_batch(&self, raw: Vec<Bytes>, origin: Origin) -> Vec<Result<TxHash, Rejected>> {
        let known = self.known(&raw);
        let conditions = self.conditions();
        let checked: Vec<_> = raw.iter().map(|raw| self.check(raw, &known, &conditions, origin)).collect();
        let answers = match self.insert(checked) {
            Ok(answers) => answers,
            Err(error) => raw.iter().map(|_| Err(Rejected::Unavailable(error.to_string()))).collect(),
        };
        if answers.iter().any(Result::is_ok) {
            self.announce();
        }
        answers
    }

    /// Hashes of those that the pool holds already: a peer's copy costs a hash, not a recovery.
    fn known(&self, raw: &[Bytes]) -> B256Map<()> {
        let hashes: Vec<TxHash> = raw.iter().map(crypto::keccak256).collect();
        let pool = self.0.pool.lock();
        hashes.into_iter().filter(|hash| pool.get(hash).is_some()).map(|hash| (hash, ())).collect()
    }

    /// Forks and limits at the next block.
    fn conditions(&self) -> Conditions {
        let finalized = self.finalized();
        let header = finalized.inner();
        let spec = self.0.rules.spec_at(header.number + 1, header.timestamp);
        Conditions { spec, gas_limit: header.gas_limit }
    }

    /// All checks that need neither the state nor the pool.
    fn check(
        &self,
        raw: &Bytes,
        known: &B256Map<()>,
        conditions: &Conditions,
        origin: Origin,
    ) -> Result<Pooled, Rejected> {
        self.0.limits.check_size(raw.len())?;
        if known.contains_key(&crypto::keccak256(raw)) {
            return Err(Rejected::AlreadyKnown);
        }
        let transaction = recover(decode_transaction(raw)?).map_err(types::TransactionError::Signature)?;
        check_stateless(&self.0.rules, conditions, &transaction)?;
        Ok(self.pooled_of(transaction, raw.len(), origin))
    }

    fn pooled_of(&self, transaction: Recovered, bytes: usize, origin: Origin) -> Pooled {
        let inner = transaction.inner();
        let fee_cap = inner.max_fee_per_gas();
        let tip = inner.max_priority_fee_per_gas().unwrap_or(fee_cap);
        let cost = execution::cost(&self.0.rules, inner);
        let (tip, fee_cap) = if self.0.rules.is_free() { (0, u128::MAX) } else { (tip, fee_cap) };
        Pooled { hash: *inner.hash(), origin, arrival: 0, cost, tip, fee_cap, bytes, transaction }
    }

    fn insert(&self, checked: Vec<Result<Pooled, Rejected>>) -> Result<Vec<Result<TxHash, Rejected>>, StorageError> {
        let mut view = self.0.ledger.state(Vec::new())?;
        let mut funds = AddressMap::default();
        read_funds(&view, &checked, &mut funds)?;
        let mut pool = self.0.pool.lock();
        if self.finalized().number != view.height() {
            // A block became final meanwhile, and the pool has already followed it.
            view = self.0.ledger.state(Vec::new())?;
            funds.clear();
            read_funds(&view, &checked, &mut funds)?;
        }
        Ok(checked.into_iter().map(|checked| place(&mut pool, &funds, checked)).collect())
    }

    pub(crate) fn announce(&self) {
        let arrivals = self.0.pool.lock().arrivals();
        self.0.work.send_replace(arrivals);
        self.0.fresh.send_replace(arrivals);
    }
}

fn place(pool: &mut Pool, funds: &AddressMap<Funds>, checked: Result<Pooled, Rejected>) -> Result<TxHash, Rejected> {
    let entry = checked?;
    let (hash, funds) = (entry.hash, funds[&entry.sender()]);
    pool.insert(entry, funds)?;
    Ok(hash)
}

fn read_funds(
    view: &StateView,
    checked: &[Result<Pooled, Rejected>],
    funds: &mut AddressMap<Funds>,
) -> Result<(), StorageError> {
    for entry in checked.iter().flatten() {
        if let Entry::Vacant(vacant) = funds.entry(entry.sender()) {
            vacant.insert(funds_of(view, entry.sender())?);
        }
    }
    Ok(())
}

/// The account as admission needs it.
pub(crate) fn funds_of(view: &StateView, address: Address) -> Result<Funds, StorageError> {
    let account = view.account(address)?.unwrap_or_default();
    Ok(Funds { nonce: account.nonce, balance: account.balance })
}
