//! Random blocks: what a builder makes, a verifier finds, field by field, root by root.

use alloy_primitives::{Address, Bytes};
use execution::Added;
use proptest::prelude::*;
use types::{FeeMode, Recovered};

use crate::{
    chain::Chain,
    wallet::{CONTRACTS, COUNTER, GWEI, LOOP, MORTAL, Order, contract, genesis, key},
};

#[derive(Clone, Debug)]
struct Intent {
    from: u32,
    what: u8,
    /// Mostly the right one.
    nonce_off: u64,
    value: u64,
    gas: u64,
    price: u128,
    kind: u8,
}

fn intent() -> impl Strategy<Value = Intent> {
    let nonce_off = prop_oneof![9 => Just(0u64), 1 => 1..3u64];
    let price = prop_oneof![8 => Just(10 * GWEI), 1 => Just(0), 1 => Just(GWEI / 2)];
    (0..6u32, 0..14u8, nonce_off, 0..3000u64, 20_000..400_000u64, price, 0..4u8).prop_map(
        |(from, what, nonce_off, value, gas, price, kind)| Intent { from, what, nonce_off, value, gas, price, kind },
    )
}

fn transaction(intent: &Intent, nonce: u64) -> Recovered {
    let order = match intent.what {
        0 => Order::create(intent.from, &COUNTER, nonce),
        1 => Order::create(intent.from, &MORTAL, nonce),
        2 => Order { input: MORTAL.clone(), ..Order::create(intent.from, &MORTAL, nonce) },
        3 => Order::create(intent.from, &LOOP, nonce),
        4 => Order::call(intent.from, Address::with_last_byte(4), nonce),
        5 => Order::call(intent.from, key(intent.from).address(), nonce),
        6 => Order::call(intent.from, key((intent.from + 1) % 6).address(), nonce),
        what => Order::call(intent.from, contract(1 + what % CONTRACTS.len() as u8), nonce),
    };
    let input = if intent.what == 4 { Bytes::from(vec![7; 300]) } else { order.input };
    let tip = intent.price.min(GWEI);
    let order = Order { value: intent.value, gas: intent.gas, price: intent.price, tip, input, ..order };
    match (intent.kind, order.to.is_create()) {
        (0, _) => order.legacy(),
        (1, _) => order.access_list(Default::default()),
        (2, false) => order.delegate((intent.from + 3) % 6, 0, contract(1)),
        _ => order.dynamic(),
    }
}

fn run(fees: FeeMode, blocks: Vec<Vec<Intent>>) {
    let mut chain = Chain::new(&genesis(fees));
    let mut nonces = [0; 6];
    for intents in blocks {
        let from = |intent: &Intent| intent.from as usize;
        let mut offered = Vec::new();
        for intent in &intents {
            offered.push(transaction(intent, nonces[from(intent)] + intent.nonce_off));
            nonces[from(intent)] += u64::from(intent.nonce_off == 0);
        }
        let (block, execution, added) = chain.add(&offered);
        let included = added.iter().filter(|added| matches!(added, Added::Included { .. })).count();
        assert_eq!(included, block.transactions().len());
        assert_eq!(included, execution.receipts.len());
        // What was left out did not use up its nonce.
        for (index, nonce) in nonces.iter_mut().enumerate() {
            let account = chain.state().account(key(index as u32).address()).unwrap();
            *nonce = account.map_or(0, |account| account.nonce);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn builder_and_verifier_agree(
        mode in 0..3u8,
        blocks in prop::collection::vec(prop::collection::vec(intent(), 0..12), 1..4),
    ) {
        let fees = match mode {
            0 => FeeMode::Free,
            1 => FeeMode::Fixed { gas_price: 1_000_000_000 },
            _ => FeeMode::Eip1559,
        };
        run(fees, blocks);
    }
}
