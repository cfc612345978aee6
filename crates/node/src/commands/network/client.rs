//! The few questions that the commands ask a node over JSON-RPC.

use eyre::{Result, WrapErr, eyre};
use serde_json::{Value, json};
use std::time::Duration;

/// Asks one node; the answer must come within a second.
pub fn ask(url: &str, method: &str, params: Value) -> Result<Value> {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(1))).build();
    let question = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer = config.new_agent().post(url).send_json(question).wrap_err_with(|| format!("{url} does not answer"))?;
    let mut answer: Value = answer.into_body().read_json().wrap_err_with(|| format!("{url} answers no JSON"))?;
    match answer.get("error") {
        Some(error) => Err(eyre!("{url} answers {method} with {error}")),
        None => Ok(answer["result"].take()),
    }
}

/// The height under a block tag: "latest", "finalized".
pub fn height(url: &str, tag: &str) -> Result<u64> {
    let block = ask(url, "eth_getBlockByNumber", json!([tag, false]))?;
    quantity(&block["number"])
}

/// Peers that the node is connected with.
pub fn peers(url: &str) -> Result<u64> {
    quantity(&ask(url, "net_peerCount", json!([]))?)
}

fn quantity(value: &Value) -> Result<u64> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    number.ok_or_else(|| eyre!("{value} is no quantity"))
}
