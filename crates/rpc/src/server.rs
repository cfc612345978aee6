//! The port: connections, paths, hosts, origins, and the end.
//!
//! D3.1 6.3.1. `/` is the first ledger, `/ledger/NAME` is the one of that name; both speak HTTP and WebSocket.
//! Invariant: a connection costs a bounded amount of memory and time, whatever it says or does not say.

use crate::error::{Failure, ServeError};
use crate::lane::Lanes;
use crate::middleware::{ByHttp, WatchLayer, too_many_bytes};
use crate::namespaces;
use crate::options::{LedgerApi, Limits, Options};
use crate::served::Served;
use crate::socket::Socket;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jsonrpsee::Methods;
use jsonrpsee::server::middleware::rpc::RpcServiceBuilder;
use jsonrpsee::server::{
    BatchRequestConfig, HttpBody, HttpResponse, IdProvider, PingConfig, Server as Library, ServerConfig, ServerHandle,
    StopHandle, TowerServiceBuilder, stop_channel, ws,
};
use jsonrpsee::types::{ErrorObjectOwned, SubscriptionId};
use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tower::layer::util::{Identity, Stack};
use tower::{Layer, Service};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

/// From accepting a connection, or from its last answer, to the end of the next request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(75);
/// How long open exchanges may take to end when the server stops.
const STOP_DEADLINE: Duration = Duration::from_secs(3);
/// After the system refused a connection (no file descriptors left), before the next attempt.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    acceptor: JoinHandle<()>,
}

impl Server {
    /// Where it listens; the port is the real one when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, lets open exchanges end for a moment, closes what is left.
    pub async fn stop(self) {
        self.handle.stop().ok();
        self.acceptor.await.ok();
    }
}

/// Serves the ledgers, the first of them also at `/`.
pub async fn serve(options: Options, ledgers: Vec<LedgerApi>) -> Result<Server, ServeError> {
    let door = Arc::new(Door::new(&options, ledgers)?);
    let cors = cors(&options)?;
    let listen = |source| ServeError::Listen { address: options.listen, source };
    let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let (stop, handle) = stop_channel();
    let acceptor = tokio::spawn(accept(listener, door, cors, stop));
    tracing::info!(%address, "JSON-RPC is served by HTTP and WebSocket");
    Ok(Server { address, handle, acceptor })
}

/// What stands behind the port.
struct Door {
    rooms: BTreeMap<String, Room>,
    first: String,
    hosts: Vec<String>,
    origins: Vec<String>,
    limits: Arc<Limits>,
    bodies: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

/// One ledger's methods and the library's service for them.
struct Room {
    methods: Methods,
    service: TowerServiceBuilder<Stack<WatchLayer, Identity>, Identity>,
}

impl Door {
    fn new(options: &Options, ledgers: Vec<LedgerApi>) -> Result<Door, ServeError> {
        let limits = Arc::new(options.limits.clone());
        let lanes = Arc::new(Lanes::new(&limits));
        let bodies = Arc::new(Semaphore::new(limits.bodies_bytes.min(Semaphore::MAX_PERMITS)));
        let first = ledgers.first().ok_or(ServeError::NoLedger)?.name.clone();
        let mut rooms = BTreeMap::new();
        for api in ledgers {
            let name = api.name.clone();
            let served = Arc::new(Served::new(api, options, Arc::clone(&lanes), Arc::clone(&limits)));
            let room = Room::new(served, &limits, Arc::clone(&bodies));
            if !is_path_segment(&name) || rooms.insert(name.clone(), room).is_some() {
                return Err(ServeError::LedgerName(name));
            }
        }
        let (hosts, origins) = (options.hosts.clone(), options.cors.clone());
        let connections = Arc::new(Semaphore::new(limits.connections));
        Ok(Door { rooms, first, hosts, origins, limits, bodies, connections })
    }

    fn room(&self, path: &str) -> Option<&Room> {
        let name = match path.trim_end_matches('/') {
            "" => Some(self.first.as_str()),
            path => path.strip_prefix("/ledger/"),
        };
        name.and_then(|name| self.rooms.get(name))
    }

    /// Pages rebind their own host name to loopback addresses to reach what listens there; an address or `localhost`
    /// in the header was typed by the user.
    fn admits_host<B>(&self, request: &Request<B>) -> bool {
        let Some(header) = request.headers().get(HOST) else { return true };
        let Some(authority) = header.to_str().ok().and_then(|text| text.parse::<hyper::http::uri::Authority>().ok())
        else {
            return false;
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        host == "localhost"
            || host.parse::<IpAddr>().is_ok()
            || self.hosts.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(&host))
    }

    /// Browsers open WebSockets to anyone without asking first, but they say where the page came from.
    fn admits_origin<B>(&self, request: &Request<B>) -> bool {
        let Some(origin) = request.headers().get(ORIGIN) else { return true };
        self.origins.iter().any(|allowed| allowed == "*" || origin.as_bytes() == allowed.as_bytes())
    }

