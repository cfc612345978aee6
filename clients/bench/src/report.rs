//! Results: percentiles, what they were measured on, and how they are printed.

use crate::cli::Common;
use crate::network::{Fees, Network};
use eyre::Result;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest latency that is told apart: an hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;
/// Three significant digits.
const PRECISION: u8 = 3;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    Interrupted,
}

/// Collects latencies, in microseconds.
pub struct Recorder(Histogram<u64>);

#[derive(Clone, Debug, Serialize)]
pub struct Latencies {
    pub count: u64,
    pub min_ms: f64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p99_9_ms: f64,
    pub max_ms: f64,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder(Histogram::new_with_bounds(1, LATENCY_MAX_US, PRECISION).expect("the bounds are in order"))
    }
}

impl Recorder {
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(latency.as_micros().clamp(1, u128::from(LATENCY_MAX_US)) as u64);
    }

    /// Nothing, when nothing was recorded.
    pub fn latencies(&self) -> Option<Latencies> {
        let at = |quantile| milliseconds(self.0.value_at_quantile(quantile));
        (!self.0.is_empty()).then(|| Latencies {
            count: self.0.len(),
            min_ms: milliseconds(self.0.min()),
            mean_ms: self.0.mean().round() / 1_000.0,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p99_9_ms: at(0.999),
            max_ms: milliseconds(self.0.max()),
        })
    }
}

fn milliseconds(us: u64) -> f64 {
    us as f64 / 1_000.0
}

impl Latencies {
    pub fn line(&self) -> String {
        format!(
            "p50 {:.1} ms · p90 {:.1} · p99 {:.1} · p99.9 {:.1} · max {:.1} (mean {:.1}, {} samples)",
            self.p50_ms,
            self.p90_ms,
            self.p99_ms,
            self.p99_9_ms,
            self.max_ms,
            self.mean_ms,
            thousands(self.count)
        )
    }
}

/// Everything that a figure needs to be believed, and the figures.
pub struct Report<'a> {
    pub network: &'a Network,
    pub common: &'a Common,
    pub result: Value,
    pub lines: Vec<String>,
    pub problems: Vec<String>,
    pub is_interrupted: bool,
}

impl Report<'_> {
    pub fn outcome(&self) -> Outcome {
        match (self.is_interrupted, self.problems.is_empty()) {
            (true, _) => Outcome::Interrupted,
            (false, true) => Outcome::Passed,
            (false, false) => Outcome::Failed,
        }
    }

    /// Prints the results where the caller reads them; problems go to standard error too.
    pub fn print(&self) -> Result<Outcome> {
        let text = if self.common.json { serde_json::to_string_pretty(&self.document())? } else { self.text() };
        let _ = writeln!(std::io::stdout(), "{text}"); // a reader that has gone away is no error
        for problem in &self.problems {
            let _ = writeln!(std::io::stderr(), "error: {problem}");
        }
        Ok(self.outcome())
    }

    fn document(&self) -> Value {
        let network = self.network;
        let endpoints = network.endpoints.iter().zip(&network.clients);
        json!({
            "bench": { "version": env!("CARGO_PKG_VERSION"), "is_development_build": cfg!(debug_assertions) },
            "command": std::env::args().collect::<Vec<_>>(),
            "date": date(SystemTime::now()),
            "machine": Machine::this(),
            "endpoints": endpoints.map(|(endpoint, client)| json!({ "url": endpoint.url(), "client": client })).collect::<Vec<_>>(),
            "chain_id": network.chain_id,
            "fees": match network.fees {
                Fees::Legacy { gas_price } => json!({ "gas_price": gas_price.to_string() }),
                Fees::Dynamic { cap, tip } => json!({ "max_fee_per_gas": cap.to_string(), "max_priority_fee_per_gas": tip.to_string() }),
            },
            "run": { "seed": self.common.seed, "number": self.common.run },
            "result": self.result,
            "outcome": match self.outcome() {
                Outcome::Passed => "passed",
                Outcome::Failed => "failed",
                Outcome::Interrupted => "interrupted",
            },
            "problems": self.problems,
        })
    }

    fn text(&self) -> String {
        let machine = Machine::this();
        let mut clients: Vec<&str> = self.network.clients.iter().map(String::as_str).collect();
        clients.dedup();
        let (clients, endpoints, chain_id) = (clients.join(", "), self.network.clients.len(), self.network.chain_id);
        let mut text = format!("{clients} · endpoints: {endpoints} · chain {chain_id} · {machine}\n");
        for line in &self.lines {
            let _ = writeln!(text, "  {line}");
        }
        let verdict = match self.outcome() {
            Outcome::Passed => "passed",
            Outcome::Failed => "failed",
            Outcome::Interrupted => "interrupted: this is what is known",
        };
        text + verdict
    }
}

/// What the figures were measured on.
#[derive(Debug, Serialize)]
struct Machine {
    cores: usize,
    model: String,
    memory_bytes: u64,
    /// How busy it was with other things: runnable threads over the last minute.
    load: String,
}

impl Machine {
    fn this() -> Machine {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim().to_string())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kilobytes: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        Machine {
            cores: std::thread::available_parallelism().map_or(0, |cores| cores.get()),
            model: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
            memory_bytes: kilobytes * 1_024,
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().into(),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gigabytes = self.memory_bytes as f64 / f64::from(1 << 30);
        write!(f, "{} × {}, {gigabytes:.0} GiB, load {}", self.cores, self.model, self.load)?;
        if cfg!(debug_assertions) {
            write!(f, " · development build of bench: no figure to publish")?;
        }
        Ok(())
    }
}

/// A bar on the terminal; nothing where standard error is none.
pub fn bar(length: u64, what: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{msg:>10} {bar:40} {human_pos}/{human_len} ({elapsed})") {
        bar.set_style(style);
    }
    bar
}

/// 1234567 as 1,234,567.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

/// A moment in UTC, as RFC 3339 writes it.
fn date(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (mut days, time) = (seconds / 86_400, seconds % 86_400);
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_samples() {
        let mut recorder = Recorder::default();
        assert!(recorder.latencies().is_none());
        for ms in (1..=1_000).rev() {
            recorder.record(Duration::from_millis(ms));
        }
        let latencies = recorder.latencies().unwrap();
        let found = [
            latencies.min_ms,
            latencies.p50_ms,
            latencies.p90_ms,
            latencies.p99_ms,
            latencies.p99_9_ms,
            latencies.max_ms,
        ];
        assert_eq!(latencies.count, 1_000);
        for (found, expected) in found.into_iter().zip([1.0, 500.0, 900.0, 990.0, 999.0, 1_000.0]) {
            assert!((found - expected).abs() <= expected * 0.002, "{found} for {expected}");
        }
        assert!((latencies.mean_ms - 500.5).abs() < 1.0);
    }

    #[test]
    fn no_latency_is_out_of_range() {
        let mut recorder = Recorder::default();
        recorder.record(Duration::ZERO);
        recorder.record(Duration::from_secs(1_000_000));
        assert_eq!(recorder.latencies().unwrap().count, 2);
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(at(1_798_761_599), "2026-12-31T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
