//! One ledger as it is served: its chain, what the node adds to it, and what its clients left here.
//!
//! D3.1 6.3.1. A ledger is a value: nothing here is shared between two of them but the lanes.

use crate::filters::Filters;
use crate::lane::Lanes;
use crate::options::{LedgerApi, Limits, Options, Status};
use crate::recent::Recent;
use chain::Chain;
use crypto::AccountKey;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// What every method of one ledger works with.
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) chain: Chain,
    pub(crate) signers: Vec<AccountKey>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) read_only: bool,
    pub(crate) client_version: String,
    pub(crate) filters: Filters,
    pub(crate) recent: Recent,
    pub(crate) sync_waits: Semaphore,
    pub(crate) subscriptions: Semaphore,
    /// Held from choosing a nonce to submitting, so that two requests of one development account do not choose the
    /// same.
    pub(crate) signing: Mutex<()>,
}

impl Served {
    pub(crate) fn new(api: LedgerApi, options: &Options, lanes: Arc<Lanes>, limits: Arc<Limits>) -> Served {
        Served {
            name: api.name,
            chain: api.chain,
            signers: api.signers,
            status: api.status,
            lanes,
            read_only: options.read_only,
            client_version: options.client_version.clone(),
            filters: Filters::new(limits.filters, limits.filter_idle),
            recent: Recent::new(),
            sync_waits: Semaphore::new(limits.sync_waits),
            subscriptions: Semaphore::new(limits.subscriptions_all),
            signing: Mutex::default(),
            limits,
        }
    }
}
