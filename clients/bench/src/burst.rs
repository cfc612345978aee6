//! Many transactions at once: how long until all are final on every endpoint.
//!
//! ```text
//! derive, fund ─→ sign, write batches ─┬→ post batches ──answers──┐
//!   (not counted)     (not counted)    └→ observe blocks ─sightings┴→ tally ─→ compare heads ─→ report
//! ```

use crate::accounts::{derive_all, nonces};
use crate::cli::{BurstOptions, Workload};
use crate::endpoint::{Answer, Block, CallError, Endpoint};
use crate::funding::prepare;
use crate::network::Network;
use crate::observe::{Observer, Wanted};
use crate::report::{Outcome, Report, bar, thousands};
use crate::tally::{Answered, Counts, Event, Reply, Tally, reason};
use crate::workload::{Batch, Kind, Presigned, batches, endpoint_of, presign};
use alloy_primitives::{Address, B256, U64};
use crypto::AccountKey;
use eyre::{Result, WrapErr};
use futures::StreamExt;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Events that wait to be tallied; whoever finds it full waits too.
const EVENTS_MAX: usize = 1_024;

/// Everything that is sent.
struct Plan {
    kind: Kind,
    transactions: Vec<Presigned>,
    batches: Vec<Batch>,
}

/// What an endpoint holds at the last height with a transaction of ours.
#[derive(Clone, Debug, Serialize)]
struct Head {
    url: String,
    hash: Option<B256>,
    state_root: Option<B256>,
    /// Whether the endpoint's `finalized` covers this height; nothing where it has no such tag.
    is_finalized: Option<bool>,
}

pub async fn run(options: &BurstOptions) -> Result<Outcome> {
    let network = Network::meet(&options.common.rpc, options.common.timeout).await?;
    let plan = plan(options, &network).await?;
    let mut tally = Tally::new(plan.transactions.len(), network.endpoints.len());
    let kind = plan.kind;
    let is_interrupted = fire(options, &network, plan, &mut tally).await?;
    let counts = tally.counts(is_interrupted);
    let heads = heads(&network, counts.heights.last().copied()).await;
    let report = Report {
        network: &network,
        common: &options.common,
        result: result(options, kind, &tally, &counts, &heads),
        lines: lines(options, &tally, &counts, &heads),
        problems: problems(&network, &counts, &heads, is_interrupted),
        is_interrupted,
    };
    report.print()
}

async fn plan(options: &BurstOptions, network: &Network) -> Result<Plan> {
    let senders = options.senders.min(options.count) as usize;
    let keys = derive_all(&options.common.seed, options.common.run, senders as u64);
    let addresses: Vec<Address> = keys.iter().map(AccountKey::address).collect();
    let each = u64::from(options.count).div_ceil(senders as u64);
    let kind = prepare(network, &options.common, options.workload, &addresses, each).await?;
    let nonces = nonces_where_sent(network, &addresses).await?;
    let bar = bar(u64::from(options.count), "signing");
    let (chain_id, fees, count) = (network.chain_id, network.fees, options.count);
    let sign = move || sign_all(count, |index| presign(index, kind, &keys, &addresses, &nonces, chain_id, fees), &bar);
    let transactions = tokio::task::spawn_blocking(sign).await.wrap_err("signing")?;
    let batches = batches(&transactions, senders, network.endpoints.len(), options.batch as usize);
    Ok(Plan { kind, transactions, batches })
}

/// The endpoint that will get an account's transactions is asked for its nonce: it may know of some that wait.
async fn nonces_where_sent(network: &Network, addresses: &[Address]) -> Result<Vec<u64>> {
    let endpoints = network.endpoints.len();
    let mut found = vec![0; addresses.len()];
    for (number, endpoint) in network.endpoints.iter().enumerate() {
        let places: Vec<usize> =
            (0..addresses.len()).filter(|sender| endpoint_of(*sender, endpoints) == number).collect();
        let theirs: Vec<Address> = places.iter().map(|place| addresses[*place]).collect();
        for (place, nonce) in places.into_iter().zip(nonces(endpoint, &theirs).await?) {
            found[place] = nonce;
        }
    }
    Ok(found)
}

/// Signs on all cores.
fn sign_all(count: u32, sign: impl Fn(u64) -> Presigned + Sync, bar: &indicatif::ProgressBar) -> Vec<Presigned> {
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get()) as u32;
    let share = count.div_ceil(threads);
    let part = |thread: u32| {
        let range = (thread * share).min(count)..((thread + 1) * share).min(count);
        range.map(|index| sign(u64::from(index))).inspect(|_| bar.inc(1)).collect::<Vec<_>>()
    };
    let signed = std::thread::scope(|scope| {
        let part = &part;
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || part(thread))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("signing does not panic")).collect()
    });
    bar.finish_and_clear();
    signed
}

