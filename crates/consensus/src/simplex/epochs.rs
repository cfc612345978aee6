//! One engine per epoch: started on the block before the epoch, ended when the epoch's last block is durable.
//!
//! D3.1 6.2.2. Each epoch has its own channels, inside the ledger's, and its own journal. The order at a boundary:
//!
//! ```text
//!   last block committed ─▶ next engine runs ─▶ old engine ends ─▶ block acknowledged
//! ```
//!
//! so that a crash anywhere in between finds the boundary again. A peer's message of a later epoch shows that this node
//! lags; it then asks that peer for the end of its own epoch, and hops on, epoch by epoch.

use super::application::Application;
use super::committee::{Committee, Elector, Schemes};
use super::lane::Boundary;
use super::{Channel, Marshal, RunError, digest::Digest, scheme::Scheme, settings};
use commonware_consensus::Reporters;
use commonware_consensus::simplex::{self, Engine, Floor, ForwardPolicy, SkipBudget, SkipPolicy};
use commonware_consensus::types::{Epoch, ViewDelta};
use commonware_cryptography::ed25519::PublicKey;
use commonware_macros::select;
use commonware_p2p::utils::mux::{Builder as _, MuxHandle, Muxer};
use commonware_p2p::{Blocker, Message, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle, Metrics, Spawner, Storage, buffer::paged::CacheRef};
use commonware_utils::acknowledgement::Acknowledgement as _;
use commonware_utils::{NZDuration, NZU64, NZUsize, channel::mpsc, vec::NonEmptyVec};
use rand_core::CryptoRng;
use std::time::Duration;

/// What every epoch's engine is made of.
pub struct Parts<E, B> {
    /// Answers the engine.
    pub application: Application<E>,
    /// Keeps its blocks.
    pub marshal: Marshal,
    /// Signs.
    pub schemes: Schemes,
    /// Who takes part.
    pub committee: Committee,
    /// Blocks peers that misbehave.
    pub blocker: B,
    /// Prefix of the journals' names.
    pub partition: String,
    /// Pages of journals in memory.
    pub cache: CacheRef,
}

/// The engines' channels of one ledger, to be divided by epoch.
pub struct Channels<S: Sender> {
    votes: MuxHandle<S>,
    certificates: MuxHandle<S>,
    resolver: MuxHandle<S>,
    /// Votes of epochs that have no engine here.
    strangers: mpsc::Receiver<(u64, Message<PublicKey>)>,
}

impl<S: Sender<PublicKey = PublicKey>> Channels<S> {
    /// Divides the three channels.
    pub fn new<E: Spawner, R: Receiver<PublicKey = PublicKey>>(
        context: &E,
        votes: Channel<S, R>,
        certificates: Channel<S, R>,
        resolver: Channel<S, R>,
    ) -> Channels<S> {
        let (mux, votes, strangers) = Muxer::builder(context.child("votes"), votes.0, votes.1).with_backup().build();
        mux.start();
        let (mux, certificates) = Muxer::new(context.child("certificates"), certificates.0, certificates.1);
        mux.start();
        let (mux, resolver) = Muxer::new(context.child("resolver"), resolver.0, resolver.1);
        mux.start();
        Channels { votes, certificates, resolver, strangers }
    }
}

/// Runs the epochs one after the other.
pub struct Epochs<E, B, S: Sender> {
    context: E,
    parts: Parts<E, B>,
    channels: Channels<S>,
    boundaries: mpsc::UnboundedReceiver<Boundary>,
}

