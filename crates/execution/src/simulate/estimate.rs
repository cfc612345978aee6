//! How much gas a transaction needs.
//!
//! geth's search: run once with all the gas allowed, then narrow between what was used and what was enough.
//! The answer is within 1.5 % above the least gas that suffices.

use alloy_evm::Evm;
use alloy_primitives::{TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;
use revm::{
    Database,
    context::{
        TxEnv,
        result::{ExecutionResult, HaltReason},
    },
    primitives::{eip7825, hardfork::SpecId},
};

use super::{CallError, Environment, Interrupt, Limits, Overrides, Setting, halt_reason};
use crate::InvalidTransaction;

type World<'a> = Environment<'a, Interrupt<'a>>;

const TRANSFER_GAS: u64 = 21_000;
const CALL_STIPEND: u64 = 2_300;
/// Thousandths of the upper bound at which the search ends.
const TOLERANCE: u64 = 15;

/// `eth_estimateGas`.
pub fn estimate_gas<'a>(
    setting: &Setting<'a>,
    request: &TransactionRequest,
    overrides: Overrides,
    limits: Limits<'a>,
) -> Result<u64, CallError> {
    let mut environment = Environment::plain(setting, overrides, limits)?;
    let mut env = environment.transaction(request, limits.gas)?;
    let allowance = allowance(&mut environment, request, &env, limits)?;
    if is_transfer(&mut environment, &env)? && allowance >= TRANSFER_GAS {
        env.gas_limit = TRANSFER_GAS;
        if let Attempt::Enough(_) = attempt(&mut environment, &env, TRANSFER_GAS)? {
            return Ok(TRANSFER_GAS);
        }
    }
    search(&mut environment, &env, allowance)
}

/// The most gas that the request, the block, the limits and the sender's balance allow.
fn allowance(
    environment: &mut World<'_>,
    request: &TransactionRequest,
    env: &TxEnv,
    limits: Limits<'_>,
) -> Result<u64, CallError> {
    let block = environment.evm.ctx().block.gas_limit;
    let wanted = request.gas.filter(|gas| *gas >= TRANSFER_GAS).unwrap_or(block);
    let mut allowed = wanted.min(limits.gas);
    if environment.evm.ctx().cfg.spec.is_enabled_in(SpecId::OSAKA) {
        allowed = allowed.min(eip7825::TX_GAS_LIMIT_CAP);
    }
    if env.gas_price == 0 {
        return Ok(allowed);
    }
    let balance = environment.evm.db_mut().basic(env.caller)?.map_or(U256::ZERO, |account| account.balance);
    let left = balance.checked_sub(env.value).ok_or(CallError::FundsForTransfer)?;
    let affordable: u64 = (left / U256::from(env.gas_price)).saturating_to();
    Ok(allowed.min(affordable))
}

fn is_transfer(environment: &mut World<'_>, env: &TxEnv) -> Result<bool, CallError> {
    let TxKind::Call(to) = env.kind else { return Ok(false) };
    if !env.data.is_empty() || env.tx_type > 2 || !env.access_list.0.is_empty() {
        return Ok(false);
    }
    let account = environment.evm.db_mut().basic(to)?;
    Ok(account.is_none_or(|account| account.is_empty_code_hash()))
}

enum Attempt {
    Enough(Box<ExecutionResult>),
    /// More gas may help.
    TooLittle,
    Failed(CallError),
}

fn attempt(environment: &mut World<'_>, env: &TxEnv, gas: u64) -> Result<Attempt, CallError> {
    let env = TxEnv { gas_limit: gas, ..env.clone() };
    match environment.run(env).map(|outcome| outcome.result) {
        Ok(result @ ExecutionResult::Success { .. }) => Ok(Attempt::Enough(Box::new(result))),
        Ok(ExecutionResult::Revert { output, .. }) => Ok(Attempt::Failed(CallError::Reverted(output))),
        Ok(ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. }) => Ok(Attempt::TooLittle),
        Ok(ExecutionResult::Halt { reason, .. }) => Ok(Attempt::Failed(CallError::Halted(halt_reason(&reason)))),
        Err(CallError::Invalid(InvalidTransaction::IntrinsicGas { .. } | InvalidTransaction::FloorGas { .. })) => {
            Ok(Attempt::TooLittle)
        }
        Err(error) => Err(error),
    }
}

fn search(environment: &mut World<'_>, env: &TxEnv, allowance: u64) -> Result<u64, CallError> {
    let result = match attempt(environment, env, allowance)? {
        Attempt::Enough(result) => result,
        Attempt::TooLittle => return Err(CallError::GasAllowance(allowance)),
        Attempt::Failed(error) => return Err(error),
    };
    let (mut low, mut high) = (result.tx_gas_used().saturating_sub(1), allowance);
    // A call hands on at most 63/64 of its gas, and sends a stipend along with value.
    let spent = result.gas().total_gas_spent().max(result.gas().floor_gas());
    let guess = (u128::from(spent + CALL_STIPEND) * 64 / 63) as u64;
    let mut enough = |gas, low: &mut u64, high: &mut u64| -> Result<(), CallError> {
        match attempt(environment, env, gas)? {
            Attempt::Enough(_) => *high = gas,
            Attempt::TooLittle | Attempt::Failed(_) => *low = gas,
        }
        Ok(())
    };
    if guess < high {
        enough(guess, &mut low, &mut high)?;
    }
    while low + 1 < high && u128::from(high - low) * 1000 >= u128::from(high) * u128::from(TOLERANCE) {
        // Most transactions need little more than they use: stay near the lower bound.
        let middle = (low + (high - low) / 2).min(low.saturating_mul(2).max(low + 1));
        enough(middle, &mut low, &mut high)?;
    }
    Ok(high)
}
