//! The three fee modes.

use alloy_primitives::{Address, U256};
use execution::{Added, Rules, cost, effective_gas_price};
use types::FeeMode;

use crate::{
    chain::{BENEFICIARY, Chain},
    wallet::{GWEI, Order, contract, genesis, genesis_with, key},
};

fn balance(chain: &Chain, address: Address) -> Option<U256> {
    chain.state().account(address).unwrap().map(|account| account.balance)
}

#[test]
fn free_needs_no_balance_and_charges_nothing_whatever_is_declared() {
    let mut chain = Chain::new(&genesis(FeeMode::Free));
    let penniless = |nonce| Order::call(6, contract(1), nonce);
    let transactions = [
        Order { price: 1, tip: 1, ..penniless(0) }.dynamic(),
        Order { price: 50 * GWEI, ..penniless(1) }.legacy(),
        Order { price: 0, tip: 0, ..penniless(2) }.dynamic(),
    ];
    let (block, execution, _) = chain.add(&transactions);
    assert!(execution.receipts.iter().all(|receipt| receipt.status()));
    assert_eq!(block.header().base_fee_per_gas, Some(0));
    assert_eq!(balance(&chain, key(6).address()), Some(U256::ZERO));
    assert_eq!(balance(&chain, BENEFICIARY), None, "nobody was paid");
    for transaction in &transactions {
        assert_eq!(effective_gas_price(&chain.rules, transaction.inner(), Some(0)), 0);
        assert_eq!(cost(&chain.rules, transaction.inner()), U256::ZERO);
    }
}

#[test]
fn free_still_needs_the_value_that_is_sent() {
    let mut chain = Chain::new(&genesis(FeeMode::Free));
    let order = Order { value: 1, ..Order::call(6, Address::repeat_byte(7), 0) };
    let (_, _, added) = chain.add(&[order.clone().dynamic()]);
    let Added::Skipped(why) = &added[0] else { panic!() };
    assert!(why.to_string().starts_with("insufficient funds for gas * price + value"), "{why}");
    assert_eq!(cost(&chain.rules, order.dynamic().inner()), U256::from(1));
}

#[test]
fn free_gas_price_is_zero_inside_too() {
    let mut chain = Chain::new(&genesis(FeeMode::Free));
    // The constructor returns GASPRICE as code: 32 zero bytes.
    let order = Order { input: crate::wallet::PRICE.clone(), ..Order::create(0, &crate::wallet::PRICE, 0) };
    chain.add(&[order.dynamic()]);
    let account = chain.state().account(key(0).address().create(0)).unwrap().unwrap();
    assert_eq!(chain.state().code(account.code_hash).unwrap().as_ref(), [0; 32]);
}

#[test]
fn fixed_keeps_its_price_however_full_the_blocks_are() {
    let genesis = genesis_with(FeeMode::Fixed { gas_price: 7 }, |genesis| genesis.gas_limit = 100_000);
    let mut chain = Chain::new(&genesis);
    for nonce in 0..3 {
        let order = Order { gas: 90_000, price: 9, tip: 2, ..Order::call(0, contract(1), nonce) };
        let (block, _, added) = chain.add(&[order.dynamic()]);
        assert!(matches!(added[0], Added::Included { .. }));
        assert_eq!(block.header().base_fee_per_gas, Some(7));
    }
    let cheap = Order { price: 6, tip: 0, ..Order::call(0, contract(1), 3) }.dynamic();
    let (_, _, added) = chain.add(&[cheap]);
    let Added::Skipped(why) = &added[0] else { panic!() };
    assert_eq!(why.code(), "exceeds-block-gas-limit");
    let cheap = Order { gas: 90_000, price: 6, tip: 0, ..Order::call(0, contract(1), 3) }.dynamic();
    let (_, _, added) = chain.add(&[cheap]);
    let Added::Skipped(why) = &added[0] else { panic!() };
    assert_eq!(why.code(), "fee-cap-too-low");
}

#[test]
fn eip1559_moves_with_the_load() {
    let genesis = genesis_with(FeeMode::Eip1559, |genesis| genesis.gas_limit = 42_000);
    let mut chain = Chain::new(&genesis);
    let order = |nonce| Order { gas: 21_000, ..Order::call(0, Address::repeat_byte(7), nonce) }.dynamic();
    chain.add(&[order(0), order(1)]);
    let full = chain.header().base_fee_per_gas.unwrap();
    chain.add(&[]);
    let after = chain.header().base_fee_per_gas.unwrap();
    assert_eq!(after, full + full / 8);
    assert_eq!(effective_gas_price(&chain.rules, order(0).inner(), Some(after)), u128::from(after) + GWEI);
}

#[test]
fn fixed_before_london_is_refused() {
    let mut ethereum = (*genesis(FeeMode::Free).ethereum).clone();
    ethereum.config = alloy_genesis::ChainConfig { berlin_block: Some(0), ..Default::default() };
    let header = types::Header::default();
    let rules = Rules::from_config(&ethereum.config, FeeMode::Fixed { gas_price: 1 }, &header);
    assert!(matches!(rules, Err(execution::RulesError::FixedFeeBeforeLondon)));
}
