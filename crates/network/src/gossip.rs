//! Transaction gossip in batches, without echo.
//!
//! D3.1 6.1.3. A node sends what its own clients handed it, to all peers at once; what came from a peer is not sent on,
//! for whoever had it first has told everyone. Nothing is lost for good: a peer that appears gets all that waits, and
//! what is not in a block after a second is sent again. Received batches are admitted on their own thread, through
//! a queue that drops when it is full.

use crate::presence::Presence;
use alloy_eips::eip2718::Encodable2718;
use bytes::Bytes;
use chain::{Chain, Origin, Pooled};
use commonware_codec::{Decode as _, Encode, RangeCfg};
use commonware_cryptography::ed25519::PublicKey;
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::telemetry::metrics::{Counter, MetricsExt as _};
use commonware_runtime::{Clock, Handle, Metrics, Spawner};
use commonware_utils::channel::{mpsc, watch};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Transactions in one message.
pub const BATCH_COUNT_MAX: usize = 1024;
/// Bytes of transactions in one message.
pub const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Bytes of one transaction: the pool's own limit is lower.
const TRANSACTION_BYTES_MAX: usize = BATCH_BYTES_MAX;
/// Received batches that wait for admission.
const QUEUE: usize = 64;
/// The least time between two batches, so that a busy node sends fewer and larger ones.
const GAP: Duration = Duration::from_millis(5);
/// What waits longer than this is sent again.
const RESEND: Duration = Duration::from_secs(1);
/// So many at a time, the oldest first.
const RESEND_COUNT_MAX: usize = 2 * BATCH_COUNT_MAX;

/// Starts sending and receiving. If the task ends, the channel is closed.
pub fn start<E, S, R>(
    context: E,
    chain: Chain,
    (sender, receiver): (S, R),
    presence: watch::Receiver<Presence>,
) -> Handle<()>
where
    E: Clock + Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    context.spawn(move |context| async move {
        let (queue, batches) = mpsc::channel(QUEUE);
        let counts = Counts::new(&context);
        let admission = admit(chain.clone(), batches);
        let parts = [
            context.child("admission").dedicated().spawn(move |_| admission),
            context.child("receive").spawn(move |_| receive(receiver, queue, counts)),
            context
                .child("send")
                .spawn(move |context| Outbox { context, chain, sender, sent: 0, again: 0 }.run(presence)),
        ];
        let _ = Handle::select(parts).await;
    })
}

struct Counts {
    received: Counter,
    undecodable: Counter,
    dropped: Counter,
}

impl Counts {
    fn new(context: &impl Metrics) -> Counts {
        Counts {
            received: context.counter("batches_received", "Batches of transactions that peers sent"),
            undecodable: context.counter("batches_undecodable", "Batches that were malformed or too large"),
            dropped: context.counter("batches_dropped", "Batches dropped because admission was busy"),
        }
    }
}

fn limits() -> (RangeCfg<usize>, RangeCfg<usize>) {
    (RangeCfg::from(1..=BATCH_COUNT_MAX), RangeCfg::from(1..=TRANSACTION_BYTES_MAX))
}

fn decode(message: impl commonware_codec::Buf) -> Option<Vec<Bytes>> {
    if message.remaining() > message_bytes_max() {
        return None;
    }
    Vec::<Bytes>::decode_cfg(message, &limits()).ok()
}

/// The longest message, in bytes: a length before the batch and before each transaction.
pub const fn message_bytes_max() -> usize {
    BATCH_BYTES_MAX + 5 * (BATCH_COUNT_MAX + 1)
}

async fn receive<R: Receiver<PublicKey = PublicKey>>(mut receiver: R, queue: mpsc::Sender<Vec<Bytes>>, counts: Counts) {
    while let Ok((peer, message)) = receiver.recv().await {
        counts.received.inc();
        match decode(message) {
            None => {
                counts.undecodable.inc();
                tracing::debug!(%peer, "undecodable batch of transactions");
            }
            Some(batch) => {
                if queue.try_send(batch).is_err() {
                    counts.dropped.inc();
                }
            }
        }
    }
}

