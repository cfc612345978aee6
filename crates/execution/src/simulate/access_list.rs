//! Which accounts and slots a transaction touches.

use alloy_evm::Evm;
use alloy_primitives::U256;
use alloy_rpc_types_eth::{AccessList, AccessListResult, TransactionRequest};
use revm::context::result::ExecutionResult;
use revm_inspectors::access_list::AccessListInspector;

use super::{CallError, Environment, Interrupt, Limits, Overrides, Setting, halt_reason, revert};

/// A list changes what a transaction costs, and so, for a contract that looks at its gas, what it does. The
/// search for a list that stays the same ends here.
const ROUNDS: usize = 16;

/// `eth_createAccessList`.
pub fn create_access_list<'a>(
    setting: &Setting<'a>,
    request: &TransactionRequest,
    overrides: Overrides,
    limits: Limits<'a>,
) -> Result<AccessListResult, CallError> {
    let inspector = (AccessListInspector::default(), Interrupt::new(limits.interrupt));
    let mut environment = Environment::new(setting, overrides, inspector)?;
    environment.evm.enable_inspector();
    let mut list = request.access_list.clone().unwrap_or_default();
    for _ in 0..ROUNDS {
        let (found, result) = round(&mut environment, request, &list, limits)?;
        if found == list {
            return Ok(answer(list, &result));
        }
        list = found;
    }
    let (_, result) = round(&mut environment, request, &list, limits)?;
    Ok(answer(list, &result))
}

fn round(
    environment: &mut Environment<'_, (AccessListInspector, Interrupt<'_>)>,
    request: &TransactionRequest,
    list: &AccessList,
    limits: Limits<'_>,
) -> Result<(AccessList, ExecutionResult), CallError> {
    let request = TransactionRequest { access_list: Some(list.clone()), ..request.clone() };
    let env = environment.transaction(&request, limits.gas)?;
    environment.evm.inspector_mut().0 = AccessListInspector::new(list.clone());
    let outcome = environment.run(env)?;
    Ok((environment.evm.inspector().0.access_list(), outcome.result))
}

fn answer(access_list: AccessList, result: &ExecutionResult) -> AccessListResult {
    let error = match result {
        ExecutionResult::Success { .. } => None,
        ExecutionResult::Revert { output, .. } => Some(revert::message(output)),
        ExecutionResult::Halt { reason, .. } => Some(halt_reason(reason)),
    };
    AccessListResult { access_list, gas_used: U256::from(result.tx_gas_used()), error }
}
