//! The execution lane: one task on its own thread that proposes, verifies and commits, in order of arrival.
//!
//! D3.1 6.1.6.1. Nothing else in the engine calls into the chain for work, so that executing a large block or writing
//! to disk never delays a vote. Work whose asker has gone is skipped. A storage failure ends the lane and with it the
//! node: half a node must not go on voting.

use super::{block::Block, committee::Committee, finality, settings};
use crate::status::Publisher;
use alloy_primitives::BlockHash;
use chain::{Chain, ChainError, Proposal, Round, Verdict};
use commonware_consensus::{Heightable, types::Height};
use commonware_cryptography::Digested;
use commonware_runtime::Clock;
use commonware_utils::acknowledgement::{Acknowledgement as _, Exact};
use commonware_utils::channel::{mpsc, oneshot};
use std::sync::Arc;

/// Why the lane ended.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The chain failed: storage, or a final block that does not execute to its own header.
    #[error("cannot {what} the block at height {height}: {source}")]
    Chain {
        /// What was tried.
        what: &'static str,
        /// At which height.
        height: u64,
        /// Why it failed.
        source: ChainError,
    },
    /// The engine says that a block was processed, but the ledger has not got it, and neither has the engine.
    #[error(
        "the ledger ends below height {0}, which the engine's directory has passed: remove the engine's directory, but never on more than a third of the committee at once, for a validator without it keeps silent for a while"
    )]
    Behind(u64),
}

/// A question or an order to the lane.
pub enum Job {
    /// Build a block.
    Propose {
        /// On this block.
        parent: BlockHash,
        /// In this round.
        round: Round,
        /// Whether a block without transactions will do.
        allow_empty: bool,
        /// The answer.
        reply: oneshot::Sender<Proposal>,
    },
    /// Check and execute a block.
    Verify {
        /// The block.
        block: Arc<types::Block>,
        /// Its round.
        round: Round,
        /// The answer.
        reply: oneshot::Sender<Verdict>,
    },
    /// Make a final block durable.
    Commit {
        /// The block.
        block: Digested<Block>,
        /// To be told when it is durable.
        ack: Exact,
    },
}

/// Where jobs are left.
#[derive(Clone)]
pub struct Mailbox(mpsc::UnboundedSender<Job>);

impl Mailbox {
    /// `None` when the node is stopping.
    pub async fn propose(&self, parent: BlockHash, round: Round, allow_empty: bool) -> Option<Proposal> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Job::Propose { parent, round, allow_empty, reply }).ok()?;
        answer.await.ok()
    }

    /// `None` when the node is stopping.
    pub async fn verify(&self, block: Arc<types::Block>, round: Round) -> Option<Verdict> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Job::Verify { block, round, reply }).ok()?;
        answer.await.ok()
    }

    /// Leaves a final block. At most the engine's limit of unacknowledged blocks are in flight.
    pub fn commit(&self, block: Digested<Block>, ack: Exact) -> bool {
        self.0.send(Job::Commit { block, ack }).is_ok()
    }
}

/// A committed block that ends an epoch; acknowledged once the next epoch's engine runs.
pub struct Boundary {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
    /// Ends the wait.
    pub ack: Exact,
}

/// The lane's own part.
pub struct Lane {
    chain: Chain,
    committee: Committee,
    jobs: mpsc::UnboundedReceiver<Job>,
    boundaries: mpsc::UnboundedSender<Boundary>,
    status: Publisher,
}

/// A lane and its mailbox.
pub fn new(
    chain: Chain,
    committee: Committee,
    boundaries: mpsc::UnboundedSender<Boundary>,
    status: Publisher,
) -> (Lane, Mailbox) {
    let (sender, jobs) = mpsc::unbounded_channel();
    (Lane { chain, committee, jobs, boundaries, status }, Mailbox(sender))
}

impl Lane {
    /// Works until the node stops or storage fails. `processed` is the height that the engine takes for done.
    pub async fn run<E: Clock>(mut self, clock: E, marshal: super::Marshal, processed: Option<u64>) -> LaneError {
        if let Err(error) = self.refill(&marshal, processed).await {
            return error;
        }
        loop {
            let Some(job) = self.jobs.recv().await else { futures::future::pending().await };
            if let Err(error) = self.work(&clock, &marshal, job).await {
                return error;
            }
        }
    }

    async fn work<E: Clock>(&self, clock: &E, marshal: &super::Marshal, job: Job) -> Result<(), LaneError> {
        match job {
            Job::Propose { parent, round, allow_empty, reply } if !reply.is_closed() => {
                let end = clock.current() + settings::FILLING;
                let proposal = self.chain.propose(parent, round, allow_empty, &|| clock.current() >= end);
                let _ = reply.send(proposal.map_err(|source| failed("propose", 0, source))?);
            }
            Job::Verify { block, round, reply } if !reply.is_closed() => {
                let height = block.height();
                let verdict = self.chain.verify(&block, round);
                let _ = reply.send(verdict.map_err(|source| failed("verify", height, source))?);
            }
            Job::Commit { block, ack } => self.commit(marshal, block, ack).await?,
            Job::Propose { .. } | Job::Verify { .. } => {}
        }
        Ok(())
    }

    /// A ledger restored from an older copy gets the blocks in between from the engine's archive.
    async fn refill(&self, marshal: &super::Marshal, processed: Option<u64>) -> Result<(), LaneError> {
        let held = self.chain.finalized().number;
        for height in held + 1..=processed.unwrap_or(0) {
            let block = marshal.get_block(Height::new(height)).await.ok_or(LaneError::Behind(height))?;
            self.finalize(marshal, &block).await?;
        }
        Ok(())
    }

    async fn commit(&self, marshal: &super::Marshal, block: Digested<Block>, ack: Exact) -> Result<(), LaneError> {
        let height = block.height();
        self.finalize(marshal, &block).await?;
        let ends_epoch = self.committee.epoch_of(height.get()).is_some_and(|info| info.last() == height);
        if !ends_epoch {
            ack.acknowledge();
        } else {
            let _ = self.boundaries.send(Boundary { height, hash: block.inner().inner().hash(), ack });
        }
        Ok(())
    }

    async fn finalize(&self, marshal: &super::Marshal, block: &Digested<Block>) -> Result<(), LaneError> {
        let height = block.height();
        let certificate = marshal.get_finalization(height).await;
        let finality = certificate.and_then(|certificate| finality::pack(height.get(), &certificate));
        let block = block.inner().inner();
        self.chain.finalize(block, finality.as_ref()).map_err(|source| failed("finalize", height.get(), source))?;
        self.status.finalized(block);
        Ok(())
    }
}

fn failed(what: &'static str, height: u64, source: ChainError) -> LaneError {
    LaneError::Chain { what, height, source }
}
