//! What happens to every call, alone or in a batch, before and after its method: bounds, batching, measurement.
//!
//! D3.1 6.3.1. Invariant: `batch` sends each of its calls through the same `call`, so that no rule holds for one and
//! not the other. Runs of raw transactions in a batch go to the chain together: one recovery pass, one pool insertion.

use crate::error::Failure;
use crate::eth;
use crate::options::Limits;
use crate::params::depth;
use crate::served::Served;
use jsonrpsee::server::middleware::rpc::{Batch, BatchEntry, Notification, RpcServiceT};
use jsonrpsee::server::{BatchResponseBuilder, MethodResponse, ResponsePayload};
use jsonrpsee::types::{ErrorObjectOwned, Id, Request};
use metrics::{counter, histogram};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Semaphore, SemaphorePermit};
use tower::Layer;

/// Characters of an unknown method's name that are repeated to its caller.
const NAME_MOST: usize = 64;

/// geth's words, which clients match on to fall back to another method.
fn unknown_method(name: &str) -> Failure {
    let name: String = name.chars().take(NAME_MOST).collect();
    Failure::NotServed(format!("the method {name} does not exist/is not available"))
}

/// How calls of methods that do not exist are counted.
const UNKNOWN: &str = "unknown";

/// Marks calls that came by HTTP, whose body is already counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByHttp;

/// Puts [`Watched`] around a connection's service.
#[derive(Clone)]
pub(crate) struct WatchLayer {
    pub(crate) ledger: Arc<Served>,
    /// Bytes of all requests that may be in memory at once.
    pub(crate) bodies: Arc<Semaphore>,
    /// The names that are registered.
    pub(crate) names: Arc<HashSet<&'static str>>,
}

impl<S> Layer<S> for WatchLayer {
    type Service = Watched<S>;

    fn layer(&self, service: S) -> Watched<S> {
        let calls = Arc::new(Semaphore::new(self.ledger.limits.connection_calls));
        let (ledger, bodies) = (Arc::clone(&self.ledger), Arc::clone(&self.bodies));
        Watched { service: Arc::new(service), ledger, bodies, names: Arc::clone(&self.names), calls }
    }
}

/// The service of one connection.
pub(crate) struct Watched<S> {
    service: Arc<S>,
    ledger: Arc<Served>,
    bodies: Arc<Semaphore>,
    names: Arc<HashSet<&'static str>>,
    calls: Arc<Semaphore>,
}

impl<S> Clone for Watched<S> {
    fn clone(&self) -> Watched<S> {
        Watched {
            service: Arc::clone(&self.service),
            ledger: Arc::clone(&self.ledger),
            bodies: Arc::clone(&self.bodies),
            names: Arc::clone(&self.names),
            calls: Arc::clone(&self.calls),
        }
    }
}

impl<S> RpcServiceT for Watched<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move {
            let _place = match this.calls.try_acquire() {
                Ok(place) => place,
                Err(_) => return refuse(request.id, Failure::limit("too many calls at once on one connection")),
            };
            let _bytes = match this.count(&request, params_bytes(&request)) {
                Ok(permit) => permit,
                Err(failure) => return refuse(request.id, failure),
            };
            this.one(request).await
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move { this.many(batch).await }
    }

    /// The library takes what has no usable id for a notification. Nothing here is one, and over HTTP somebody waits
    /// for an answer: it says what is missing.
    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move {
            match notification.extensions().get::<ByHttp>() {
                Some(ByHttp) => refuse(Id::Null, Failure::NoId),
                None => this.service.notification(notification).await,
            }
        }
    }
}