    /// Counts a body against the budget before any of it is read.
    fn count_body<B: Body>(&self, request: &Request<B>) -> Result<Option<OwnedSemaphorePermit>, Failure> {
        let most = u64::from(self.limits.body_bytes);
        let bytes = request.body().size_hint().upper().unwrap_or(most).min(most);
        if bytes <= Limits::SMALL_BODY_BYTES as u64 {
            return Ok(None);
        }
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        Arc::clone(&self.bodies).try_acquire_many_owned(permits).map(Some).map_err(|_| too_many_bytes())
    }
}

impl Room {
    fn new(ledger: Arc<Served>, limits: &Limits, bodies: Arc<Semaphore>) -> Room {
        let registry = namespaces::register(Arc::clone(&ledger));
        let names: Arc<HashSet<&'static str>> = Arc::new(registry.names().into_iter().collect());
        let watch = RpcServiceBuilder::new().layer(WatchLayer { ledger, bodies, names });
        let service = Library::builder().set_config(config(limits)).set_rpc_middleware(watch).to_service_builder();
        Room { methods: registry.finish(), service }
    }
}

fn config(limits: &Limits) -> ServerConfig {
    ServerConfig::builder()
        .max_request_body_size(limits.body_bytes)
        .max_response_body_size(limits.response_bytes)
        .max_connections(u32::try_from(limits.connections).unwrap_or(u32::MAX))
        .max_subscriptions_per_connection(limits.subscriptions)
        .set_message_buffer_capacity(limits.unread_messages.max(1))
        .set_batch_request_config(BatchRequestConfig::Limit(limits.batch_calls))
        .enable_ws_ping(PingConfig::new().max_failures(2))
        .set_id_provider(HexIds)
        .build()
}

/// Subscription ids as Ethereum clients expect them: quantities in hexadecimal.
#[derive(Debug)]
struct HexIds;

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        SubscriptionId::Str(format!("{:#x}", rand::random::<u128>()).into())
    }
}

fn is_path_segment(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.bytes().all(plain)
}

fn cors(options: &Options) -> Result<CorsLayer, ServeError> {
    let layer = CorsLayer::new().allow_methods([Method::POST, Method::GET]).allow_headers([CONTENT_TYPE]);
    if options.cors.iter().any(|origin| origin == "*") {
        return Ok(layer.allow_origin(Any));
    }
    let parse = |origin: &String| HeaderValue::from_str(origin).map_err(|_| ServeError::Origin(origin.clone()));
    let origins = options.cors.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    Ok(layer.allow_origin(AllowOrigin::list(origins)))
}

async fn accept(listener: TcpListener, door: Arc<Door>, cors: CorsLayer, stop: StopHandle) {
    let mut open = JoinSet::new();
    let stopped = stop.clone().shutdown();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => admit(stream, &door, &cors, &stop, &mut open),
                Err(why) => {
                    tracing::debug!(%why, "the system refused a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let ended = async { while open.join_next().await.is_some() {} };
    tokio::time::timeout(STOP_DEADLINE, ended).await.ok();
    open.shutdown().await;
}

fn admit(stream: TcpStream, door: &Arc<Door>, cors: &CorsLayer, stop: &StopHandle, open: &mut JoinSet<()>) {
    let Ok(place) = Arc::clone(&door.connections).try_acquire_owned() else {
        metrics::counter!("rpc_connections_refused_total").increment(1);
        return;
    };
    if stream.set_nodelay(true).is_err() {
        return; // already closed
    }
    let socket = Socket::new(stream, door.limits.write_stall, place);
    open.spawn(converse(socket, Arc::clone(door), cors.clone(), stop.clone()));
}

/// Serves one connection until it ends or the server stops.
async fn converse(socket: Socket, door: Arc<Door>, cors: CorsLayer, stop: StopHandle) {
    let stopping = stop.clone();
    let answering = tower::service_fn(move |request| answer(Arc::clone(&door), stopping.clone(), request));
    let service = TowerToHyperService::new(cors.layer(answering));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let stopped = stop.shutdown();
    tokio::pin!(connection, stopped);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = &mut stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(why) = ended {
        tracing::trace!(%why, "a connection ended early");
    }
}

/// Answers one HTTP request, or turns it into a WebSocket.
async fn answer(door: Arc<Door>, stop: StopHandle, mut request: Request<Incoming>) -> Result<HttpResponse, Infallible> {
    if !door.admits_host(&request) {
        let text = "this host name is not served here: add it to the allowed hosts";
        return Ok(refusal(StatusCode::FORBIDDEN, Failure::NotServed(text.into())));
    }
    let upgrades = ws::is_upgrade_request(&request);
    if upgrades && !door.admits_origin(&request) {
        let text = "pages of this origin may not connect: add it to the allowed origins";
        return Ok(refusal(StatusCode::FORBIDDEN, Failure::NotServed(text.into())));
    }
    let Some(room) = door.room(request.uri().path()) else {
        let text = format!("no ledger at {}: the path is / or /ledger/NAME", request.uri().path());
        return Ok(refusal(StatusCode::NOT_FOUND, Failure::NotServed(text)));
    };
    let mut service = room.service.clone().build(room.methods.clone(), stop);
    if upgrades {
        return Ok(service.call(request).await.unwrap_or_else(|why| failed(&*why)));
    }
    let _bytes = match door.count_body(&request) {
        Ok(permit) => permit,
        Err(failure) => return Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, failure)),
    };
    request.extensions_mut().insert(ByHttp);
    let exchange = tokio::time::timeout(door.limits.request_deadline, service.call(request)).await;
    Ok(match exchange {
        Ok(response) => response.unwrap_or_else(|why| failed(&*why)),
        Err(_) => refusal(StatusCode::REQUEST_TIMEOUT, Failure::limit("the request took too long")),
    })
}

fn failed(why: &(dyn std::error::Error + Send + Sync)) -> HttpResponse {
    tracing::debug!(%why, "a request failed");
    refusal(StatusCode::INTERNAL_SERVER_ERROR, Failure::Internal)
}

/// An answer to what never became a call.
fn refusal(status: StatusCode, failure: Failure) -> HttpResponse {
    let error = ErrorObjectOwned::from(failure);
    let body = serde_json::json!({ "jsonrpc": "2.0", "id": null, "error": error }).to_string();
    let mut response = HttpResponse::new(HttpBody::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}
