//! The development engine over a real chain, in memory.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use chain::Chain;
use commonware_runtime::{Clock as _, Runner as _, Spawner as _, Supervisor as _, deterministic};
use commonware_utils::channel::{mpsc, oneshot};
use consensus::{dev, status};
use crypto::{AccountKey, DEV_MNEMONIC};
use execution::Rules;
use ledger::Ledger;
use std::time::Duration;
use types::{Address, GenesisTemplate, Transaction, U256};

fn chain() -> Chain {
    let funded = vec![AccountKey::from_mnemonic(DEV_MNEMONIC, 0).unwrap().address()];
    let genesis = GenesisTemplate { funded, ..Default::default() }.build().unwrap();
    let options = ledger::Options { cache_bytes: 8 << 20, ..Default::default() };
    let ledger = Ledger::open_on(redb::backends::InMemoryBackend::new(), &genesis, options).unwrap();
    Chain::new(ledger, Rules::new(&genesis).unwrap(), Default::default())
}

fn transfer(nonce: u64) -> types::Bytes {
    let unsigned = TxEip1559 {
        chain_id: 1337,
        nonce,
        gas_limit: 21_000,
        to: Address::repeat_byte(1).into(),
        value: U256::ONE,
        ..Default::default()
    };
    let key = AccountKey::from_mnemonic(DEV_MNEMONIC, 0).unwrap();
    let signature = key.sign(&unsigned.signature_hash());
    Transaction::from(unsigned.into_signed(signature)).encoded_2718().into()
}

fn options(block_period_ms: u64) -> (dev::Options, mpsc::Sender<oneshot::Sender<types::BlockHash>>) {
    let (demand, demands) = mpsc::channel(1);
    let (status, _) = status::channel();
    (dev::Options { block_period_ms, beneficiary: Address::ZERO, demands, status }, demand)
}

#[test]
fn dev_seals_at_once_and_never_without_need() {
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let chain = chain();
        let (options, demand) = options(0);
        let sealing = chain.clone();
        let engine = context.child("dev").spawn(move |context| dev::run(context, options, sealing));
        context.sleep(Duration::from_secs(10)).await;
        assert_eq!(chain.finalized().number, 0, "nothing to seal");
        for nonce in 0..3 {
            chain.submit(transfer(nonce)).unwrap();
            context.sleep(Duration::from_millis(5)).await;
            assert_eq!(chain.finalized().number, nonce + 1);
        }
        let (reply, hash) = oneshot::channel();
        demand.send(reply).await.unwrap();
        assert_eq!(hash.await.unwrap(), chain.finalized().hash());
        assert_eq!(chain.finalized().number, 4, "on demand, empty");
        drop(demand);
        chain.submit(transfer(3)).unwrap();
        context.sleep(Duration::from_millis(5)).await;
        assert_eq!(chain.finalized().number, 5, "nobody can demand any more; sealing goes on");
        engine.abort();
    });
}

#[test]
fn dev_keeps_its_period_and_forgets_nothing() {
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let chain = chain();
        let (options, _demand) = options(1_000);
        let sealing = chain.clone();
        let engine = context.child("dev").spawn(move |context| dev::run(context, options, sealing));
        for nonce in 0..20 {
            chain.submit(transfer(nonce)).unwrap();
            context.sleep(Duration::from_millis(150)).await;
        }
        context.sleep(Duration::from_secs(2)).await;
        let snapshot = chain.ledger().snapshot().unwrap();
        let sealed: usize = (1..=chain.finalized().number)
            .map(|height| snapshot.block(height).unwrap().unwrap().transactions().len())
            .sum();
        assert_eq!(sealed, 20);
        assert!((3..=5).contains(&chain.finalized().number), "{} blocks in 3 s", chain.finalized().number);
        engine.abort();
    });
}
