//! Ethereum's published state and block tests, on request: `LONJA_EEST=folder cargo test -p execution
//! --test it published -- --ignored --nocapture`.

use std::{fs, path::Path};

use alloy_eips::eip2718::Decodable2718;
use alloy_genesis::ChainConfig;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Encodable;
use execution::{BlockContext, Rules, check_ethereum_header, check_execution, execute, execute_transaction};
use serde_json::{Value, json};
use types::{Block, Genesis, Header, Transaction, recover};

use crate::chain::{Chain, senders};

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
}

fn cases(kind: &str) -> Vec<(String, Value)> {
    let Some(folder) = std::env::var_os("LONJA_EEST") else { return Vec::new() };
    let mut paths = Vec::new();
    files(&Path::new(&folder).join(kind), &mut paths);
    paths.sort();
    let read = |path: &std::path::PathBuf| -> Vec<(String, Value)> {
        let Ok(file) = serde_json::from_str::<Value>(&fs::read_to_string(path).unwrap()) else {
            println!("not JSON: {}", path.display());
            return Vec::new();
        };
        file.as_object().unwrap().clone().into_iter().collect()
    };
    paths.iter().flat_map(read).collect()
}

fn number(value: &Value) -> u64 {
    value.as_str().map_or(0, |text| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap())
}

/// All forks up to `name` from the start, or, in a transition, from its time.
fn config(name: &str, fixture: &Value) -> ChainConfig {
    let (before, after, at) = match name.split_once("To") {
        Some((before, rest)) => {
            let (after, at) = rest.split_once("AtTime").unwrap_or((rest, "0"));
            (before, after, at.replace('k', "000").parse().unwrap())
        }
        None => (name, name, 0),
    };
    let names = [
        "Frontier",
        "Homestead",
        "TangerineWhistle",
        "SpuriousDragon",
        "Byzantium",
        "ConstantinopleFix",
        "Istanbul",
        "Berlin",
        "London",
        "Paris",
        "Shanghai",
        "Cancun",
        "Prague",
        "Osaka",
        "BPO1",
        "BPO2",
    ];
    let alias = |name: &str| match name {
        "EIP150" => "TangerineWhistle".to_owned(),
        "EIP158" => "SpuriousDragon".to_owned(),
        "Constantinople" => "ConstantinopleFix".to_owned(),
        "Merge" => "Paris".to_owned(),
        other => other.to_owned(),
    };
    let index = |name: &str| names.iter().position(|known| *known == alias(name)).unwrap_or_else(|| panic!("{name}"));
    let from = |fork: &str| match index(fork) {
        fork if fork <= index(before) => Some(0),
        fork if fork <= index(after) => Some(at),
        _ => None,
    };
    let mut config = ChainConfig {
        chain_id: fixture.pointer("/config/chainid").map_or(1, number),
        homestead_block: from("Homestead"),
        eip150_block: from("TangerineWhistle"),
        eip155_block: from("SpuriousDragon"),
        eip158_block: from("SpuriousDragon"),
        byzantium_block: from("Byzantium"),
        constantinople_block: from("ConstantinopleFix"),
        petersburg_block: from("ConstantinopleFix"),
        istanbul_block: from("Istanbul"),
        berlin_block: from("Berlin"),
        london_block: from("London"),
        terminal_total_difficulty: from("Paris").map(|_| U256::ZERO),
        shanghai_time: from("Shanghai"),
        cancun_time: from("Cancun"),
        prague_time: from("Prague"),
        osaka_time: from("Osaka"),
        bpo1_time: from("BPO1"),
        bpo2_time: from("BPO2"),
        ethash: Some(alloy_genesis::EthashConfig {}),
        ..Default::default()
    };
    if let Some(schedule) = fixture.pointer("/config/blobSchedule").and_then(Value::as_object) {
        for (fork, blobs) in schedule {
            let blobs = json!({
                "target": number(&blobs["target"]), "max": number(&blobs["max"]),
                "baseFeeUpdateFraction": number(&blobs["baseFeeUpdateFraction"]),
            });
            config.blob_schedule.insert(fork.to_lowercase(), serde_json::from_value(blobs).unwrap());
        }
    }
    config
}

