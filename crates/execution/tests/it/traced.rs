//! What tracers show, and what they refuse.

use std::sync::atomic::AtomicBool;

use alloy_primitives::TxKind;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethTrace};
use execution::{
    BlockContext,
    simulate::{Overrides, Setting},
    trace::{TraceError, TraceLimits, trace_block, trace_call, trace_transaction},
};
use serde_json::{Value, json};
use types::{Block, FeeMode};

use crate::{
    chain::{Chain, senders},
    wallet::{Order, contract, genesis, key},
};

const LIMITS: TraceLimits<'static> = TraceLimits { bytes: 1 << 20, interrupt: None };

fn options(value: Value) -> GethDebugTracingOptions {
    serde_json::from_value(value).unwrap()
}

/// A chain at genesis and its first block: two counts and a revert.
fn scene() -> (Chain, Block) {
    let chain = Chain::new(&genesis(FeeMode::Eip1559));
    let (block, _) = chain.propose(&[
        Order::call(0, contract(1), 0).dynamic(),
        Order::call(1, contract(1), 0).dynamic(),
        Order::call(0, contract(2), 1).dynamic(),
    ]);
    (chain, block)
}

fn trace(index: usize, wanted: Value, limits: TraceLimits<'_>) -> Result<Value, TraceError> {
    let (chain, block) = scene();
    let (view, hashes) = (chain.state(), |height| chain.hash(height));
    let senders = senders(&block);
    let trace = trace_transaction(&chain.rules, &view, &hashes, &block, &senders, index, options(wanted), limits)?;
    Ok(json!(trace))
}

#[test]
fn struct_logs_show_each_step() {
    let trace = trace(1, json!({}), LIMITS).unwrap();
    let logs = trace["structLogs"].as_array().unwrap();
    let names: Vec<_> = logs.iter().map(|log| log["op"].as_str().unwrap()).collect();
    assert_eq!(names, ["PUSH1", "SLOAD", "PUSH1", "ADD", "PUSH1", "SSTORE", "STOP"]);
    assert_eq!(logs[2]["stack"], json!(["0x1"]), "the first transaction's count is there");
    assert_eq!(trace["failed"], json!(false));
}

#[test]
fn the_other_tracers_answer() {
    let call = trace(2, json!({ "tracer": "callTracer" }), LIMITS).unwrap();
    assert_eq!(call["error"], json!("execution reverted"));
    assert_eq!(call["revertReason"], json!("no"));
    let difference =
        trace(0, json!({ "tracer": "prestateTracer", "tracerConfig": { "diffMode": true } }), LIMITS).unwrap();
    let counter = format!("{:#x}", contract(1));
    let zero = format!("0x{}", "0".repeat(64));
    assert!(difference["post"][&counter]["storage"][&zero].as_str().unwrap().ends_with("01"));
    assert_eq!(trace(0, json!({ "tracer": "4byteTracer" }), LIMITS).unwrap(), json!({}));
    assert_eq!(trace(0, json!({ "tracer": "noopTracer" }), LIMITS).unwrap(), json!({}));
    let flat = trace(0, json!({ "tracer": "flatCallTracer" }), LIMITS).unwrap();
    assert_eq!(flat[0]["action"]["callType"], json!("call"));
    let both = json!({ "tracer": "muxTracer", "tracerConfig": { "callTracer": {}, "4byteTracer": null } });
    assert!(trace(0, both, LIMITS).unwrap().get("callTracer").is_some());
}

#[test]
fn a_block_shows_all_its_transactions() {
    let (chain, block) = scene();
    let (view, hashes) = (chain.state(), |height| chain.hash(height));
    let wanted = options(json!({ "tracer": "callTracer" }));
    let traces = trace_block(&chain.rules, &view, &hashes, &block, &senders(&block), wanted, LIMITS).unwrap();
    assert_eq!(traces.len(), 3);
    for (trace, transaction) in traces.iter().zip(block.transactions()) {
        assert_eq!(json!(trace)["txHash"], json!(transaction.hash()));
    }
}

#[test]
fn unknown_tracers_and_scripts_are_refused_by_name() {
    let error = trace(0, json!({ "tracer": "calltracer" }), LIMITS).unwrap_err();
    assert_eq!(error.to_string(), "tracer not found: calltracer");
    let error = trace(0, json!({ "tracer": "{result: function() {}}" }), LIMITS).unwrap_err();
    assert!(error.to_string().starts_with("JavaScript tracers are not supported"), "{error}");
    let wrong = json!({ "tracer": "callTracer", "tracerConfig": { "onlyTopCall": 7 } });
    assert!(matches!(trace(0, wrong, LIMITS), Err(TraceError::Config(_))));
    let missing = trace(3, json!({}), LIMITS).unwrap_err();
    assert_eq!(missing.to_string(), "the block has 3 transactions, there is no index 3");
}

fn endless(wanted: Value, limits: TraceLimits<'_>) -> Result<GethTrace, TraceError> {
    let (chain, _) = scene();
    let (view, hashes) = (chain.state(), |height| chain.hash(height));
    let context = BlockContext::of(&chain.rules, chain.header());
    let setting = Setting { rules: &chain.rules, view: &view, block_hashes: &hashes, context };
    let request =
        TransactionRequest { from: Some(key(0).address()), to: Some(TxKind::Call(contract(7))), ..Default::default() };
    trace_call(&setting, &request, Overrides::default(), options(wanted), 30_000_000, limits)
}

#[test]
fn a_trace_is_bounded() {
    assert!(matches!(endless(json!({}), LIMITS), Err(TraceError::TooLarge(_))));
    let GethTrace::Default(few) = endless(json!({ "limit": 5 }), LIMITS).unwrap() else { panic!() };
    assert_eq!(few.struct_logs.len(), 5);
    endless(json!({ "tracer": "callTracer" }), LIMITS).unwrap();
    let now = AtomicBool::new(true);
    let stopped = endless(json!({ "tracer": "callTracer" }), TraceLimits { interrupt: Some(&now), ..LIMITS });
    assert!(matches!(stopped, Err(TraceError::Interrupted)));
}
