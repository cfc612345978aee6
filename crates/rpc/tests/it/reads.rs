//! Blocks, transactions, receipts, accounts, proofs, and the small questions.

use crate::world::*;
use alloy_primitives::{B256, TxKind, U256, keccak256};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use types::FeeMode;

fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect()
}

fn set<const N: usize>(names: [&'static str; N]) -> BTreeSet<&'static str> {
    names.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn small_questions() {
    let world = World::new(FeeMode::Free).await;
    assert_eq!(world.ok("eth_chainId", json!([])).await, "0x539");
    assert_eq!(world.ok("net_version", json!([])).await, "1337");
    assert_eq!(world.ok("net_listening", json!([])).await, true);
    assert_eq!(world.ok("net_peerCount", json!([])).await, "0x0");
    assert_eq!(world.ok("eth_syncing", json!([])).await, false);
    assert_eq!(world.ok("eth_blockNumber", json!([])).await, "0x0");
    assert_eq!(world.ok("eth_protocolVersion", json!([])).await, "0x1");
    let accounts = world.ok("eth_accounts", json!([])).await;
    assert_eq!(accounts[0], json!(key(0).address()).as_str().unwrap().to_lowercase());
    assert!(world.ok("web3_clientVersion", json!([])).await.as_str().unwrap().starts_with("lonja/v"));
    assert_eq!(world.ok("web3_sha3", json!(["0x68656c6c6f"])).await, json!(keccak256("hello")));
    let modules = world.ok("rpc_modules", json!([])).await;
    assert_eq!(fields(&modules), set(["debug", "eth", "lonja", "net", "rpc", "txpool", "web3"]));
    assert_eq!(world.ok("eth_capabilities", json!([])).await["head"]["number"], "0x0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_node_says_of_itself() {
    let world = World::new(FeeMode::Free).await;
    world.status.send_modify(|status| {
        status.peers = vec!["val2".into(), "val3".into()];
        status.view = 9;
        status.behind = Some(100);
    });
    assert_eq!(world.ok("net_peerCount", json!([])).await, "0x2");
    let syncing = world.ok("eth_syncing", json!([])).await;
    assert_eq!(syncing, json!({"startingBlock": "0x0", "currentBlock": "0x0", "highestBlock": "0x64"}));
    let status = world.ok("lonja_status", json!([])).await;
    assert_eq!((&status["view"], &status["height"], &status["chainId"]), (&json!(9), &json!(0), &json!(1337)));
    assert_eq!(status["ledger"], "main");
}

#[tokio::test(flavor = "multi_thread")]
async fn finality_by_height_and_hash() {
    let world = World::new(FeeMode::Free).await;
    world.seal();
    assert_eq!(world.ok("lonja_getFinality", json!(["0x1"])).await["certificate"], Value::Null);
    world.seal_certified();
    let first = world.ok("lonja_getFinality", json!(["0x1"])).await;
    let hash = world.ok("eth_getBlockByNumber", json!(["0x1"])).await["hash"].clone();
    assert_eq!((&first["height"], &first["hash"]), (&json!(1), &hash), "the block that was asked for");
    assert_eq!(first["certificate"]["height"], 2, "the certificate that covers it");
    assert_eq!(first["certificate"]["certificate"], "0xc0ffee");
    assert_eq!(world.ok("lonja_getFinality", json!([hash])).await, first);
    assert_eq!(world.ok("lonja_getFinality", json!(["0x9"])).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_by_every_name() {
    let world = World::new(FeeMode::Eip1559).await;
    world.mine(&transfer(0, 0)).await;
    world.seal();
    let by_number = world.ok("eth_getBlockByNumber", json!(["0x1", true])).await;
    let hash = by_number["hash"].clone();
    assert_eq!(world.ok("eth_getBlockByHash", json!([hash, true])).await, by_number);
    for tag in ["latest", "safe", "finalized", "pending"] {
        assert_eq!(world.ok("eth_getBlockByNumber", json!([tag, false])).await["number"], "0x2", "{tag}");
    }
    assert_eq!(world.ok("eth_getBlockByNumber", json!(["earliest", false])).await["number"], "0x0");
    assert_eq!(world.ok("eth_getBlockByNumber", json!(["0x3", false])).await, Value::Null);
    assert_eq!(world.ok("eth_getBlockByHash", json!([B256::repeat_byte(1), false])).await, Value::Null);
    for (method, params) in [
        ("eth_getBlockTransactionCountByNumber", json!(["0x1"])),
        ("eth_getBlockTransactionCountByHash", json!([hash])),
    ] {
        assert_eq!(world.ok(method, params).await, "0x1");
    }
    assert_eq!(world.ok("eth_getUncleCountByBlockNumber", json!(["0x1"])).await, "0x0");
    assert_eq!(world.ok("eth_getUncleCountByBlockHash", json!([hash])).await, "0x0");
    assert_eq!(world.ok("eth_getUncleByBlockNumberAndIndex", json!(["0x1", "0x0"])).await, Value::Null);
    assert_eq!(world.ok("eth_getUncleByBlockHashAndIndex", json!([hash, "0x0"])).await, Value::Null);
    assert_eq!(world.fails("eth_getBlockByNumber", json!([])).await.0, -32602);
    assert_eq!(world.fails("eth_getBlockByNumber", json!(["latest", 7])).await.0, -32602);
    assert_eq!(world.fails("eth_getBlockByNumber", json!(["0x1", true, 1])).await.0, -32602);
    assert_eq!(world.fails("eth_getBlockByHash", json!(["0x1", true])).await.0, -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn shapes_are_ethereums() {
    let world = World::new(FeeMode::Eip1559).await;
    world.ok("eth_sendRawTransaction", json!([raw(&transfer(0, 0))])).await;
    world.mine(&log_call(1, 0, 5)).await;
    let block = world.ok("eth_getBlockByNumber", json!(["0x1", true])).await;
    let header = [
        "baseFeePerGas",
        "blobGasUsed",
        "difficulty",
        "excessBlobGas",
        "extraData",
        "gasLimit",
        "gasUsed",
        "hash",
        "logsBloom",
        "miner",
        "mixHash",
        "nonce",
        "number",
        "parentBeaconBlockRoot",
        "parentHash",
        "receiptsRoot",
        "requestsHash",
        "sha3Uncles",
        "size",
        "stateRoot",
        "timestamp",
        "transactions",
        "transactionsRoot",
        "uncles",
        "withdrawals",
        "withdrawalsRoot",
    ];
    assert_eq!(fields(&block), set(header));
    let transactions = block["transactions"].as_array().unwrap();
    let legacy = transactions.iter().find(|tx| tx["type"] == "0x0").unwrap();
    let dynamic = transactions.iter().find(|tx| tx["type"] == "0x2").unwrap();
    let common = [
        "blockHash",
        "blockNumber",
        "blockTimestamp",
        "from",
        "gas",
        "gasPrice",
        "hash",
        "input",
        "nonce",
        "to",
        "transactionIndex",
        "value",
        "type",
        "chainId",
        "v",
        "r",
        "s",
    ];
    assert_eq!(fields(legacy), set(common));
    let mut expected = set(common);
    expected.extend(["maxFeePerGas", "maxPriorityFeePerGas", "accessList", "yParity"]);
    assert_eq!(fields(dynamic), expected);
    assert_eq!(dynamic["blockTimestamp"], block["timestamp"]);

    let receipts = world.ok("eth_getBlockReceipts", json!(["0x1"])).await;
    let of_block = receipts.as_array().unwrap();
    assert_eq!(of_block.len(), 2);
    let receipt = [
        "blockHash",
        "blockNumber",
        "contractAddress",
        "cumulativeGasUsed",
        "effectiveGasPrice",
        "from",
        "gasUsed",
        "logs",
        "logsBloom",
        "status",
        "to",
        "transactionHash",
        "transactionIndex",
        "type",
    ];
    for one in of_block {
        assert_eq!(fields(one), set(receipt));
        assert_eq!(&world.ok("eth_getTransactionReceipt", json!([one["transactionHash"]])).await, one);
    }
    let logged = of_block.iter().find(|one| one["logs"] != json!([])).unwrap();
    let log = [
        "address",
        "topics",
        "data",
        "blockNumber",
        "transactionHash",
        "transactionIndex",
        "blockHash",
        "blockTimestamp",
        "logIndex",
        "removed",
    ];
    assert_eq!(fields(&logged["logs"][0]), set(log));
    let gas: u64 = of_block.iter().map(|one| number(&one["gasUsed"])).sum();
    assert_eq!(gas, number(&of_block[1]["cumulativeGasUsed"]));
    assert_eq!(gas, number(&block["gasUsed"]));
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_wherever_they_are() {
    let world = World::new(FeeMode::Free).await;
    let (first, second) = (transfer(0, 0), transfer(0, 1));
    let hash = world.mine(&first).await;
    let found = world.ok("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!((&found["blockNumber"], &found["hash"]), (&json!("0x1"), &json!(hash)));
    let block = found["blockHash"].clone();
    for (method, params) in [
        ("eth_getTransactionByBlockHashAndIndex", json!([block, "0x0"])),
        ("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x0"])),
        ("eth_getTransactionBySenderAndNonce", json!([key(0).address(), "0x0"])),
    ] {
        assert_eq!(world.ok(method, params).await, found, "{method}");
    }
    assert_eq!(world.ok("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x1"])).await, Value::Null);
    for (method, params) in [
        ("eth_getRawTransactionByHash", json!([hash])),
        ("debug_getRawTransaction", json!([hash])),
        ("eth_getRawTransactionByBlockNumberAndIndex", json!(["0x1", "0x0"])),
        ("eth_getRawTransactionByBlockHashAndIndex", json!([block, "0x0"])),
    ] {
        assert_eq!(world.ok(method, params).await, raw(&first), "{method}");
    }
    world.ok("eth_sendRawTransaction", json!([raw(&second)])).await;
    let waiting = world.ok("eth_getTransactionByHash", json!([second.tx_hash()])).await;
    assert_eq!((&waiting["blockHash"], &waiting["blockNumber"]), (&Value::Null, &Value::Null));
    assert_eq!(world.ok("eth_getTransactionBySenderAndNonce", json!([key(0).address(), "0x1"])).await, waiting);
    assert_eq!(world.ok("eth_getTransactionBySenderAndNonce", json!([key(0).address(), "0x2"])).await, Value::Null);
    assert_eq!(world.ok("eth_getTransactionReceipt", json!([second.tx_hash()])).await, Value::Null);
    assert_eq!(world.ok("eth_getTransactionByHash", json!([B256::ZERO])).await, Value::Null);
    assert_eq!(world.fails("eth_getTransactionByHash", json!(["0x12"])).await.0, -32602);

    let nonce = |tag: &'static str| json!([key(0).address(), tag]);
    assert_eq!(world.ok("eth_getTransactionCount", nonce("latest")).await, "0x1");
    assert_eq!(world.ok("eth_getTransactionCount", nonce("pending")).await, "0x2");
    assert_eq!(world.ok("eth_getTransactionCount", nonce("earliest")).await, "0x0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_senders_nonce_leads_to_its_block() {
    let world = World::new(FeeMode::Free).await;
    for nonce in 0..9 {
        world.mine(&transfer(0, nonce)).await;
        world.seal();
    }
    for nonce in 0..9u64 {
        let found = world.ok("eth_getTransactionBySenderAndNonce", json!([key(0).address(), nonce])).await;
        assert_eq!(number(&found["blockNumber"]), 2 * nonce + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_transactions() {
    let world = World::new(FeeMode::Free).await;
    world.ok("eth_sendRawTransaction", json!([raw(&transfer(0, 0))])).await;
    world.ok("eth_sendRawTransaction", json!([raw(&log_call(1, 5, 1))])).await;
    assert_eq!(world.ok("txpool_status", json!([])).await, json!({"pending": "0x1", "queued": "0x1"}));
    let content = world.ok("txpool_content", json!([])).await;
    let (ready, gapped) = (key(0).address().to_checksum(None), key(1).address().to_checksum(None));
    assert_eq!(content["pending"][&ready]["0"]["hash"], json!(transfer(0, 0).tx_hash()));
    assert_eq!(content["queued"][&gapped]["5"]["nonce"], "0x5");
    let of_one = world.ok("txpool_contentFrom", json!([key(1).address()])).await;
    assert_eq!((&of_one["pending"], &of_one["queued"]), (&json!({}), &content["queued"][&gapped]));
    let inspected = world.ok("txpool_inspect", json!([])).await;
    let text = inspected["pending"][&ready]["0"].as_str().unwrap();
    assert!(text.contains("21000 gas"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_now_and_then() {
    let world = World::new(FeeMode::Eip1559).await;
    world.mine(&log_call(0, 0, 41)).await;
    world.mine(&log_call(0, 1, 42)).await;
    let slot = |key: &'static str, block: &'static str| json!([LOGGER, key, block]);
    assert_eq!(world.ok("eth_getStorageAt", slot("0x0", "latest")).await, json!(B256::from(U256::from(42))));
    assert_eq!(world.ok("eth_getStorageAt", slot("0x00", "0x1")).await, json!(B256::from(U256::from(41))));
    assert_eq!(world.ok("eth_getStorageAt", slot("0x1", "0x1")).await, json!(B256::ZERO));
    let (code, text) = world.fails("eth_getStorageAt", json!([LOGGER, format!("0x{}", "0".repeat(65))])).await;
    assert!(code == -32602 && text.contains("storage key too long"), "{text}");
    let values = world.ok("eth_getStorageValues", json!([{LOGGER.to_string(): ["0x0", "0x1"]}, "latest"])).await;
    assert_eq!(values.as_object().unwrap().values().next().unwrap()[0], json!(B256::from(U256::from(42))));
    assert_eq!(world.fails("eth_getStorageValues", json!([{}])).await, (-32602, "empty request".into()));

    assert_eq!(world.ok("eth_getCode", json!([LOGGER])).await, "0x6000358060005560006000a100");
    assert_eq!(world.ok("eth_getCode", json!([key(9).address(), "latest"])).await, "0x");
    let now = world.ok("eth_getBalance", json!([key(0).address(), "latest"])).await;
    let then = world.ok("eth_getBalance", json!([key(0).address(), "earliest"])).await;
    assert_eq!(then, "0x21e19e0c9bab2400000");
    assert_ne!(now, then, "gas was paid");
    let hash = world.ok("eth_getBlockByNumber", json!(["earliest"])).await["hash"].clone();
    for id in [json!(hash), json!({"blockHash": hash}), json!({"blockNumber": "0x0"})] {
        assert_eq!(world.ok("eth_getBalance", json!([key(0).address(), id])).await, then);
    }
    assert_eq!(
        world.fails("eth_getBalance", json!([key(0).address(), "0x77"])).await,
        (-32000, "header not found".into())
    );
    let unknown = world.fails("eth_getBalance", json!([key(0).address(), B256::repeat_byte(3)])).await;
    assert_eq!(unknown, (-32000, "header for hash not found".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs() {
    let world = World::new(FeeMode::Free).await;
    world.mine(&log_call(0, 0, 42)).await;
    let proof = world.ok("eth_getProof", json!([LOGGER, ["0x0", B256::with_last_byte(7)], "latest"])).await;
    let expected = ["address", "accountProof", "balance", "codeHash", "nonce", "storageHash", "storageProof"];
    assert_eq!(fields(&proof), set(expected));
    assert_eq!(proof["storageProof"][0]["key"], "0x0");
    assert_eq!(proof["storageProof"][0]["value"], "0x2a");
    assert_eq!(proof["storageProof"][1]["key"], json!(B256::with_last_byte(7)));
    let root = world.ok("eth_getBlockByNumber", json!(["latest"])).await["stateRoot"].clone();
    let node: alloy_primitives::Bytes = serde_json::from_value(proof["accountProof"][0].clone()).unwrap();
    assert_eq!(json!(keccak256(&node)), root, "the first node has the state root");
    let many: Vec<B256> = (0..1001u64).map(|slot| B256::from(U256::from(slot))).collect();
    assert_eq!(world.fails("eth_getProof", json!([LOGGER, many])).await.0, -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_encodings() {
    let world = World::new(FeeMode::Free).await;
    world.mine(&transaction(0, 0, TxKind::Create, Default::default())).await;
    let header: alloy_primitives::Bytes =
        serde_json::from_value(world.ok("debug_getRawHeader", json!(["0x1"])).await).unwrap();
    let hash = world.ok("eth_getBlockByNumber", json!(["0x1"])).await["hash"].clone();
    assert_eq!(json!(keccak256(&header)), hash);
    let block: alloy_primitives::Bytes =
        serde_json::from_value(world.ok("debug_getRawBlock", json!([hash])).await).unwrap();
    assert_eq!(json!(types::Block::decode_rlp(&block).unwrap().hash()), hash);
    assert_eq!(world.ok("debug_getRawReceipts", json!(["0x1"])).await.as_array().unwrap().len(), 1);
    let (code, text) = world.fails("debug_getRawBlock", json!(["2"])).await;
    assert_eq!((code, text.as_str()), (-32602, "invalid argument 0: hex string without 0x prefix"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ledgers_on_one_port() {
    let (free, paid) = (chain(FeeMode::Free), chain(FeeMode::Eip1559));
    let status = tokio::sync::watch::channel(rpc::Status::default()).1;
    let api = |name: &str, chain: &chain::Chain| rpc::LedgerApi {
        name: name.into(),
        chain: chain.clone(),
        signers: vec![],
        status: status.clone(),
    };
    let ledgers = vec![api("main", &free), api("side", &paid)];
    let server = rpc::serve(options(), ledgers).await.unwrap();
    let address = server.local_addr();
    let genesis = |chain: &chain::Chain| json!(chain.finalized().hash());
    let ask = async |path: &str| call_at(address, path, "eth_getBlockByNumber", json!(["0x0"])).await["result"].clone();
    for (path, chain) in [("/", &free), ("/ledger/main", &free), ("/ledger/side", &paid), ("/ledger/side/", &paid)] {
        assert_eq!(ask(path).await["hash"], genesis(chain), "{path}");
    }
    assert_eq!(http(address, "/ledger/none", b"{}").await.0, 404);
    assert_eq!(http(address, "/other", b"{}").await.0, 404);
    let ws = jsonrpsee::ws_client::WsClientBuilder::default();
    let client = ws.build(format!("ws://{address}/ledger/side")).await.unwrap();
    use jsonrpsee::core::client::ClientT;
    let block: Value = client.request("eth_getBlockByNumber", jsonrpsee::rpc_params!["0x0"]).await.unwrap();
    assert_eq!(block["hash"], genesis(&paid));
    let twice = rpc::serve(options(), vec![api("main", &free), api("main", &free)]).await;
    assert!(matches!(twice, Err(rpc::ServeError::LedgerName(_))));
    assert!(matches!(rpc::serve(options(), vec![]).await, Err(rpc::ServeError::NoLedger)));
    server.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the port is closed");
}
