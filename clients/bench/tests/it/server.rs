//! A JSON-RPC server that behaves as a network of nodes: every batch or call that submits makes a block.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use types::{decode_transaction, recover};

/// What goes wrong, by the number of the transaction among all that were submitted.
#[derive(Clone, Default)]
pub struct Faults {
    /// Accepted, and in no block.
    pub loses: Option<usize>,
    /// Shown by all nodes but the last.
    pub hides: Option<usize>,
    pub refuses: Option<usize>,
    pub reverts: Option<usize>,
    /// The last node has another state root.
    pub forks: bool,
    /// Methods that are not there.
    pub lacks: &'static [&'static str],
}

/// The ledger that all nodes of a server show.
#[derive(Default)]
struct Ledger {
    submitted: usize,
    blocks: Vec<Vec<Value>>,
    nonces: HashMap<String, u64>,
    hidden: Option<Value>,
}

#[derive(Clone)]
struct Node {
    ledger: Arc<Mutex<Ledger>>,
    faults: Faults,
    is_last: bool,
}

/// Starts so many nodes; their addresses, separated by commas. They end with the test's process.
pub fn serve(nodes: usize, faults: Faults) -> String {
    let ledger = Arc::new(Mutex::new(Ledger { blocks: vec![Vec::new()], ..Ledger::default() }));
    let urls = (1..=nodes).map(|number| {
        let node = Node { ledger: Arc::clone(&ledger), faults: faults.clone(), is_last: number == nodes };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || answer_forever(listener, node));
        url
    });
    urls.collect::<Vec<_>>().join(",")
}

#[tokio::main(flavor = "current_thread")]
async fn answer_forever(listener: TcpListener, node: Node) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let node = node.clone();
        let service = service_fn(move |request| answer(node.clone(), request));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(node: Node, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let question: Value = serde_json::from_slice(&body).unwrap();
    let mut ledger = node.ledger.lock().unwrap();
    ledger.blocks.push(Vec::new());
    let reply = match question.as_array() {
        Some(batch) => batch.iter().map(|call| node.call(&mut ledger, call)).collect(),
        None => node.call(&mut ledger, &question),
    };
    if ledger.blocks.last().is_some_and(Vec::is_empty) {
        ledger.blocks.pop();
    }
    Ok(Response::new(Full::new(Bytes::from(reply.to_string()))))
}

impl Node {
    fn call(&self, ledger: &mut Ledger, call: &Value) -> Value {
        let (id, method) = (&call["id"], call["method"].as_str().unwrap());
        let outcome = match self.faults.lacks.contains(&method) {
            true => Err((-32601, "the method is not available")),
            false => self.result(ledger, method, &call["params"]),
        };
        match outcome {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err((code, message)) => {
                json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
            }
        }
    }

    fn result(&self, ledger: &mut Ledger, method: &str, params: &Value) -> Result<Value, (i64, &'static str)> {
        let text = |place: usize| params[place].as_str().unwrap_or_default();
        // While a request is answered, its own block is on top.
        let top = ledger.blocks.len() - 1 - usize::from(ledger.blocks.last().is_some_and(Vec::is_empty));
        let height = || usize::from_str_radix(text(0).trim_start_matches("0x"), 16).unwrap_or(top);
        Ok(match method {
            "eth_chainId" => json!("0x539"),
            "web3_clientVersion" => json!("test/1"),
            "eth_gasPrice" | "eth_getBalance" => json!("0x0"),
            "eth_getTransactionCount" => {
                json!(format!("{:#x}", ledger.nonces.get(&text(0).to_lowercase()).unwrap_or(&0)))
            }
            "eth_blockNumber" => json!(format!("{top:#x}")),
            "eth_getBlockByNumber" => self.block(ledger, height()),
            "eth_getBlockReceipts" => {
                ledger.blocks.get(height()).map_or(Value::Null, |block| self.shown(ledger, block))
            }
            "eth_getTransactionReceipt" => receipt(ledger, text(0)),
            "eth_sendRawTransaction" => return self.submit(ledger, text(0)),
            "eth_sendRawTransactionSync" => {
                let hash = self.submit(ledger, text(0))?;
                receipt(ledger, hash.as_str().unwrap_or_default())
            }
            other => panic!("nobody said that {other} is needed"),
        })
    }

    fn submit(&self, ledger: &mut Ledger, raw: &str) -> Result<Value, (i64, &'static str)> {
        let bytes = alloy_primitives::hex::decode(raw).unwrap();
        let transaction = recover(decode_transaction(&bytes).unwrap()).unwrap();
        let number = Some(ledger.submitted);
        ledger.submitted += 1;
        if number == self.faults.refuses {
            return Err((-32000, "pool is full"));
        }
        let hash = json!(transaction.tx_hash());
        let sender = format!("{:#x}", transaction.signer());
        *ledger.nonces.entry(sender).or_default() += 1;
        let status = if number == self.faults.reverts { "0x0" } else { "0x1" };
        let receipt = json!({
            "transactionHash": hash,
            "blockNumber": format!("{:#x}", ledger.blocks.len() - 1),
            "status": status,
            "gasUsed": "0x5208",
            "contractAddress": "0x00000000000000000000000000000000000000c0",
        });
        if number == self.faults.hides {
            ledger.hidden = Some(receipt.clone());
        }
        if number != self.faults.loses {
            ledger.blocks.last_mut().unwrap().push(receipt);
        }
        Ok(hash)
    }

    fn shown(&self, ledger: &Ledger, block: &[Value]) -> Value {
        let is_hidden = |receipt: &Value| self.is_last && ledger.hidden.as_ref() == Some(receipt);
        block.iter().filter(|receipt| !is_hidden(receipt)).cloned().collect()
    }

    fn block(&self, ledger: &Ledger, height: usize) -> Value {
        let Some(block) = ledger.blocks.get(height) else { return Value::Null };
        let root = if self.faults.forks && self.is_last { "2" } else { "1" };
        json!({
            "number": format!("{height:#x}"),
            "hash": format!("0x{height:0>64x}"),
            "stateRoot": format!("0x{}", root.repeat(64)),
            "baseFeePerGas": "0x0",
            "transactions": block.iter().map(|receipt| receipt["transactionHash"].clone()).collect::<Vec<_>>(),
        })
    }
}

fn receipt(ledger: &Ledger, hash: &str) -> Value {
    let found = ledger.blocks.iter().flatten().find(|receipt| receipt["transactionHash"] == hash);
    found.cloned().unwrap_or(Value::Null)
}
