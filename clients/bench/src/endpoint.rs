//! One JSON-RPC endpoint over HTTP/1.1 with kept-alive connections.
//!
//! Plain HTTP only: what is measured is the node, and a node is measured from its own machine or network. Invariant: every
//! exchange ends in bounded time and reads a bounded answer.

use alloy_primitives::{B256, U64, U256};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// An answer longer than this is refused; the receipts of a block of 100,000 transactions fit.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// An exchange that takes longer than this has failed.
const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(60);
/// JSON-RPC's code for a method that is not there.
const METHOD_NOT_FOUND: i64 = -32601;

/// Where a node answers. Clones share their connections.
#[derive(Clone)]
pub struct Endpoint {
    url: String,
    uri: Uri,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("no answer from {url}: {cause}; is a node serving JSON-RPC there?")]
    Transport { url: String, cause: String },
    #[error("no answer from {url} in {} seconds", EXCHANGE_TIME_MAX.as_secs())]
    TimedOut { url: String },
    #[error("{url} answered with HTTP status {status}: {start}")]
    Status { url: String, status: StatusCode, start: String },
    #[error("{url} did not answer as JSON-RPC: {cause}")]
    Malformed { url: String, cause: String },
    #[error("{url} refused {method}: {refusal}")]
    Refused { url: String, method: String, refusal: Refusal },
}

/// A JSON-RPC error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    pub code: i64,
    #[serde(default)]
    pub message: String,
}

/// One entry of the answer to a batch.
#[derive(Debug, Deserialize)]
pub struct Answer<T> {
    pub id: Option<u64>,
    pub result: Option<T>,
    pub error: Option<Refusal>,
}

/// The answer to one call; the result is read as its type only, since a block's receipts are megabytes.
#[derive(Deserialize)]
struct Single<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Refusal>,
}

/// The fields of a block that are looked at.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    pub number: U64,
    pub hash: B256,
    pub state_root: B256,
    pub base_fee_per_gas: Option<U256>,
    #[serde(default)]
    pub transactions: Vec<B256>,
}

/// The fields of a receipt that are looked at.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    pub transaction_hash: B256,
    pub block_number: U64,
    pub status: Option<U64>,
    pub gas_used: U64,
    pub contract_address: Option<alloy_primitives::Address>,
}

impl Receipt {
    pub fn succeeded(&self) -> bool {
        self.status == Some(U64::from(1))
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(url: &str) -> Result<Endpoint, String> {
        let wanted = "expected http://HOST:PORT";
        let uri: Uri = url.parse().map_err(|error| format!("{error}; {wanted}"))?;
        match uri.scheme_str() {
            Some("http") if uri.authority().is_some_and(|authority| !authority.as_str().contains('@')) => {}
            Some("https") => return Err(format!("TLS is not spoken here, so that its cost is not measured; {wanted}")),
            _ => return Err(wanted.into()),
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true); // otherwise small requests wait for the acknowledgement of the last
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Endpoint { url: url.into(), uri, client })
    }
}

impl Endpoint {
    pub fn url(&self) -> &str {
        &self.url
    }

