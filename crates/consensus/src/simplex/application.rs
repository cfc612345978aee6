//! What the engine asks of a ledger: propose, verify, certify, relay, deliver.
//!
//! D3.1 6.1.5.2, 6.1.6.1. The engine's four faces on the node:
//!
//! ```text
//!   simplex ── propose, verify, certify ──▶ Application ──▶ lane ──▶ Chain
//!           ── broadcast ─────────────────▶     │
//!           ── report ────────────────────▶     └──▶ marshal (blocks: store, relay, backfill) ── final blocks ──▶ lane
//! ```
//!
//! Invariants: an answer `false` means that the block can never be valid in that round; whoever cannot decide stays
//! silent until the round is over. A finalize vote is cast only for a block that is on this node's disk.

mod ancestry;
mod propose;
mod verify;

use super::{Marshal, block::Block, committee::Committee, digest::Digest, gates::Gates, gates::Staged, lane};
use super::{finality::Certificate, scheme::Scheme};
use crate::status::Publisher;
use chain::Chain;
use commonware_actor::Feedback;
use commonware_consensus::marshal::{Update, core::DigestFallback};
use commonware_consensus::simplex::Plan;
use commonware_consensus::simplex::types::{Activity, Context};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_consensus::{Automaton, CertifiableAutomaton, Epochable, Relay, Reporter, Viewable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_macros::select;
use commonware_p2p::Recipients;
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Spawner};
use commonware_utils::channel::{oneshot, watch};
use rand_core::CryptoRng;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The engine's context of a proposal, with our digest and keys.
pub type Slotted = Context<Digest, PublicKey>;

/// A proposal whose time is further ahead of the local clock waits until it no longer is. Never a reason for `false`:
/// clocks differ between honest nodes, and the engine needs equal answers.
const CLOCK_DRIFT: Duration = Duration::from_secs(5);

/// Everything that an engine's question needs for its answer.
pub struct Application<E> {
    context: Arc<E>,
    parts: Parts,
}

/// The parts that do not depend on the runtime.
#[derive(Clone)]
pub struct Parts {
    /// The waist; asked directly only for what it has in memory.
    pub chain: Chain,
    /// Work for the chain.
    pub lane: lane::Mailbox,
    /// The engine's keeper of blocks.
    pub marshal: Marshal,
    /// Who takes part.
    pub committee: Committee,
    /// Signs, or refuses.
    pub scheme: Scheme,
    /// Between the engine's questions.
    pub gates: Gates,
    /// Peers of the committee in reach, without this node.
    pub connected: watch::Receiver<usize>,
    /// For the rest of the node.
    pub status: Publisher,
}

impl<E> Clone for Application<E> {
    fn clone(&self) -> Self {
        Application { context: self.context.clone(), parts: self.parts.clone() }
    }
}

impl<E: Clock + Spawner> Application<E> {
    /// Spawns its work under `context`.
    pub fn new(context: E, parts: Parts) -> Self {
        Application { context: Arc::new(context), parts }
    }

    fn now_ms(&self) -> u64 {
        let since = self.context.current().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep_until_ms(&self, time_ms: u64) {
        self.context.sleep_until(instant(time_ms)).await;
    }
}

fn instant(time_ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(time_ms)).unwrap_or(UNIX_EPOCH)
}

impl<E: Clock + Spawner> Automaton for Application<E> {
    type Context = Slotted;
    type Digest = Digest;

    async fn propose(&mut self, context: Slotted) -> oneshot::Receiver<Digest> {
        let (mut answer, receiver) = oneshot::channel();
        let application = self.clone();
        self.context.child("propose").spawn(move |_| async move {
            let round = context.round;
            let proposal = select! {
                _ = answer.closed() => None,
                proposal = application.build(context) => proposal,
            };
            // Dropping the answer passes the turn: the others nullify the view.
            let Some(block) = proposal else { return };
            let publish = |digest| {
                let _ = answer.send(digest);
            };
            application.parts.gates.stage(round, block, publish).await;
        });
        receiver
    }

    async fn verify(&mut self, context: Slotted, digest: Digest) -> oneshot::Receiver<bool> {
        let (mut answer, receiver) = oneshot::channel();
        // The wait for the block is registered before the promise: the block can then not slip through in between.
        let block = self.parts.marshal.subscribe_by_digest(digest, DigestFallback::Wait);
        let (promise, durable) = oneshot::channel();
        self.parts.gates.expect(context.round, digest, durable);
        let application = self.clone();
        self.context.child("verify").spawn(move |_| async move {
            let block = select! {
                _ = answer.closed() => return,
                block = block => block,
            };
            let Ok(block) = block else { return };
            // The candidate is written while it is checked; certification waits for the write, the vote does not.
            let write = async {
                if application.parts.marshal.verified(context.round, block.clone()).await {
                    let _ = promise.send(true);
                }
            };
            let check = async {
                let verdict = select! {
                    _ = answer.closed() => None,
                    verdict = application.check(&context, digest, &block) => verdict,
                };
                if let Some(verdict) = verdict {
                    let _ = answer.send(verdict);
                }
            };
            futures::join!(write, check);
        });
        receiver
    }
}

