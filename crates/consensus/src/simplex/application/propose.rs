//! The proposer: when a block is made, and on what.
//!
//! D3.1 6.1.6.1. The engine asks the leader of each view and takes the answer when it comes. Pacing is in the delay:
//!
//! ```text
//!   work in the pool:   at once on an empty parent, else at the parent's time + least interval if that is not past
//!   after a block with transactions: one empty block, a moment later
//!   idle:               parent's time + empty block period  (meanwhile the view may end without a block)
//!   no quorum in reach, or votes not allowed: pass the turn at once
//! ```

use super::{Application, Slotted};
use crate::simplex::block::Block;
use chain::Proposal;
use commonware_consensus::marshal::core::CommitmentFallback;
use commonware_consensus::types::{Epoch, Round};
use commonware_consensus::{Block as _, Epochable, Heightable, Viewable};
use commonware_cryptography::{Digested, Digestible};
use commonware_macros::select;
use commonware_runtime::{Clock, Spawner};
use std::time::Duration;
use types::Slot;

/// Deployment tools and event listeners wait for the block after the one with their transaction; on an idle ledger they
/// would wait for a whole period at each step. Shorter than a leader's timeout, so that it costs no view.
const ECHO: Duration = Duration::from_millis(250);

impl<E: Clock + Spawner> Application<E> {
    /// The block to propose in this view, or none to pass the turn.
    pub(super) async fn build(&self, context: Slotted) -> Option<Digested<Block>> {
        if self.parts.scheme.refuses(context.round) || !self.reaches_quorum() {
            return None;
        }
        if let Some(earlier) = self.before_restart(&context).await {
            return Some(earlier);
        }
        let parent = self.parent(&context).await?;
        if self.parts.committee.last(context.epoch()) == Some(parent.height()) {
            // The epoch's last block is proposed again until it is final: the next epoch starts from it.
            return Some(parent);
        }
        self.extend(&context, &parent).await
    }

    fn reaches_quorum(&self) -> bool {
        *self.parts.connected.borrow() + 1 >= self.parts.committee.quorum()
    }

    /// What this node proposed in the same round before it was restarted: to propose another block would contradict it.
    async fn before_restart(&self, context: &Slotted) -> Option<Digested<Block>> {
        let block = self.parts.marshal.get_verified(context.round).await?;
        let fits = block.digest() == context.parent.1 || block.parent() == context.parent.1;
        fits.then_some(block)
    }

    async fn parent(&self, context: &Slotted) -> Option<Digested<Block>> {
        let (view, digest) = context.parent;
        let fallback = CommitmentFallback::FetchByRound { round: Round::new(context.epoch(), view) };
        self.parts.marshal.subscribe_by_commitment(digest, fallback).await.ok()
    }

    async fn extend(&self, context: &Slotted, parent: &Digested<Block>) -> Option<Digested<Block>> {
        // A parent from a clock that runs ahead must not make this node miss its turn.
        let parent_ms = parent.inner().inner().timestamp_ms().min(self.now_ms());
        let heartbeat_ms = after(parent_ms, self.beat(parent));
        let mut work = self.parts.chain.work();
        self.sleep_until_ms(after(parent_ms, self.pause(parent))).await;
        loop {
            work.borrow_and_update();
            let allow_empty = self.now_ms() >= heartbeat_ms;
            match self.attempt(context, parent, allow_empty).await? {
                Some(block) => return Some(block),
                None if allow_empty => return None,
                None => select! {
                    changed = work.changed() => if changed.is_err() { return None },
                    _ = self.sleep_until_ms(heartbeat_ms) => {},
                },
            }
        }
    }

    /// How long after its parent a block comes at the earliest. An empty parent says that there is no load to gather.
    fn pause(&self, parent: &Digested<Block>) -> Duration {
        match is_empty(parent) {
            true => Duration::ZERO,
            false => self.parts.committee.min_block_interval(),
        }
    }

    /// How long after its parent an empty block is due.
    fn beat(&self, parent: &Digested<Block>) -> Duration {
        let period = self.parts.committee.empty_block_period();
        match is_empty(parent) {
            true => period,
            false => period.min(ECHO),
        }
    }

    /// One call of the chain; `Some(None)` if there is nothing to put into a block.
    async fn attempt(
        &self,
        context: &Slotted,
        parent: &Digested<Block>,
        allow_empty: bool,
    ) -> Option<Option<Digested<Block>>> {
        for _ in 0..2 {
            let round = self.round(context, parent)?;
            let hash = parent.inner().inner().hash();
            match self.parts.lane.propose(hash, round, allow_empty).await? {
                Proposal::Block(block) => return Some(Some(Block::new(block).digested())),
                Proposal::Nothing => return Some(None),
                Proposal::Unknown(_) => self.execute(parent).await?,
            }
        }
        // Executed and still unknown: the ledger has gone past this parent, so the view is over elsewhere.
        None
    }

    fn round(&self, context: &Slotted, parent: &Digested<Block>) -> Option<chain::Round> {
        let (proposer, beneficiary) = self.parts.committee.proposer(&context.leader)?;
        let parent_ms = parent.inner().inner().timestamp_ms();
        let slot = Slot {
            epoch: epoch(context.epoch())?,
            view: context.view().get(),
            parent_view: context.parent.0.get(),
            proposer,
            timestamp_ms: self.now_ms().max(parent_ms.saturating_add(1)),
        };
        Some(chain::Round { slot, beneficiary })
    }
}

fn is_empty(block: &Digested<Block>) -> bool {
    block.inner().inner().transactions().is_empty()
}

/// An epoch as headers carry it. 2^32 epochs of two blocks each are never reached.
pub(super) fn epoch(epoch: Epoch) -> Option<u32> {
    u32::try_from(epoch.get()).ok()
}

fn after(time_ms: u64, delay: Duration) -> u64 {
    time_ms.saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
}