    /// One call.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, CallError> {
        self.ask(method, request(0, method, &params)).await
    }

    /// One call whose body was written beforehand.
    pub async fn ask<T: DeserializeOwned>(&self, method: &str, body: Bytes) -> Result<T, CallError> {
        let bytes = self.post(body).await?;
        let single: Single<'_> = serde_json::from_slice(&bytes).map_err(|error| self.malformed(error))?;
        if let Some(refusal) = single.error {
            return Err(CallError::Refused { url: self.url.clone(), method: method.into(), refusal });
        }
        let result = single.result.map_or("null", RawValue::get);
        serde_json::from_str(result).map_err(|error| self.malformed(format!("result of {method}: {error}")))
    }

    /// One batch of calls of one method; the results in the order of `params`. One refusal refuses all.
    pub async fn calls<T: DeserializeOwned>(&self, method: &str, params: &[Value]) -> Result<Vec<T>, CallError> {
        let calls = params.iter().enumerate().map(|(id, params)| request_value(id as u64, method, params));
        let body = Bytes::from(Value::Array(calls.collect()).to_string());
        let answers: Vec<Answer<T>> = self.batch(body).await?;
        let mut results: Vec<Option<T>> = params.iter().map(|_| None).collect();
        for answer in answers {
            if let Some(refusal) = answer.error {
                return Err(CallError::Refused { url: self.url.clone(), method: method.into(), refusal });
            }
            let place = answer.id.and_then(|id| results.get_mut(usize::try_from(id).ok()?));
            *place.ok_or_else(|| self.malformed("an answer to no question"))? = answer.result;
        }
        let complete: Option<Vec<T>> = results.into_iter().collect();
        complete.ok_or_else(|| self.malformed(format!("a {method} of the batch has no answer")))
    }

    /// Posts a batch that was written beforehand. A refusal of the whole batch is an error.
    pub async fn batch<T: DeserializeOwned>(&self, body: Bytes) -> Result<Vec<Answer<T>>, CallError> {
        let bytes = self.post(body).await?;
        if bytes.first() == Some(&b'[') {
            return serde_json::from_slice(&bytes).map_err(|error| self.malformed(error));
        }
        let whole: Answer<Value> = serde_json::from_slice(&bytes).map_err(|error| self.malformed(error))?;
        let refusal = whole.error.ok_or_else(|| self.malformed("not an array"))?;
        Err(CallError::Refused { url: self.url.clone(), method: "the batch".into(), refusal })
    }

    async fn post(&self, body: Bytes) -> Result<Bytes, CallError> {
        let timed = tokio::time::timeout(EXCHANGE_TIME_MAX, self.exchange(body)).await;
        let (status, bytes) = timed.map_err(|_| CallError::TimedOut { url: self.url.clone() })??;
        // Several nodes send JSON-RPC errors with an HTTP error status: the body decides, if it is JSON.
        if status.is_success() || matches!(bytes.first(), Some(b'{' | b'[')) {
            return Ok(bytes);
        }
        let start = String::from_utf8_lossy(&bytes).chars().take(200).collect();
        Err(CallError::Status { url: self.url.clone(), status, start })
    }

    async fn exchange(&self, body: Bytes) -> Result<(StatusCode, Bytes), CallError> {
        let request = Request::builder().method(Method::POST).uri(self.uri.clone());
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(body));
        let request = request.map_err(|error| self.transport(&error))?;
        let response = self.client.request(request).await.map_err(|error| self.transport(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|error| self.transport(error.as_ref()))?.to_bytes()))
    }

    /// The innermost cause says most: the outer ones say only that a request failed.
    fn transport(&self, error: &dyn Error) -> CallError {
        let mut innermost = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        CallError::Transport { url: self.url.clone(), cause: innermost.to_string() }
    }

    fn malformed(&self, cause: impl fmt::Display) -> CallError {
        CallError::Malformed { url: self.url.clone(), cause: cause.to_string() }
    }
}

impl CallError {
    /// Whether the node says that it lacks the method.
    pub fn is_method_missing(&self) -> bool {
        let Some(refusal) = self.refusal() else { return false };
        let text = refusal.message.to_lowercase();
        let says_so =
            text.contains("method") && ["not found", "not exist", "not supported"].iter().any(|end| text.contains(end));
        refusal.code == METHOD_NOT_FOUND || says_so
    }

    /// What the node said, if it was the node that refused.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            CallError::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

/// The body of one call.
pub fn request(id: u64, method: &str, params: &Value) -> Bytes {
    Bytes::from(request_value(id, method, params).to_string())
}

fn request_value(id: u64, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_method_is_known_by_code_or_words() {
        let refused = |code, message: &str| CallError::Refused {
            url: String::new(),
            method: String::new(),
            refusal: Refusal { code, message: message.into() },
        };
        assert!(refused(-32601, "").is_method_missing());
        assert!(refused(-32000, "the method eth_x does not exist/is not available").is_method_missing());
        assert!(!refused(-32000, "nonce too low").is_method_missing());
        assert!(!CallError::TimedOut { url: String::new() }.is_method_missing());
    }

    #[test]
    fn a_receipt_without_a_status_is_no_success() {
        let hash = B256::ZERO;
        let receipt = |status: Value| -> Receipt {
            let fields =
                json!({ "transactionHash": hash, "blockNumber": "0x1", "gasUsed": "0x5208", "status": status });
            serde_json::from_value(fields).unwrap()
        };
        assert!(receipt(json!("0x1")).succeeded());
        assert!(!receipt(json!("0x0")).succeeded());
        assert!(!receipt(Value::Null).succeeded());
    }
}
