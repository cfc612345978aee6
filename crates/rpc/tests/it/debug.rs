//! Traces.

use crate::world::*;
use alloy_primitives::B256;
use rpc::{Limits, Options};
use serde_json::json;
use types::FeeMode;

#[tokio::test(flavor = "multi_thread")]
async fn every_tracer_traces_a_transaction() {
    let world = World::new(FeeMode::Free).await;
    world.ok("eth_sendRawTransaction", json!([raw(&transfer(1, 0))])).await;
    let hash = world.mine(&log_call(0, 0, 5)).await;
    let structs = world.ok("debug_traceTransaction", json!([hash])).await;
    assert_eq!((&structs["failed"], &structs["structLogs"][0]["op"]), (&json!(false), &json!("PUSH1")));
    let call = world.ok("debug_traceTransaction", json!([hash, {"tracer": "callTracer"}])).await;
    assert_eq!((&call["type"], &call["to"]), (&json!("CALL"), &json!(LOGGER)));
    let before = world.ok("debug_traceTransaction", json!([hash, {"tracer": "prestateTracer"}])).await;
    assert!(before[LOGGER.to_string().to_lowercase()].is_object(), "{before}");
    let (code, text) = world.fails("debug_traceTransaction", json!([hash, {"tracer": "noSuchTracer"}])).await;
    assert!(code == -32000 && text.contains("tracer"), "{text}");
    let missing = world.fails("debug_traceTransaction", json!([B256::ZERO])).await;
    assert_eq!(missing, (-32000, "transaction not found".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_blocks_and_calls() {
    let world = World::new(FeeMode::Free).await;
    world.ok("eth_sendRawTransaction", json!([raw(&transfer(1, 0))])).await;
    world.mine(&log_call(0, 0, 5)).await;
    let by_number = world.ok("debug_traceBlockByNumber", json!(["0x1", {"tracer": "callTracer"}])).await;
    assert_eq!(by_number.as_array().unwrap().len(), 2);
    let block = world.ok("eth_getBlockByNumber", json!(["0x1"])).await;
    assert_eq!(by_number[0]["txHash"], block["transactions"][0]);
    let by_hash = world.ok("debug_traceBlockByHash", json!([block["hash"], {"tracer": "callTracer"}])).await;
    assert_eq!(by_hash, by_number);
    assert_eq!(
        world.fails("debug_traceBlockByNumber", json!(["0x0"])).await,
        (-32000, "genesis is not traceable".into())
    );
    assert_eq!(world.fails("debug_traceBlockByNumber", json!(["0x9"])).await.0, -32000);
    assert_eq!(world.fails("debug_traceBlockByNumber", json!(["2"])).await.0, -32602);
    let call = json!([{"to": REVERTER}, "latest", {"tracer": "callTracer"}]);
    assert_eq!(world.ok("debug_traceCall", call).await["error"], "execution reverted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_has_a_size() {
    let limits = Limits { trace_bytes: 10_000, ..Limits::default() };
    let world = World::with(FeeMode::Free, Options { limits, ..options() }).await;
    let (code, text) = world.fails("debug_traceCall", json!([{"to": LOOP, "gas": "0xf4240"}, "latest"])).await;
    assert_eq!(code, -32005, "{text}");
}
