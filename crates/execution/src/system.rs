//! What a block does besides its transactions.
//!
//! D3.1 6.1.6.2. Before them: the parent's beacon root (EIP-4788) and the parent's hash (EIP-2935) go into
//! their contracts. After them: the requests are collected (EIP-6110, EIP-7002, EIP-7251, hashed by
//! EIP-7685), withdrawals credited (EIP-4895), and, on chains that were mined, rewards paid.
//!
//! The calls are made here rather than through alloy-evm's `SystemCaller`, which turns a storage failure into
//! an invalid block.

use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip4788::{BEACON_ROOTS_ADDRESS, SYSTEM_ADDRESS},
    eip6110::DEPOSIT_REQUEST_TYPE,
    eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_TYPE},
    eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_TYPE},
    eip7685::Requests,
};
use alloy_evm::{
    Evm,
    eth::{
        dao_fork::{DAO_HARDFORK_ACCOUNTS, DAO_HARDFORK_BENEFICIARY},
        eip6110::accumulate_deposits_from_logs,
    },
};
use alloy_primitives::{Address, Bytes, U256};
use revm::{
    Database, DatabaseCommit,
    context::result::{EVMError, ExecutionResult, HaltReason},
    primitives::hardfork::SpecId,
};
use types::{BlockBody, Receipt};

use crate::{BlockContext, ExecutionError, InvalidReason, Rules, StateError, WorkingState};

/// An EVM of ours, with whatever inspector.
pub(crate) trait OurEvm<'a>:
    Evm<DB = WorkingState<'a>, HaltReason = HaltReason, Error = EVMError<StateError>, Tx = revm::context::TxEnv>
{
}

impl<'a, E> OurEvm<'a> for E where
    E: Evm<DB = WorkingState<'a>, HaltReason = HaltReason, Error = EVMError<StateError>, Tx = revm::context::TxEnv>
{
}

/// The calls before the first transaction. On a chain without these contracts they do nothing.
pub(crate) fn before_transactions<'a>(
    evm: &mut impl OurEvm<'a>,
    rules: &Rules,
    context: &BlockContext,
) -> Result<(), ExecutionError> {
    if context.height == 0 {
        return Ok(());
    }
    if rules.is_dao_fork(context.height) {
        move_dao_balances(evm.db_mut())?;
    }
    if context.spec.is_enabled_in(SpecId::CANCUN) {
        let root = context
            .parent_beacon_root
            .ok_or_else(|| InvalidReason::missing("parentBeaconBlockRoot").at(context.height))?;
        call(evm, context, BEACON_ROOTS_ADDRESS, root.into())?;
    }
    if context.spec.is_enabled_in(SpecId::PRAGUE) {
        call(evm, context, HISTORY_STORAGE_ADDRESS, context.parent_hash.into())?;
    }
    Ok(())
}

/// Everything after the last transaction, except the requests.
pub(crate) fn after_transactions(
    state: &mut WorkingState<'_>,
    rules: &Rules,
    context: &BlockContext,
    body: &BlockBody,
) -> Result<(), StateError> {
    if let Some(reward) = rules.block_reward(context.spec) {
        pay_rewards(state, context, body, reward)?;
    }
    for withdrawal in body.withdrawals.iter().flat_map(|withdrawals| withdrawals.iter()) {
        state.add_balance(withdrawal.address, withdrawal.amount_wei())?;
    }
    Ok(())
}

/// The requests to a beacon chain; none before Prague.
pub(crate) fn requests<'a>(
    evm: &mut impl OurEvm<'a>,
    rules: &Rules,
    context: &BlockContext,
    receipts: &[Receipt],
) -> Result<Option<Requests>, ExecutionError> {
    if !context.spec.is_enabled_in(SpecId::PRAGUE) {
        return Ok(None);
    }
    let mut requests = Requests::default();
    let mut push = |kind, request: Bytes| {
        if !request.is_empty() {
            requests.push_request_with_type(kind, request);
        }
    };
    push(DEPOSIT_REQUEST_TYPE, deposits(rules, context, receipts)?);
    let withdrawals = WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
    push(WITHDRAWAL_REQUEST_TYPE, collect(evm, rules, context, withdrawals)?);
    let consolidations = CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS;
    push(CONSOLIDATION_REQUEST_TYPE, collect(evm, rules, context, consolidations)?);
    Ok(Some(requests))
}

fn deposits(rules: &Rules, context: &BlockContext, receipts: &[Receipt]) -> Result<Bytes, ExecutionError> {
    let logs = receipts.iter().flat_map(|receipt| receipt.logs());
    let mut found = Vec::new();
    accumulate_deposits_from_logs(rules.deposit_contract(), logs, &mut found)
        .map_err(|error| InvalidReason::SystemCall(error.to_string()).at(context.height))?;
    Ok(found.into())
}

/// Asks a request contract for its queue. Unlike the calls before, a failure makes the block invalid.
fn collect<'a>(
    evm: &mut impl OurEvm<'a>,
    rules: &Rules,
    context: &BlockContext,
    contract: Address,
) -> Result<Bytes, ExecutionError> {
    if rules.requires_predeploys() {
        let account = evm.db_mut().basic(contract)?;
        if account.is_none_or(|account| account.is_empty_code_hash()) {
            return Err(InvalidReason::SystemCall(format!("{contract} has no code")).at(context.height).into());
        }
    }
    match call(evm, context, contract, Bytes::new())? {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        failed => {
            let why = InvalidReason::SystemCall(format!("the call of {contract} failed: {failed}"));
            Err(why.at(context.height).into())
        }
    }
}

fn call<'a>(
    evm: &mut impl OurEvm<'a>,
    context: &BlockContext,
    contract: Address,
    input: Bytes,
) -> Result<ExecutionResult, ExecutionError> {
    let called = evm.transact_system_call(SYSTEM_ADDRESS, contract, input);
    let called = called.map_err(|error| system_error(error, context.height))?;
    evm.db_mut().commit(called.state);
    Ok(called.result)
}

fn system_error(error: EVMError<StateError>, height: u64) -> ExecutionError {
    match error {
        EVMError::Database(error) => ExecutionError::State(error),
        other => InvalidReason::SystemCall(other.to_string()).at(height).into(),
    }
}

/// Ethereum's rewards for mining a block and its uncles.
fn pay_rewards(
    state: &mut WorkingState<'_>,
    context: &BlockContext,
    body: &BlockBody,
    reward: u128,
) -> Result<(), StateError> {
    for uncle in &body.ommers {
        let eighths = (uncle.number + 8).saturating_sub(context.height);
        state.add_balance(uncle.beneficiary, U256::from(u128::from(eighths) * reward / 8))?;
    }
    let nephews = reward / 32 * body.ommers.len() as u128;
    state.add_balance(context.beneficiary, U256::from(reward + nephews))
}

/// The irregular state change of Ethereum's DAO fork.
fn move_dao_balances(state: &mut WorkingState<'_>) -> Result<(), StateError> {
    let mut moved = U256::ZERO;
    for address in DAO_HARDFORK_ACCOUNTS {
        if let Some(mut info) = state.basic(address)? {
            moved += std::mem::take(&mut info.balance);
            state.set_account(address, info);
        }
    }
    state.add_balance(DAO_HARDFORK_BENEFICIARY, moved)
}
