//! The figures of all rounds, and their table.

use std::collections::{BTreeMap, HashMap};

/// Name to numbers, as a measurement printed them.
pub type Figures = HashMap<String, Vec<u64>>;

#[derive(Default)]
pub struct Report {
    /// Store, size and name of a figure to its value in each round.
    rounds: BTreeMap<(&'static str, u64, &'static str), Vec<f64>>,
    /// All latencies of all rounds.
    latencies: BTreeMap<(&'static str, u64), Vec<u64>>,
}

impl Report {
    pub fn loaded(&mut self, store: &'static str, bytes: u64) {
        self.add(store, 0, "MB after loading", bytes as f64 / 1e6);
    }

    pub fn ended(&mut self, store: &'static str, bytes: u64) {
        self.add(store, 0, "MB at the end", bytes as f64 / 1e6);
    }

    pub fn reopened(&mut self, store: &'static str, figures: Figures) {
        self.add(store, 0, "reopen after kill -9, ms", first(&figures, "open_us") / 1e3);
    }

    pub fn syncs(&mut self, store: &'static str, size: u64, syncs: f64) {
        self.add(store, size, "syncs", syncs);
    }

    pub fn commits(&mut self, store: &'static str, size: u64, figures: Figures) {
        let latencies = figures.get("commit_us").cloned().unwrap_or_default();
        self.add(store, size, "p50 ms", percentile(&latencies, 50) / 1e3);
        self.latencies.entry((store, size)).or_default().extend(latencies);
        self.add(store, size, "CPU ms", first(&figures, "cpu_us") / 1e3);
        self.add(store, size, "KB written", first(&figures, "written_bytes") / 1e3);
        self.add(store, size, "rows", first(&figures, "rows"));
    }

    pub fn read(&mut self, store: &'static str, size: u64, figures: Figures) {
        self.add(store, size, "thousand reads/s", first(&figures, "reads_per_second") / 1e3);
        self.add(store, size, "p50 ms while read", percentile(&figures["commit_us"], 50) / 1e3);
        self.add(store, 0, "snapshots watched a run", first(&figures, "snapshots_watched"));
    }

    fn add(&mut self, store: &'static str, size: u64, name: &'static str, value: f64) {
        self.rounds.entry((store, size, name)).or_default().push(value);
    }

    pub fn print(&self, stores: &[&'static str], sizes: &[u64]) {
        for size in sizes {
            let names = ["p50 ms", "CPU ms", "KB written", "syncs", "thousand reads/s", "p50 ms while read"];
            let rows = self.rounds.get(&(stores[0], *size, "rows")).cloned().unwrap_or_default();
            println!("\n{} rows a commit", median(rows));
            println!("| {size} a block | {} | p99 ms |", names.join(" | "));
            println!("|---|{}", "---|".repeat(names.len() + 1));
            for store in stores {
                let cells: Vec<_> = names.iter().map(|name| self.cell(stores[0], store, *size, name)).collect();
                let worst = self.latencies.get(&(*store, *size)).map_or(f64::NAN, |all| percentile(all, 99) / 1e3);
                println!("| {store} | {} | {worst:.1} |", cells.join(" | "));
            }
        }
        println!();
        for name in ["MB after loading", "MB at the end", "reopen after kill -9, ms", "snapshots watched a run"] {
            let cells: Vec<_> =
                stores.iter().map(|store| format!("{store} {}", self.cell(stores[0], store, 0, name))).collect();
            println!("{name}: {}", cells.join(" · "));
        }
    }

    /// The median of the rounds, and the median of the ratios to the first store in the same round.
    fn cell(&self, reference: &'static str, store: &'static str, size: u64, name: &'static str) -> String {
        let value = |store| self.rounds.get(&(store, size, name)).cloned().unwrap_or_default();
        let (values, references) = (value(store), value(reference));
        let ratios = values.iter().zip(&references).map(|(value, reference)| value / reference).collect();
        format!("{:.1} (×{:.2})", median(values), median(ratios))
    }
}

fn first(figures: &Figures, name: &str) -> f64 {
    figures.get(name).and_then(|numbers| numbers.first()).map_or(f64::NAN, |number| *number as f64)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn percentile(values: &[u64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() * percent / 100).map_or(f64::NAN, |value| *value as f64)
}
