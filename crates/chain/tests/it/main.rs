//! The waist, on a real ledger in memory: what two nodes say of the same blocks.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip7702, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use chain::{Chain, Options, Origin, PoolLimits, Proposal, Rejected, Round, Verdict};
use crypto::{AccountKey, DEV_MNEMONIC};
use execution::Rules;
use ledger::Ledger;
use redb::backends::InMemoryBackend;
use std::sync::Arc;
use types::{Block, BlockHash, FeeMode, Genesis, GenesisTemplate, Header, Slot, Transaction};

const START_MS: u64 = 1_700_000_000_000;

fn key(index: u32) -> AccountKey {
    AccountKey::from_mnemonic(DEV_MNEMONIC, index).unwrap()
}

fn genesis(fees: FeeMode) -> Genesis {
    GenesisTemplate { fees, funded: (0..5).map(|index| key(index).address()).collect(), ..Default::default() }
        .build()
        .unwrap()
}

fn node(genesis: &Genesis) -> Chain {
    let ledger = Ledger::open_on(InMemoryBackend::new(), genesis, Default::default()).unwrap();
    Chain::new(ledger, Rules::new(genesis).unwrap(), Options::default())
}

fn round(view: u64) -> Round {
    let slot = Slot { epoch: 0, view, parent_view: view - 1, proposer: 0, timestamp_ms: START_MS + view };
    Round { slot, beneficiary: Address::ZERO }
}

/// A signed transfer.
fn transfer(from: &AccountKey, nonce: u64, value: u64, price: u128) -> Bytes {
    let unsigned = TxEip1559 {
        chain_id: 1337,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: price,
        max_priority_fee_per_gas: price.min(1),
        to: TxKind::Call(Address::repeat_byte(0xaa)),
        value: U256::from(value),
        ..Default::default()
    };
    let signature = from.sign(&unsigned.signature_hash());
    Transaction::Eip1559(unsigned.into_signed(signature)).encoded_2718().into()
}

fn propose(chain: &Chain, parent: BlockHash, view: u64) -> Arc<Block> {
    match chain.propose(parent, round(view), true, &|| false).unwrap() {
        Proposal::Block(block) => block,
        other => panic!("{other:?}"),
    }
}

fn balance(chain: &Chain, address: Address) -> U256 {
    let state = chain.state_at(chain.finalized().number).unwrap();
    state.account(address).unwrap().map_or(U256::ZERO, |account| account.balance)
}

#[test]
fn a_transfer_goes_through_both_nodes() {
    let genesis = genesis(FeeMode::Free);
    let (leader, follower) = (node(&genesis), node(&genesis));
    let hash = leader.submit(transfer(&key(0), 0, 7, 0)).unwrap();
    assert!(leader.has_work(&genesis.hash()));
    let block = propose(&leader, genesis.hash(), 1);
    assert_eq!(block.transactions()[0].hash(), &hash);
    let block = Arc::new(Block::decode_rlp(&block.encode_rlp()).unwrap());
    assert_eq!(follower.verify(&block, round(1)).unwrap(), Verdict::Valid);
    for chain in [&leader, &follower] {
        chain.finalize(&block, None).unwrap();
        assert_eq!(chain.finalized().number, 1);
        assert_eq!(balance(chain, Address::repeat_byte(0xaa)), U256::from(7));
        assert_eq!(chain.pool_status().pending, 0);
        assert_eq!(chain.speculative_len(), 0);
    }
    assert!(matches!(leader.submit(transfer(&key(0), 0, 7, 0)), Err(Rejected::NonceTooLow { next: 1, found: 0 })));
}

