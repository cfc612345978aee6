//! Logs, metrics and health, for operators and their machines.
//!
//! D3.1 6.3.5. One port serves `/metrics` (Prometheus text), `/liveness` (the process serves), `/readiness` (it can
//! be given work) and `/health` (why not).

use crate::cli::LogFormat;
use crate::config::Log;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::{Router, routing::get};
use chain::Chain;
use eyre::{Result, WrapErr};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::json;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

/// Latency buckets in seconds: from a cached read to a heavy trace.
const LATENCY_BUCKETS: [f64; 12] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Starts logging to standard error. Once a process.
pub fn log(settings: &Log) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.level)
        .wrap_err_with(|| format!("log.level is {:?}; write it as in \"info,consensus=debug\"", settings.level))?;
    let colours = std::io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match settings.format {
        LogFormat::Pretty => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}

/// Starts collecting metrics. Once a process.
pub fn metrics() -> Result<PrometheusHandle> {
    PrometheusBuilder::new().set_buckets(&LATENCY_BUCKETS)?.install_recorder().wrap_err("cannot collect metrics")
}

/// What the endpoints answer from.
#[derive(Clone)]
pub struct Sources {
    pub recorder: PrometheusHandle,
    pub chain: Chain,
    pub engine: watch::Receiver<consensus::Status>,
    /// The consensus runtime's own metrics, as Prometheus text.
    pub engine_metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Serves until the process ends.
pub async fn serve(address: SocketAddr, sources: Sources) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .wrap_err_with(|| format!("cannot listen at {address} for metrics; choose another with --metrics-port"))?;
    let router = Router::new()
        .route("/metrics", get(render))
        .route("/liveness", get(|| async { "UP" }))
        .route("/readiness", get(readiness))
        .route("/health", get(health))
        .with_state(sources);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

async fn render(State(sources): State<Sources>) -> String {
    let status = sources.engine.borrow().clone();
    let pool = sources.chain.pool_status();
    metrics::gauge!("lonja_finalized_height").set(sources.chain.finalized().number as f64);
    metrics::gauge!("ethereum_blockchain_height").set(sources.chain.finalized().number as f64);
    metrics::gauge!("ethereum_peer_count").set(status.connected.saturating_sub(1) as f64);
    metrics::gauge!("lonja_consensus_epoch").set(status.epoch as f64);
    metrics::gauge!("lonja_consensus_view").set(status.view as f64);
    metrics::gauge!("lonja_consensus_votes").set(f64::from(u8::from(status.votes)));
    metrics::gauge!("lonja_consensus_faults").set(status.faults as f64);
    metrics::gauge!("lonja_pool_pending").set(pool.pending as f64);
    metrics::gauge!("lonja_pool_queued").set(pool.queued as f64);
    metrics::gauge!("lonja_pool_bytes").set(pool.bytes as f64);
    metrics::gauge!("lonja_speculative_blocks").set(sources.chain.speculative_len() as f64);
    format!("{}{}", sources.recorder.render(), (sources.engine_metrics)())
}

/// Why the node cannot be given work; none when it can.
fn not_ready(sources: &Sources) -> Option<String> {
    let status = sources.engine.borrow();
    let members = status.committee.len();
    let quorum = members - members.saturating_sub(1) / 3;
    match status.connected {
        connected if connected < quorum => {
            Some(format!("{connected} of {members} validators are in reach; {quorum} are needed"))
        }
        _ => None,
    }
}

async fn readiness(State(sources): State<Sources>) -> Response {
    match not_ready(&sources) {
        None => "UP".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}

async fn health(State(sources): State<Sources>) -> Response {
    let why = not_ready(&sources);
    let code = if why.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let finalized = sources.chain.finalized();
    let body = json!({
        "ready": why.is_none(),
        "why": why,
        "finalized": { "height": finalized.number, "hash": finalized.hash(), "timestamp": finalized.timestamp },
        "connected": sources.engine.borrow().connected,
    });
    (code, Json(body)).into_response()
}
