//! Subscriptions: the ledger read by cursor and pushed as it grows.
//!
//! D3.1 6.1.9.2. A subscriber is woken by the watch of the final height and then reads the blocks that it has not
//! seen, one after the other: nothing is lost or reordered however many blocks were final meanwhile.
//! Invariant: a subscriber that does not read is dropped; nothing is kept for it but its cursor.

use super::logs::check_terms;
use super::{sync_status, transactions};
use crate::error::Failure;
use crate::params::Arguments;
use crate::recent::News;
use crate::registry::Registry;
use crate::served::Served;
use alloy_primitives::B256;
use alloy_rpc_types_eth::Filter;
use alloy_rpc_types_eth::pubsub::{Params, SubscriptionKind};
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::{PendingSubscriptionSink, SubscriptionSink};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::sync::watch;

/// Transactions that are pushed between two looks at the pool.
const TRANSACTIONS_MOST: usize = 1_000;

pub(super) fn register(methods: &mut Registry) {
    let registered = methods.module().register_subscription(
        "eth_subscribe",
        "eth_subscription",
        "eth_unsubscribe",
        |params, pending, ledger, _| async move { subscribe(params.as_str(), pending, ledger).await },
    );
    registered.expect("every method is registered once");
}

/// What a subscriber wants to hear of.
enum Topic {
    Heads,
    Logs(Box<Filter>),
    Transactions { full: bool },
    Syncing,
}

impl Topic {
    fn parse(params: Option<&str>, ledger: &Served) -> Result<Topic, Failure> {
        let mut arguments = Arguments::parse(params)?;
        let name = arguments.required::<String>()?;
        let kind: SubscriptionKind = name.parse().map_err(|_| unknown(&name))?;
        let detail = arguments.optional::<Params>()?.unwrap_or_default();
        arguments.end()?;
        match (kind, detail) {
            (SubscriptionKind::NewHeads, Params::None) => Ok(Topic::Heads),
            (SubscriptionKind::Syncing, Params::None) => Ok(Topic::Syncing),
            (SubscriptionKind::Logs, Params::None) => Ok(Topic::Logs(Box::default())),
            (SubscriptionKind::Logs, Params::Logs(filter)) => {
                check_terms(&filter, &ledger.limits)?;
                Ok(Topic::Logs(filter))
            }
            (SubscriptionKind::NewPendingTransactions, Params::None) => Ok(Topic::Transactions { full: false }),
            (SubscriptionKind::NewPendingTransactions, Params::Bool(full)) => Ok(Topic::Transactions { full }),
            (SubscriptionKind::TransactionReceipts, _) => Err(unknown(&name)),
            _ => Err(Failure::invalid_params(format!("invalid argument 1: not a parameter of \"{name}\""))),
        }
    }
}

fn unknown(name: &str) -> Failure {
    Failure::NotServed(format!("no \"{name}\" subscription in eth namespace"))
}

async fn subscribe(params: Option<&str>, pending: PendingSubscriptionSink, ledger: Arc<Served>) {
    let topic = match Topic::parse(params, &ledger) {
        Ok(topic) => topic,
        Err(failure) => return pending.reject(ErrorObjectOwned::from(failure)).await,
    };
    let Ok(_place) = ledger.subscriptions.try_acquire() else {
        let full = Failure::limit("too many subscriptions on this node; try again later");
        return pending.reject(ErrorObjectOwned::from(full)).await;
    };
    // The cursors are taken before the answer: what is final after the subscriber has its answer is pushed to it.
    let (heights, next) = (ledger.chain.heights(), ledger.head() + 1);
    let (arrivals, status) = (ledger.chain.fresh(), ledger.status.clone());
    let cursor = *arrivals.borrow();
    let Ok(sink) = pending.accept().await else { return };
    let ended = match topic {
        Topic::Heads => blocks(&ledger, &sink, heights, next, None).await,
        Topic::Logs(filter) => blocks(&ledger, &sink, heights, next, Some(*filter)).await,
        Topic::Transactions { full } => pool_arrivals(&ledger, &sink, arrivals, cursor, full).await,
        Topic::Syncing => syncing(&ledger, &sink, status).await,
    };
    if let Err(failure) = ended {
        tracing::debug!(why = %failure, "a subscription ended");
    }
}