impl<S> Watched<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Send
        + Sync
        + 'static,
{
    /// Holds a request's bytes against the server's budget while it is answered.
    fn count(&self, request: &Request<'_>, bytes: usize) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        if bytes <= Limits::SMALL_BODY_BYTES || request.extensions().get::<ByHttp>().is_some() {
            return Ok(None);
        }
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.bodies.try_acquire_many(permits).map(Some).map_err(|_| too_many_bytes())
    }

    async fn one(&self, request: Request<'_>) -> MethodResponse {
        let name = self.names.get(request.method_name()).copied().unwrap_or(UNKNOWN);
        let begin = Instant::now();
        let response = match self.refusal(&request) {
            Some(failure) => refuse(request.id, failure),
            None => self.service.call(request).await,
        };
        measure(name, begin, response.as_error_code());
        response
    }

    fn refusal(&self, request: &Request<'_>) -> Option<Failure> {
        if !self.names.contains(request.method_name()) {
            return Some(unknown_method(request.method_name()));
        }
        let params = request.params.as_ref().map_or("", |params| params.get());
        let most = self.ledger.limits.depth;
        if depth(params) > most {
            return Some(Failure::invalid_params(format!("parameters nest deeper than {most} levels")));
        }
        let subscribes = matches!(request.method_name(), "eth_subscribe" | "eth_unsubscribe");
        let by_http = request.extensions().get::<ByHttp>().is_some();
        (subscribes && by_http).then(|| Failure::NotServed("notifications not supported: use WebSocket".into()))
    }

    async fn many(&self, batch: Batch<'_>) -> MethodResponse {
        let Ok(_place) = self.calls.try_acquire() else {
            return refuse(Id::Null, Failure::limit("too many calls at once on one connection"));
        };
        let _bytes = match self.count_batch(&batch) {
            Ok(permit) => permit,
            Err(failure) => return refuse(Id::Null, failure),
        };
        let mut replies = Replies::new(self.ledger.limits.response_bytes as usize);
        let end = Instant::now() + self.ledger.limits.batch_deadline;
        let mut raw: Vec<Request<'_>> = Vec::new();
        for entry in batch {
            if let Ok(BatchEntry::Call(call)) = &entry
                && call.method_name() == eth::SEND_RAW
            {
                raw.extend(into_call(entry));
                continue;
            }
            let outcome = match self.submit(&mut raw, &mut replies).await {
                Ok(()) => self.entry(entry, end, &mut replies).await,
                Err(full) => Err(full),
            };
            if let Err(full) = outcome {
                return full;
            }
        }
        match self.submit(&mut raw, &mut replies).await {
            Ok(()) => replies.finish(),
            Err(full) => full,
        }
    }

    fn count_batch(&self, batch: &Batch<'_>) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        let calls = || batch.iter().flatten().filter_map(as_call);
        match calls().next() {
            Some(first) => self.count(first, calls().map(params_bytes).sum()),
            None => Ok(None),
        }
    }

    /// One entry of a batch that is not a raw transaction.
    async fn entry(
        &self,
        entry: Result<BatchEntry<'_>, jsonrpsee::server::middleware::rpc::BatchEntryErr<'_>>,
        end: Instant,
        replies: &mut Replies,
    ) -> Result<(), MethodResponse> {
        match entry {
            Ok(BatchEntry::Call(call)) if call.method_name() == "eth_subscribe" => {
                // The library answers a subscription by itself; in a batch there would be two answers.
                replies.add(refuse(call.id, Failure::NotServed("eth_subscribe cannot be part of a batch".into())))
            }
            Ok(BatchEntry::Call(call)) => {
                let id = call.id.clone().into_owned();
                if Instant::now() >= end {
                    return replies.add(refuse(id, batch_is_late()));
                }
                match tokio::time::timeout_at(end.into(), self.one(call)).await {
                    Ok(response) => replies.add(response),
                    Err(_) => replies.add(refuse(id, batch_is_late())),
                }
            }
            Ok(BatchEntry::Notification(notification)) => {
                replies.notified = true;
                self.service.notification(notification).await;
                Ok(())
            }
            Err(malformed) => {
                let (error, id) = malformed.into_parts();
                replies.add(MethodResponse::error(id, error))
            }
        }
    }

    /// Submits the raw transactions gathered so far and answers each.
    async fn submit(&self, raw: &mut Vec<Request<'_>>, replies: &mut Replies) -> Result<(), MethodResponse> {
        if raw.is_empty() {
            return Ok(());
        }
        let requests = std::mem::take(raw);
        let begin = Instant::now();
        let params = requests.iter().map(|request| request.params().as_str().unwrap_or("").to_string()).collect();
        let results = eth::submit_many(&self.ledger, params).await;
        for (request, result) in requests.into_iter().zip(results) {
            let response = match result {
                Ok(hash) => MethodResponse::response(request.id, ResponsePayload::success(hash), usize::MAX),
                Err(failure) => refuse(request.id, failure),
            };
            measure(eth::SEND_RAW, begin, response.as_error_code());
            replies.add(response)?;
        }
        Ok(())
    }
}

/// The responses of a batch, bounded together.
struct Replies {
    builder: BatchResponseBuilder,
    notified: bool,
}

impl Replies {
    fn new(most: usize) -> Replies {
        Replies { builder: BatchResponseBuilder::new_with_limit(most), notified: false }
    }

    fn add(&mut self, response: MethodResponse) -> Result<(), MethodResponse> {
        self.builder.append(response)
    }

    fn finish(self) -> MethodResponse {
        match self.builder.is_empty() && self.notified {
            true => MethodResponse::notification(),
            false => MethodResponse::from_batch(self.builder.finish()),
        }
    }
}

pub(crate) fn too_many_bytes() -> Failure {
    Failure::limit("too many bytes of requests are being answered; try again later")
}

fn batch_is_late() -> Failure {
    Failure::limit("the time limit of the batch is over")
}

fn refuse(id: Id<'_>, failure: Failure) -> MethodResponse {
    MethodResponse::error(id, ErrorObjectOwned::from(failure))
}

fn params_bytes(request: &Request<'_>) -> usize {
    request.params.as_ref().map_or(0, |params| params.get().len())
}

fn as_call<'b, 'a>(entry: &'b BatchEntry<'a>) -> Option<&'b Request<'a>> {
    match entry {
        BatchEntry::Call(call) => Some(call),
        BatchEntry::Notification(_) => None,
    }
}

fn into_call<'a, E>(entry: Result<BatchEntry<'a>, E>) -> Option<Request<'a>> {
    match entry {
        Ok(BatchEntry::Call(call)) => Some(call),
        _ => None,
    }
}

/// Names come from the registry, never from the caller, so that nobody can grow the set of labels.
fn measure(method: &'static str, begin: Instant, error: Option<i32>) {
    counter!("rpc_requests_total", "method" => method).increment(1);
    histogram!("rpc_request_seconds", "method" => method).record(begin.elapsed().as_secs_f64());
    if let Some(code) = error {
        counter!("rpc_errors_total", "method" => method, "code" => code.to_string()).increment(1);
    }
}