/// Sends everything and waits for it; says whether Ctrl-C ended it.
async fn fire(options: &BurstOptions, network: &Network, plan: Plan, tally: &mut Tally) -> Result<bool> {
    let (events, mut happened) = mpsc::channel(EVENTS_MAX);
    let mut tasks = JoinSet::new(); // dropped at the end: observers stop then
    observe(options, network, &plan, &events, &mut tasks).await?;
    let bar = bar(plan.transactions.len() as u64, "final");
    post(options, network, plan, &events, &mut tasks);
    drop(events);
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let mut progressed = Instant::now();
    let is_interrupted = loop {
        if tally.is_settled() {
            break false;
        }
        let deadline = tokio::time::Instant::from_std(progressed + options.common.timeout);
        tokio::select! {
            Some(event) = happened.recv() => if tally.note(event) { progressed = Instant::now() },
            () = tokio::time::sleep_until(deadline) => break false,
            _ = &mut interrupt => break true,
        }
        bar.set_position(tally.settled());
    };
    bar.finish_and_clear();
    Ok(is_interrupted)
}

async fn observe(
    options: &BurstOptions,
    network: &Network,
    plan: &Plan,
    events: &mpsc::Sender<Event>,
    tasks: &mut JoinSet<()>,
) -> Result<()> {
    let hashes = plan.transactions.iter().enumerate();
    let wanted: Wanted =
        Arc::new(hashes.map(|(index, presigned)| (presigned.hash, index as u32)).collect::<HashMap<_, _>>());
    for (number, endpoint) in network.endpoints.iter().enumerate() {
        let from: U64 = endpoint.call("eth_blockNumber", json!([])).await?;
        let poll = Duration::from_millis(options.poll_ms);
        let (endpoint, wanted, events) = (endpoint.clone(), Arc::clone(&wanted), events.clone());
        tasks.spawn(Observer { endpoint, number, wanted, poll, events }.run(from.to()));
    }
    Ok(())
}

/// Every endpoint gets its batches in order, at most `concurrency` of them unanswered.
fn post(options: &BurstOptions, network: &Network, plan: Plan, events: &mpsc::Sender<Event>, tasks: &mut JoinSet<()>) {
    let Plan { transactions, batches, .. } = plan;
    let hashes: Arc<Vec<B256>> = Arc::new(transactions.into_iter().map(|presigned| presigned.hash).collect());
    let mut queues: Vec<Vec<Batch>> = network.endpoints.iter().map(|_| Vec::new()).collect();
    for batch in batches {
        queues[batch.endpoint].push(batch);
    }
    let concurrency = options.concurrency as usize;
    for (queue, endpoint) in queues.into_iter().zip(network.endpoints.clone()) {
        let (events, hashes) = (events.clone(), Arc::clone(&hashes));
        tasks.spawn(async move {
            let batches = futures::stream::iter(queue);
            batches.for_each_concurrent(concurrency, |batch| send(&endpoint, batch, &hashes, &events)).await;
        });
    }
}

async fn send(endpoint: &Endpoint, batch: Batch, hashes: &[B256], events: &mpsc::Sender<Event>) {
    let Batch { members, body, .. } = batch;
    let sent = Event::Sent { members: members.clone(), at: Instant::now() };
    let outcome = if events.send(sent).await.is_ok() { endpoint.batch::<B256>(body).await } else { return };
    let at = Instant::now();
    let answers = replies(outcome, &members, hashes);
    let _ = events.send(Event::Answered(Answered { members, at, answers })).await; // nobody listens: the run is over
}

/// One reply a transaction, whatever the node answered.
fn replies(outcome: Result<Vec<Answer<B256>>, CallError>, members: &[u32], hashes: &[B256]) -> Vec<Reply> {
    let answers = match outcome {
        Ok(answers) => answers,
        Err(error) => {
            let reply = match error.refusal() {
                Some(refusal) => Reply::Rejected(reason(refusal.code, &refusal.message)),
                None => Reply::Unanswered(error.to_string()),
            };
            return vec![reply; members.len()];
        }
    };
    let mut replies = vec![Reply::Unanswered("the batch's answer leaves it out".into()); members.len()];
    for answer in answers {
        let Some(place) = answer.id.and_then(|id| usize::try_from(id).ok()).filter(|id| *id < members.len()) else {
            continue;
        };
        replies[place] = match (answer.error, answer.result) {
            (Some(refusal), _) => Reply::Rejected(reason(refusal.code, &refusal.message)),
            (None, Some(hash)) if hash == hashes[members[place] as usize] => Reply::Accepted,
            (None, _) => Reply::Unanswered("answered with another hash than the transaction's".into()),
        };
    }
    replies
}