fn alloc(pre: &Value) -> std::collections::BTreeMap<Address, alloy_genesis::GenesisAccount> {
    serde_json::from_value(pre.clone()).unwrap()
}

fn state_case(fork: &str, fixture: &Value, post: &Value) -> Result<(), String> {
    let env = &fixture["env"];
    let ethereum = alloy_genesis::Genesis {
        config: config(fork, fixture),
        alloc: alloc(&fixture["pre"]),
        gas_limit: number(&env["currentGasLimit"]),
        ..Default::default()
    };
    let mut ethereum = ethereum;
    ethereum.config.extra_fields.insert("lonja".into(), json!({ "fees": { "mode": "eip1559" } }));
    let genesis = Genesis::new(ethereum).map_err(|error| error.to_string())?;
    let chain = Chain::new(&genesis);
    let header = Header {
        number: number(&env["currentNumber"]),
        timestamp: number(&env["currentTimestamp"]),
        gas_limit: number(&env["currentGasLimit"]),
        beneficiary: serde_json::from_value(env["currentCoinbase"].clone()).unwrap(),
        difficulty: env["currentDifficulty"].as_str().map_or(U256::ZERO, |text| text.parse().unwrap()),
        mix_hash: env["currentRandom"].as_str().map_or(B256::ZERO, |text| B256::from(text.parse::<U256>().unwrap())),
        base_fee_per_gas: env["currentBaseFee"].as_str().map(|_| number(&env["currentBaseFee"])),
        excess_blob_gas: env["currentExcessBlobGas"].as_str().map(|_| number(&env["currentExcessBlobGas"])),
        ..Default::default()
    };
    let context = BlockContext::of(&chain.rules, &header);
    let bytes: Bytes = serde_json::from_value(post["txbytes"].clone()).unwrap();
    let view = chain.state();
    let hashes = |height: u64| Some(keccak256(height.to_string()));
    let outcome = Transaction::decode_2718(&mut &bytes[..])
        .map_err(|error| error.to_string())
        .and_then(|transaction| recover(transaction).map_err(|error| error.to_string()))
        .and_then(|recovered| {
            let ran = execute_transaction(&chain.rules, &view, &hashes, context, &recovered);
            ran.unwrap().map_err(|why| why.to_string())
        });
    let expected_failure = post.get("expectException");
    let (root, logs) = match (&outcome, expected_failure) {
        (Ok(_), Some(expected)) => return Err(format!("should be refused: {expected}")),
        (Err(why), None) => return Err(format!("refused: {why}")),
        (Err(_), Some(_)) => (view.state_root(), Vec::new()),
        (Ok(execution), None) => {
            let root = view.apply(execution.changes.clone()).unwrap().state_root();
            (root, execution.receipts[0].logs().to_vec())
        }
    };
    let mut encoded = Vec::new();
    logs.encode(&mut encoded);
    let expected: B256 = serde_json::from_value(post["hash"].clone()).unwrap();
    let expected_logs: B256 = serde_json::from_value(post["logs"].clone()).unwrap();
    match (root == expected, keccak256(&encoded) == expected_logs) {
        (true, true) => Ok(()),
        (false, _) => Err(format!("state root {root}, not {expected}")),
        (_, false) => Err("logs differ".into()),
    }
}

