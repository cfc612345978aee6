//! Calls, estimates, access lists and simulations.

use crate::world::*;
use alloy_primitives::{B256, U256};
use rpc::{Limits, Options};
use serde_json::{Value, json};
use types::FeeMode;

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_their_reverts() {
    let world = World::new(FeeMode::Free).await;
    assert_eq!(world.ok("eth_call", json!([{"to": LOGGER, "input": "0x01"}, "latest"])).await, "0x");
    let response = world.call("eth_call", json!([{"to": REVERTER}, "latest"])).await;
    let error = &response["error"];
    assert_eq!((&error["code"], &error["message"]), (&json!(3), &json!("execution reverted: no")));
    assert!(error["data"].as_str().unwrap().starts_with("0x08c379a0"));
    let (code, text) = world.fails("eth_call", json!([{"to": LOOP, "gas": "0x186a0"}, "latest"])).await;
    assert_eq!((code, text.as_str()), (-32000, "out of gas"));
    for block in ["pending", "earliest", "safe"] {
        assert_eq!(world.ok("eth_call", json!([{"to": LOGGER}, block])).await, "0x", "{block}");
    }
    assert_eq!(world.fails("eth_call", json!([{"to": LOGGER}, "0x9"])).await, (-32000, "header not found".into()));
    assert_eq!(world.fails("eth_call", json!([])).await.0, -32602);
    assert_eq!(world.fails("eth_call", json!([{"to": "0x1"}])).await.0, -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn overrides_change_only_the_call() {
    let world = World::new(FeeMode::Free).await;
    let code = "0x60005460005260206000f3"; // returns slot 0
    let slot = json!({"0x0000000000000000000000000000000000000000000000000000000000000000": B256::from(U256::from(9))});
    let state = json!({LOGGER.to_string(): {"code": code, "stateDiff": slot}});
    let result = world.ok("eth_call", json!([{"to": LOGGER}, "latest", state])).await;
    assert_eq!(result, json!(B256::from(U256::from(9))));
    let number = json!([{"input": "0x4360005260206000f3"}, "latest", {}, {"number": "0x4d"}]);
    assert_eq!(world.ok("eth_call", number).await, json!(B256::from(U256::from(0x4d))));
    assert_eq!(world.ok("eth_getCode", json!([LOGGER])).await, "0x6000358060005560006000a100");
}

#[tokio::test(flavor = "multi_thread")]
async fn estimates() {
    let world = World::new(FeeMode::Free).await;
    let plain = json!([{"from": key(8).address(), "to": key(9).address()}]);
    assert_eq!(world.ok("eth_estimateGas", plain).await, "0x5208");
    let word = B256::from(U256::from(5));
    let estimate = world.ok("eth_estimateGas", json!([{"from": key(8).address(), "to": LOGGER, "input": word}])).await;
    let estimate = u64::from_str_radix(&estimate.as_str().unwrap()[2..], 16).unwrap();
    assert!((40_000..60_000).contains(&estimate), "{estimate}");
    assert_eq!(world.fails("eth_estimateGas", json!([{"to": REVERTER}])).await, (3, "execution reverted: no".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn access_lists() {
    let world = World::new(FeeMode::Free).await;
    let result = world.ok("eth_createAccessList", json!([{"to": LOGGER, "input": B256::with_last_byte(1)}])).await;
    assert_eq!(result["accessList"][0]["storageKeys"], json!([B256::ZERO]));
    assert!(result["gasUsed"].is_string() && result.get("error").is_none(), "{result}");
    let reverted = world.ok("eth_createAccessList", json!([{"to": REVERTER}])).await;
    assert!(reverted["error"].as_str().unwrap().starts_with("execution reverted"), "{reverted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_blocks() {
    let world = World::new(FeeMode::Free).await;
    let calls = json!([{"from": key(0).address(), "to": LOGGER, "input": B256::with_last_byte(7)}, {"to": REVERTER}]);
    let blocks = world.ok("eth_simulateV1", json!([{"blockStateCalls": [{"calls": calls}]}, "latest"])).await;
    assert_eq!(blocks[0]["number"], "0x1");
    let results = &blocks[0]["calls"];
    assert_eq!((&results[0]["status"], &results[1]["status"]), (&json!("0x1"), &json!("0x0")));
    assert_eq!(results[0]["logs"][0]["topics"][0], json!(B256::with_last_byte(7)));
    assert_eq!(results[1]["error"]["code"], 3);
    assert_eq!(world.fails("eth_simulateV1", json!([{"blockStateCalls": []}])).await.0, -32602);
    let many: Vec<Value> = (0..1001).map(|_| json!({"to": LOGGER})).collect();
    assert_eq!(world.fails("eth_simulateV1", json!([{"blockStateCalls": [{"calls": many}]}])).await.0, -32602);
    assert_eq!(world.ok("eth_blockNumber", json!([])).await, "0x0");
}

#[tokio::test(flavor = "multi_thread")]
async fn gas_bounds_what_a_call_may_burn() {
    let limits = Limits { call_gas: 100_000, ..Limits::default() };
    let world = World::with(FeeMode::Free, Options { limits, ..options() }).await;
    let (code, text) = world.fails("eth_call", json!([{"to": LOOP, "gas": "0xffffffffff"}])).await;
    assert_eq!((code, text.as_str()), (-32000, "out of gas"));
}
