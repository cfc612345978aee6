//! A real chain on a ledger in memory, the server before it, and clients that say anything.

use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, bytes};
use chain::{Chain, Proposal, Round};
use crypto::{AccountKey, DEV_MNEMONIC};
use execution::Rules;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use ledger::Ledger;
use rpc::{LedgerApi, Options, Server, Status, serve};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use types::{FeeMode, Finality, Genesis, GenesisTemplate, Slot, Transaction};

pub const CHAIN_ID: u64 = 1337;
/// Stores its argument in slot 0 and logs it as a topic.
pub const LOGGER: Address = address!("00000000000000000000000000000000000000a1");
/// Reverts with `Error("no")`.
pub const REVERTER: Address = address!("00000000000000000000000000000000000000a2");
/// Never ends.
pub const LOOP: Address = address!("00000000000000000000000000000000000000a3");

const CONTRACTS: [(Address, Bytes); 3] = [
    (LOGGER, bytes!("6000358060005560006000a100")),
    (REVERTER, bytes!("6308c379a060e01b60005260206004526002602452616e6f60f01b60445260646000fd")),
    (LOOP, bytes!("5b600056")),
];

pub struct World {
    pub chain: Chain,
    _server: Server,
    pub address: SocketAddr,
    pub status: watch::Sender<Status>,
    seconds: AtomicU64,
}

pub fn key(index: u32) -> AccountKey {
    AccountKey::from_mnemonic(DEV_MNEMONIC, index).unwrap()
}

pub fn genesis(fees: FeeMode) -> Genesis {
    let funded = if fees == FeeMode::Free { vec![] } else { (0..4).map(|index| key(index).address()).collect() };
    let template = GenesisTemplate { chain_id: CHAIN_ID, fees, funded, gas_limit: 30_000_000, ..Default::default() };
    let mut ethereum = (*template.build().unwrap().ethereum).clone();
    let contracts = CONTRACTS.map(|(address, code)| (address, GenesisAccount::default().with_code(Some(code))));
    ethereum.alloc.extend(contracts);
    Genesis::new(ethereum).unwrap()
}

pub fn chain(fees: FeeMode) -> Chain {
    let genesis = genesis(fees);
    let options = ledger::Options { cache_bytes: 8 << 20, ..Default::default() };
    let ledger = Ledger::open_on(redb::backends::InMemoryBackend::new(), &genesis, options).unwrap();
    Chain::new(ledger, Rules::new(&genesis).unwrap(), chain::Options::default())
}

pub fn options() -> Options {
    Options { listen: "127.0.0.1:0".parse().unwrap(), ..Options::default() }
}

impl World {
    pub async fn new(fees: FeeMode) -> World {
        World::with(fees, options()).await
    }

    pub async fn with(fees: FeeMode, options: Options) -> World {
        let chain = chain(fees);
        let (status, watched) = watch::channel(Status::default());
        let signers = vec![key(0), key(1)];
        let api = LedgerApi { name: "main".into(), chain: chain.clone(), signers, status: watched };
        let server = serve(options, vec![api]).await.unwrap();
        let address = server.local_addr();
        World { chain, _server: server, address, status, seconds: AtomicU64::new(1_700_000_000) }
    }

    /// Seals a block of what waits, empty if nothing does, and makes it final.
    pub fn seal(&self) -> u64 {
        seal(&self.chain, self.seconds.fetch_add(1, Ordering::SeqCst), None)
    }

    pub fn seal_certified(&self) -> u64 {
        seal(&self.chain, self.seconds.fetch_add(1, Ordering::SeqCst), Some(bytes!("c0ffee")))
    }

    pub async fn call(&self, method: &str, params: Value) -> Value {
        call_at(self.address, "/", method, params).await
    }

    /// The result of a call that must succeed.
    pub async fn ok(&self, method: &str, params: Value) -> Value {
        let response = self.call(method, params.clone()).await;
        assert!(response.get("error").is_none(), "{method} {params}: {response}");
        response["result"].clone()
    }

    /// Code and text of a call that must fail.
    pub async fn fails(&self, method: &str, params: Value) -> (i64, String) {
        let response = self.call(method, params.clone()).await;
        let error = &response["error"];
        assert!(error.is_object(), "{method} {params} did not fail: {response}");
        (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_string())
    }

    pub async fn ws(&self) -> WsClient {
        WsClientBuilder::default().build(format!("ws://{}", self.address)).await.unwrap()
    }

    /// Sends a raw transaction and seals a block with it.
    pub async fn mine(&self, transaction: &Transaction) -> B256 {
        self.ok("eth_sendRawTransaction", json!([raw(transaction)])).await;
        self.seal();
        *transaction.tx_hash()
    }
}

fn seal(chain: &Chain, seconds: u64, certificate: Option<Bytes>) -> u64 {
    let parent = chain.finalized();
    let view = parent.number + 1;
    let slot = Slot { view, parent_view: view - 1, timestamp_ms: seconds * 1000, ..Slot::default() };
    let round = Round { slot, beneficiary: Address::ZERO };
    let Proposal::Block(block) = chain.propose(parent.hash(), round, true, &|| false).unwrap() else {
        panic!("no block")
    };
    let finality = certificate.map(|certificate| Finality {
        height: block.height(),
        block_hash: block.hash(),
        epoch: 0,
        view,
        certificate,
    });
    chain.finalize(&block, finality.as_ref()).unwrap();
    block.height()
}

pub fn raw(transaction: &Transaction) -> String {
    Bytes::from(transaction.encoded_2718()).to_string()
}

/// A dynamic-fee transaction that declares fees even where nothing is charged, as some wallets do.
pub fn transaction(from: u32, nonce: u64, to: TxKind, input: Bytes) -> Transaction {
    let unsigned = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 3_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to,
        input,
        ..Default::default()
    };
    let signature = key(from).sign(&unsigned.signature_hash());
    Transaction::Eip1559(unsigned.into_signed(signature))
}

pub fn transfer(from: u32, nonce: u64) -> Transaction {
    let unsigned = TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce,
        gas_price: 3_000_000_000,
        gas_limit: 21_000,
        to: TxKind::Call(key(9).address()),
        ..Default::default()
    };
    let signature = key(from).sign(&unsigned.signature_hash());
    Transaction::Legacy(unsigned.into_signed(signature))
}

pub fn log_call(from: u32, nonce: u64, word: u64) -> Transaction {
    transaction(from, nonce, TxKind::Call(LOGGER), B256::from(U256::from(word)).0.into())
}

pub async fn call_at(address: SocketAddr, path: &str, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string();
    let response = http(address, path, body.as_bytes()).await.1;
    assert_eq!(response["id"], 7, "{method}: {response}");
    response
}

/// One POST on a connection of its own: status and JSON body.
pub async fn http(address: SocketAddr, path: &str, body: &[u8]) -> (u16, Value) {
    let (status, _, text) = exchange(address, "POST", path, "content-type: application/json\r\n", body).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// One HTTP exchange: status, head, body.
pub async fn exchange(
    address: SocketAddr,
    verb: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> (u16, String, String) {
    let host = if headers.contains("host:") { String::new() } else { format!("host: {address}\r\n") };
    let length = body.len();
    let head =
        format!("{verb} {path} HTTP/1.1\r\n{host}{headers}connection: close\r\ncontent-length: {length}\r\n\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.ok(); // an oversized body is refused before its end
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, head.to_ascii_lowercase(), body.to_string())
}
