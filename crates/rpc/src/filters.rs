//! Filters: what a client asked to be told about, and how far it has been told.
//!
//! D3.1 6.1.9.2. A filter is a cursor into the ledger, never a queue: it costs the same whether its owner asks often
//! or not at all. Invariant: at most `most` filters exist, and one that nobody asked about for `idle` is gone.

use crate::error::Failure;
use alloy_primitives::U128;
use alloy_rpc_types_eth::Filter;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a filter is about, and the first thing that its owner has not been told.
#[derive(Clone, Debug)]
pub(crate) enum Watched {
    /// Logs, from this height on.
    Logs { filter: Arc<Filter>, next: u64 },
    /// Blocks, from this height on.
    Blocks { next: u64 },
    /// Admitted transactions, from this arrival on.
    Transactions { cursor: u64, full: bool },
}

struct Entry {
    watched: Watched,
    used: Instant,
}

/// All filters of one ledger.
pub(crate) struct Filters {
    entries: Mutex<HashMap<U128, Entry>>,
    most: usize,
    idle: Duration,
}

impl Filters {
    pub(crate) fn new(most: usize, idle: Duration) -> Filters {
        Filters { entries: Mutex::default(), most, idle }
    }

    /// Installs a filter. Ids are random, so that one client cannot guess another's.
    pub(crate) fn install(&self, watched: Watched) -> Result<U128, Failure> {
        let mut entries = self.entries.lock();
        if entries.len() >= self.most {
            let now = Instant::now();
            entries.retain(|_, entry| now.duration_since(entry.used) < self.idle);
        }
        if entries.len() >= self.most {
            return Err(Failure::limit(format!("too many filters: {} are installed; try again later", self.most)));
        }
        let id = U128::from(rand::random::<u128>());
        entries.insert(id, Entry { watched, used: Instant::now() });
        Ok(id)
    }

    /// Removes a filter; says whether it was there.
    pub(crate) fn uninstall(&self, id: &U128) -> bool {
        self.entries.lock().remove(id).is_some_and(|entry| entry.used.elapsed() < self.idle)
    }

    /// The filter as it stands.
    pub(crate) fn get(&self, id: &U128) -> Result<Watched, Failure> {
        let mut entries = self.entries.lock();
        match entries.get_mut(id) {
            Some(entry) if entry.used.elapsed() < self.idle => {
                entry.used = Instant::now();
                Ok(entry.watched.clone())
            }
            _ => {
                entries.remove(id);
                Err(Failure::not_found("filter not found"))
            }
        }
    }

    /// Moves a filter on, after its owner has been told. Of two that ask at once, the later answer stands.
    pub(crate) fn advance(&self, id: &U128, watched: Watched) {
        if let Some(entry) = self.entries.lock().get_mut(id) {
            entry.watched = watched;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_and_forgotten() {
        let filters = Filters::new(2, Duration::from_secs(3600));
        let first = filters.install(Watched::Blocks { next: 1 }).unwrap();
        filters.install(Watched::Blocks { next: 1 }).unwrap();
        assert_eq!(filters.install(Watched::Blocks { next: 1 }).unwrap_err().code(), -32005);
        assert!(filters.uninstall(&first) && !filters.uninstall(&first));
        assert_eq!(filters.get(&first).unwrap_err().code(), -32000);

        let hasty = Filters::new(1, Duration::ZERO);
        let gone = hasty.install(Watched::Blocks { next: 1 }).unwrap();
        assert!(hasty.get(&gone).is_err());
        let again = hasty.install(Watched::Blocks { next: 1 }).unwrap();
        assert!(hasty.install(Watched::Blocks { next: 1 }).is_ok(), "an idle filter makes room");
        assert!(!hasty.uninstall(&again));
    }

    #[test]
    fn moves_on() {
        let filters = Filters::new(1, Duration::from_secs(3600));
        let id = filters.install(Watched::Blocks { next: 1 }).unwrap();
        filters.advance(&id, Watched::Blocks { next: 7 });
        assert!(matches!(filters.get(&id), Ok(Watched::Blocks { next: 7 })));
    }
}
