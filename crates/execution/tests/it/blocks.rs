//! Blocks of our own, proposed by one node and verified by another.

use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7685::EMPTY_REQUESTS_HASH,
};
use alloy_primitives::{Address, B256, U256};
use execution::{Added, ExecutionError, InvalidReason, InvalidTransaction, check_context, check_execution, execute};
use types::{Block, FeeMode, Header, Slot};

use crate::{
    chain::{BENEFICIARY, Chain, senders},
    wallet::{COUNTER, LAST_HASH, MORTAL, Order, contract, genesis, genesis_with, key},
};

fn chain() -> Chain {
    Chain::new(&genesis(FeeMode::Eip1559))
}

fn balance(chain: &Chain, address: Address) -> U256 {
    chain.state().account(address).unwrap().map_or(U256::ZERO, |account| account.balance)
}

fn slot(chain: &Chain, address: Address, slot: u64) -> U256 {
    chain.state().storage(address, U256::from(slot).into()).unwrap()
}

fn succeeded(execution: &execution::Execution) -> Vec<bool> {
    execution.receipts.iter().map(|receipt| receipt.status()).collect()
}

#[test]
fn a_transfer_moves_value_and_pays_the_proposer() {
    let mut chain = chain();
    let to = Address::repeat_byte(7);
    let (block, execution, _) = chain.add(&[Order { value: 5, ..Order::call(0, to, 0) }.dynamic()]);
    assert_eq!(balance(&chain, to), U256::from(5));
    assert_eq!(execution.gas_used, 21_000);
    assert_eq!(balance(&chain, BENEFICIARY), U256::from(21_000) * U256::from(1_000_000_000));
    assert_eq!(block.header().base_fee_per_gas, Some(875_000_000), "an eighth below the first block's");
    assert_eq!(block.header().requests_hash, Some(EMPTY_REQUESTS_HASH));
}

#[test]
fn every_type_of_transaction_runs() {
    let mut chain = chain();
    let counter = contract(1);
    let keys = vec![B256::ZERO];
    let list = AccessList(vec![AccessListItem { address: counter, storage_keys: keys }]);
    let (_, execution, _) = chain.add(&[
        Order::call(0, counter, 0).legacy(),
        Order::call(0, counter, 1).access_list(list),
        Order::call(0, counter, 2).dynamic(),
        Order::call(0, key(5).address(), 3).delegate(5, 0, counter),
    ]);
    assert_eq!(succeeded(&execution), [true; 4]);
    assert_eq!(slot(&chain, counter, 0), U256::from(3));
    assert_eq!(slot(&chain, key(5).address(), 0), U256::from(1), "the delegating account's own storage");
    let delegated = chain.state().account(key(5).address()).unwrap().unwrap();
    let code = chain.state().code(delegated.code_hash).unwrap();
    assert_eq!(&code[..3], [0xef, 1, 0], "EIP-7702's designator");
}

#[test]
fn a_created_contract_is_there_in_the_next_block() {
    let mut chain = chain();
    let address = key(0).address().create(0);
    chain.add(&[Order::create(0, &COUNTER, 0).dynamic()]);
    chain.add(&[Order::call(0, address, 1).dynamic()]);
    assert_eq!(slot(&chain, address, 0), U256::from(1));
}

#[test]
fn a_revert_costs_gas_and_changes_nothing_else() {
    let mut chain = chain();
    let (_, execution, _) = chain.add(&[Order { value: 9, ..Order::call(0, contract(2), 0) }.dynamic()]);
    assert_eq!(succeeded(&execution), [false]);
    assert_eq!(balance(&chain, contract(2)), U256::from(1000));
    assert_eq!(chain.state().account(key(0).address()).unwrap().unwrap().nonce, 1);
}

#[test]
fn since_cancun_only_a_new_contract_can_destroy_itself() {
    let mut chain = chain();
    chain.add(&[Order::call(0, contract(3), 0).dynamic()]);
    let survivor = chain.state().account(contract(3)).unwrap().unwrap();
    assert_eq!(survivor.balance, U256::ZERO, "its balance went to the caller");
    assert_ne!(survivor.code_hash, alloy_primitives::KECCAK256_EMPTY);
}

#[test]
fn before_cancun_a_destroyed_contract_is_gone_with_its_storage() {
    // Counts, and dies when called with value.
    let code = alloy_primitives::bytes!("0x34600e57600054600101600055005b33ff");
    let genesis = genesis_with(FeeMode::Eip1559, |genesis| {
        genesis.config.cancun_time = None;
        genesis.config.prague_time = None;
        genesis.config.osaka_time = None;
        let account = alloy_genesis::GenesisAccount::default().with_nonce(Some(1)).with_code(Some(code));
        genesis.alloc.insert(contract(9), account);
    });
    let mut chain = Chain::new(&genesis);
    chain.add(&[Order::call(0, contract(9), 0).dynamic()]);
    assert_eq!(slot(&chain, contract(9), 0), U256::ONE);
    let (block, execution, _) = chain.add(&[Order { value: 1, ..Order::call(0, contract(9), 1) }.dynamic()]);
    assert!(execution.changes.accounts[&contract(9)].storage_cleared);
    assert_eq!(chain.state().account(contract(9)).unwrap(), None);
    assert_eq!(slot(&chain, contract(9), 0), U256::ZERO);
    assert_eq!(block.header().parent_beacon_block_root, None);
}

