//! Ethereum's RPC conformance suite (ethereum/execution-apis, `tests/`): its chain imported, its exchanges replayed.
//!
//! The suite is not part of this repository. `LONJA_RPC_COMPAT=folder cargo test -p rpc -- --ignored compat`, where the
//! folder holds `genesis.json`, `chain.rlp` and one folder of `.io` files for each method.

use crate::world::*;
use alloy_rlp::Header;
use chain::Chain;
use execution::{Rules, execute};
use ledger::{ExecutedBlock, Ledger};
use rpc::{LedgerApi, Status, serve};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::{Block, Genesis, recover};

/// What this interface does not offer: EIP-7910, blobs, and the namespace for test harnesses.
const NOT_OFFERED: [&str; 3] = ["eth_config/", "send-blob-tx", "testing_"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the conformance suite: set LONJA_RPC_COMPAT to its folder"]
async fn compat() {
    let folder = PathBuf::from(std::env::var("LONJA_RPC_COMPAT").expect("LONJA_RPC_COMPAT names the suite's folder"));
    let chain = import(&folder);
    let status = tokio::sync::watch::channel(Status::default()).1;
    let server =
        serve(options(), vec![LedgerApi { name: "main".into(), chain, signers: vec![], status }]).await.unwrap();
    let (mut same, mut different) = (0, Vec::new());
    for file in exchanges(&folder) {
        let text = fs::read_to_string(&file).unwrap();
        let shape_only = text.contains("speconly");
        let mut request = "";
        for line in text.lines() {
            if let Some(sent) = line.strip_prefix(">> ") {
                request = sent;
            } else if let Some(expected) = line.strip_prefix("<< ") {
                let expected: Value = serde_json::from_str(expected).unwrap();
                let found = http(server.local_addr(), "/", request.as_bytes()).await.1;
                match agrees(&expected, &found, shape_only) {
                    true => same += 1,
                    false => different.push(format!("{}: {request}\n{expected}\n{found}", file.display())),
                }
            }
        }
    }
    println!("{same} exchanges agree");
    different.retain(|why| !NOT_OFFERED.iter().any(|name| why.contains(name)));
    assert!(same > 0 && different.is_empty(), "{}", different.join("\n"));
}

/// As the suite's own runner judges: whole results; of errors code and data; of some only whether there is a result.
fn agrees(expected: &Value, found: &Value, shape_only: bool) -> bool {
    let (wanted, error) = (expected.get("error"), found.get("error"));
    match (wanted, error) {
        (Some(wanted), Some(error)) => {
            shape_only || (wanted["code"] == error["code"] && wanted.get("data") == error.get("data"))
        }
        (None, None) => shape_only || expected["result"] == found["result"],
        _ => false,
    }
}

fn exchanges(folder: &Path) -> Vec<PathBuf> {
    let methods = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = methods.flat_map(|method| fs::read_dir(method).unwrap().map(|entry| entry.unwrap().path()));
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "io")).collect();
    files.sort();
    files
}

/// The suite's chain has blocks of every fork and of miners, which carry no slot: they enter below `Chain`.
fn import(folder: &Path) -> Chain {
    let genesis = Genesis::parse(&fs::read_to_string(folder.join("genesis.json")).unwrap()).unwrap();
    let rules = Rules::new(&genesis).unwrap();
    let memory = redb::backends::InMemoryBackend::new();
    let ledger = Ledger::open_on(memory, &genesis, ledger::Options::default()).unwrap();
    let bytes = fs::read(folder.join("chain.rlp")).unwrap();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let mut inside = rest;
        let payload = Header::decode(&mut inside).unwrap().payload_length;
        let (block, behind) = rest.split_at(rest.len() - inside.len() + payload);
        commit(&ledger, &rules, Arc::new(Block::decode_rlp(block).unwrap()));
        rest = behind;
    }
    Chain::new(ledger, rules, chain::Options::default())
}

fn commit(ledger: &Ledger, rules: &Rules, block: Arc<Block>) {
    let senders = block.transactions().iter().map(|tx| recover(tx.clone()).unwrap().signer()).collect::<Vec<_>>();
    let (view, snapshot) = (ledger.state(Vec::new()).unwrap(), ledger.snapshot().unwrap());
    let hashes = |height| snapshot.hash_of(height).unwrap();
    let execution = execute(rules, &view, &hashes, &block, &senders).unwrap();
    let overlay = Arc::new(view.apply(execution.changes).unwrap());
    ledger.commit(&ExecutedBlock { block, senders, receipts: execution.receipts, overlay }, None).unwrap();
}
