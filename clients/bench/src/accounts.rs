//! Sender accounts: keys derived from a word and a run's number, so that a run can be repeated and continued.

use crate::endpoint::{CallError, Endpoint};
use alloy_primitives::{Address, B256, U64, U256};
use crypto::{AccountKey, keccak256};
use serde_json::{Value, json};

/// Accounts asked about in one batch.
const QUESTIONS_PER_BATCH: usize = 200;

/// Key `index` of a run. The domain keeps it apart from every other use of the same word.
pub fn derive(seed: &str, run: u64, index: u64) -> AccountKey {
    let text = format!("lonja/bench/{}:{seed}/{run}/{index}", seed.len());
    let mut secret = keccak256(text);
    loop {
        match AccountKey::from_secret(&secret) {
            Ok(key) => return key,
            Err(_) => secret = keccak256(secret), // not below the curve's order: one in 2^128
        }
    }
}

/// The first `count` keys of a run.
pub fn derive_all(seed: &str, run: u64, count: u64) -> Vec<AccountKey> {
    (0..count).map(|index| derive(seed, run, index)).collect()
}

/// Which of the other accounts transaction `index` goes to: scattered, and the same every time.
pub fn recipient(sender: usize, index: u64, accounts: usize) -> usize {
    let hash: B256 = keccak256(index.to_be_bytes());
    let chance = U256::from_be_bytes(hash.0) % U256::from(accounts.saturating_sub(1).max(1));
    (sender + 1 + chance.to::<usize>()) % accounts
}

/// The next nonce of each account, transactions that are still waiting included.
pub async fn nonces(endpoint: &Endpoint, accounts: &[Address]) -> Result<Vec<u64>, CallError> {
    let found: Vec<U64> = ask(endpoint, "eth_getTransactionCount", accounts, "pending").await?;
    Ok(found.into_iter().map(|nonce| nonce.to()).collect())
}

/// The balance of each account.
pub async fn balances(endpoint: &Endpoint, accounts: &[Address]) -> Result<Vec<U256>, CallError> {
    ask(endpoint, "eth_getBalance", accounts, "latest").await
}

async fn ask<T: serde::de::DeserializeOwned>(
    endpoint: &Endpoint,
    method: &str,
    accounts: &[Address],
    tag: &str,
) -> Result<Vec<T>, CallError> {
    let mut found = Vec::with_capacity(accounts.len());
    for some in accounts.chunks(QUESTIONS_PER_BATCH) {
        let params: Vec<Value> = some.iter().map(|account| json!([account, tag])).collect();
        found.extend(endpoint.calls::<T>(method, &params).await?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn keys_repeat_and_differ() {
        let addresses = |seed, run| derive_all(seed, run, 3).iter().map(AccountKey::address).collect::<Vec<_>>();
        assert_eq!(addresses("a", 1), addresses("a", 1));
        let all: BTreeSet<_> = [addresses("a", 1), addresses("a", 2), addresses("b", 1), addresses("a/1", 1)]
            .concat()
            .into_iter()
            .collect();
        assert_eq!(all.len(), 12);
    }

    #[test]
    fn nobody_pays_itself_unless_alone() {
        for accounts in 2..20 {
            let chosen: BTreeSet<_> = (0..1_000).map(|index| recipient(1, index, accounts)).collect();
            assert_eq!(chosen.len(), accounts - 1);
            assert!(!chosen.contains(&1));
        }
        assert_eq!(recipient(0, 7, 1), 0);
    }
}