#[test]
fn blocks_stack_before_they_are_final_and_abandoned_ones_vanish() {
    let genesis = genesis(FeeMode::Free);
    let (leader, follower) = (node(&genesis), node(&genesis));
    for nonce in 0..3 {
        leader.submit(transfer(&key(0), nonce, 1, 0)).unwrap();
    }
    let first = propose(&leader, genesis.hash(), 1);
    assert_eq!(first.transactions().len(), 3, "all executable transactions of a sender fit one block");
    let abandoned = propose(&leader, genesis.hash(), 2);
    leader.submit(transfer(&key(0), 3, 1, 0)).unwrap();
    let second = propose(&leader, first.hash(), 3);
    assert_eq!(second.transactions().len(), 1, "what the parent holds is not proposed again");
    assert_eq!(follower.verify(&second, round(3)).unwrap(), Verdict::Unknown(first.hash()));
    for (block, view) in [(&first, 1), (&abandoned, 2), (&second, 3)] {
        assert_eq!(follower.verify(block, round(view)).unwrap(), Verdict::Valid);
    }
    follower.finalize(&first, None).unwrap();
    assert_eq!(follower.speculative_len(), 1);
    follower.finalize(&second, None).unwrap();
    follower.finalize(&first, None).unwrap(); // delivered twice
    assert_eq!(follower.finalized().hash(), second.hash());
    assert!(matches!(follower.verify(&abandoned, round(2)).unwrap(), Verdict::Invalid(_)));
    assert!(follower.finalize(&abandoned, None).is_err(), "two final blocks at one height stop the node");
}

/// Two transactions that are good by themselves: the first carries an authorisation of the second's sender (EIP-7702),
/// which uses up the nonce that the second needs.
#[test]
fn a_proposal_leaves_out_what_the_block_itself_made_invalid() {
    let genesis = genesis(FeeMode::Free);
    let (leader, follower) = (node(&genesis), node(&genesis));
    let authorization = Authorization { chain_id: U256::from(1337), address: Address::repeat_byte(9), nonce: 0 };
    let signature = key(1).sign(&authorization.signature_hash());
    let unsigned = TxEip7702 {
        chain_id: 1337,
        gas_limit: 100_000,
        to: Address::repeat_byte(0xaa),
        authorization_list: vec![authorization.into_signed(signature)],
        ..Default::default()
    };
    let signature = key(0).sign(&unsigned.signature_hash());
    leader.submit(Transaction::Eip7702(unsigned.into_signed(signature)).encoded_2718().into()).unwrap();
    leader.submit(transfer(&key(1), 0, 1, 0)).unwrap();
    leader.submit(transfer(&key(2), 0, 1, 0)).unwrap();
    let block = propose(&leader, genesis.hash(), 1);
    assert_eq!(block.transactions().len(), 2, "the spoilt one is left out, the one behind it is not");
    assert_eq!(follower.verify(&block, round(1)).unwrap(), Verdict::Valid);
    leader.finalize(&block, None).unwrap();
    assert_eq!(leader.pool_status().pending + leader.pool_status().queued, 0);
}

/// Before EIP-3541 (London) code could begin with the bytes that mark a delegation today. It deploys, and a later block
/// that runs it must neither be refused nor end the node.
#[test]
fn old_code_that_looks_like_a_delegation_is_code() {
    let mut ethereum = (*genesis(FeeMode::Free).ethereum).clone();
    let config = &mut ethereum.config;
    (config.london_block, config.terminal_total_difficulty) = (None, None);
    config.terminal_total_difficulty_passed = false;
    (config.shanghai_time, config.cancun_time, config.prague_time, config.osaka_time) = (None, None, None, None);
    let genesis = Genesis::new(ethereum).unwrap();
    let (leader, follower) = (node(&genesis), node(&genesis));
    let legacy = |nonce, to, input: &[u8]| {
        let input = Bytes::copy_from_slice(input);
        let unsigned = TxLegacy { chain_id: Some(1337), nonce, gas_limit: 200_000, to, input, ..Default::default() };
        let signature = key(0).sign(&unsigned.signature_hash());
        Bytes::from(Transaction::Legacy(unsigned.into_signed(signature)).encoded_2718())
    };
    // PUSH2 ef01, MSTORE at 0, RETURN its two bytes.
    let code = [0x61, 0xef, 0x01, 0x60, 0x00, 0x52, 0x60, 0x02, 0x60, 0x1e, 0xf3];
    let calls = [(TxKind::Create, code.as_slice()), (TxKind::Call(key(0).address().create(0)), &[])];
    let mut parent = genesis.hash();
    for (view, (to, input)) in (1..).zip(calls) {
        leader.submit(legacy(view - 1, to, input)).unwrap();
        let block = propose(&leader, parent, view);
        assert_eq!(block.transactions().len(), 1);
        assert_eq!(follower.verify(&block, round(view)).unwrap(), Verdict::Valid);
        leader.finalize(&block, None).unwrap();
        follower.finalize(&block, None).unwrap();
        parent = block.hash();
    }
    let deployed = leader.state_at(2).unwrap().account(key(0).address().create(0)).unwrap().unwrap();
    assert_eq!(deployed.code_hash, crypto::keccak256([0xef, 0x01]));
}

