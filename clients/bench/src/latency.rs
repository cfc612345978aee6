//! Lone transfers on an idle network, one at a time: from sending to the final receipt.
//!
//! Signing is not counted. Every endpoint has an account of its own, since another node may not know yet what the last
//! one answered.

use crate::accounts::{derive_all, nonces};
use crate::cli::{LatencyOptions, Workload};
use crate::endpoint::{CallError, Endpoint, Receipt, request};
use crate::funding::prepare;
use crate::network::Network;
use crate::report::{Outcome, Recorder, Report, bar, thousands};
use crate::tally::reason;
use crate::workload::Kind;
use alloy_primitives::{Address, B256};
use crypto::AccountKey;
use eyre::Result;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How a transfer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Sync,
    Polling,
}

/// What was measured so far.
struct Progress {
    way: Way,
    recorder: Recorder,
    failures: BTreeMap<String, u64>,
    heights: BTreeSet<u64>,
}

/// Who sends to whom.
struct Accounts {
    keys: Vec<AccountKey>,
    addresses: Vec<Address>,
    nonces: Vec<u64>,
    kind: Kind,
}

/// Why a transfer has no latency.
#[derive(Debug, thiserror::Error)]
enum Missed {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the receipt says that the transfer failed")]
    Reverted,
    #[error("no receipt in time")]
    TimedOut,
}

pub async fn run(options: &LatencyOptions) -> Result<Outcome> {
    let network = Network::meet(&options.common.rpc, options.common.timeout).await?;
    let mut accounts = Accounts::ready(options, &network).await?;
    let mut progress =
        Progress { way: Way::Sync, recorder: Recorder::default(), failures: BTreeMap::new(), heights: BTreeSet::new() };
    let is_interrupted = tokio::select! {
        () = measure(options, &network, &mut accounts, &mut progress) => false,
        _ = tokio::signal::ctrl_c() => true,
    };
    report(options, &network, accounts.kind, &progress, is_interrupted).print()
}

impl Accounts {
    async fn ready(options: &LatencyOptions, network: &Network) -> Result<Accounts> {
        let endpoints = network.endpoints.len();
        let mut keys = derive_all(&options.common.seed, options.common.run, endpoints as u64 + 1);
        let addresses: Vec<Address> = keys.iter().map(AccountKey::address).collect();
        keys.truncate(endpoints); // the last account only receives, so that a lone endpoint's sender has somebody to pay
        let each = (options.count + options.warm_up).div_ceil(endpoints as u64);
        let kind = prepare(network, &options.common, Workload::Native, &addresses[..endpoints], each).await?;
        let mut found = Vec::new();
        for (endpoint, address) in network.endpoints.iter().zip(&addresses) {
            found.extend(nonces(endpoint, &[*address]).await?);
        }
        Ok(Accounts { keys, addresses, nonces: found, kind })
    }
}

