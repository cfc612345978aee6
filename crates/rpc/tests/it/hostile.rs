//! Strangers: whatever they send has an answer, and others are served meanwhile.

use crate::world::*;
use rpc::{LaneLimits, Limits, Options};
use serde_json::{Value, json};
use std::time::Duration;
use types::FeeMode;

#[tokio::test(flavor = "multi_thread")]
async fn unknown_methods_and_garbage() {
    let world = World::new(FeeMode::Free).await;
    for probe in ["anvil_nodeInfo", "hardhat_metadata", "eth_getAccountInfo", "eth_", "", "ots_getApiLevel"] {
        assert_eq!(world.fails(probe, json!([])).await.0, -32601, "{probe}");
    }
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        ("nonsense", -32700),
        ("[", -32700),
        ("{}", -32600),
        ("[1,2]", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"eth_chainId"}"#, -32600),
        ("\u{0}\u{1}\u{2}", -32700),
    ] {
        let response = http(world.address, "/", body.as_bytes()).await.1;
        let error = response.get(0).unwrap_or(&response)["error"]["code"].clone();
        assert!(error == code || error == -32600 || error == -32700, "{body:?}: {response}");
    }
    let named = world.fails("eth_getBalance", json!({"address": LOGGER})).await;
    assert_eq!(named, (-32602, "non-array args".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_malformed_requests_each_get_an_error() {
    let world = World::new(FeeMode::Free).await;
    let good = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": [LOGGER, "latest"]}).to_string();
    for round in 0..1000usize {
        let mut bytes = good.clone().into_bytes();
        let place = round * 7919 % (bytes.len() - 1);
        match round % 4 {
            0 => bytes.truncate(place),
            1 => bytes[place] = b'"',
            2 => bytes.insert(place, b'['),
            _ => bytes[place] = 0xff,
        }
        let (status, response) = http(world.address, "/", &bytes).await;
        let answered = response.get("error").is_some() || response.get("result").is_some() || response[0].is_object();
        assert!(answered && status > 0, "{}: {status} {response}", String::from_utf8_lossy(&bytes));
    }
    assert_eq!(world.ok("eth_blockNumber", json!([])).await, "0x0");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_and_too_deep() {
    let world = World::new(FeeMode::Free).await;
    let large = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"web3_sha3","params":["0x{}"]}}"#, "0".repeat(6 << 20));
    let (status, response) = http(world.address, "/", large.as_bytes()).await;
    assert!(status == 413 || status == 0, "{status} {response}");
    let fits = format!("0x{}", "0".repeat(4 << 20));
    assert!(world.ok("web3_sha3", json!([fits])).await.is_string());
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"eth_call","params":[{}{}]}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let response = http(world.address, "/", deep.as_bytes()).await.1;
    assert_eq!(response["error"]["code"], -32602, "{response}");
    let batch = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(http(world.address, "/", batch.as_bytes()).await.1.to_string().contains("error"));
    let number = format!("0x{}", "f".repeat(65));
    assert_eq!(world.fails("eth_getBlockByNumber", json!([number])).await.0, -32602);
    assert_eq!(world.fails("eth_call", json!([{"to": LOGGER, "value": number}])).await.0, -32602);
    assert_eq!(world.fails("eth_getBalance", json!([LOGGER, "latest", 1, 2, 3, 4, 5, 6, 7, 8])).await.0, -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_that_is_no_call() {
    let world = World::new(FeeMode::Free).await;
    let json = "content-type: application/json\r\n";
    let status = async |verb: &str, headers: &str| exchange(world.address, verb, "/", headers, b"{}").await.0;
    assert_eq!(status("GET", "").await, 405);
    assert_eq!(status("POST", "content-type: text/plain\r\n").await, 415);
    assert_eq!(status("POST", &format!("{json}host: evil.example\r\n")).await, 403);
    assert_eq!(status("POST", &format!("{json}host: localhost:1\r\n")).await, 200);
    assert_eq!(status("POST", &format!("{json}host: [::1]:8545\r\n")).await, 200);
    assert_eq!(status("POST", &format!("{json}host: 10.0.0.7\r\n")).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_need_permission() {
    let with = |cors: &[&str]| Options { cors: cors.iter().map(|origin| origin.to_string()).collect(), ..options() };
    let ask = async |world: &World, origin: &str| {
        let headers = format!("origin: {origin}\r\naccess-control-request-method: POST\r\n");
        exchange(world.address, "OPTIONS", "/", &headers, b"").await.1
    };
    let allows = "access-control-allow-origin";
    let nobody = World::with(FeeMode::Free, with(&[])).await;
    assert!(!ask(&nobody, "https://a.example").await.contains(allows));
    let some = World::with(FeeMode::Free, with(&["https://a.example"])).await;
    assert!(ask(&some, "https://a.example").await.contains("access-control-allow-origin: https://a.example"));
    assert!(!ask(&some, "https://b.example").await.contains(allows));
    let any = World::with(FeeMode::Free, with(&["*"])).await;
    assert!(ask(&any, "https://b.example").await.contains("access-control-allow-origin: *"));

    let upgrade = "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let headers = format!("origin: https://b.example\r\nconnection: upgrade\r\n{upgrade}");
    assert_eq!(exchange(some.address, "GET", "/", &headers, b"").await.0, 403);
    let named = World::with(FeeMode::Free, Options { hosts: vec!["node.example".into()], ..options() }).await;
    let headers = "content-type: application/json\r\nhost: node.example:8545\r\n";
    assert_eq!(exchange(named.address, "POST", "/", headers, b"{}").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_class_holds_up_only_itself() {
    let lane = LaneLimits { concurrency: 1, queue: 1, deadline: Duration::from_secs(60) };
    let limits = Limits { execute: lane, call_gas: u64::MAX / 4, ..Limits::default() };
    let world = World::with(FeeMode::Free, Options { limits, ..options() }).await;
    // Two calls that never end: one runs, one waits, a third is refused at once.
    let forever = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_estimateGas", "params": [{"to": LOOP, "gas": "0xfffffffffffff"}]});
    let address = world.address;
    let spin = || {
        let body = forever.to_string();
        tokio::spawn(async move { http(address, "/", body.as_bytes()).await })
    };
    let busy = [spin(), spin()];
    let refused = loop {
        let response = world.call("eth_call", json!([{"to": LOGGER}])).await;
        if response.get("error").is_some() {
            break response;
        }
    };
    assert_eq!(refused["error"]["code"], -32005, "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("execute"));
    assert_eq!(world.ok("eth_blockNumber", json!([])).await, "0x0");
    assert!(world.ok("eth_getBlockByNumber", json!(["latest"])).await.is_object());
    assert!(world.ok("eth_sendRawTransaction", json!([raw(&transfer(0, 0))])).await.is_string());
    assert_eq!(world.seal(), 1);
    // Callers that hang up free the class: nothing computes for nobody.
    busy.iter().for_each(|task| task.abort());
    let freed = async {
        loop {
            let response: Value = world.call("eth_call", json!([{"to": LOGGER}])).await;
            if response.get("result").is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), freed).await.expect("the class is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let world = World::with(FeeMode::Free, Options { limits, ..options() }).await;
    let first = world.ws().await;
    let second = world.ws().await;
    let third = jsonrpsee::ws_client::WsClientBuilder::default().build(format!("ws://{}", world.address)).await;
    assert!(third.is_err(), "a third connection is one too many");
    drop((first, second));
    let freed = async {
        while jsonrpsee::ws_client::WsClientBuilder::default().build(format!("ws://{}", world.address)).await.is_err() {
        }
    };
    tokio::time::timeout(Duration::from_secs(60), freed).await.expect("places are given back");
}
