//! A transaction under the chain's fee rule.
//!
//! D3.1 6.2.3 (fees). In `free` mode a transaction runs with gas price 0 whatever it declares: nothing is
//! charged, `GASPRICE` is 0, and the sender needs no more than the value it sends.

use alloy_consensus::Transaction as _;
use alloy_evm::FromRecoveredTx;
use alloy_primitives::{Address, U256};
use revm::context::TxEnv;
use types::Transaction;

use crate::{InvalidTransaction, Rules};

/// The transaction as the machine runs it.
pub(crate) fn transaction_env(
    rules: &Rules,
    transaction: &Transaction,
    sender: Address,
) -> Result<TxEnv, InvalidTransaction> {
    let mut env = TxEnv::from_recovered_tx(transaction, sender);
    if rules.is_free() {
        // What is declared must still be well formed: the machine will not see it.
        check_tip(transaction)?;
        make_free(&mut env);
    }
    Ok(env)
}

pub(crate) fn make_free(env: &mut TxEnv) {
    env.gas_price = 0;
    env.gas_priority_fee = env.gas_priority_fee.map(|_| 0);
}

pub(crate) fn check_tip(transaction: &Transaction) -> Result<(), InvalidTransaction> {
    let cap = transaction.max_fee_per_gas();
    match transaction.max_priority_fee_per_gas() {
        Some(tip) if tip > cap => Err(InvalidTransaction::TipAboveFeeCap { tip, cap }),
        _ => Ok(()),
    }
}

/// Wei per gas that the sender pays: the receipt's `effectiveGasPrice`.
pub fn effective_gas_price(rules: &Rules, transaction: &Transaction, base_fee: Option<u64>) -> u128 {
    if rules.is_free() {
        return 0;
    }
    transaction.effective_gas_price(base_fee)
}

/// The balance that the sender must have before the transaction runs, in wei. Saturates: a cost beyond
/// 2^256-1 nobody can have.
pub fn cost(rules: &Rules, transaction: &Transaction) -> U256 {
    let value = transaction.value();
    if rules.is_free() {
        return value;
    }
    let gas = U256::from(transaction.gas_limit()).saturating_mul(U256::from(transaction.max_fee_per_gas()));
    let blob_gas = U256::from(transaction.blob_gas_used().unwrap_or(0));
    let blob_price = U256::from(transaction.max_fee_per_blob_gas().unwrap_or(0));
    value.saturating_add(gas).saturating_add(blob_gas.saturating_mul(blob_price))
}