async fn measure(options: &LatencyOptions, network: &Network, accounts: &mut Accounts, progress: &mut Progress) {
    let endpoints = network.endpoints.len() as u64;
    let bar = bar(options.count + options.warm_up, "transfers");
    for index in 0..options.warm_up + options.count {
        tokio::time::sleep(Duration::from_millis(options.pause_ms)).await;
        let number = (index % endpoints) as usize;
        let outcome = transfer(options, network, accounts, &mut progress.way, number).await;
        if index >= options.warm_up {
            progress.note(outcome);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
}

/// One transfer; a node that lacks the synchronous method is asked the other way from then on.
async fn transfer(
    options: &LatencyOptions,
    network: &Network,
    accounts: &mut Accounts,
    way: &mut Way,
    number: usize,
) -> Result<(Receipt, Duration), Missed> {
    let endpoint = &network.endpoints[number];
    let Accounts { keys, addresses, nonces: next, kind } = accounts;
    let act = kind.act(addresses[(number + 1) % addresses.len()]);
    let presigned = act.sign(&keys[number], network.chain_id, next[number], network.fees);
    let outcome = match way {
        Way::Sync => synchronously(endpoint, &presigned.raw).await,
        Way::Polling => polling(options, endpoint, &presigned.raw).await,
    };
    let outcome = match outcome {
        Err(Missed::Call(error)) if *way == Way::Sync && error.is_method_missing() => {
            *way = Way::Polling;
            polling(options, endpoint, &presigned.raw).await
        }
        outcome => outcome,
    };
    match &outcome {
        Ok(_) | Err(Missed::Reverted) => next[number] += 1,
        Err(_) => {
            if let Ok(found) = nonces(endpoint, &[addresses[number]]).await {
                next[number] = found[0];
            }
        }
    }
    outcome
}

async fn synchronously(endpoint: &Endpoint, raw: &str) -> Result<(Receipt, Duration), Missed> {
    let method = "eth_sendRawTransactionSync";
    let body = request(0, method, &json!([raw]));
    let sent = Instant::now();
    let receipt: Receipt = endpoint.ask(method, body).await?;
    successful(receipt, sent.elapsed())
}

async fn polling(options: &LatencyOptions, endpoint: &Endpoint, raw: &str) -> Result<(Receipt, Duration), Missed> {
    let method = "eth_sendRawTransaction";
    let body = request(0, method, &json!([raw]));
    let sent = Instant::now();
    let hash: B256 = endpoint.ask(method, body).await?;
    while sent.elapsed() < options.common.timeout {
        let found: Option<Receipt> = endpoint.call("eth_getTransactionReceipt", json!([hash])).await?;
        if let Some(receipt) = found {
            return successful(receipt, sent.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(options.poll_ms)).await;
    }
    Err(Missed::TimedOut)
}

fn successful(receipt: Receipt, latency: Duration) -> Result<(Receipt, Duration), Missed> {
    if receipt.succeeded() { Ok((receipt, latency)) } else { Err(Missed::Reverted) }
}

impl Progress {
    fn note(&mut self, outcome: Result<(Receipt, Duration), Missed>) {
        match outcome {
            Ok((receipt, latency)) => {
                self.recorder.record(latency);
                self.heights.insert(receipt.block_number.to());
            }
            Err(missed) => *self.failures.entry(missed.reason()).or_default() += 1,
        }
    }
}

impl Missed {
    fn reason(&self) -> String {
        match self {
            Missed::Call(error) => match error.refusal() {
                Some(refusal) => reason(refusal.code, &refusal.message),
                None => error.to_string(),
            },
            other => other.to_string(),
        }
    }
}

fn report<'a>(
    options: &'a LatencyOptions,
    network: &'a Network,
    kind: Kind,
    progress: &Progress,
    is_interrupted: bool,
) -> Report<'a> {
    let method = match progress.way {
        Way::Sync => "eth_sendRawTransactionSync".to_string(),
        Way::Polling => format!("eth_sendRawTransaction, then eth_getTransactionReceipt every {} ms", options.poll_ms),
    };
    let latencies = progress.recorder.latencies();
    let done = latencies.as_ref().map_or(0, |latencies| latencies.count);
    let failed: u64 = progress.failures.values().sum();
    let mut lines = vec![
        format!("{} lone transfers, {} ms apart, by {method}", thousands(done), options.pause_ms),
        latencies.as_ref().map_or("nothing measured".into(), |latencies| latencies.line()),
    ];
    lines.extend(progress.failures.iter().map(|(reason, count)| format!("{count} × {reason}")));
    let problem = format!("{failed} of {} transfers have no final receipt: see the reasons", done + failed);
    let value = match kind {
        Kind::Native { value } => Some(value),
        Kind::Erc20 { .. } => None,
    };
    let result = json!({
        "method": method,
        "value_wei": value,
        "warm_up": options.warm_up,
        "pause_ms": options.pause_ms,
        "final": done,
        "failed": failed,
        "reasons": progress.failures,
        "blocks": progress.heights.len(),
        "latency": latencies,
    });
    let problems = if failed > 0 { vec![problem] } else { Vec::new() };
    Report { network, common: &options.common, result, lines, problems, is_interrupted }
}