/// Every endpoint's block at the last height that matters.
async fn heads(network: &Network, height: Option<u64>) -> Vec<Head> {
    let Some(height) = height else { return Vec::new() };
    let heads = network.endpoints.iter().map(|endpoint| head(endpoint, height));
    futures::future::join_all(heads).await
}

async fn head(endpoint: &Endpoint, height: u64) -> Head {
    let block = endpoint.call::<Option<Block>>("eth_getBlockByNumber", json!([U64::from(height), false])).await;
    let finalized = endpoint.call::<Option<Block>>("eth_getBlockByNumber", json!(["finalized", false])).await;
    let block = block.ok().flatten();
    Head {
        url: endpoint.url().into(),
        hash: block.as_ref().map(|block| block.hash),
        state_root: block.as_ref().map(|block| block.state_root),
        is_finalized: finalized.ok().flatten().map(|block| block.number.to::<u64>() >= height),
    }
}

fn are_equal(heads: &[Head]) -> bool {
    let first = heads.first().map(|head| (head.hash, head.state_root));
    heads.iter().all(|head| head.hash.is_some() && Some((head.hash, head.state_root)) == first)
}

fn problems(network: &Network, counts: &Counts, heads: &[Head], is_interrupted: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let unsent = if is_interrupted { 0 } else { counts.transactions - counts.sent };
    let mut note = |count: usize, text: &str| {
        if count > 0 {
            problems.push(format!(
                "{} of {} transactions {text}",
                thousands(count as u64),
                thousands(counts.transactions as u64)
            ));
        }
    };
    note(unsent, "were not sent before nothing moved any more: see the reasons and the nodes' logs");
    note(counts.rejected, "were rejected: see the reasons");
    note(counts.reverted, "failed in their block: see debug_traceTransaction");
    note(counts.lost, "were lost: sent, and not in a block on every endpoint; see the nodes' logs, or raise --timeout");
    if !are_equal(heads) {
        problems.push("the endpoints hold different blocks or state roots at one height: compare `heads`".into());
    }
    for (endpoint, cause) in counts.troubles.iter().filter(|_| counts.is_final < counts.transactions) {
        problems.push(format!("{} could not be read at times: {cause}", network.endpoints[*endpoint].url()));
    }
    problems
}

/// Where the transactions were sent that some endpoint has not shown.
fn unsettled(options: &BurstOptions, tally: &Tally, endpoints: usize) -> Vec<usize> {
    let senders = options.senders.min(options.count) as usize;
    let mut counts = vec![0; endpoints];
    for index in tally.unsettled() {
        counts[endpoint_of(index % senders, endpoints)] += 1;
    }
    counts
}

fn per_second(amount: u64, wall: Duration) -> Option<f64> {
    (!wall.is_zero() && amount > 0).then(|| (amount as f64 / wall.as_secs_f64() * 10.0).round() / 10.0)
}

fn result(options: &BurstOptions, kind: Kind, tally: &Tally, counts: &Counts, heads: &[Head]) -> Value {
    json!({
        "workload": options.workload,
        "value_wei": match kind { Kind::Native { value } => Some(value), Kind::Erc20 { .. } => None },
        "token": match kind { Kind::Native { .. } => None, Kind::Erc20 { token } => Some(token) },
        "senders": options.senders.min(options.count),
        "batch": options.batch,
        "concurrency_per_endpoint": options.concurrency,
        "poll_ms": options.poll_ms,
        "counts": {
            "transactions": counts.transactions,
            "sent": counts.sent,
            "accepted": counts.accepted,
            "rejected": counts.rejected,
            "unanswered": counts.unanswered,
            "reasons": counts.reasons,
            "reverted": counts.reverted,
            "final": counts.is_final,
            "lost": counts.lost,
            "open": counts.open,
            "shown_by_endpoint": counts.shown,
            "unsettled_by_endpoint_sent_to": unsettled(options, tally, counts.shown.len()),
        },
        "seconds": counts.wall.as_secs_f64(),
        "seconds_until_all_answered": counts.ingress.as_secs_f64(),
        "transactions_per_second": per_second(counts.is_final as u64, counts.wall),
        "gas": counts.gas,
        "gas_per_second": per_second(counts.gas, counts.wall),
        "blocks": counts.heights.len(),
        "heights": [counts.heights.first(), counts.heights.last()],
        "latency": tally.latencies().latencies(),
        "heads_equal": are_equal(heads) && !heads.is_empty(),
        "heads": heads,
    })
}