impl<E: Clock + Spawner> CertifiableAutomaton for Application<E> {
    /// Waits until the block is durable here. A notarized block was checked by a quorum, so the answer is never `false`.
    async fn certify(&mut self, round: Round, digest: Digest) -> oneshot::Receiver<bool> {
        let (mut answer, receiver) = oneshot::channel();
        let marshal = self.parts.marshal.clone();
        let (promise, staged) = self.parts.gates.claim(round, digest);
        if let Some(Staged { block, ack }) = staged {
            marshal.verified_deferred(round, block, ack);
        }
        if promise.is_some() {
            marshal.hint_notarized(round, digest);
        }
        self.context.child("certify").spawn(move |_| async move {
            let certified = async {
                if let Some(promise) = promise
                    && promise.await == Ok(true)
                {
                    return true;
                }
                let fallback = DigestFallback::FetchByRound { round };
                let Ok(block) = marshal.subscribe_by_digest(digest, fallback).await else { return false };
                marshal.certified(round, block).await
            };
            let certified = select! {
                _ = answer.closed() => false,
                certified = certified => certified,
            };
            if certified {
                let _ = answer.send(true);
            }
        });
        receiver
    }
}

impl<E: Clock + Spawner> Relay for Application<E> {
    type Digest = Digest;
    type PublicKey = PublicKey;
    type Plan = Plan<PublicKey>;

    fn broadcast(&mut self, digest: Digest, plan: Plan<PublicKey>) -> Feedback {
        let Parts { gates, marshal, .. } = &self.parts;
        match plan {
            Plan::Propose { round } => match gates.take(round, digest) {
                Some((Staged { block, ack }, false)) => marshal.proposed(round, block, Recipients::All, ack),
                Some((Staged { block, ack }, true)) => {
                    marshal.verified_deferred(round, block, ack);
                    Feedback::Ok
                }
                None => Feedback::Ok,
            },
            Plan::Forward { round, recipients } => marshal.forward(round, digest, recipients),
            // Proposals are made on certified parents only, so that nothing is ever sent ahead.
            Plan::Prepare { .. } => Feedback::Ok,
        }
    }
}

/// Follows the engine's activity: settles what is decided and keeps the status.
impl<E: Clock + Spawner + CryptoRng> Reporter for Application<E> {
    type Activity = Activity<Scheme, Digest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        let next = activity.view().next();
        match &activity {
            Activity::Finalization(certificate) => {
                self.parts.gates.settle(certificate.round());
                self.took_part(certificate);
                self.entered(activity.epoch(), next);
            }
            Activity::Certification(_) | Activity::Nullification(_) => self.entered(activity.epoch(), next),
            Activity::ConflictingNotarize(_) | Activity::ConflictingFinalize(_) | Activity::NullifyFinalize(_) => {
                self.accuse(&activity);
            }
            _ => {}
        }
        Feedback::Ok
    }
}

impl<E: Clock + Spawner + CryptoRng> Application<E> {
    /// The engine reports contradictions as they come from the network; a forged one accuses nobody.
    fn accuse(&self, evidence: &Activity<Scheme, Digest>) {
        let mut rng = self.context.child("evidence");
        if evidence.verify(&mut rng, &self.parts.scheme, &Sequential) {
            tracing::error!(view = %evidence.view(), "a validator contradicted itself");
            self.parts.status.update(|status| status.faults += 1);
        }
    }
}

impl<E: Clock + Spawner> Application<E> {
    fn entered(&self, epoch: Epoch, view: View) {
        let round = Round::new(epoch, view);
        let (leader, votes) = (self.parts.committee.leader(round), !self.parts.scheme.refuses(round));
        let connected = *self.parts.connected.borrow() + 1;
        self.parts.status.update(|status| {
            if (epoch.get(), view.get()) < (status.epoch, status.view) {
                return;
            }
            if epoch.get() > status.epoch {
                status.committee.iter_mut().for_each(|member| member.last_view = 0);
            }
            (status.epoch, status.view) = (epoch.get(), view.get());
            status.leader = Some(leader);
            status.connected = connected;
            status.votes = votes;
        });
    }

    fn took_part(&self, certificate: &Certificate) {
        let members = self.parts.committee.members();
        let signers = certificate.certificate.signers.iter().filter_map(|index| members.get(usize::from(index)));
        let view = certificate.view().get();
        let keys: Vec<_> = signers.collect();
        self.parts.status.update(|status| {
            for member in status.committee.iter_mut().filter(|member| keys.contains(&&member.key)) {
                member.last_view = member.last_view.max(view);
            }
        });
    }
}

/// Takes final blocks from marshal to the lane.
#[derive(Clone)]
pub struct Delivery(pub lane::Mailbox);

impl Reporter for Delivery {
    type Activity = Update<Block>;

    fn report(&mut self, update: Update<Block>) -> Feedback {
        let Update::Block(block, ack) = update else { return Feedback::Ok };
        match self.0.commit(block, ack) {
            true => Feedback::Ok,
            false => Feedback::Closed,
        }
    }
}
