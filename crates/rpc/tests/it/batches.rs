//! Batches: every rule of a single call, and bounds of their own.

use crate::world::*;
use rpc::{Limits, Options};
use serde_json::{Value, json};
use std::time::Duration;
use types::FeeMode;

fn one(id: u64, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

async fn post(world: &World, batch: &Value) -> Value {
    http(world.address, "/", batch.to_string().as_bytes()).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_mixed() {
    let world = World::new(FeeMode::Free).await;
    let batch = json!([
        one(1, "eth_chainId", json!([])),
        one(2, "eth_sendRawTransaction", json!([raw(&transfer(0, 0))])),
        one(3, "eth_sendRawTransaction", json!(["0x00"])),
        one(4, "eth_sendRawTransaction", json!([raw(&transfer(0, 1))])),
        one(5, "no_such_method", json!([])),
        7,
        {"jsonrpc": "2.0", "method": "eth_chainId", "params": []},
        one(6, "eth_getTransactionCount", json!([key(0).address(), "pending"])),
        one(8, "eth_call", json!([{"to": REVERTER}])),
        one(9, "eth_subscribe", json!(["newHeads"])),
        one(10, "eth_sendRawTransaction", json!([])),
    ]);
    let response = post(&world, &batch).await;
    let answers = response.as_array().unwrap();
    assert_eq!(answers.len(), 10, "the notification has no answer: {response}");
    let by_id = |id: u64| answers.iter().find(|answer| answer["id"] == id).unwrap();
    assert_eq!(by_id(1)["result"], "0x539");
    assert_eq!(by_id(2)["result"], json!(transfer(0, 0).tx_hash()));
    assert_eq!(by_id(3)["error"]["code"], -32000);
    assert_eq!(by_id(4)["result"], json!(transfer(0, 1).tx_hash()));
    assert_eq!(by_id(5)["error"]["code"], -32601);
    assert_eq!(by_id(6)["result"], "0x2", "calls see what the calls before them sent");
    assert_eq!(by_id(8)["error"]["code"], 3);
    assert_eq!(by_id(9)["error"]["code"], -32601);
    assert_eq!(by_id(10)["error"]["code"], -32602);
    assert!(answers.iter().any(|answer| answer["id"].is_null() && answer["error"]["code"] == -32600));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_transactions_at_once() {
    let world = World::new(FeeMode::Free).await;
    let calls = |nonce| one(nonce, "eth_sendRawTransaction", json!([raw(&transfer(0, nonce))]));
    let batch: Vec<Value> = (0..1000).map(calls).collect();
    let response = post(&world, &json!(batch)).await;
    for (nonce, answer) in response.as_array().unwrap().iter().enumerate() {
        assert_eq!((&answer["id"], &answer["result"]), (&json!(nonce), &json!(transfer(0, nonce as u64).tx_hash())));
    }
    assert_eq!(world.ok("txpool_status", json!([])).await["pending"], "0x3e8");
    world.seal();
    assert_eq!(world.ok("eth_getBlockTransactionCountByNumber", json!(["latest"])).await, "0x3e8");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_calls_and_none() {
    let world = World::new(FeeMode::Free).await;
    let batch: Vec<Value> = (0..1001).map(|id| one(id, "eth_chainId", json!([]))).collect();
    assert!(post(&world, &json!(batch)).await["error"]["code"].as_i64().unwrap() < 0);
    assert_eq!(post(&world, &json!([])).await["error"]["code"], -32600);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_time_are_bounded_together() {
    let limits = Limits { response_bytes: 2_000, ..Limits::default() };
    let world = World::with(FeeMode::Free, Options { limits, ..options() }).await;
    assert!(world.ok("eth_getBlockByNumber", json!(["0x0"])).await.is_object());
    let batch: Vec<Value> = (0..9).map(|id| one(id, "eth_getBlockByNumber", json!(["0x0"]))).collect();
    let response = post(&world, &json!(batch)).await;
    assert!(response["error"]["code"].as_i64().unwrap() < 0, "{response}");

    let limits = Limits { batch_deadline: Duration::ZERO, ..Limits::default() };
    let world = World::with(FeeMode::Free, Options { limits, ..options() }).await;
    let late = post(&world, &json!([one(1, "eth_getBlockByNumber", json!(["0x0"]))])).await;
    assert_eq!(late[0]["error"]["code"], -32005);
}
