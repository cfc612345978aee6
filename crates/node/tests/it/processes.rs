//! Real processes: the program as a person runs it, broken as machines break.

use crate::client::{Rpc, rich, signed, transfer};
use alloy_consensus::TxEip1559;
use alloy_primitives::{TxKind, address};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Long enough for a busy machine; a healthy network needs a fraction.
const PATIENCE: Duration = Duration::from_secs(60);

/// A network in a directory of its own, stopped when the test ends, however it ends.
struct Network {
    dir: PathBuf,
    _folder: tempfile::TempDir,
    ports: [u16; 3],
}

fn lonja(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lonja")).args(args).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Three ranges of free ports. Taken at random, so that tests which run at once rarely meet.
fn free_ports(count: u16) -> [u16; 3] {
    let mut seed = std::process::id().wrapping_mul(2_654_435_761) ^ Instant::now().elapsed().subsec_nanos();
    loop {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let base = 10_000 + (seed >> 8) as u16 % 20_000; // below what the system gives to outgoing connections
        let bases = [base, base + 100, base + 200];
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if bases.iter().all(|base| (*base..base + count).all(free)) {
            return bases;
        }
    }
}

impl Network {
    fn new() -> Network {
        let folder = tempfile::tempdir().unwrap();
        Network { dir: folder.path().join("network"), _folder: folder, ports: free_ports(4) }
    }

    fn run(&self, words: &[&str]) -> Output {
        let dir = self.dir.to_str().unwrap();
        lonja(&[&["network"], words, &["--dir", dir]].concat())
    }

    fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}\n{}", text(&output), self.logs());
        String::from_utf8(output.stdout).unwrap()
    }

    fn up(&self) -> Value {
        let [http, p2p, metrics] = self.ports.map(|port| port.to_string());
        let flags = ["--http-port", &http, "--p2p-port", &p2p, "--metrics-port", &metrics, "--detach", "--json"];
        serde_json::from_str(&self.ok(&[&["up"], flags.as_slice()].concat())).unwrap()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["status", "--json"])).unwrap()
    }

    fn node(&self, index: u16) -> Rpc {
        Rpc::new(self.ports[0] + index)
    }

    fn logs(&self) -> String {
        let read = |index| std::fs::read_to_string(self.dir.join(format!("validator-{index}/logs/node.log")));
        (0..4).filter_map(|index| read(index).ok()).collect()
    }

    /// Waits until every node that is up has finalised this height, and that they agree on it.
    fn wait_for(&self, height: u64, nodes: &[u16]) {
        let begin = Instant::now();
        while !nodes.iter().all(|node| self.node(*node).finalized().is_some_and(|found| found >= height)) {
            assert!(begin.elapsed() < PATIENCE, "height {height} is not final\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
        let block = |node: &u16| self.node(*node).ask("eth_getBlockByNumber", json!([format!("0x{height:x}"), false]));
        let blocks: Vec<Value> = nodes.iter().map(block).collect();
        assert!(blocks.iter().all(|block| block["hash"] == blocks[0]["hash"]), "nodes disagree on {height}");
        assert!(blocks[0]["stateRoot"].is_string());
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}

fn height_of(receipt: &Value) -> u64 {
    let digits = receipt["blockNumber"].as_str().unwrap_or_else(|| panic!("no receipt: {receipt}"));
    u64::from_str_radix(&digits[2..], 16).unwrap()
}

#[test]
fn a_network_starts_answers_stops_and_resumes() {
    let network = Network::new();
    let up = network.up();
    assert_eq!(up["validators"].as_array().unwrap().len(), 4);
    let status = network.status();
    assert_eq!(status["chain_id"], 1337);
    for (index, validator) in status["validators"].as_array().unwrap().iter().enumerate() {
        assert_eq!(validator["name"], format!("validator-{index}"));
        assert_eq!(validator["up"], true);
        assert!(validator["finalized"].as_u64().unwrap() >= 1);
        assert!(validator["pid"].as_u64().unwrap() > 1);
    }
    let receipt = network.node(1).ask("eth_sendRawTransactionSync", json!([transfer(&rich(0), 0, 5)]));
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    let height = height_of(&receipt);
    network.wait_for(height, &[0, 1, 2, 3]);

    network.ok(&["up", "--detach"]); // running already: nothing to do, and no error
    let down = network.ok(&["down", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&down).unwrap()["stopped"].as_array().unwrap().len(), 4);
    assert!(network.status()["validators"].as_array().unwrap().iter().all(|validator| validator["up"] == false));
    assert!(!network.logs().contains("panicked"), "{}", network.logs());

    network.up();
    network.wait_for(height, &[0, 1, 2, 3]);
    let found = network.node(2).ask("eth_getTransactionReceipt", json!([receipt["transactionHash"]]));
    assert_eq!(found["blockHash"], receipt["blockHash"], "what was final is still there");
}

#[test]
fn a_killed_validator_is_not_missed_and_catches_up() {
    let network = Network::new();
    network.up();
    network.ok(&["kill", "validator-3"]);
    let mut last = 0;
    for nonce in 0..12 {
        let receipt =
            network.node(0).ask("eth_sendRawTransactionSync", json!([transfer(&rich(0), nonce, 1), "0x4e20"]));
        last = height_of(&receipt);
    }
    assert_eq!(network.status()["validators"][3]["up"], false);
    network.ok(&["start", "validator-3"]);
    network.wait_for(last, &[0, 1, 2, 3]);
    let receipt = network.node(3).ask("eth_sendRawTransactionSync", json!([transfer(&rich(0), 12, 1), "0x4e20"]));
    network.wait_for(height_of(&receipt), &[0, 1, 2, 3]);
    assert!(!network.logs().contains("panicked"), "{}", network.logs());
}

/// Four SIGKILLs at once under load: whatever any node called final is there when they are back.
#[test]
fn nothing_final_is_lost_when_all_are_killed() {
    let network = Network::new();
    network.up();
    let mut finals: Vec<Value> = Vec::new();
    for cycle in 0..3u64 {
        let load: Vec<Value> = (0..60)
            .flat_map(|nonce| (0..5).map(move |account| json!(transfer(&rich(account), cycle * 60 + nonce, 1))))
            .collect();
        for (index, chunk) in load.chunks(50).enumerate() {
            network.node(index as u16 % 4).batch("eth_sendRawTransaction", chunk);
        }
        let heights: Vec<u64> = (0..4).filter_map(|node| network.node(node).finalized()).collect();
        for (node, height) in heights.iter().enumerate() {
            let block = format!("0x{height:x}");
            let receipts = network.node(node as u16).ask("eth_getBlockReceipts", json!([block]));
            finals.extend(receipts.as_array().cloned().unwrap_or_default());
        }
        std::thread::scope(|scope| {
            for index in 0..4 {
                let network = &network;
                scope.spawn(move || network.ok(&["kill", &format!("validator-{index}")]));
            }
        });
        network.up();
        // What was pooled but not final is gone with the processes: fill the nonces again, and go on.
        for (index, chunk) in load.chunks(50).enumerate() {
            network.node(index as u16 % 4).batch("eth_sendRawTransaction", chunk);
        }
        let last = load.last().unwrap().as_str().unwrap().to_string();
        let begin = Instant::now();
        while !network.node(0).has_receipt(&last) {
            assert!(begin.elapsed() < PATIENCE, "the load of cycle {cycle} is not final\n{}", network.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert!(!finals.is_empty(), "the test saw nothing final before the kills");
    for receipt in finals {
        for node in 0..4 {
            let found = network.node(node).ask("eth_getTransactionReceipt", json!([receipt["transactionHash"]]));
            assert_eq!(found["blockHash"], receipt["blockHash"]);
        }
    }
    network.wait_for(network.node(0).finalized().unwrap(), &[0, 1, 2, 3]);
}

#[test]
fn mistakes_are_told_what_why_and_what_next() {
    let network = Network::new();
    let told = |output: &Output, words: &[&str]| {
        let text = text(output);
        assert!(!output.status.success(), "{text}");
        words.iter().for_each(|word| assert!(text.contains(word), "{word:?} is not in: {text}"));
    };
    told(&network.run(&["status"]), &["there is no network", "lonja network up"]);
    told(&network.run(&["up", "--validators", "0"]), &["0 validators"]);
    let taken = TcpListener::bind(("127.0.0.1", network.ports[0] + 2)).unwrap();
    let [http, p2p, metrics] = network.ports.map(|port| port.to_string());
    let flags = ["up", "--http-port", &http, "--p2p-port", &p2p, "--metrics-port", &metrics, "--detach"];
    told(&network.run(&flags), &[&(network.ports[0] + 2).to_string(), "taken", "--http-port"]);
    drop(taken);
    network.ok(&["up", "--detach"]);
    told(&network.run(&["up", "--validators", "7", "--detach"]), &["already holds", "reset"]);
    told(&network.run(&["kill", "validator-9"]), &["validator-9", "validator-0, validator-1"]);
    told(&network.run(&["start", "validator-0"]), &["running already"]);
    told(&network.run(&["reset"]), &["--yes"]);
    network.ok(&["reset", "--yes"]);
    assert!(!network.dir.exists());
}

fn init(dir: &Path) -> String {
    let output = lonja(&["init", "--data-dir", dir.to_str().unwrap(), "--json"]);
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["key"].as_str().unwrap().to_string()
}

/// Where gas is free, anybody may send loops that use all of it. They cost their sender's turn, not the ledger's pace.
#[test]
fn endless_loops_do_not_stop_the_ledger() {
    let network = Network::new();
    network.up();
    // Runtime: JUMPDEST PUSH1 0 JUMP. The rest copies it into the account.
    let code = [0x63, 0x5b, 0x60, 0x00, 0x56, 0x60, 0x00, 0x52, 0x60, 0x04, 0x60, 0x1c, 0xf3];
    let create =
        TxEip1559 { gas_limit: 1_000_000, to: TxKind::Create, input: code.to_vec().into(), ..Default::default() };
    let made = network.node(0).ask("eth_sendRawTransactionSync", json!([signed(&rich(1), create), "0x4e20"]));
    let contract = made["contractAddress"].as_str().unwrap().parse::<types::Address>().unwrap();
    assert_ne!(contract, address!("0000000000000000000000000000000000000000"));
    let call = |nonce| TxEip1559 { nonce, gas_limit: 16_000_000, to: contract.into(), ..Default::default() };
    let loops: Vec<Value> = (1..=60).map(|nonce| json!(signed(&rich(1), call(nonce)))).collect();
    network.node(0).batch("eth_sendRawTransaction", &loops);
    for nonce in 0..5 {
        let receipt =
            network.node(1).ask("eth_sendRawTransactionSync", json!([transfer(&rich(0), nonce, 1), "0x7530"]));
        assert_eq!(receipt["status"], "0x1", "{receipt}");
    }
    let begin = Instant::now();
    while !network.node(2).has_receipt(loops[59].as_str().unwrap()) {
        assert!(begin.elapsed() < PATIENCE, "the loops are not through\n{}", network.logs());
        std::thread::sleep(Duration::from_millis(50));
    }
    network.wait_for(network.node(0).finalized().unwrap(), &[0, 1, 2, 3]);
}

/// A node with the right genesis and the right addresses, but a key that nobody lists; and bytes that are no handshake.
#[test]
fn strangers_are_kept_out() {
    let network = Network::new();
    network.up();
    let dir = network.dir.join("stranger");
    init(&dir);
    std::fs::copy(network.dir.join("validator-0/genesis.json"), dir.join("genesis.json")).unwrap();
    std::fs::copy(network.dir.join("validator-0/config.toml"), dir.join("config.toml")).unwrap();
    let [http, p2p, metrics] = network.ports.map(|port| (port + 50).to_string());
    let ports = ["--http-port", &http, "--p2p-port", &p2p, "--metrics-port", &metrics];
    let mut stranger = Command::new(env!("CARGO_BIN_EXE_lonja"))
        .args(["node", "--data-dir", dir.to_str().unwrap()])
        .args(ports)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    for round in 0..1_000u32 {
        let port = network.ports[1] + (round % 4) as u16;
        let noise: Vec<u8> = (0..round % 97).map(|byte| (byte * 31 + round) as u8).collect();
        let sent = std::net::TcpStream::connect(("127.0.0.1", port))
            .and_then(|mut stream| std::io::Write::write_all(&mut stream, &noise));
        assert!(sent.is_ok() || round > 0, "the port is not even open");
    }
    let mut last = 0;
    for nonce in 0..5 {
        let receipt =
            network.node(0).ask("eth_sendRawTransactionSync", json!([transfer(&rich(0), nonce, 1), "0x4e20"]));
        last = height_of(&receipt);
    }
    network.wait_for(last, &[0, 1, 2, 3]);
    let outside = Rpc::new(network.ports[0] + 50);
    assert_eq!(outside.finalized(), Some(0), "the stranger runs, and has heard nothing");
    assert_eq!(outside.ask("net_peerCount", json!([])), "0x0");
    assert_eq!(network.node(0).ask("net_peerCount", json!([])), "0x3");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(!network.logs().contains("panicked"), "{}", network.logs());
}

#[test]
fn an_identity_is_made_once_and_its_configuration_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("node");
    let key = init(&dir);
    assert_eq!(init(&dir), key, "a second init keeps the identity");
    let path = dir.to_str().unwrap();
    let shown = lonja(&["key", "show", "--data-dir", path, "--json"]);
    assert_eq!(serde_json::from_slice::<Value>(&shown.stdout).unwrap()["key"], key);
    let output = lonja(&["node", "--data-dir", path]);
    assert!(!output.status.success() && text(&output).contains("genesis.json"), "{}", text(&output));

    let origins = Command::new(env!("CARGO_BIN_EXE_lonja"))
        .args(["config", "show", "--origin", "--json", "--data-dir", path, "--http-port", "7"])
        .env("LONJA_P2P_PORT", "8")
        .output()
        .unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&origins.stdout).unwrap();
    let row = |key: &str| rows.iter().find(|row| row["key"] == key).unwrap().clone();
    assert_eq!((row("http.port")["value"].as_u64(), row("p2p.port")["value"].as_u64()), (Some(7), Some(8)));
    assert_eq!(row("http.port")["origin"], "command line");
    assert!(row("metrics.port")["origin"].as_str().unwrap().ends_with("config.toml"));

    std::fs::write(dir.join("config.toml"), "[http]\nprot = 1\n").unwrap();
    let output = lonja(&["config", "show", "--data-dir", path]);
    assert!(!output.status.success() && text(&output).contains("prot"), "{}", text(&output));
}

#[test]
fn accounts_are_made_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "correct horse\n").unwrap();
    let made = lonja(&["account", "new", "--data-dir", path, "--password-file", password.to_str().unwrap(), "--json"]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let listed = lonja(&["account", "list", "--data-dir", path, "--json"]);
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["address"], made["address"]);
    let output = lonja(&["account", "new", "--data-dir", path]);
    assert!(!output.status.success() && text(&output).contains("--password-file"), "{}", text(&output));
}