async fn admit(chain: Chain, mut batches: mpsc::Receiver<Vec<Bytes>>) {
    while let Some(batch) = batches.recv().await {
        let batch = batch.into_iter().map(types::Bytes::from).collect();
        let refused = chain.submit_batch(batch, Origin::Peer).into_iter().filter(Result::is_err).count();
        if refused > 0 {
            tracing::trace!(refused, "a peer's transactions were refused");
        }
    }
}

struct Outbox<E, S> {
    context: E,
    chain: Chain,
    sender: S,
    /// Place in the order of arrival behind what was sent.
    sent: u64,
    /// Where the next round of sending again goes on.
    again: u64,
}

impl<E: Clock, S: Sender<PublicKey = PublicKey>> Outbox<E, S> {
    async fn run(mut self, mut presence: watch::Receiver<Presence>) {
        let mut fresh = self.chain.fresh();
        let mut known = BTreeSet::new();
        // What had been sent one period ago: all of it that still waits is overdue.
        let mut overdue = 0;
        let mut tick = self.context.current() + RESEND;
        loop {
            select! {
                changed = presence.changed() => {
                    if changed.is_err() { return }
                    let peers = presence.borrow_and_update().peers.clone();
                    let new: Vec<_> = peers.difference(&known).cloned().collect();
                    if !new.is_empty() {
                        let (waiting, _) = self.chain.local_since(0, RESEND_COUNT_MAX);
                        self.send(&Recipients::Some(new), &waiting);
                    }
                    known = peers;
                },
                _ = self.context.sleep_until(tick) => {
                    self.send_again(overdue);
                    overdue = self.sent;
                    tick = self.context.current() + RESEND;
                },
                // Last, because under load it is always ready, and the first that is ready is taken.
                changed = fresh.changed() => {
                    if changed.is_err() { return }
                    self.send_fresh(&known);
                    self.context.sleep(GAP).await;
                },
            }
        }
    }

    fn send_fresh(&mut self, known: &BTreeSet<PublicKey>) {
        loop {
            let (waiting, next) = self.chain.local_since(self.sent, BATCH_COUNT_MAX);
            self.sent = next;
            if waiting.is_empty() {
                return;
            }
            if !known.is_empty() {
                self.send(&Recipients::All, &waiting);
            }
        }
    }

    /// Sends to all what waits in the pool since before `until`: a part each time, round and round, so that what can
    /// never go into a block does not keep the rest back.
    fn send_again(&mut self, until: u64) {
        let (mut waiting, next) = self.chain.local_since(self.again, RESEND_COUNT_MAX);
        let all = waiting.len() < RESEND_COUNT_MAX || next >= until;
        self.again = if all { 0 } else { next };
        waiting.retain(|entry| entry.arrival < until);
        self.send(&Recipients::All, &waiting);
    }

    fn send(&mut self, recipients: &Recipients<PublicKey>, waiting: &[Arc<Pooled>]) {
        for batch in batches(waiting) {
            let _ = self.sender.send(recipients.clone(), batch.encode(), false);
        }
    }
}

/// Cuts transactions into messages.
fn batches(waiting: &[Arc<Pooled>]) -> Vec<Vec<Bytes>> {
    let mut batches = vec![Vec::new()];
    let mut bytes = 0;
    for entry in waiting {
        let encoded = Bytes::from(entry.transaction.inner().encoded_2718());
        let last = batches.last().map_or(0, Vec::len);
        if last == BATCH_COUNT_MAX || (last > 0 && bytes + encoded.len() > BATCH_BYTES_MAX) {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += encoded.len();
        if let Some(batch) = batches.last_mut() {
            batch.push(encoded);
        }
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_survives_the_wire_and_a_strange_one_is_none() {
        let batch = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        let encoded = batch.encode();
        assert_eq!(decode(encoded.clone()), Some(batch));
        for length in 0..encoded.len() {
            assert_eq!(decode(encoded.slice(..length)), None);
        }
        assert_eq!(decode(Bytes::from([&encoded[..], &[0]].concat())), None, "nothing may follow");
        assert_eq!(decode(Vec::<Bytes>::new().encode()), None, "empty");
        assert_eq!(decode(Bytes::from(vec![0xff; 64])), None);
        assert_eq!(decode(vec![Bytes::from_static(b"x"); BATCH_COUNT_MAX + 1].encode()), None, "too many");
        assert_eq!(decode(Bytes::from(vec![1; message_bytes_max() + 1])), None, "too long");
    }
}