#[test]
fn a_contract_that_dies_in_its_creation_leaves_nothing() {
    let mut chain = chain();
    let order = Order { input: MORTAL.clone(), ..Order::create(0, &MORTAL, 0) };
    let (_, execution, _) = chain.add(&[order.dynamic()]);
    assert_eq!(succeeded(&execution), [true]);
    assert_eq!(chain.state().account(key(0).address().create(0)).unwrap(), None);
}

#[test]
fn the_parents_hash_is_in_the_history_contract() {
    let mut chain = chain();
    let genesis = chain.head.hash();
    chain.add(&[]);
    assert_eq!(B256::from(slot(&chain, HISTORY_STORAGE_ADDRESS, 0)), genesis);
    let first = chain.head.hash();
    chain.add(&[]);
    assert_eq!(B256::from(slot(&chain, HISTORY_STORAGE_ADDRESS, 1)), first);
}

#[test]
fn blockhash_finds_the_ancestors() {
    let mut chain = chain();
    chain.add(&[]);
    let parent = chain.head.hash();
    // The constructor returns the hash as the contract's code.
    let order = Order { input: LAST_HASH.clone(), ..Order::create(0, &LAST_HASH, 0) };
    chain.add(&[order.dynamic()]);
    let account = chain.state().account(key(0).address().create(0)).unwrap().unwrap();
    assert_eq!(chain.state().code(account.code_hash).unwrap().as_ref(), parent.as_slice());
}

#[test]
fn a_chain_without_predeploys_has_no_requests_unless_the_rules_insist() {
    let genesis = genesis_with(FeeMode::Free, |genesis| {
        genesis.alloc.remove(&WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS);
        genesis.alloc.remove(&HISTORY_STORAGE_ADDRESS);
    });
    let mut chain = Chain::new(&genesis);
    let (block, _, _) = chain.add(&[]);
    assert_eq!(block.header().requests_hash, Some(EMPTY_REQUESTS_HASH));

    chain.rules = chain.rules.clone().with_required_predeploys(true);
    let (view, hashes) = (chain.state(), |height| chain.hash(height));
    let error = execute(&chain.rules, &view, &hashes, &block, &[]).unwrap_err();
    assert!(error.to_string().contains("has no code"), "{error}");
}

#[test]
fn the_builder_leaves_out_what_is_invalid() {
    let mut chain = chain();
    let (to, poor) = (Address::repeat_byte(7), Order::call(6, Address::ZERO, 0));
    let (block, _, added) = chain.add(&[
        Order::call(0, to, 1).dynamic(),
        Order::call(0, to, 0).dynamic(),
        Order::call(0, to, 0).legacy(),
        poor.dynamic(),
        Order::call(1, to, 0).blob(),
        Order { gas: u64::MAX / 2, ..Order::call(1, to, 0) }.dynamic(),
        Order { price: 1, tip: 1, ..Order::call(1, to, 0) }.dynamic(),
    ]);
    let why = |index: usize| match &added[index] {
        Added::Skipped(why) => why.code(),
        other => panic!("{other:?}"),
    };
    assert_eq!(why(0), "nonce-too-high");
    assert_eq!(added[1], Added::Included { gas_used: 21_000 });
    let rest: Vec<_> = (2..7).map(why).collect();
    let expected =
        ["nonce-too-low", "insufficient-funds", "blobs-not-supported", "exceeds-block-gas-limit", "fee-cap-too-low"];
    assert_eq!(rest, expected);
    assert_eq!(block.transactions().len(), 1);
}

#[test]
fn a_full_block_says_so() {
    let genesis = genesis_with(FeeMode::Free, |genesis| genesis.gas_limit = 50_000);
    let mut chain = Chain::new(&genesis);
    let order = |nonce| Order { gas: 21_000, ..Order::call(0, Address::repeat_byte(7), nonce) }.dynamic();
    let (block, _, added) = chain.add(&[order(0), order(1), order(2)]);
    assert_eq!(added[2], Added::Full);
    assert_eq!(block.transactions().len(), 2);
}

/// A good block, and what it is to be checked against.
fn good_block() -> (Chain, Block) {
    let chain = chain();
    let (block, _) = chain.propose(&[Order::call(0, contract(1), 0).dynamic()]);
    (chain, block)
}

