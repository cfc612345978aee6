//! Logs and filters.

use crate::world::*;
use alloy_primitives::{B256, U256};
use rpc::{Limits, Options};
use serde_json::{Value, json};
use std::time::Duration;
use types::FeeMode;

fn word(value: u64) -> B256 {
    B256::from(U256::from(value))
}

async fn with_logs(blocks: u64) -> World {
    let world = World::new(FeeMode::Free).await;
    for nonce in 0..blocks {
        world.mine(&log_call(0, nonce, nonce % 3)).await;
        world.seal();
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_by_range_address_topic_and_block() {
    let world = with_logs(9).await;
    let count = async |filter: Value| world.ok("eth_getLogs", json!([filter])).await.as_array().unwrap().len();
    let all = json!({"fromBlock": "earliest", "toBlock": "latest"});
    assert_eq!(count(all.clone()).await, 9);
    assert_eq!(count(json!({"fromBlock": "0x1", "toBlock": "0x3"})).await, 2);
    assert_eq!(count(json!({"fromBlock": "0x1", "topics": [word(1)]})).await, 3);
    assert_eq!(count(json!({"fromBlock": "0x1", "topics": [[word(1), word(2)]]})).await, 6);
    assert_eq!(count(json!({"fromBlock": "0x1", "topics": [null, word(1)]})).await, 0);
    assert_eq!(count(json!({"fromBlock": "0x1", "address": LOGGER})).await, 9);
    assert_eq!(count(json!({"fromBlock": "0x1", "address": REVERTER})).await, 0);
    assert_eq!(count(json!({})).await, 0, "the last block has none");
    let block = world.ok("eth_getBlockByNumber", json!(["0x1"])).await["hash"].clone();
    assert_eq!(count(json!({"blockHash": block})).await, 1);
    let first = world.ok("eth_getLogs", json!([all])).await[0].clone();
    let receipt = world.ok("eth_getTransactionReceipt", json!([first["transactionHash"]])).await;
    assert_eq!(receipt["logs"][0], first, "the same log from both sides");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_queries() {
    let world = with_logs(2).await;
    let fails = async |filter: Value| world.fails("eth_getLogs", json!([filter])).await;
    let beyond = fails(json!({"fromBlock": "0x1", "toBlock": "0x38"})).await;
    assert_eq!(beyond, (-32602, "block range extends beyond current head block".into()));
    let reversed = fails(json!({"fromBlock": "0x3", "toBlock": "0x2"})).await;
    assert_eq!(reversed, (-32602, "invalid block range params".into()));
    assert_eq!(fails(json!({"blockHash": B256::ZERO, "fromBlock": "0x1"})).await.0, -32602);
    assert_eq!(fails(json!({"blockHash": B256::ZERO})).await, (-32000, "unknown block".into()));
    let many: Vec<B256> = (0..1001).map(word).collect();
    assert_eq!(fails(json!({"topics": [many]})).await.0, -32602);
    assert_eq!(fails(json!({"topics": [null, null, null, null, null]})).await.0, -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_bounded() {
    let limits = Limits { log_results: 3, log_blocks: 10, filters: 2, ..Limits::default() };
    let world = World::with(FeeMode::Free, Options { limits, ..options() }).await;
    for nonce in 0..6 {
        world.mine(&log_call(0, nonce, 1)).await;
        world.seal();
    }
    let (code, text) = world.fails("eth_getLogs", json!([{"fromBlock": "0x3"}])).await;
    assert_eq!((code, text.as_str()), (-32005, "query exceeds max results 3"));
    let (code, text) = world.fails("eth_getLogs", json!([{"fromBlock": "0x1"}])).await;
    assert_eq!((code, text.as_str()), (-32005, "query exceeds max block range 10"));
    world.ok("eth_newBlockFilter", json!([])).await;
    world.ok("eth_newBlockFilter", json!([])).await;
    assert_eq!(world.fails("eth_newBlockFilter", json!([])).await.0, -32005);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_filter_names_each_block_once() {
    let world = World::new(FeeMode::Free).await;
    world.seal();
    let id = world.ok("eth_newBlockFilter", json!([])).await;
    assert_eq!(world.ok("eth_getFilterChanges", json!([id])).await, json!([]));
    world.seal();
    world.seal();
    let mut expected = Vec::new();
    for height in ["0x2", "0x3"] {
        expected.push(world.ok("eth_getBlockByNumber", json!([height])).await["hash"].clone());
    }
    assert_eq!(world.ok("eth_getFilterChanges", json!([id])).await, json!(expected));
    assert_eq!(world.ok("eth_getFilterChanges", json!([id])).await, json!([]));
    assert_eq!(world.ok("eth_uninstallFilter", json!([id])).await, true);
    assert_eq!(world.ok("eth_uninstallFilter", json!([id])).await, false);
    assert_eq!(world.fails("eth_getFilterChanges", json!([id])).await, (-32000, "filter not found".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_filter_tells_what_is_new() {
    let world = with_logs(1).await;
    let id = world.ok("eth_newFilter", json!([{"fromBlock": "0x1", "topics": [word(7)]}])).await;
    world.mine(&log_call(0, 1, 7)).await;
    world.mine(&log_call(0, 2, 8)).await;
    let changes = world.ok("eth_getFilterChanges", json!([id])).await;
    assert_eq!(changes.as_array().unwrap().len(), 1);
    assert_eq!(changes[0]["topics"][0], json!(word(7)));
    assert_eq!(world.ok("eth_getFilterChanges", json!([id])).await, json!([]));
    assert_eq!(world.ok("eth_getFilterLogs", json!([id])).await, changes, "everything again");
    let blocks = world.ok("eth_newBlockFilter", json!([])).await;
    assert_eq!(world.fails("eth_getFilterLogs", json!([blocks])).await.0, -32000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_filter_names_what_arrives_even_if_it_is_final_already() {
    let world = World::new(FeeMode::Free).await;
    let hashes = world.ok("eth_newPendingTransactionFilter", json!([])).await;
    let full = world.ok("eth_newPendingTransactionFilter", json!([true])).await;
    let first = world.mine(&transfer(0, 0)).await;
    world.ok("eth_sendRawTransaction", json!([raw(&transfer(0, 1))])).await;
    let second = *transfer(0, 1).tx_hash();
    assert_eq!(world.ok("eth_getFilterChanges", json!([hashes])).await, json!([first, second]));
    assert_eq!(world.ok("eth_getFilterChanges", json!([hashes])).await, json!([]));
    assert_eq!(world.ok("eth_getFilterChanges", json!([full])).await[1]["hash"], json!(second));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_filter_is_forgotten() {
    let limits = Limits { filter_idle: Duration::ZERO, ..Limits::default() };
    let world = World::with(FeeMode::Free, Options { limits, ..options() }).await;
    let id = world.ok("eth_newBlockFilter", json!([])).await;
    assert_eq!(world.fails("eth_getFilterChanges", json!([id])).await.0, -32000);
}
