//! The verifier: whether a proposed block may be voted for.
//!
//! D3.1 6.1.5.2. First what the engine's context demands of the header, then the parent, the time, and last the chain,
//! which executes. `false` is final, and equal on all honest nodes; what only this node does not know is waited for.

use super::{Application, CLOCK_DRIFT, Slotted, propose};
use crate::simplex::{block::Block, digest::Digest};
use chain::Verdict;
use commonware_consensus::marshal::core::CommitmentFallback;
use commonware_consensus::types::Round;
use commonware_consensus::{Block as _, Epochable, Heightable, Viewable};
use commonware_cryptography::{Digested, Digestible};
use commonware_runtime::{Clock, Spawner};
use types::Slot;

impl<E: Clock + Spawner> Application<E> {
    /// The verdict; none when the node is stopping.
    pub(super) async fn check(&self, context: &Slotted, digest: Digest, block: &Digested<Block>) -> Option<bool> {
        let header = block.inner().inner();
        let verdict = match digest == context.parent.1 {
            true => self.is_boundary(context, block).then_some(true).ok_or("proposed again without need".to_owned()),
            false => self.check_new(context, block).await?,
        };
        if let Err(why) = &verdict {
            let (height, hash, leader) = (header.height(), header.hash(), &context.leader);
            tracing::warn!(round = %context.round, height, %hash, %leader, %why, "invalid proposal");
        }
        Some(verdict.is_ok())
    }

    /// An epoch's last block is proposed again, with the slot of its first time, until it is final.
    fn is_boundary(&self, context: &Slotted, block: &Digested<Block>) -> bool {
        self.parts.committee.last(context.epoch()) == Some(block.height())
    }

    async fn check_new(&self, context: &Slotted, block: &Digested<Block>) -> Option<Result<bool, String>> {
        let round = match self.expected_round(context, block) {
            Ok(expected) => expected,
            Err(why) => return Some(Err(why)),
        };
        let parent_round = Round::new(context.epoch(), context.parent.0);
        let fallback = CommitmentFallback::FetchByRound { round: parent_round };
        let parent = self.parts.marshal.subscribe_by_commitment(context.parent.1, fallback).await.ok()?;
        if let Err(why) = follows(block, &parent, context.parent.1) {
            return Some(Err(why));
        }
        let drift_ms = u64::try_from(CLOCK_DRIFT.as_millis()).unwrap_or(u64::MAX);
        self.sleep_until_ms(round.slot.timestamp_ms.saturating_sub(drift_ms)).await;
        for _ in 0..2 {
            match self.parts.lane.verify(block.inner().inner().clone(), round).await? {
                Verdict::Valid => return Some(Ok(true)),
                Verdict::Invalid(why) => return Some(Err(why)),
                Verdict::Unknown(_) => self.execute(&parent).await?,
            }
        }
        // Executed and still unknown: the ledger has gone past this parent. Undecided until the view is over here too.
        futures::future::pending().await
    }

    /// The round of the header, if it is the one that the engine's context asks for.
    fn expected_round(&self, context: &Slotted, block: &Digested<Block>) -> Result<chain::Round, String> {
        let slot = Slot::of(block.inner().inner().header()).map_err(|error| error.to_string())?;
        let (proposer, beneficiary) =
            self.parts.committee.proposer(&context.leader).ok_or("the leader is no validator")?;
        let (view, parent_view) = (context.view().get(), context.parent.0.get());
        let epoch = propose::epoch(context.epoch()).ok_or("epoch out of range")?;
        let expected = Slot { epoch, view, parent_view, proposer, timestamp_ms: slot.timestamp_ms };
        if slot != expected {
            return Err(format!("header says {slot:?} in {expected:?}"));
        }
        let in_epoch = self.parts.committee.epoch_of(block.height().get()).map(|info| info.epoch());
        match in_epoch == Some(context.epoch()) {
            true => Ok(chain::Round { slot, beneficiary }),
            false => Err("the block belongs to another epoch".into()),
        }
    }
}

fn follows(block: &Digested<Block>, parent: &Digested<Block>, expected: Digest) -> Result<(), String> {
    if block.parent() != expected || parent.digest() != expected {
        return Err("another parent than the round's".into());
    }
    if Some(block.height()) != parent.height().get().checked_add(1).map(commonware_consensus::types::Height::new) {
        return Err("its height is not its parent's plus one".into());
    }
    match block.inner().inner().timestamp_ms() > parent.inner().inner().timestamp_ms() {
        true => Ok(()),
        false => Err("its time is not after its parent's".into()),
    }
}