#[test]
fn each_wrong_field_is_named() {
    let (chain, block) = good_block();
    let (view, hashes) = (chain.state(), |height| chain.hash(height));
    let execution = execute(&chain.rules, &view, &hashes, &block, &senders(&block)).unwrap();
    let (context, root) = (chain.next_context(), block.header().state_root);
    let fault = |change: fn(&mut Header)| {
        let mut header = block.header().clone();
        change(&mut header);
        let wrong = Block::new(header, block.body().clone());
        let checked = check_context(&context, chain.header(), &wrong)
            .and_then(|()| check_execution(&wrong, context.spec, &execution, root));
        match checked.unwrap_err().reason {
            InvalidReason::Field { field, .. } => field,
            other => panic!("{other}"),
        }
    };
    assert_eq!(fault(|header| header.state_root = B256::ZERO), "stateRoot");
    assert_eq!(fault(|header| header.receipts_root = B256::ZERO), "receiptsRoot");
    assert_eq!(fault(|header| header.transactions_root = B256::ZERO), "transactionsRoot");
    assert_eq!(fault(|header| header.gas_used += 1), "gasUsed");
    assert_eq!(fault(|header| header.gas_limit += 1), "gasLimit");
    assert_eq!(fault(|header| header.base_fee_per_gas = Some(1)), "baseFeePerGas");
    assert_eq!(fault(|header| header.mix_hash = B256::ZERO), "mixHash");
    assert_eq!(fault(|header| header.timestamp += 1), "timestamp");
    assert_eq!(fault(|header| header.beneficiary = Address::ZERO), "miner");
    assert_eq!(fault(|header| header.parent_hash = B256::ZERO), "parentHash");
    assert_eq!(fault(|header| header.requests_hash = None), "requestsHash");
    assert_eq!(fault(|header| header.withdrawals_root = None), "withdrawalsRoot");
    assert_eq!(fault(|header| header.parent_beacon_block_root = Some(B256::repeat_byte(1))), "parentBeaconBlockRoot");
    assert_eq!(fault(|header| header.block_access_list_hash = Some(B256::ZERO)), "header");
}

#[test]
fn an_invalid_transaction_makes_the_block_invalid() {
    let (chain, block) = good_block();
    let mut body = block.body().clone();
    body.transactions.push(Order::call(0, contract(1), 7).dynamic().into_inner());
    let wrong = Block::new(block.header().clone(), body);
    let (view, hashes) = (chain.state(), |height| chain.hash(height));
    match execute(&chain.rules, &view, &hashes, &wrong, &senders(&wrong)) {
        Err(ExecutionError::Invalid(invalid)) => {
            assert_eq!(invalid.height, 1);
            let InvalidReason::Transaction { index, why, .. } = invalid.reason else { panic!() };
            assert_eq!((index, why.code()), (1, "nonce-too-high"));
        }
        other => panic!("{other:?}"),
    }
    let none = execute(&chain.rules, &view, &hashes, &block, &[]);
    assert!(matches!(none, Err(ExecutionError::Invalid(_))));
}

#[test]
fn a_missing_block_hash_is_no_verdict() {
    let chain = chain();
    let order = Order { input: LAST_HASH.clone(), ..Order::create(0, &LAST_HASH, 0) };
    let (block, _) = chain.propose(&[order.dynamic()]);
    let view = chain.state();
    let result = execute(&chain.rules, &view, &|_| None, &block, &senders(&block));
    assert!(matches!(result, Err(ExecutionError::State(_))), "{result:?}");
}

#[test]
fn several_blocks_share_a_second_but_no_millisecond() {
    let mut chain = chain();
    chain.add(&[]);
    chain.add(&[]);
    assert_eq!(chain.head.header().timestamp, 0);
    let (context, block) = {
        let slot = Slot { timestamp_ms: chain.head.timestamp_ms(), ..chain.next_slot() };
        let context = chain.rules.next_context(chain.header(), &slot, BENEFICIARY);
        let header = Header {
            timestamp: context.timestamp,
            extra_data: context.extra_data.clone(),
            ..chain.propose(&[]).0.header().clone()
        };
        (context, Block::new(header, chain.propose(&[]).0.body().clone()))
    };
    let context = execution::BlockContext { prev_randao: block.header().mix_hash, ..context };
    let error = check_context(&context, chain.header(), &block).unwrap_err();
    assert_eq!(error.reason, InvalidReason::Timestamp { parent: 100, found: 100 });
}

#[test]
fn blobs_are_refused_in_a_proposal() {
    let (chain, block) = good_block();
    let mut body = block.body().clone();
    body.transactions.push(Order::call(0, contract(1), 1).blob().into_inner());
    let wrong = Block::new(block.header().clone(), body);
    let error = check_context(&chain.next_context(), chain.header(), &wrong).unwrap_err();
    let InvalidReason::Transaction { index: 1, why, .. } = error.reason else { panic!("{error}") };
    assert_eq!(*why, InvalidTransaction::BlobsNotSupported);
}
