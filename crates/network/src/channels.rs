//! The channels between two nodes, divided by ledger.
//!
//! D3.1 6.1.2. Each channel has its own quota, so that no kind of message can starve another. A message starts with
//! the ledger that it belongs to; what belongs to a ledger that this node does not hold is dropped.

use crate::Bounded;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::utils::mux::{self, MuxHandle, Muxer, SubReceiver, SubSender};
use commonware_p2p::{Receiver, Sender};
use commonware_runtime::{Quota, Spawner};
use commonware_utils::NZU32;
use std::num::NonZeroU32;

/// Two ends of a channel.
pub type Channel<S, R> = (S, R);

/// A channel's sending end within one ledger.
pub type LedgerSender<S> = SubSender<Bounded<S>>;

/// All channels: of a connection (`S`, `R` are the transport's), or of one ledger on it.
pub struct Channels<S, R> {
    /// Votes.
    pub votes: Channel<S, R>,
    /// Certificates.
    pub certificates: Channel<S, R>,
    /// Requests for missing certificates.
    pub resolver: Channel<S, R>,
    /// Requests for missing blocks.
    pub backfill: Channel<S, R>,
    /// New blocks.
    pub blocks: Channel<S, R>,
    /// Transactions.
    pub transactions: Channel<S, R>,
    /// Signs of life.
    pub presence: Channel<S, R>,
}

/// What each peer may send, by channel. The burst is memory: so many slots are kept for every peer.
#[derive(Clone, Copy, Debug)]
pub struct Quotas;

impl Quotas {
    /// In the order of [`Channels`]: number on the wire and quota.
    pub const ALL: [(u64, fn() -> Quota); 7] = [
        (0, || quota(NZU32!(4_000), NZU32!(512))),
        (1, || quota(NZU32!(4_000), NZU32!(512))),
        (2, || quota(NZU32!(4_000), NZU32!(512))),
        (3, || quota(NZU32!(1_000), NZU32!(128))),
        (4, || quota(NZU32!(500), NZU32!(64))),
        (5, || quota(NZU32!(400), NZU32!(64))),
        (6, || quota(NZU32!(40), NZU32!(16))),
    ];
}

fn quota(per_second: NonZeroU32, burst: NonZeroU32) -> Quota {
    Quota::per_second(per_second).allow_burst(burst)
}

impl<S, R> Channels<S, R> {
    /// Opens each channel with `register`, which gets its number and quota.
    pub fn register(mut register: impl FnMut(u64, Quota) -> Channel<S, R>) -> Channels<S, R> {
        let [votes, certificates, resolver, backfill, blocks, transactions, presence] =
            Quotas::ALL.map(|(number, quota)| register(number, quota()));
        Channels { votes, certificates, resolver, backfill, blocks, transactions, presence }
    }
}

/// Why a ledger gets no channels.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the ledger's channels: {0}")]
pub struct TransportError(#[from] mux::Error);

/// A node's connections, ready to be divided by ledger.
pub struct Transport<P, B, S: Sender> {
    /// Knows the peers.
    pub provider: P,
    /// Blocks peers that misbehave.
    pub blocker: B,
    handles: [MuxHandle<Bounded<S>>; 7],
}

impl<P, B, S: Sender<PublicKey = PublicKey>> Transport<P, B, S> {
    /// Divides `channels`, whose messages may have `message_bytes_max` bytes.
    pub fn new<E: Spawner, R: Receiver<PublicKey = PublicKey>>(
        context: &E,
        provider: P,
        blocker: B,
        channels: Channels<S, R>,
        message_bytes_max: usize,
    ) -> Self {
        let divide = |label, (sender, receiver)| {
            let (mux, handle) = Muxer::new(context.child(label), Bounded::new(sender, message_bytes_max), receiver);
            mux.start();
            handle
        };
        let handles = [
            divide("votes", channels.votes),
            divide("certificates", channels.certificates),
            divide("resolver", channels.resolver),
            divide("backfill", channels.backfill),
            divide("blocks", channels.blocks),
            divide("transactions", channels.transactions),
            divide("presence", channels.presence),
        ];
        Transport { provider, blocker, handles }
    }

    /// Opens the channels of one ledger, once.
    pub async fn ledger(
        &mut self,
        ledger: u64,
    ) -> Result<Channels<LedgerSender<S>, SubReceiver<PublicKey>>, TransportError> {
        let [votes, certificates, resolver, backfill, blocks, transactions, presence] = &mut self.handles;
        Ok(Channels {
            votes: votes.register(ledger).await?,
            certificates: certificates.register(ledger).await?,
            resolver: resolver.register(ledger).await?,
            backfill: backfill.register(ledger).await?,
            blocks: blocks.register(ledger).await?,
            transactions: transactions.register(ledger).await?,
            presence: presence.register(ledger).await?,
        })
    }
}
