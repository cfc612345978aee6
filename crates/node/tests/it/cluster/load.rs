//! Seeded load: transfers between the development accounts, submitted anywhere, and again when they do not get final.

use super::simulation::Simulation;
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use crypto::{AccountKey, DEV_MNEMONIC};
use rand_core::Rng as _;
use std::collections::BTreeMap;
use types::{Bytes, Transaction, TxHash, U256};

pub struct Load {
    accounts: Vec<(AccountKey, u64)>,
    chain_id: u64,
    /// Submitted, and not final at every machine that runs.
    open: BTreeMap<TxHash, Bytes>,
    pub submitted: usize,
}

impl Load {
    pub fn new(chain_id: u64) -> Load {
        let accounts = (0..10).map(|index| (AccountKey::from_mnemonic(DEV_MNEMONIC, index).unwrap(), 0)).collect();
        Load { accounts, chain_id, open: BTreeMap::new(), submitted: 0 }
    }

    fn transfer(&mut self, from: usize, to: usize, value: u64) -> (TxHash, Bytes) {
        let to = self.accounts[to].0.address();
        let (key, nonce) = &mut self.accounts[from];
        let unsigned = TxEip1559 {
            chain_id: self.chain_id,
            nonce: *nonce,
            gas_limit: 21_000,
            to: to.into(),
            value: U256::from(value),
            ..Default::default()
        };
        *nonce += 1;
        let signature = key.sign(&unsigned.signature_hash());
        let transaction = Transaction::from(unsigned.into_signed(signature));
        (*transaction.hash(), transaction.encoded_2718().into())
    }

    /// Submits one transfer at a machine that runs.
    pub fn submit(&mut self, simulation: &mut Simulation) -> TxHash {
        let [from, to, value, at] = [10, 10, 1_000_000, 1 << 30].map(|limit| simulation.context.next_u64() % limit);
        let (hash, raw) = self.transfer(from as usize, to as usize, value);
        let running = simulation.running();
        let machine = running[at as usize % running.len()];
        simulation.machines[machine].chain().submit(raw.clone()).unwrap();
        self.open.insert(hash, raw);
        self.submitted += 1;
        hash
    }

    /// Forgets what is final everywhere, and submits the rest again everywhere, as clients do.
    pub fn retry(&mut self, simulation: &Simulation) -> usize {
        self.open.retain(|hash, _| !simulation.is_final_everywhere(hash));
        for index in simulation.running() {
            let raw = self.open.values().cloned().collect();
            simulation.machines[index].chain().submit_batch(raw, chain::Origin::Local);
        }
        self.open.len()
    }
}