/// Heads, or the logs that match.
async fn blocks(
    ledger: &Arc<Served>,
    sink: &SubscriptionSink,
    mut heights: watch::Receiver<u64>,
    mut next: u64,
    filter: Option<Filter>,
) -> Result<(), Failure> {
    loop {
        let head = *heights.borrow_and_update();
        while next <= head {
            let news = news(ledger, next).await?;
            match &filter {
                None => push_raw(ledger, sink, news.header.clone()).await?,
                Some(filter) => {
                    for log in news.logs.iter().filter(|log| filter.rpc_matches(log)) {
                        push(ledger, sink, log).await?;
                    }
                }
            }
            next += 1;
        }
        changed(&mut heights, sink).await?;
    }
}

/// The first subscriber to ask reads, the others find it in memory.
async fn news(ledger: &Arc<Served>, height: u64) -> Result<Arc<News>, Failure> {
    if let Some(known) = ledger.recent.known_news(height) {
        return Ok(known);
    }
    let reading = Arc::clone(ledger);
    let read = move || reading.recent.news(&reading.view()?, height);
    tokio::task::spawn_blocking(read).await.map_err(|panic| Failure::internal(&panic))?
}

async fn pool_arrivals(
    ledger: &Arc<Served>,
    sink: &SubscriptionSink,
    mut arrivals: watch::Receiver<u64>,
    mut cursor: u64,
    full: bool,
) -> Result<(), Failure> {
    loop {
        arrivals.borrow_and_update();
        loop {
            let (arrived, behind) = ledger.chain.arrived_since(cursor, TRANSACTIONS_MOST);
            if arrived.is_empty() {
                break;
            }
            for hash in arrived {
                match full {
                    true => push_found(ledger, sink, hash).await?,
                    false => push(ledger, sink, &hash).await?,
                }
            }
            cursor = behind;
        }
        changed(&mut arrivals, sink).await?;
    }
}

/// A transaction in full, which may have gone from the pool into a block meanwhile, or nowhere.
async fn push_found(ledger: &Arc<Served>, sink: &SubscriptionSink, hash: B256) -> Result<(), Failure> {
    let reading = Arc::clone(ledger);
    let found = tokio::task::spawn_blocking(move || transactions::find(&reading, hash)).await;
    match found.map_err(|panic| Failure::internal(&panic))?? {
        Some(transaction) => push(ledger, sink, &transaction).await,
        None => Ok(()),
    }
}

/// Says where the node stands, and again whenever it begins or ceases to be behind.
async fn syncing(
    ledger: &Arc<Served>,
    sink: &SubscriptionSink,
    mut status: watch::Receiver<crate::options::Status>,
) -> Result<(), Failure> {
    let mut said = None;
    loop {
        let behind = status.borrow_and_update().behind.is_some();
        if said != Some(behind) {
            push(ledger, sink, &sync_status(ledger)).await?;
            said = Some(behind);
        }
        changed(&mut status, sink).await?;
    }
}

async fn changed<T>(watched: &mut watch::Receiver<T>, sink: &SubscriptionSink) -> Result<(), Failure> {
    let gone = || Failure::execution("the subscriber is gone");
    tokio::select! {
        () = sink.closed() => Err(gone()),
        changed = watched.changed() => changed.map_err(|_| gone()),
    }
}

async fn push<T: Serialize>(ledger: &Served, sink: &SubscriptionSink, item: &T) -> Result<(), Failure> {
    push_raw(ledger, sink, serde_json::value::to_raw_value(item).map_err(|why| Failure::internal(&why))?).await
}

/// The library keeps a bounded number of messages for a connection; a full one is given as long as a stalled socket.
async fn push_raw(ledger: &Served, sink: &SubscriptionSink, item: Box<RawValue>) -> Result<(), Failure> {
    sink.send_timeout(item, ledger.limits.write_stall).await.map_err(Failure::execution)
}