#[test]
#[ignore = "needs the published state tests, in LONJA_EEST"]
fn state_tests() {
    let (mut passed, mut failed) = (0, Vec::new());
    for (name, fixture) in cases("state_tests") {
        for (fork, posts) in fixture["post"].as_object().unwrap() {
            for post in posts.as_array().unwrap() {
                match state_case(fork, &fixture, post) {
                    Ok(()) => passed += 1,
                    Err(why) => failed.push(format!("{fork} {name}: {why}")),
                }
            }
        }
    }
    println!("state tests: {passed} passed, {} failed", failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn block_case(fixture: &Value) -> Result<(usize, usize), String> {
    let header = &fixture["genesisBlockHeader"];
    let mut ethereum: alloy_genesis::Genesis = serde_json::from_value(json!({
        "config": { "chainId": 1 }, "nonce": header["nonce"], "timestamp": header["timestamp"],
        "extraData": header["extraData"], "gasLimit": header["gasLimit"], "difficulty": header["difficulty"],
        "mixHash": header["mixHash"], "coinbase": header["coinbase"], "alloc": fixture["pre"],
        "baseFeePerGas": header.get("baseFeePerGas"), "excessBlobGas": header.get("excessBlobGas"),
        "blobGasUsed": header.get("blobGasUsed"),
    }))
    .map_err(|error| error.to_string())?;
    ethereum.config = config(fixture["network"].as_str().unwrap(), fixture);
    ethereum.config.extra_fields.insert("lonja".into(), json!({ "fees": { "mode": "eip1559" } }));
    let genesis = Genesis::new(ethereum).map_err(|error| error.to_string())?;
    let expected: B256 = serde_json::from_value(header["hash"].clone()).unwrap();
    if genesis.hash() != expected {
        return Err(format!("genesis {} instead of {expected}", genesis.hash()));
    }
    let mut chain = Chain::new(&genesis);
    chain.rules = Rules::new(&genesis).unwrap().with_required_predeploys(true);
    let (mut valid, mut accepted) = (0, 0);
    for (index, block) in fixture["blocks"].as_array().unwrap().iter().enumerate() {
        let bytes: Bytes = serde_json::from_value(block["rlp"].clone()).unwrap();
        let decoded = Block::decode_rlp(&bytes);
        if block.get("expectException").is_none() {
            let decoded = decoded.map_err(|error| format!("block {index}: {error}"))?;
            valid += 1;
            try_import(&chain, &decoded).map_err(|why| format!("block {index}: {why}"))?;
            chain.import(decoded);
        } else if decoded.is_ok_and(|block| try_import(&chain, &block).is_ok()) {
            accepted += 1;
        }
    }
    let last: B256 = serde_json::from_value(fixture["lastblockhash"].clone()).unwrap();
    if chain.head.hash() != last {
        return Err(format!("head {} instead of {last}", chain.head.hash()));
    }
    Ok((valid, accepted))
}

fn try_import(chain: &Chain, block: &Block) -> Result<(), String> {
    if block.parent_hash() != chain.head.hash() {
        return Err("another parent".into());
    }
    check_ethereum_header(&chain.rules, chain.header(), block.header()).map_err(|error| error.to_string())?;
    let (view, senders) = (chain.state(), std::panic::catch_unwind(|| senders(block)).map_err(|_| "signature")?);
    let hashes = |height| chain.hash(height);
    let execution = execute(&chain.rules, &view, &hashes, block, &senders).map_err(|error| error.to_string())?;
    let root = view.apply(execution.changes.clone()).unwrap().state_root();
    let spec = chain.rules.spec_of(block.header());
    check_execution(block, spec, &execution, root).map_err(|error| error.to_string())
}

#[test]
#[ignore = "needs the published block tests, in LONJA_EEST"]
fn block_tests() {
    let (mut passed, mut valid, mut unchecked, mut failed) = (0, 0, Vec::new(), Vec::new());
    for (name, fixture) in cases("blockchain_tests") {
        match block_case(&fixture) {
            Ok((blocks, accepted)) => {
                passed += 1;
                valid += blocks;
                if accepted > 0 {
                    unchecked.push(name);
                }
            }
            Err(why) => failed.push(format!("{name}: {why}")),
        }
    }
    println!("block tests: {passed} passed ({valid} valid blocks), {} failed", failed.len());
    println!("invalid, but not found to be: {}", unchecked.len());
    for name in unchecked {
        println!("  {name}");
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