impl<E, B, S> Epochs<E, B, S>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    B: Blocker<PublicKey = PublicKey> + Sync,
    S: Sender<PublicKey = PublicKey>,
{
    /// Not started yet.
    pub fn new(
        context: E,
        parts: Parts<E, B>,
        channels: Channels<S>,
        boundaries: mpsc::UnboundedReceiver<Boundary>,
    ) -> Self {
        Epochs { context, parts, channels, boundaries }
    }

    /// Runs from `epoch`, starting at the latest block known to be final in it, until the node stops or an engine ends.
    pub async fn run(mut self, mut epoch: Epoch, floor: Floor<Scheme, Digest>) -> RunError {
        let mut engine = match self.enter(epoch, floor).await {
            Ok(engine) => engine,
            Err(error) => return error,
        };
        loop {
            select! {
                ended = &mut engine => {
                    return RunError::Ended("the epoch's engine", ended.err());
                },
                boundary = self.boundaries.recv() => {
                    let Some(boundary) = boundary else { return RunError::Ended("the lane", None) };
                    let next = self.epoch_after(&boundary);
                    if next <= epoch {
                        boundary.ack.acknowledge();
                        continue;
                    }
                    let started = match self.enter(next, Floor::Genesis(boundary.hash.into())).await {
                        Ok(started) => started,
                        Err(error) => return error,
                    };
                    std::mem::replace(&mut engine, started).abort();
                    self.forget_before(epoch).await;
                    epoch = next;
                    boundary.ack.acknowledge();
                },
                message = self.channels.strangers.recv() => {
                    let Some((theirs, (peer, _))) = message else { return RunError::Ended("the vote channel", None) };
                    self.catch_up(epoch, Epoch::new(theirs), peer);
                },
            }
        }
    }

    fn epoch_after(&self, boundary: &Boundary) -> Epoch {
        let ended = self.parts.committee.epoch_of(boundary.height.get()).map(|info| info.epoch());
        ended.map_or(Epoch::zero(), |epoch| epoch.next())
    }

    /// A peer is in a later epoch: the end of ours must be final.
    fn catch_up(&self, ours: Epoch, theirs: Epoch, peer: PublicKey) {
        if let Some(last) = self.parts.committee.last(ours).filter(|_| theirs > ours) {
            self.parts.marshal.hint_finalized(last, NonEmptyVec::new(peer));
        }
    }

    fn journal(&self, epoch: Epoch) -> String {
        journal(&self.parts.partition, epoch)
    }

    /// The journal of the epoch before the one that just ended serves nobody any more.
    async fn forget_before(&self, ended: Epoch) {
        if let Some(older) = ended.previous()
            && let Err(error) = self.context.remove(&self.journal(older), None).await
        {
            tracing::debug!(%older, %error, "no journal to remove");
        }
    }

    async fn enter(&mut self, epoch: Epoch, floor: Floor<Scheme, Digest>) -> Result<Handle<()>, RunError> {
        let channel = epoch.get();
        let votes = self.channels.votes.register(channel).await?;
        let certificates = self.channels.certificates.register(channel).await?;
        let resolver = self.channels.resolver.register(channel).await?;
        tracing::info!(%epoch, "epoch begins");
        let context = self.context.child("engine").with_attribute("epoch", epoch);
        let engine = Engine::new(context, self.config(epoch, floor));
        Ok(engine.start(votes, certificates, resolver))
    }

    #[allow(clippy::type_complexity)]
    fn config(
        &self,
        epoch: Epoch,
        floor: Floor<Scheme, Digest>,
    ) -> simplex::Config<
        Scheme,
        Elector,
        B,
        Digest,
        Application<E>,
        Application<E>,
        Reporters<Application<E>, Marshal>,
        Sequential,
    > {
        let Parts { application, marshal, schemes, blocker, cache, .. } = &self.parts;
        simplex::Config {
            scheme: schemes.of(epoch),
            elector: Elector::default(),
            blocker: blocker.clone(),
            automaton: application.clone(),
            relay: application.clone(),
            reporter: Reporters::from((Some(application.clone()), Some(marshal.clone()))),
            track_historical_votes: false,
            strategy: Sequential,
            partition: self.journal(epoch),
            mailbox_size: settings::MAILBOX,
            epoch,
            floor,
            replay_buffer: NZUsize!(1024 * 1024),
            write_buffer: NZUsize!(64 * 1024),
            page_cache: cache.clone(),
            leader_timeout: settings::LEADER_TIMEOUT,
            certification_timeout: settings::CERTIFICATION_TIMEOUT,
            timeout_retry: settings::RETRY,
            view_retention: ViewDelta::new(settings::VIEW_RETENTION),
            skip: SkipPolicy::Enabled { timeout: settings::SKIP, budget: SkipBudget::Fixed(NZU64!(64)) },
            fetch_timeout: NZDuration!(Duration::from_secs(1)),
            fetch_retry_delay: Duration::from_millis(100),
            forward: ForwardPolicy::Disabled,
        }
    }
}

/// The partition of an epoch's journal.
pub fn journal(prefix: &str, epoch: Epoch) -> String {
    format!("{prefix}-journal-{epoch}")
}
