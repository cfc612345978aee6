//! Runs that leave no trace.

use std::sync::atomic::AtomicBool;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_rpc_types_eth::{
    BlockOverrides, TransactionRequest,
    simulate::{SimBlock, SimulatePayload},
    state::{AccountOverride, StateOverride},
};
use execution::{
    BlockContext,
    simulate::{CallError, Limits, Overrides, Setting, call, create_access_list, estimate_gas, simulate_v1},
};
use types::FeeMode;

use crate::{
    chain::Chain,
    wallet::{GWEI, LAST_HASH, PRICE, contract, genesis, key},
};

const LIMITS: Limits<'static> = Limits { gas: 10_000_000, interrupt: None };

fn to(address: Address) -> TransactionRequest {
    TransactionRequest { from: Some(key(0).address()), to: Some(TxKind::Call(address)), ..Default::default() }
}

fn ask<R>(fees: FeeMode, ask: impl FnOnce(&Setting<'_>, &Chain) -> R) -> R {
    let mut chain = Chain::new(&genesis(fees));
    chain.add(&[]);
    let (view, hashes) = (chain.state(), |height| chain.hash(height));
    let context = BlockContext::of(&chain.rules, chain.header());
    ask(&Setting { rules: &chain.rules, view: &view, block_hashes: &hashes, context }, &chain)
}

fn state(address: Address, account: AccountOverride) -> Overrides {
    Overrides { state: Some(StateOverride::from_iter([(address, account)])), block: None }
}

#[test]
fn a_revert_comes_with_its_data_and_reason() {
    ask(FeeMode::Eip1559, |setting, _| {
        let error = call(setting, &to(contract(2)), Overrides::default(), LIMITS).unwrap_err();
        assert_eq!(error.to_string(), "execution reverted: no");
        assert_eq!(error.code(), 3);
        assert_eq!(error.data().unwrap()[..4], [0x08, 0xc3, 0x79, 0xa0]);
        let error = estimate_gas(setting, &to(contract(2)), Overrides::default(), LIMITS).unwrap_err();
        assert_eq!(error.to_string(), "execution reverted: no");
    });
}

#[test]
fn overrides_replace_code_storage_and_block() {
    ask(FeeMode::Eip1559, |setting, _| {
        let account = AccountOverride::default()
            .with_code(Bytes::from_static(&[0x60, 0, 0x54, 0x60, 0, 0x52, 0x60, 0x20, 0x60, 0, 0xf3]))
            .with_state_diff([(B256::ZERO, B256::with_last_byte(9))]);
        let outcome = call(setting, &to(Address::repeat_byte(9)), state(Address::repeat_byte(9), account), LIMITS);
        assert_eq!(outcome.unwrap().output.as_ref(), B256::with_last_byte(9).as_slice());

        let account = AccountOverride::default().with_code(LAST_HASH.clone());
        let mut overrides = state(Address::repeat_byte(9), account);
        let block = BlockOverrides::default().with_number(U256::from(6));
        let hash = B256::repeat_byte(0xaa);
        overrides.block = Some(Box::new(BlockOverrides { block_hash: Some([(5, hash)].into()), ..block }));
        let outcome = call(setting, &to(Address::repeat_byte(9)), overrides, LIMITS).unwrap();
        assert_eq!(outcome.output.as_ref(), hash.as_slice());
    });
}

#[test]
fn contradictions_are_named() {
    ask(FeeMode::Eip1559, |setting, _| {
        let empty: [(B256, B256); 0] = [];
        let both = AccountOverride::default().with_state(empty).with_state_diff(empty);
        let error = call(setting, &to(contract(1)), state(contract(1), both), LIMITS).unwrap_err();
        assert!(error.to_string().contains("has both 'state' and 'stateDiff'"), "{error}");
        let request = TransactionRequest { gas_price: Some(1), max_fee_per_gas: Some(1), ..to(contract(1)) };
        let error = call(setting, &request, Overrides::default(), LIMITS).unwrap_err();
        assert!(error.to_string().contains("both gasPrice and"), "{error}");
        let moved = AccountOverride { move_precompile_to: Some(Address::ZERO), ..Default::default() };
        let error = call(setting, &to(contract(1)), state(contract(1), moved), LIMITS).unwrap_err();
        assert!(error.to_string().contains("is not a precompile"), "{error}");
    });
}

#[test]
fn gas_and_interrupt_bound_a_call() {
    ask(FeeMode::Eip1559, |setting, _| {
        let error = call(setting, &to(contract(7)), Overrides::default(), LIMITS).unwrap_err();
        assert_eq!(error.to_string(), "out of gas");
        let now = AtomicBool::new(true);
        let limits = Limits { gas: u64::MAX, interrupt: Some(&now) };
        let error = call(setting, &to(contract(7)), Overrides::default(), limits).unwrap_err();
        assert!(matches!(error, CallError::Interrupted), "{error}");
    });
}

#[test]
fn a_call_sees_price_zero_where_gas_is_free() {
    ask(FeeMode::Free, |setting, _| {
        let request = TransactionRequest { gas_price: Some(5), ..to(contract(4)) };
        let outcome = call(setting, &request, Overrides::default(), LIMITS).unwrap();
        assert_eq!(outcome.output.as_ref(), [0; 32]);
    });
    assert_eq!(PRICE[0], 0x3a);
}

#[test]
fn estimates_suffice_and_transfers_cost_21000() {
    ask(FeeMode::Eip1559, |setting, _| {
        let transfer = TransactionRequest { value: Some(U256::from(1)), ..to(Address::repeat_byte(7)) };
        assert_eq!(estimate_gas(setting, &transfer, Overrides::default(), LIMITS).unwrap(), 21_000);
        let count = to(contract(1));
        let gas = estimate_gas(setting, &count, Overrides::default(), LIMITS).unwrap();
        let used = call(setting, &count, Overrides::default(), LIMITS).unwrap().gas_used;
        assert!(gas >= used && gas < used + used / 20, "{gas} for {used}");
        let exactly = TransactionRequest { gas: Some(gas), ..count };
        call(setting, &exactly, Overrides::default(), LIMITS).unwrap();
    });
}

#[test]
fn the_balance_limits_an_estimate_unless_gas_is_free() {
    let penniless = TransactionRequest { from: Some(key(6).address()), gas_price: Some(GWEI), ..to(contract(1)) };
    ask(FeeMode::Eip1559, |setting, _| {
        let error = estimate_gas(setting, &penniless, Overrides::default(), LIMITS).unwrap_err();
        assert_eq!(error.to_string(), "gas required exceeds allowance (0)");
    });
    ask(FeeMode::Free, |setting, _| {
        estimate_gas(setting, &penniless, Overrides::default(), LIMITS).unwrap();
    });
}

#[test]
fn an_access_list_names_the_slots() {
    ask(FeeMode::Eip1559, |setting, _| {
        let list = create_access_list(setting, &to(contract(1)), Overrides::default(), LIMITS).unwrap();
        assert_eq!(list.access_list.0.len(), 1);
        assert_eq!(list.access_list.0[0].address, contract(1));
        assert_eq!(list.access_list.0[0].storage_keys, [B256::ZERO]);
        assert_eq!(list.error, None);
        let list = create_access_list(setting, &to(contract(2)), Overrides::default(), LIMITS).unwrap();
        assert_eq!(list.error.as_deref(), Some("execution reverted: no"));
    });
}

#[test]
fn simulated_blocks_build_on_each_other() {
    ask(FeeMode::Free, |setting, chain| {
        let count = || SimBlock::default().call(to(contract(1)));
        let payload = SimulatePayload::default().extend(count()).extend(count());
        let blocks = simulate_v1(setting, chain.header(), payload, LIMITS).unwrap();
        assert_eq!(blocks.len(), 2);
        assert_eq!(blocks[0].inner.header.inner.parent_hash, chain.head.hash());
        assert_eq!(blocks[1].inner.header.inner.parent_hash, blocks[0].inner.header.hash);
        assert!(blocks.iter().all(|block| block.calls[0].status));
        assert!(blocks[1].calls[0].gas_used < blocks[0].calls[0].gas_used, "slot 0 was set in the first");
        assert_eq!(chain.state().state_root(), chain.header().state_root, "nothing was written");
    });
}

#[test]
fn a_simulation_is_bounded() {
    ask(FeeMode::Free, |setting, chain| {
        let far = BlockOverrides::default().with_number(U256::from(1000));
        let payload = SimulatePayload::default().extend(SimBlock::default().with_block_overrides(far));
        assert_eq!(simulate_v1(setting, chain.header(), payload, LIMITS).unwrap_err().code(), -38026);
        let payload = SimulatePayload::default();
        assert_eq!(simulate_v1(setting, chain.header(), payload, LIMITS).unwrap_err().code(), -32602);
        let endless = SimBlock::default().call(to(contract(7))).call(to(contract(7)));
        let payload = SimulatePayload::default().extend(endless);
        let error = simulate_v1(setting, chain.header(), payload, LIMITS).unwrap_err();
        assert_eq!(error.code(), -38013, "{error}: the first call used up the gas of all");
    });
}
