//! State and block as a request wants them.
//!
//! As geth applies them: first a precompile moves, then nonce, code and balance are set, then storage is
//! replaced or patched. Addresses are taken in their order, so that the same request gives the same error.

use std::collections::BTreeMap;

use alloy_evm::precompiles::{DynPrecompile, PrecompileInput, PrecompilesMap};
use alloy_primitives::{Address, B256, U256, keccak256, map::B256HashMap};
use alloy_rpc_types_eth::{
    BlockOverrides,
    state::{AccountOverride, StateOverride},
};
use revm::{
    Database,
    precompile::{Precompile, PrecompileId, PrecompileSpecId, Precompiles},
    primitives::hardfork::SpecId,
    state::Bytecode,
};

use crate::{BlockContext, Rules, StateError, WorkingState};

/// An override that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum OverrideError {
    #[error("account {0} has both 'state' and 'stateDiff'")]
    StateAndDiff(Address),
    #[error("account {0} is not a precompile")]
    NotAPrecompile(Address),
    #[error("account {0} is already overridden")]
    DestinationOverridden(Address),
    #[error("account {0} has already been overridden by a precompile")]
    MovedTwice(Address),
    #[error("MovePrecompileToAddress referenced itself in replacement: {0}")]
    MovedToItself(Address),
    #[error("the code override of {0} is not valid: {1}")]
    Code(Address, String),
    #[error("block number {0} is above 2^64-1")]
    Number(U256),
    #[error("base fee {0} is above 2^64-1")]
    BaseFee(U256),
    #[error(transparent)]
    State(#[from] StateError),
}

pub(super) fn apply_state(
    overrides: StateOverride,
    state: &mut WorkingState<'_>,
    precompiles: &mut PrecompilesMap,
    spec: SpecId,
) -> Result<(), OverrideError> {
    let mut accounts: Vec<(Address, AccountOverride)> = overrides.into_iter().collect();
    accounts.sort_by_key(|(address, _)| *address);
    move_precompiles(&accounts, precompiles, spec)?;
    for (address, account) in accounts {
        apply_account(address, account, state)?;
    }
    Ok(())
}

/// An overridden precompile stops being one; where it moves to, it starts. There it is no address that a
/// transaction finds warm.
fn move_precompiles(
    accounts: &[(Address, AccountOverride)],
    precompiles: &mut PrecompilesMap,
    spec: SpecId,
) -> Result<(), OverrideError> {
    let standard = Precompiles::new(PrecompileSpecId::from_spec_id(spec));
    let mut moved: BTreeMap<Address, Precompile> = BTreeMap::new();
    for (address, account) in accounts {
        let Some(destination) = account.move_precompile_to else { continue };
        let precompile = standard.get(address).ok_or(OverrideError::NotAPrecompile(*address))?;
        if destination == *address {
            return Err(OverrideError::MovedToItself(*address));
        }
        if accounts.iter().any(|(other, _)| *other == destination) {
            return Err(OverrideError::DestinationOverridden(destination));
        }
        if moved.insert(destination, precompile.clone()).is_some() {
            return Err(OverrideError::MovedTwice(destination));
        }
    }
    for address in accounts.iter().map(|(address, _)| address).chain(moved.keys()) {
        if standard.contains(address) {
            precompiles.apply_precompile(address, |_| None);
        }
    }
    if !moved.is_empty() {
        precompiles.set_precompile_lookup(move |address: &Address| moved.get(address).cloned().map(at_new_place));
    }
    Ok(())
}

fn at_new_place(precompile: Precompile) -> DynPrecompile {
    let run = move |input: PrecompileInput<'_>| precompile.execute(input.data, input.gas, input.reservoir);
    DynPrecompile::new(PrecompileId::custom("moved"), run)
}

fn apply_account(
    address: Address,
    account: AccountOverride,
    state: &mut WorkingState<'_>,
) -> Result<(), OverrideError> {
    let mut info = state.basic(address)?.unwrap_or_default();
    if let Some(nonce) = account.nonce {
        info.nonce = nonce;
    }
    if let Some(code) = account.code {
        info.code_hash = keccak256(&code);
        let code = Bytecode::new_raw_checked(code).map_err(|why| OverrideError::Code(address, why.to_string()))?;
        info.code = Some(code);
    }
    if let Some(balance) = account.balance {
        info.balance = balance;
    }
    state.set_account(address, info);
    match (account.state, account.state_diff) {
        (Some(_), Some(_)) => return Err(OverrideError::StateAndDiff(address)),
        (Some(whole), None) => {
            state.clear_storage(address);
            set_slots(state, address, whole);
        }
        (None, Some(diff)) => set_slots(state, address, diff),
        (None, None) => {}
    }
    Ok(())
}

fn set_slots(state: &mut WorkingState<'_>, address: Address, slots: B256HashMap<B256>) {
    for (slot, value) in slots {
        state.set_storage(address, slot.into(), value.into());
    }
}

/// The block as overridden, and the fork that its height and time then mean.
pub(super) fn apply_block(
    overrides: &BlockOverrides,
    rules: &Rules,
    context: &mut BlockContext,
) -> Result<(), OverrideError> {
    if let Some(number) = overrides.number {
        context.height = u64::try_from(number).map_err(|_| OverrideError::Number(number))?;
    }
    if let Some(fee) = overrides.base_fee {
        context.base_fee = Some(u64::try_from(fee).map_err(|_| OverrideError::BaseFee(fee))?);
    }
    context.timestamp = overrides.time.unwrap_or(context.timestamp);
    context.difficulty = overrides.difficulty.unwrap_or(context.difficulty);
    context.gas_limit = overrides.gas_limit.unwrap_or(context.gas_limit);
    context.beneficiary = overrides.coinbase.unwrap_or(context.beneficiary);
    context.prev_randao = overrides.random.unwrap_or(context.prev_randao);
    context.parent_beacon_root = overrides.beacon_root.or(context.parent_beacon_root);
    if overrides.number.is_some() || overrides.time.is_some() {
        context.spec = rules.spec_at(context.height, context.timestamp).max(context.spec);
        context.blobs = rules.blob_params_at(context.height, context.timestamp).or(context.blobs);
        context.excess_blob_gas = context.excess_blob_gas.or(context.blobs.map(|_| 0));
    }
    Ok(())
}
