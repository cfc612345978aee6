//! What can be said against a transaction without the state.
//!
//! D3.1 6.1.6.1 (verification). The pool asks this once for each transaction; the machine checks all of it
//! again when the transaction runs, for another node may have proposed it.

use alloy_consensus::{Transaction as _, TxType, Typed2718};
use alloy_eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA;
use alloy_evm::FromRecoveredTx;
use alloy_primitives::Address;
use revm::{
    context::TxEnv,
    context_interface::{Cfg, cfg::GasParams},
    primitives::hardfork::SpecId,
};
use types::{FeeMode, Recovered, Transaction};

use crate::{BlockContext, InvalidTransaction, Rules, transaction::check_tip};

/// The forks and limits that a transaction of the next block meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    pub spec: SpecId,
    /// Of a block.
    pub gas_limit: u64,
}

impl Conditions {
    pub fn of(context: &BlockContext) -> Conditions {
        Conditions { spec: context.spec, gas_limit: context.gas_limit }
    }
}

/// Everything that needs neither the state nor the current base fee.
pub fn check_stateless(
    rules: &Rules,
    conditions: &Conditions,
    recovered: &Recovered,
) -> Result<(), InvalidTransaction> {
    let transaction = recovered.inner();
    check_type(conditions.spec, transaction)?;
    check_chain_id(rules, transaction)?;
    check_limits(rules, conditions, transaction)?;
    check_price(rules, transaction)?;
    check_intrinsic_gas(conditions.spec, transaction, recovered.signer())
}

fn check_type(spec: SpecId, transaction: &Transaction) -> Result<(), InvalidTransaction> {
    let since = match transaction.tx_type() {
        TxType::Legacy => SpecId::FRONTIER,
        TxType::Eip2930 => SpecId::BERLIN,
        TxType::Eip1559 => SpecId::LONDON,
        TxType::Eip4844 => return Err(InvalidTransaction::BlobsNotSupported),
        TxType::Eip7702 => SpecId::PRAGUE,
    };
    if !spec.is_enabled_in(since) {
        return Err(InvalidTransaction::TypeNotActive(transaction.ty()));
    }
    match transaction.authorization_list() {
        Some([]) => Err(InvalidTransaction::EmptyAuthorizationList),
        _ => Ok(()),
    }
}

fn check_chain_id(rules: &Rules, transaction: &Transaction) -> Result<(), InvalidTransaction> {
    let want = rules.chain_id();
    match transaction.chain_id() {
        Some(have) if have == want => Ok(()),
        Some(have) => Err(InvalidTransaction::ChainId { have, want }),
        None => Err(InvalidTransaction::NotReplayProtected),
    }
}

fn check_limits(rules: &Rules, conditions: &Conditions, transaction: &Transaction) -> Result<(), InvalidTransaction> {
    let (have, limit) = (transaction.gas_limit(), conditions.gas_limit);
    if have > limit {
        return Err(InvalidTransaction::BlockGasLimit { have, limit });
    }
    if conditions.spec.is_enabled_in(SpecId::OSAKA) && have > MAX_TX_GAS_LIMIT_OSAKA {
        return Err(InvalidTransaction::GasLimitCap { have, cap: MAX_TX_GAS_LIMIT_OSAKA });
    }
    if transaction.nonce() == u64::MAX {
        return Err(InvalidTransaction::NonceMax);
    }
    check_init_code(rules, conditions.spec, transaction)
}

/// EIP-3860.
fn check_init_code(rules: &Rules, spec: SpecId, transaction: &Transaction) -> Result<(), InvalidTransaction> {
    if !transaction.is_create() || !spec.is_enabled_in(SpecId::SHANGHAI) {
        return Ok(());
    }
    let mut cfg = revm::context::CfgEnv::new_with_spec(spec);
    cfg.limit_contract_code_size = rules.contract_size_limit();
    let (size, limit) = (transaction.input().len(), cfg.max_initcode_size());
    if size > limit { Err(InvalidTransaction::InitCodeSize { size, limit }) } else { Ok(()) }
}

/// The price must be well formed, and pay the fixed price where there is one. Whether it pays a moving base
/// fee is for the pool to watch from block to block.
fn check_price(rules: &Rules, transaction: &Transaction) -> Result<(), InvalidTransaction> {
    check_tip(transaction)?;
    let price = transaction.max_fee_per_gas();
    match rules.fees() {
        FeeMode::Fixed { gas_price } if price < u128::from(gas_price) => {
            Err(InvalidTransaction::Underpriced { price, minimum: gas_price })
        }
        _ => Ok(()),
    }
}

/// What a transaction costs before it runs (EIP-2028, 2930, 3860, 7702), and the floor of EIP-7623.
fn check_intrinsic_gas(spec: SpecId, transaction: &Transaction, sender: Address) -> Result<(), InvalidTransaction> {
    let env = TxEnv::from_recovered_tx(transaction, sender);
    let gas = GasParams::new_spec(spec).initial_tx_gas_for_tx(&env, None);
    let have = transaction.gas_limit();
    let want = gas.initial_total_gas();
    if have < want {
        return Err(InvalidTransaction::IntrinsicGas { have, want });
    }
    let floor = gas.floor_gas();
    if spec.is_enabled_in(SpecId::PRAGUE) && have < floor {
        return Err(InvalidTransaction::FloorGas { have, want: floor });
    }
    Ok(())
}
