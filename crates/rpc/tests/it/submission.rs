//! Transactions coming in, awaited, filled and signed.

use crate::world::*;
use alloy_primitives::TxKind;
use rpc::Options;
use serde_json::json;
use types::FeeMode;

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_without_balance_is_final() {
    let world = World::new(FeeMode::Free).await;
    let hash = world.mine(&log_call(7, 0, 3)).await;
    let receipt = world.ok("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!((&receipt["status"], &receipt["blockNumber"]), (&json!("0x1"), &json!("0x1")));
    let hash = world.mine(&transaction(7, 1, TxKind::Create, Default::default())).await;
    let receipt = world.ok("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["contractAddress"], json!(key(7).address().create(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_admitted_says_why() {
    let world = World::new(FeeMode::Eip1559).await;
    world.mine(&transfer(0, 0)).await;
    let send = async |text: String| world.fails("eth_sendRawTransaction", json!([text])).await;
    let (code, text) = send(raw(&transfer(0, 0))).await;
    assert!(code == -32000 && (text.contains("nonce too low") || text.contains("already known")), "{text}");
    let (code, text) = send(raw(&transfer(9, 0))).await;
    assert!(code == -32000 && text.starts_with("insufficient funds"), "{text}");
    assert_eq!(send("0x02".into()).await.0, -32000);
    assert_eq!(send("0x".into()).await.0, -32000);
    assert_eq!(send("zz".into()).await.0, -32602);
    let (code, text) = send("0x03c0".into()).await;
    assert!(code == -32000 && text.contains("blob"), "{text}");
    assert_eq!(world.fails("eth_sendRawTransaction", json!([])).await.0, -32602);
    world.ok("eth_sendRawTransaction", json!([raw(&transfer(1, 0))])).await;
    assert_eq!(send(raw(&transfer(1, 0))).await, (-32000, "already known".into()));
    let (_, text) = send(raw(&log_call(1, 0, 1))).await;
    assert!(text.contains("replacement transaction underpriced"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_awaited_transaction_answers_with_its_receipt() {
    let world = World::new(FeeMode::Free).await;
    let waiting = call_at(world.address, "/", "eth_sendRawTransactionSync", json!([raw(&transfer(0, 0)), 30_000]));
    let waiting = tokio::spawn(waiting);
    let mut work = world.chain.fresh();
    work.wait_for(|arrivals| *arrivals > 0).await.unwrap();
    world.seal();
    let response = waiting.await.unwrap();
    assert_eq!(response["result"]["transactionHash"], json!(transfer(0, 0).tx_hash()), "{response}");
    assert_eq!(response["result"]["blockNumber"], "0x1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_awaited_transaction_that_is_late_or_not_ready() {
    let world = World::new(FeeMode::Free).await;
    let late = world.call("eth_sendRawTransactionSync", json!([raw(&transfer(0, 0)), "0x32"])).await;
    assert_eq!((&late["error"]["code"], &late["error"]["data"]), (&json!(4), &json!(transfer(0, 0).tx_hash())));
    let gap = world.call("eth_sendRawTransactionSync", json!([raw(&transfer(1, 3)), 50])).await;
    assert_eq!((&gap["error"]["code"], &gap["error"]["data"]), (&json!(5), &json!(transfer(1, 3).tx_hash())));
    let again = world.fails("eth_sendRawTransactionSync", json!([raw(&transfer(1, 3)), 50])).await;
    assert_eq!(again, (-32000, "already known".into()));
    assert_eq!(world.fails("eth_sendRawTransactionSync", json!([raw(&transfer(1, 0)), "x"])).await.0, -32602);
    world.seal();
    assert_eq!(world.ok("eth_getTransactionReceipt", json!([transfer(0, 0).tx_hash()])).await["status"], "0x1");
}

#[tokio::test(flavor = "multi_thread")]
async fn development_accounts_sign() {
    let world = World::new(FeeMode::Eip1559).await;
    let request = json!({"from": key(0).address(), "to": key(5).address(), "value": "0x7"});
    let hash = world.ok("eth_sendTransaction", json!([request])).await;
    world.seal();
    assert_eq!(world.ok("eth_getTransactionReceipt", json!([hash])).await["status"], "0x1");
    assert_eq!(world.ok("eth_getBalance", json!([key(5).address()])).await, "0x7");
    let many = (0..8).map(|_| call_at(world.address, "/", "eth_sendTransaction", json!([request])));
    for response in futures::future::join_all(many).await {
        assert!(response["result"].is_string(), "{response}");
    }
    assert_eq!(world.ok("txpool_status", json!([])).await["pending"], "0x8", "eight nonces in a row");
    let foreign = json!({"from": key(5).address(), "to": key(0).address()});
    assert_eq!(world.fails("eth_sendTransaction", json!([foreign])).await, (-32000, "unknown account".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn filled_transactions_are_complete() {
    let world = World::new(FeeMode::Eip1559).await;
    world.mine(&transfer(0, 0)).await;
    let fill = async |request| world.ok("eth_fillTransaction", json!([request])).await["tx"].clone();
    let filled = fill(json!({"from": key(0).address(), "to": LOGGER, "input": "0x01"})).await;
    assert_eq!(
        (&filled["nonce"], &filled["chainId"], &filled["type"]),
        (&json!("0x1"), &json!("0x539"), &json!("0x2"))
    );
    assert!(filled["gas"].is_string() && filled["maxFeePerGas"].is_string(), "{filled}");
    let legacy = fill(json!({"from": key(0).address(), "to": LOGGER, "gasPrice": "0x77359400"})).await;
    assert_eq!((&legacy["type"], &legacy["gasPrice"]), (&json!("0x0"), &json!("0x77359400")));
    let create = fill(json!({"from": key(0).address(), "input": "0x00"})).await;
    assert_eq!(create["to"], json!(null));
    let capped = fill(json!({"from": key(0).address(), "to": LOGGER, "maxFeePerGas": "0x3b9aca00"})).await;
    let wei = |field: &str| u128::from_str_radix(&capped[field].as_str().unwrap()[2..], 16).unwrap();
    assert!(wei("maxPriorityFeePerGas") <= wei("maxFeePerGas"), "{capped}");
    let wrong = json!({"from": key(0).address(), "to": LOGGER, "chainId": "0x1"});
    assert_eq!(world.fails("eth_fillTransaction", json!([wrong])).await.0, -32000);
    let both = json!({"to": LOGGER, "gasPrice": "0x1", "maxFeePerGas": "0x1"});
    assert_eq!(world.fails("eth_fillTransaction", json!([both])).await.0, -32000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_node_takes_nothing() {
    let world = World::with(FeeMode::Free, Options { read_only: true, ..options() }).await;
    for method in ["eth_sendRawTransaction", "eth_sendRawTransactionSync"] {
        let (code, text) = world.fails(method, json!([raw(&transfer(0, 0))])).await;
        assert!(code == -32000 && text.contains("read-only"), "{method}: {text}");
    }
    let request = json!({"from": key(0).address(), "to": LOGGER});
    assert_eq!(world.fails("eth_sendTransaction", json!([request])).await.0, -32000);
    let batch =
        json!([{"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw(&transfer(0, 0))]}]);
    let (_, response) = http(world.address, "/", batch.to_string().as_bytes()).await;
    assert_eq!(response[0]["error"]["code"], -32000);
    assert_eq!(world.ok("txpool_status", json!([])).await["pending"], "0x0");
}
