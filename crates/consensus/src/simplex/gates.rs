//! What a node knows of the candidates it proposed or checks, between the engine's questions about them.
//!
//! D3.1 6.1.5. Three things are remembered per round and digest: a proposal that waits to be sent, and the promise that
//! a candidate is durable, which certification waits for. Invariant: a finalize vote is cast only for a block that
//! this node could serve after a crash.

use super::{block::Block, digest::Digest};
use commonware_consensus::types::Round;
use commonware_cryptography::Digested;
use commonware_runtime::{Error, Handle};
use commonware_utils::channel::oneshot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A proposal that was announced to the engine and not sent yet.
pub struct Staged {
    /// The proposal.
    pub block: Digested<Block>,
    /// Takes the handle of the write that makes it durable.
    pub ack: oneshot::Sender<Handle<()>>,
}

#[derive(Default)]
struct Inner {
    /// Resolve to `true` when the candidate is durable; dropped where that is not known.
    durable: BTreeMap<(Round, Digest), oneshot::Receiver<bool>>,
    staged: BTreeMap<(Round, Digest), Staged>,
    /// Sent already; a candidate goes out once per round.
    sent: BTreeSet<(Round, Digest)>,
    /// Everything at or below this round is settled.
    settled: Option<Round>,
}

/// Shared by the engine's automaton, relay and reporter.
#[derive(Clone, Default)]
pub struct Gates(Arc<Mutex<Inner>>);

impl Gates {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the promise that a candidate under verification becomes durable.
    pub fn expect(&self, round: Round, digest: Digest, durable: oneshot::Receiver<bool>) {
        self.lock().durable.insert((round, digest), durable);
    }

    /// Stages a proposal, tells the engine through `publish`, and keeps the promise of durability once it is written.
    pub async fn stage(&self, round: Round, block: Digested<Block>, publish: impl FnOnce(Digest)) {
        let digest = commonware_cryptography::Digestible::digest(&block);
        let (promise, durable) = oneshot::channel();
        let (ack, written) = oneshot::channel();
        {
            let mut inner = self.lock();
            inner.durable.insert((round, digest), durable);
            if inner.settled.is_some_and(|settled| round <= settled) {
                inner.sent.insert((round, digest));
            }
            inner.staged.insert((round, digest), Staged { block, ack });
        }
        publish(digest);
        if let Ok(handle) = written.await
            && is_durable(handle, round).await
        {
            let _ = promise.send(true);
        }
    }

    /// Takes the staged proposal for sending, and whether it was sent before.
    pub fn take(&self, round: Round, digest: Digest) -> Option<(Staged, bool)> {
        let mut inner = self.lock();
        let staged = inner.staged.remove(&(round, digest))?;
        let sent = !inner.sent.insert((round, digest));
        Some((staged, sent))
    }

    /// Takes the promise of durability for certification, and the proposal if it was never sent.
    pub fn claim(&self, round: Round, digest: Digest) -> (Option<oneshot::Receiver<bool>>, Option<Staged>) {
        let mut inner = self.lock();
        (inner.durable.remove(&(round, digest)), inner.staged.remove(&(round, digest)))
    }

    /// Forgets everything up to `round`.
    pub fn settle(&self, round: Round) {
        let mut inner = self.lock();
        inner.settled = inner.settled.max(Some(round));
        inner.durable.retain(|(of, _), _| *of > round);
        inner.staged.retain(|(of, _), _| *of > round);
        inner.sent.retain(|(of, _)| *of > round);
    }
}

/// Waits for a write. `false` at shutdown.
///
/// # Panics
/// If the write failed: to vote on would mean to promise what is lost.
async fn is_durable(handle: Handle<()>, round: Round) -> bool {
    match handle.await {
        Ok(()) => true,
        Err(Error::Closed | Error::Aborted) => false,
        Err(error) => panic!("cannot keep the proposal of {round}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_consensus::types::{Epoch, View};
    use futures::FutureExt;
    use types::{BlockBody, Header};

    fn round(view: u64) -> Round {
        Round::new(Epoch::zero(), View::new(view))
    }

    fn block() -> Digested<Block> {
        Block::new(Arc::new(types::Block::new(Header::default(), BlockBody::default()))).digested()
    }

    #[test]
    fn a_proposal_goes_out_once() {
        let gates = Gates::default();
        let mut published = None;
        assert!(gates.stage(round(1), block(), |digest| published = Some(digest)).now_or_never().is_none());
        let digest = published.unwrap();
        assert!(!gates.take(round(1), digest).unwrap().1);
        assert!(gates.take(round(1), digest).is_none());
        let _ = gates.stage(round(1), block(), |_| ()).now_or_never();
        assert!(gates.take(round(1), digest).unwrap().1, "staged again, sent already");
    }

    #[test]
    fn settled_rounds_are_forgotten() {
        let gates = Gates::default();
        let mut digest = Digest::from(alloy_primitives::B256::ZERO);
        let _ = gates.stage(round(1), block(), |of| digest = of).now_or_never();
        let _ = gates.stage(round(2), block(), |_| ()).now_or_never();
        gates.settle(round(1));
        assert!(gates.take(round(1), digest).is_none());
        let (promise, staged) = gates.claim(round(2), digest);
        assert!(promise.is_some() && staged.is_some());
        let _ = gates.stage(round(1), block(), |_| ()).now_or_never();
        assert!(gates.take(round(1), digest).unwrap().1, "a build that ends late is not sent");
    }
}