#[test]
fn a_leader_whose_time_is_up_ends_its_block() {
    let genesis = genesis(FeeMode::Free);
    let chain = node(&genesis);
    for nonce in 0..5 {
        chain.submit(transfer(&key(0), nonce, 1, 0)).unwrap();
    }
    let Proposal::Block(block) = chain.propose(genesis.hash(), round(1), true, &|| true).unwrap() else { panic!() };
    assert_eq!(block.transactions().len(), 1, "the first is always taken, or a slow one would be tried for ever");
    chain.finalize(&block, None).unwrap();
    assert_eq!(chain.pool_status().pending, 4, "the others wait for the next");
}

#[test]
fn nothing_to_do_is_not_a_block() {
    let genesis = genesis(FeeMode::Free);
    let chain = node(&genesis);
    assert!(!chain.has_work(&genesis.hash()));
    assert!(matches!(chain.propose(genesis.hash(), round(1), false, &|| false).unwrap(), Proposal::Nothing));
    let nowhere = B256::repeat_byte(1);
    assert!(
        matches!(chain.propose(nowhere, round(1), true, &|| false).unwrap(), Proposal::Unknown(hash) if hash == nowhere)
    );
}

/// Changes one field of a header; the hash is there to be put somewhere.
type Forgery = fn(&mut Header, B256);

/// Every field of the header, changed by itself, is caught.
#[test]
fn a_forged_header_is_invalid() {
    let genesis = genesis(FeeMode::Eip1559);
    let (leader, follower) = (node(&genesis), node(&genesis));
    leader.submit(transfer(&key(0), 0, 1, 10_000_000_000)).unwrap();
    let block = propose(&leader, genesis.hash(), 1);
    assert_eq!(block.transactions().len(), 1);
    let one = B256::repeat_byte(1);
    let forgeries: [(&str, Forgery); 17] = [
        ("state root", |header, one| header.state_root = one),
        ("receipts root", |header, one| header.receipts_root = one),
        ("transactions root", |header, one| header.transactions_root = one),
        ("withdrawals root", |header, one| header.withdrawals_root = Some(one)),
        ("requests hash", |header, one| header.requests_hash = Some(one)),
        ("beacon root", |header, one| header.parent_beacon_block_root = Some(one)),
        ("uncles", |header, one| header.ommers_hash = one),
        ("randao", |header, one| header.mix_hash = one),
        ("bloom", |header, _| header.logs_bloom.0[0] = 1),
        ("beneficiary", |header, _| header.beneficiary = Address::repeat_byte(1)),
        ("gas used", |header, _| header.gas_used += 1),
        ("gas limit", |header, _| header.gas_limit += 1),
        ("base fee", |header, _| header.base_fee_per_gas = Some(1)),
        ("difficulty", |header, _| header.difficulty = U256::from(1)),
        ("nonce", |header, _| header.nonce = 1u64.into()),
        ("blob gas", |header, _| header.blob_gas_used = Some(131_072)),
        ("height", |header, _| header.number += 1),
    ];
    for (what, forge) in forgeries {
        let mut header = block.header().clone();
        forge(&mut header, one);
        let forged = Arc::new(Block::new(header, block.body().clone()));
        let verdict = follower.verify(&forged, round(1)).unwrap();
        assert!(matches!(verdict, Verdict::Invalid(_)), "{what}: {verdict:?}");
    }
    assert!(matches!(follower.verify(&block, round(2)).unwrap(), Verdict::Invalid(_)), "another round's slot");
    assert_eq!(follower.verify(&block, round(1)).unwrap(), Verdict::Valid, "and the true one is still good");
}

