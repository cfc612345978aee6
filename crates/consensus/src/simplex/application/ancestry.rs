//! Executing the ancestors that this node has not executed yet.
//!
//! D3.1 6.1.5.2. A node that was away, or that saw a block certified before it could check it, meets proposals on
//! parents that it has never executed. It executes them first, oldest first; temporary ignorance is never invalidity.

use super::Application;
use crate::simplex::block::Block;
use chain::Verdict;
use commonware_consensus::marshal::core::CommitmentFallback;
use commonware_consensus::types::Height;
use commonware_consensus::{Block as _, Heightable};
use commonware_cryptography::Digested;
use commonware_runtime::{Clock, Spawner};
use types::Slot;

/// A node further behind than this catches up through final blocks instead.
const DEPTH_MAX: u64 = 64;

impl<E: Clock + Spawner> Application<E> {
    /// Executes `block`, a certified one, and the ancestors that it needs. Waits where this node is far behind; none
    /// when the node is stopping.
    pub(super) async fn execute(&self, block: &Digested<Block>) -> Option<()> {
        self.wait_until_near(block.height().get()).await?;
        let mut pending = vec![block.clone()];
        while let Some(block) = pending.last() {
            match self.execute_one(block).await? {
                Verdict::Valid => drop(pending.pop()),
                Verdict::Invalid(why) => {
                    let (height, hash) = (block.height(), block.inner().inner().hash());
                    tracing::error!(%height, %hash, %why, "a quorum certified a block that is invalid here");
                    return futures::future::pending().await;
                }
                Verdict::Unknown(_) => {
                    let parent = self.parent_of(block).await?;
                    pending.push(parent);
                }
            }
        }
        Some(())
    }

    async fn execute_one(&self, block: &Digested<Block>) -> Option<Verdict> {
        let block = block.inner().inner();
        let slot = Slot::of(block.header()).ok()?;
        let beneficiary = self.parts.committee.beneficiary(slot.proposer)?;
        self.parts.lane.verify(block.clone(), chain::Round { slot, beneficiary }).await
    }

    async fn parent_of(&self, block: &Digested<Block>) -> Option<Digested<Block>> {
        let height = Height::new(block.height().get().checked_sub(1)?);
        let fallback = CommitmentFallback::FetchByCommitment { height };
        self.parts.marshal.subscribe_by_commitment(block.parent(), fallback).await.ok()
    }

    async fn wait_until_near(&self, height: u64) -> Option<()> {
        let mut finalized = self.parts.chain.heights();
        while height > self.parts.chain.finalized().number.saturating_add(DEPTH_MAX) {
            finalized.changed().await.ok()?;
        }
        Some(())
    }
}
