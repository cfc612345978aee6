//! The program against a JSON-RPC server that can lose, refuse and contradict.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod server;

use serde_json::Value;
use server::{Faults, serve};
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench")).args(arguments).arg("--json").output().unwrap()
}

fn burst(rpc: &str, arguments: &[&str]) -> (Output, Value) {
    let fixed = ["burst", "--rpc", rpc, "--count", "60", "--senders", "10", "--batch", "7", "--timeout", "1"];
    let output = bench(&[&fixed, arguments].concat());
    let document = serde_json::from_slice(&output.stdout);
    let document = document.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output, document)
}

fn problems(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_sound_network_passes() {
    let rpc = serve(2, Faults::default());
    let (output, document) = burst(&rpc, &["--workload", "native"]);
    assert_eq!(output.status.code(), Some(0), "{}", problems(&output));
    assert_eq!(document["outcome"], "passed");
    let counts = &document["result"]["counts"];
    for (name, expected) in [("sent", 60), ("accepted", 60), ("final", 60), ("rejected", 0), ("lost", 0)] {
        assert_eq!(counts[name], expected, "{name}");
    }
    assert_eq!(counts["shown_by_endpoint"], serde_json::json!([60, 60]));
    assert_eq!(document["result"]["heads_equal"], true);
    assert_eq!(document["result"]["gas"], 60 * 21_000);
    assert_eq!(document["result"]["latency"]["count"], 60);
    assert_eq!(document["chain_id"], 1337);
    assert_eq!(document["endpoints"][1]["client"], "test/1");
    assert!(document["machine"]["cores"].as_u64() > Some(0));
    assert!(document["command"].as_array().is_some_and(|words| words.iter().any(|word| word == "burst")));
}

#[test]
fn a_lost_transaction_is_reported_and_fails() {
    let rpc = serve(1, Faults { loses: Some(17), ..Faults::default() });
    let (output, document) = burst(&rpc, &["--workload", "native"]);
    assert_eq!(output.status.code(), Some(1));
    let counts = &document["result"]["counts"];
    assert_eq!((&counts["accepted"], &counts["final"], &counts["lost"]), (&60.into(), &59.into(), &1.into()));
    assert!(problems(&output).contains("1 of 60 transactions were lost"), "{}", problems(&output));
}

#[test]
fn final_on_one_endpoint_is_not_final() {
    let rpc = serve(2, Faults { hides: Some(5), ..Faults::default() });
    let (output, document) = burst(&rpc, &["--workload", "native"]);
    assert_eq!(output.status.code(), Some(1));
    let counts = &document["result"]["counts"];
    assert_eq!((&counts["final"], &counts["lost"]), (&59.into(), &1.into()));
    assert_eq!(counts["shown_by_endpoint"], serde_json::json!([60, 59]));
    let sent_to = counts["unsettled_by_endpoint_sent_to"].as_array().unwrap();
    assert_eq!(sent_to.iter().filter_map(Value::as_u64).sum::<u64>(), 1);
}

#[test]
fn a_refusal_is_counted_with_its_reason() {
    let rpc = serve(1, Faults { refuses: Some(3), ..Faults::default() });
    let (output, document) = burst(&rpc, &["--workload", "native"]);
    assert_eq!(output.status.code(), Some(1));
    let counts = &document["result"]["counts"];
    assert_eq!((&counts["rejected"], &counts["final"], &counts["lost"]), (&1.into(), &59.into(), &0.into()));
    assert_eq!(counts["reasons"]["pool is full (code -32000)"], 1);
}

#[test]
fn a_failed_transaction_is_not_final() {
    let rpc = serve(1, Faults { reverts: Some(3), ..Faults::default() });
    let (output, document) = burst(&rpc, &["--workload", "native"]);
    assert_eq!(output.status.code(), Some(1));
    let counts = &document["result"]["counts"];
    assert_eq!((&counts["reverted"], &counts["final"], &counts["lost"]), (&1.into(), &59.into(), &0.into()));
}

#[test]
fn different_state_roots_fail() {
    let rpc = serve(2, Faults { forks: true, ..Faults::default() });
    let (output, document) = burst(&rpc, &["--workload", "native"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(document["result"]["counts"]["final"], 60);
    assert_eq!(document["result"]["heads_equal"], false);
    assert!(problems(&output).contains("different blocks or state roots"), "{}", problems(&output));
}

#[test]
fn a_token_is_made_and_its_transfers_are_sent() {
    let rpc = serve(1, Faults::default());
    let (output, document) = burst(&rpc, &["--workload", "erc20"]);
    assert_eq!(output.status.code(), Some(0), "{}", problems(&output));
    assert_eq!(document["result"]["counts"]["final"], 60);
    assert!(document["result"]["token"].is_string());
}

#[test]
fn a_node_without_block_receipts_is_read_singly() {
    let rpc = serve(1, Faults { lacks: &["eth_getBlockReceipts"], ..Faults::default() });
    let (output, document) = burst(&rpc, &["--workload", "native"]);
    assert_eq!(output.status.code(), Some(0), "{}", problems(&output));
    assert_eq!(document["result"]["counts"]["final"], 60);
}

#[test]
fn latency_uses_the_synchronous_method_where_it_is() {
    for (lacks, method) in [(&[][..], "eth_sendRawTransactionSync"), (&["eth_sendRawTransactionSync"], "every 5 ms")] {
        let rpc = serve(1, Faults { lacks, ..Faults::default() });
        let output = bench(&["latency", "--rpc", &rpc, "--count", "10", "--warm-up", "1", "--pause-ms", "1"]);
        assert_eq!(output.status.code(), Some(0), "{}", problems(&output));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(document["result"]["method"].as_str().is_some_and(|text| text.ends_with(method)), "{document}");
        assert_eq!(document["result"]["latency"]["count"], 10);
        assert_eq!(document["result"]["blocks"], 10);
    }
}

#[test]
fn a_transfer_without_receipt_fails_the_latency_run() {
    let rpc = serve(1, Faults { loses: Some(4), lacks: &["eth_sendRawTransactionSync"], ..Faults::default() });
    let output =
        bench(&["latency", "--rpc", &rpc, "--count", "10", "--warm-up", "0", "--pause-ms", "1", "--timeout", "0.2"]);
    assert_eq!(output.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["result"]["reasons"]["no receipt in time"], 1);
}

#[test]
fn nobody_there_is_said_plainly() {
    let output = bench(&["latency", "--rpc", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(problems(&output).contains("is a node serving JSON-RPC there?"), "{}", problems(&output));
}