#[test]
fn a_body_that_was_tampered_with_is_invalid() {
    let genesis = genesis(FeeMode::Free);
    let (leader, follower) = (node(&genesis), node(&genesis));
    for nonce in 0..2 {
        leader.submit(transfer(&key(0), nonce, 1, 0)).unwrap();
    }
    let block = propose(&leader, genesis.hash(), 1);
    let mut body = block.body().clone();
    body.transactions.pop();
    let shorter = Arc::new(Block::new(block.header().clone(), body.clone()));
    assert!(matches!(follower.verify(&shorter, round(1)).unwrap(), Verdict::Invalid(_)));
    body.transactions = block.transactions().iter().rev().cloned().collect();
    let reversed = Arc::new(Block::new(block.header().clone(), body));
    assert!(matches!(follower.verify(&reversed, round(1)).unwrap(), Verdict::Invalid(_)));
}

#[test]
fn time_does_not_run_backwards() {
    let genesis = genesis(FeeMode::Free);
    let (leader, follower) = (node(&genesis), node(&genesis));
    let first = propose(&leader, genesis.hash(), 5);
    follower.finalize(&first, None).unwrap();
    let late = Round { slot: Slot { view: 6, ..round(5).slot }, ..round(5) };
    leader.finalize(&first, None).unwrap();
    let Proposal::Block(same_time) = leader.propose(first.hash(), late, true, &|| false).unwrap() else { panic!() };
    assert!(matches!(follower.verify(&same_time, late).unwrap(), Verdict::Invalid(_)));
}

#[test]
fn every_rejection_names_its_reason() {
    let genesis = genesis(FeeMode::Eip1559);
    let ledger = Ledger::open_on(InMemoryBackend::new(), &genesis, Default::default()).unwrap();
    let pool = PoolLimits { transaction_bytes_max: 150, ..Default::default() };
    let chain = Chain::new(ledger, Rules::new(&genesis).unwrap(), Options { pool });
    let code = |raw: Bytes| chain.submit(raw).unwrap_err().code();
    let good = transfer(&key(0), 0, 1, 10_000_000_000);
    assert_eq!(code(Bytes::new()), "malformed");
    assert_eq!(code(good.slice(..good.len() - 1)), "malformed");
    assert_eq!(code(vec![2; 151].into()), "too_large");
    assert_eq!(
        code(transfer(&AccountKey::from_secret(&B256::repeat_byte(9)).unwrap(), 0, 1, 10_000_000_000)),
        "insufficient_funds"
    );
    chain.submit(good.clone()).unwrap();
    assert_eq!(code(good), "already_known");
    assert_eq!(code(transfer(&key(0), 0, 2, 10_000_000_000)), "underpriced");
    assert_eq!(code(transfer(&key(0), 20_000, 1, 10_000_000_000)), "nonce_too_high");
}

#[test]
fn a_batch_is_answered_one_by_one() {
    let chain = node(&genesis(FeeMode::Free));
    let batch = vec![transfer(&key(0), 0, 1, 0), Bytes::from_static(b"junk"), transfer(&key(0), 1, 1, 0)];
    let answers = chain.submit_batch(batch, Origin::Peer);
    assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok());
    assert_eq!(chain.pool_status().pending, 2);
    assert!(chain.local_since(0, 10).0.is_empty(), "what a peer sent is not gossiped on");
}

#[test]
fn many_senders_many_blocks_equal_roots() {
    let genesis = genesis(FeeMode::Free);
    let (leader, follower) = (node(&genesis), node(&genesis));
    let mut parent = genesis.hash();
    for view in 1..=20u64 {
        for index in 0..5 {
            leader.submit(transfer(&key(index), view - 1, u64::from(index) + view, 0)).unwrap();
        }
        let block = propose(&leader, parent, view);
        assert_eq!(block.transactions().len(), 5);
        assert_eq!(follower.verify(&block, round(view)).unwrap(), Verdict::Valid);
        leader.finalize(&block, None).unwrap();
        follower.finalize(&block, None).unwrap();
        parent = block.hash();
    }
    assert_eq!(leader.finalized().state_root, follower.finalized().state_root);
    let sum: u64 = (1..=20).map(|view| (0..5).map(|index| index + view).sum::<u64>()).sum();
    assert_eq!(balance(&leader, Address::repeat_byte(0xaa)), U256::from(sum));
}
