//! A small JSON-RPC client and signed transactions, for tests from outside.

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use crypto::{AccountKey, DEV_MNEMONIC, keccak256};
use serde_json::{Value, json};
use std::time::Duration;
use types::{Address, B256, U256};

/// One node's JSON-RPC.
pub struct Rpc {
    url: String,
    agent: ureq::Agent,
}

impl Rpc {
    pub fn new(port: u16) -> Rpc {
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(30))).build();
        Rpc { url: format!("http://127.0.0.1:{port}"), agent: config.new_agent() }
    }

    fn post(&self, body: Value) -> Option<Value> {
        self.agent.post(&self.url).send_json(body).ok()?.into_body().read_json().ok()
    }

    /// The result, or the whole answer when it is an error.
    pub fn ask(&self, method: &str, params: Value) -> Value {
        let answer = self.post(json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }));
        let mut answer = answer.unwrap_or(Value::Null);
        match answer.get("result") {
            Some(_) => answer["result"].take(),
            None => answer,
        }
    }

    /// One call for each parameter.
    pub fn batch(&self, method: &str, params: &[Value]) {
        let calls: Vec<Value> = (params.iter().enumerate())
            .map(|(id, param)| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": [param] }))
            .collect();
        self.post(Value::Array(calls));
    }

    pub fn finalized(&self) -> Option<u64> {
        let block = self.ask("eth_getBlockByNumber", json!(["finalized", false]));
        u64::from_str_radix(block["number"].as_str()?.strip_prefix("0x")?, 16).ok()
    }

    /// Whether the encoded transaction is in a block.
    pub fn has_receipt(&self, raw: &str) -> bool {
        let bytes: types::Bytes = raw.parse().unwrap();
        self.ask("eth_getTransactionReceipt", json!([keccak256(&bytes)]))["blockNumber"].is_string()
    }
}

/// An account that has a balance in every network made here.
pub fn rich(index: u32) -> AccountKey {
    AccountKey::from_mnemonic(DEV_MNEMONIC, index).unwrap()
}

/// A signed transfer of some wei, encoded for `eth_sendRawTransaction`.
pub fn transfer(from: &AccountKey, nonce: u64, value: u64) -> String {
    let to = Address::from_word(B256::repeat_byte(0xbb)).into();
    signed(from, TxEip1559 { nonce, gas_limit: 21_000, to, value: U256::from(value), ..Default::default() })
}

/// A signed transaction of the test network.
pub fn signed(from: &AccountKey, unsigned: TxEip1559) -> String {
    let unsigned = TxEip1559 { chain_id: 1337, ..unsigned };
    let signature = from.sign(&unsigned.signature_hash());
    let transaction = types::Transaction::Eip1559(unsigned.into_signed(signature));
    types::Bytes::from(transaction.encoded_2718()).to_string()
}
