//! Simulated calls as transactions.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_primitives::{Address, Signature, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;
use revm::context::TxEnv;
use types::Transaction;

/// The call as a transaction with an empty signature; its hash names it in the answer.
pub(super) fn unsigned(call: &TransactionRequest, env: &TxEnv) -> Transaction {
    let signature = Signature::new(U256::ZERO, U256::ZERO, false);
    let chain_id = env.chain_id.unwrap_or(0);
    let (nonce, gas_limit, value, input) = (env.nonce, env.gas_limit, env.value, env.data.clone());
    let access_list = env.access_list.clone();
    let max_fee_per_gas = env.gas_price;
    let max_priority_fee_per_gas = env.gas_priority_fee.unwrap_or(0);
    let callee = || match env.kind {
        TxKind::Call(to) => to,
        TxKind::Create => Address::ZERO,
    };
    match env.tx_type {
        0 => {
            let (gas_price, to, chain_id) = (env.gas_price, env.kind, Some(chain_id));
            TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input }.into_signed(signature).into()
        }
        1 => {
            let (gas_price, to) = (env.gas_price, env.kind);
            let tx = TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input };
            tx.into_signed(signature).into()
        }
        3 => TxEip4844 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: callee(),
            value,
            access_list,
            blob_versioned_hashes: env.blob_hashes.clone(),
            max_fee_per_blob_gas: env.max_fee_per_blob_gas,
            input,
        }
        .into_signed(signature)
        .into(),
        4 => TxEip7702 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: callee(),
            value,
            access_list,
            authorization_list: call.authorization_list.clone().unwrap_or_default(),
            input,
        }
        .into_signed(signature)
        .into(),
        _ => {
            let to = env.kind;
            let tx = TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                input,
            };
            tx.into_signed(signature).into()
        }
    }
}
