//! Accounts: balance, nonce, code, storage, and proofs of them.

use crate::error::Failure;
use crate::lane::Class;
use crate::params::StorageKey;
use crate::registry::{Call, Registry};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U64, U256};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof};
use alloy_serde::JsonStorageKey;
use std::collections::BTreeMap;

pub(super) fn register(methods: &mut Registry) {
    methods.inline("eth_accounts", accounts);
    methods.on(Class::Read, "eth_getBalance", balance);
    methods.on(Class::Read, "eth_getTransactionCount", nonce);
    methods.on(Class::Read, "eth_getCode", code);
    methods.on(Class::Read, "eth_getStorageAt", storage);
    methods.on(Class::Scan, "eth_getStorageValues", storage_values);
    methods.on(Class::Scan, "eth_getProof", proof);
}

fn accounts(call: &mut Call<'_>) -> Result<Vec<Address>, Failure> {
    Ok(call.ledger.signers.iter().map(|key| key.address()).collect())
}

fn balance(call: &mut Call<'_>) -> Result<U256, Failure> {
    let (address, id) = (call.arguments.hex::<Address>()?, call.arguments.block()?);
    call.arguments.end()?;
    let account = call.ledger.view()?.state(id)?.account(address)?;
    Ok(account.map_or(U256::ZERO, |account| account.balance))
}

fn nonce(call: &mut Call<'_>) -> Result<U64, Failure> {
    let (address, id) = (call.arguments.hex::<Address>()?, call.arguments.block()?);
    call.arguments.end()?;
    Ok(U64::from(nonce_at(call, address, id)?))
}

/// The next nonce of a sender; `pending` counts what waits in the pool in an unbroken row.
pub(super) fn nonce_at(call: &Call<'_>, address: Address, id: BlockId) -> Result<u64, Failure> {
    let account = call.ledger.view()?.state(id)?.account(address)?;
    let settled = account.map_or(0, |account| account.nonce);
    if !id.is_pending() {
        return Ok(settled);
    }
    Ok(call.ledger.chain.pooled_nonce(&address).map_or(settled, |waiting| waiting.max(settled)))
}

fn code(call: &mut Call<'_>) -> Result<Bytes, Failure> {
    let (address, id) = (call.arguments.hex::<Address>()?, call.arguments.block()?);
    call.arguments.end()?;
    let state = call.ledger.view()?.state(id)?;
    match state.account(address)? {
        Some(account) if account.code_hash != KECCAK256_EMPTY => Ok(state.code(account.code_hash)?),
        _ => Ok(Bytes::new()),
    }
}

fn storage(call: &mut Call<'_>) -> Result<B256, Failure> {
    let address = call.arguments.hex::<Address>()?;
    let (key, id) = (call.arguments.storage_key()?, call.arguments.block()?);
    call.arguments.end()?;
    let value = call.ledger.view()?.state(id)?.storage(address, key)?;
    Ok(B256::from(value))
}

fn storage_values(call: &mut Call<'_>) -> Result<BTreeMap<Address, Vec<B256>>, Failure> {
    let wanted = call.arguments.required::<BTreeMap<Address, Vec<StorageKey>>>()?;
    let id = call.arguments.block()?;
    call.arguments.end()?;
    let (slots, most) = (wanted.values().map(Vec::len).sum::<usize>(), call.ledger.limits.proof_slots);
    if slots == 0 {
        return Err(Failure::invalid_params("empty request"));
    }
    if slots > most {
        return Err(Failure::invalid_params(format!("too many slots (max {most})")));
    }
    let state = call.ledger.view()?.state(id)?;
    let mut values = BTreeMap::new();
    for (address, keys) in wanted {
        let read = |StorageKey(key)| Ok(B256::from(state.storage(address, key)?));
        values.insert(address, keys.into_iter().map(read).collect::<Result<_, Failure>>()?);
    }
    Ok(values)
}

fn proof(call: &mut Call<'_>) -> Result<EIP1186AccountProofResponse, Failure> {
    let address = call.arguments.hex::<Address>()?;
    let keys = call.arguments.required::<Vec<JsonStorageKey>>()?;
    let id = call.arguments.block()?;
    call.arguments.end()?;
    let most = call.ledger.limits.proof_slots;
    if keys.len() > most {
        return Err(Failure::invalid_params(format!("too many keys (max {most})")));
    }
    let slots: Vec<B256> = keys.iter().map(JsonStorageKey::as_b256).collect();
    let proof = call.ledger.view()?.state(id)?.proof(address, &slots)?;
    let account = proof.account.unwrap_or_default();
    let entry =
        |(key, slot): (JsonStorageKey, ledger::StorageProof)| EIP1186StorageProof::new(key, slot.value, slot.nodes);
    Ok(EIP1186AccountProofResponse {
        address,
        balance: account.balance,
        code_hash: account.code_hash,
        nonce: account.nonce,
        storage_hash: proof.storage_root,
        account_proof: proof.nodes,
        storage_proof: keys.into_iter().zip(proof.storage).map(entry).collect(),
    })
}
