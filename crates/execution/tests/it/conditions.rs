//! What the pool refuses: one test for each reason, with the words that clients look for.

use alloy_primitives::{Address, Bytes};
use execution::{
    InvalidTransaction, Rules,
    admission::{Conditions, check_stateless},
};
use revm::primitives::hardfork::SpecId;
use types::{FeeMode, Recovered};

use crate::wallet::{GWEI, Order, genesis};

fn check_at(spec: SpecId, fees: FeeMode, transaction: &Recovered) -> Result<(), InvalidTransaction> {
    let rules = Rules::new(&genesis(fees)).unwrap();
    check_stateless(&rules, &Conditions { spec, gas_limit: 30_000_000 }, transaction)
}

fn refusal(transaction: Recovered) -> (&'static str, String) {
    let why = check_at(SpecId::OSAKA, FeeMode::Eip1559, &transaction).unwrap_err();
    (why.code(), why.to_string())
}

fn order() -> Order {
    Order::call(0, Address::repeat_byte(7), 0)
}

fn refused(transaction: Recovered, code: &str, words: &str) {
    let (found, text) = refusal(transaction);
    assert_eq!(found, code);
    assert!(text.contains(words), "{text}");
}

#[test]
fn a_good_transaction_passes() {
    for transaction in [order().legacy(), order().dynamic(), order().delegate(1, 0, Address::ZERO)] {
        check_at(SpecId::OSAKA, FeeMode::Eip1559, &transaction).unwrap();
    }
}

#[test]
fn wrong_chain() {
    refused(Order { chain_id: Some(5), ..order() }.dynamic(), "wrong-chain-id", "invalid chain id for signer");
}

#[test]
fn no_replay_protection() {
    refused(Order { chain_id: None, ..order() }.legacy(), "not-replay-protected", "only replay-protected (EIP-155)");
}

#[test]
fn blobs() {
    refused(order().blob(), "blobs-not-supported", "blob transactions are not supported on this network");
}

#[test]
fn a_type_before_its_fork() {
    let why = check_at(SpecId::BERLIN, FeeMode::Free, &order().dynamic()).unwrap_err();
    assert_eq!(why, InvalidTransaction::TypeNotActive(2));
    assert!(why.to_string().starts_with("transaction type not supported"));
    let why = check_at(SpecId::CANCUN, FeeMode::Free, &order().delegate(1, 0, Address::ZERO)).unwrap_err();
    assert_eq!(why, InvalidTransaction::TypeNotActive(4));
}

#[test]
fn no_authorization() {
    refused(order().set_code(Vec::new()), "empty-authorization-list", "empty auth list");
}

#[test]
fn intrinsic_gas() {
    refused(Order { gas: 20_999, ..order() }.dynamic(), "intrinsic-gas-too-low", "have 20999, want 21000");
    let authorizing = Order { gas: 45_999, ..order() }.delegate(1, 0, Address::ZERO);
    refused(authorizing, "intrinsic-gas-too-low", "have 45999, want 46000");
}

#[test]
fn floor_gas() {
    let input = Bytes::from(vec![1; 1000]);
    let transaction = Order { gas: 40_000, input, ..order() }.dynamic();
    refused(
        transaction.clone(),
        "floor-gas-too-low",
        "insufficient gas for floor data gas cost: have 40000, want 61000",
    );
    check_at(SpecId::CANCUN, FeeMode::Free, &transaction).unwrap();
}

#[test]
fn gas_above_the_block() {
    refused(Order { gas: 30_000_001, ..order() }.dynamic(), "exceeds-block-gas-limit", "exceeds block gas limit");
}

#[test]
fn gas_above_the_cap() {
    let transaction = Order { gas: (1 << 24) + 1, ..order() }.dynamic();
    refused(transaction.clone(), "gas-limit-too-high", "transaction gas limit too high");
    check_at(SpecId::PRAGUE, FeeMode::Free, &transaction).unwrap();
}

#[test]
fn init_code_size() {
    let runtime = Bytes::from(vec![0; 49_153]);
    let order = Order { gas: 1_000_000, input: runtime, ..Order::create(0, &Bytes::new(), 0) };
    refused(order.clone().dynamic(), "init-code-too-large", "max initcode size exceeded: code size 49153 limit 49152");
    check_at(SpecId::LONDON, FeeMode::Free, &order.dynamic()).unwrap();
}

#[test]
fn the_last_nonce() {
    refused(Order { nonce: u64::MAX, ..order() }.dynamic(), "nonce-max", "nonce has max value");
}

#[test]
fn tip_above_cap() {
    let transaction = Order { price: 1, tip: 2, ..order() }.dynamic();
    refused(transaction.clone(), "tip-above-fee-cap", "max priority fee per gas higher than max fee per gas");
    assert!(check_at(SpecId::OSAKA, FeeMode::Free, &transaction).is_err(), "in free mode too");
}

#[test]
fn below_the_fixed_price() {
    let fees = FeeMode::Fixed { gas_price: 20 * GWEI as u64 };
    let why = check_at(SpecId::OSAKA, fees, &order().dynamic()).unwrap_err();
    assert!(why.to_string().starts_with("transaction underpriced"), "{why}");
}