fn lines(options: &BurstOptions, tally: &Tally, counts: &Counts, heads: &[Head]) -> Vec<String> {
    let what = match options.workload {
        Workload::Native => "native transfers",
        Workload::Erc20 => "ERC-20 transfers",
    };
    let number = |count: usize| thousands(count as u64);
    let (all, senders) = (number(counts.transactions), thousands(options.senders.min(options.count).into()));
    let mut lines = vec![format!("{all} {what} of {senders} senders, in batches of {}", options.batch)];
    let (sent, accepted, rejected) = (number(counts.sent), number(counts.accepted), number(counts.rejected));
    let (unanswered, reverted) = (number(counts.unanswered), number(counts.reverted));
    lines.push(format!("sent {sent} · accepted {accepted} · rejected {rejected} · unanswered {unanswered}"));
    lines.extend(counts.reasons.iter().map(|(reason, count)| format!("  {count} × {reason}")));
    let (is_final, lost) = (number(counts.is_final), number(counts.lost));
    let open = if counts.open > 0 { format!(" · still open {}", number(counts.open)) } else { String::new() };
    lines.push(format!("final on every endpoint {is_final} · reverted {reverted} · lost {lost}{open}"));
    let unsettled = unsettled(options, tally, counts.shown.len()).into_iter().zip(&options.common.rpc);
    lines.extend(
        unsettled.filter(|(count, _)| *count > 0).map(|(count, endpoint)| {
            format!("  {} of those lost or open were sent to {}", number(count), endpoint.url())
        }),
    );
    if let Some(rate) = per_second(counts.is_final as u64, counts.wall) {
        let (seconds, gas) = (counts.wall.as_secs_f64(), per_second(counts.gas, counts.wall).unwrap_or(0.0) / 1e6);
        let blocks = counts.heights.len();
        lines.push(format!(
            "{seconds:.3} s from first send to last final: {rate:.0} tx/s, {gas:.1} Mgas/s, {blocks} blocks"
        ));
    }
    if let Some(latencies) = tally.latencies().latencies() {
        lines.push(format!("send to final on every endpoint: {}", latencies.line()));
    }
    if let (Some(height), true) = (counts.heights.last(), are_equal(heads)) {
        lines.push(format!("height {height}: equal block hash and state root on all endpoints ({})", heads.len()));
    }
    if heads.iter().any(|head| head.is_finalized == Some(false)) {
        lines.push("note: `finalized` is still below that height; final means here: in a block".into());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Refusal;

    #[test]
    fn every_transaction_gets_a_reply() {
        let hashes = [B256::repeat_byte(1), B256::repeat_byte(2), B256::repeat_byte(3), B256::repeat_byte(4)];
        let answer = |id, result, error| Answer { id, result, error };
        let refusal = Refusal { code: -32000, message: "nonce too low".into() };
        let answers = vec![
            answer(Some(2), None, Some(refusal)),
            answer(Some(0), Some(hashes[3]), None),
            answer(Some(1), Some(hashes[3]), None),
            answer(Some(9), Some(hashes[3]), None),
            answer(None, None, None),
        ];
        let replies = replies(Ok(answers), &[3, 2, 1, 0], &hashes);
        assert_eq!(replies[0], Reply::Accepted);
        assert_eq!(replies[2], Reply::Rejected("nonce too low (code -32000)".into()));
        assert!(matches!(replies[1], Reply::Unanswered(_)), "another transaction's hash");
        assert!(matches!(replies[3], Reply::Unanswered(_)), "left out");
    }

    #[test]
    fn a_missing_or_different_head_is_not_equal() {
        let head = |hash: Option<u8>, root| Head {
            url: String::new(),
            hash: hash.map(B256::repeat_byte),
            state_root: Some(B256::repeat_byte(root)),
            is_finalized: None,
        };
        assert!(are_equal(&[head(Some(1), 1), head(Some(1), 1)]));
        assert!(!are_equal(&[head(Some(1), 1), head(Some(1), 2)]));
        assert!(!are_equal(&[head(Some(1), 1), head(Some(2), 1)]));
        assert!(!are_equal(&[head(None, 1), head(None, 1)]));
    }
}
