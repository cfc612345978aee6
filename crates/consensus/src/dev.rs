//! The development engine: one node that seals each transaction at once.
//!
//! D3.1 6.1.5. No committee, no votes, no fault tolerance; the same five calls of the chain as any engine, so that what
//! works here works there. Empty blocks are never sealed, except on demand.

use crate::status::Publisher;
use chain::{Chain, ChainError, Proposal, Round};
use commonware_macros::select;
use commonware_runtime::Clock;
use commonware_utils::channel::{mpsc, oneshot};
use std::time::{Duration, UNIX_EPOCH};
use types::{Address, BlockHash, Slot};

/// How the one node seals.
pub struct Options {
    /// Milliseconds between blocks; 0 seals at once.
    pub block_period_ms: u64,
    /// Where fees go.
    pub beneficiary: Address,
    /// Demands for a block, empty if need be; answered with its hash.
    pub demands: mpsc::Receiver<oneshot::Sender<BlockHash>>,
    /// Where the status goes.
    pub status: Publisher,
}

/// Why sealing ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The chain failed.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The chain does not know its own tip.
    #[error("the chain does not know its finalized block {0}")]
    Unknown(BlockHash),
    /// The engine's own block was refused.
    #[error("a block of this node is invalid: {0}")]
    Invalid(String),
}

/// Seals until the chain fails.
pub async fn run<E: Clock>(context: E, mut options: Options, chain: Chain) -> RunError {
    let mut work = chain.work();
    loop {
        work.borrow_and_update();
        if let Err(error) = seal_all(&context, &options, &chain).await {
            return error;
        }
        let demand = select! {
            _ = work.changed() => None,
            demand = next(&mut options.demands) => Some(demand),
        };
        let Some(demand) = demand else { continue };
        match seal(&context, &options, &chain, true) {
            Ok(Some(hash)) => drop(demand.send(hash)),
            Ok(None) => {}
            Err(error) => return error,
        }
    }
}

/// The next demand; never, if nobody can make one any more.
async fn next(demands: &mut mpsc::Receiver<oneshot::Sender<BlockHash>>) -> oneshot::Sender<BlockHash> {
    match demands.recv().await {
        Some(demand) => demand,
        None => futures::future::pending().await,
    }
}

/// Seals until the pool has nothing executable left, a block each period.
async fn seal_all<E: Clock>(context: &E, options: &Options, chain: &Chain) -> Result<(), RunError> {
    while seal(context, options, chain, false)?.is_some() {
        if options.block_period_ms > 0 {
            context.sleep(Duration::from_millis(options.block_period_ms)).await;
        }
    }
    Ok(())
}

fn seal<E: Clock>(
    context: &E,
    options: &Options,
    chain: &Chain,
    allow_empty: bool,
) -> Result<Option<BlockHash>, RunError> {
    let parent = chain.finalized();
    let parent_ms = types::timestamp_ms(&parent);
    let now = context.current().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let view = parent.number + 1;
    let slot = Slot { epoch: 0, view, parent_view: view - 1, proposer: 0, timestamp_ms: now_ms.max(parent_ms + 1) };
    let round = Round { slot, beneficiary: options.beneficiary };
    let block = match chain.propose(parent.hash(), round, allow_empty, &|| false)? {
        Proposal::Block(block) => block,
        Proposal::Nothing => return Ok(None),
        Proposal::Unknown(hash) => return Err(RunError::Unknown(hash)),
    };
    chain.finalize(&block, None)?;
    options.status.finalized(&block);
    Ok(Some(block.hash()))
}
