//! A new block on a given parent.
//!
//! D3.1 6.1.6.1. The proposer keeps its own result, so it never executes its own block twice. A transaction that an
//! earlier one of the same block made invalid is left out, never proposed.

use crate::tree::{Branch, nonces};
use crate::{Chain, ChainError, Executed, Picked};
use execution::{Added, BlockContext, Builder, Execution, InvalidTransaction};
use ledger::{ExecutedBlock, StateView};
use std::sync::Arc;
use types::{Address, Block, BlockHash, Slot, Transaction, TxHash};

/// Transactions use less gas than they reserve; offering this many times a block's gas fills it nevertheless.
const GAS_OFFERED: u64 = 4;
/// So many transactions in a row that find no room end a block.
const FULL_IN_A_ROW: usize = 16;

/// What the engine knows of a block before it exists.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Its place in the agreement.
    pub slot: Slot,
    /// The proposer's account.
    pub beneficiary: Address,
}

/// An answer to an engine that asked for a block.
#[derive(Clone, Debug)]
pub enum Proposal {
    /// A block, executed here.
    Block(Arc<Block>),
    /// Nothing to put in a block.
    Nothing,
    /// The parent, or one of its ancestors, has not been executed here.
    Unknown(BlockHash),
}

/// What a builder did with the pool's candidates.
struct Built {
    execution: Execution,
    transactions: Vec<Transaction>,
    senders: Vec<Address>,
    refused: Vec<TxHash>,
}

impl Chain {
    /// True when a block on `parent` would have a transaction in it.
    pub fn has_work(&self, parent: &BlockHash) -> bool {
        let Some(branch) = self.branch(parent) else { return false };
        let header = self.tip_header(&branch);
        let spec = self.rules().spec_at(header.number + 1, header.timestamp);
        let base_fee = self.rules().next_base_fee(&header, spec).unwrap_or(0);
        let picked = self.0.pool.lock().pick(u64::MAX, base_fee, &nonces(&branch), 1);
        !picked.is_empty()
    }

    /// Builds and executes a block on `parent`; without transactions only when `allow_empty`. Asked after each
    /// transaction, `enough` ends the block: a leader's time is limited, and what the block's gas can compute is not.
    /// A block has its first transaction nevertheless, so that a slow one is not tried for ever.
    pub fn propose(
        &self,
        parent: BlockHash,
        round: Round,
        allow_empty: bool,
        enough: &dyn Fn() -> bool,
    ) -> Result<Proposal, ChainError> {
        let _lane = self.0.lane.lock();
        let Some(branch) = self.branch(&parent) else { return Ok(Proposal::Unknown(parent)) };
        let header = self.tip_header(&branch);
        let context = self.rules().next_context(&header, &round.slot, round.beneficiary);
        let state = self.state_after(&branch)?;
        let picked = self.pick(&branch, &context);
        if picked.is_empty() && !allow_empty {
            return Ok(Proposal::Nothing);
        }
        let built = self.build(&branch, &state, context.clone(), &picked, enough)?;
        if branch.is_empty() {
            self.forget(&built.refused);
        }
        if built.transactions.is_empty() && !allow_empty {
            return Ok(Proposal::Nothing);
        }
        let executed = self.seal(&state, &context, built)?;
        let block = executed.block.clone();
        self.0.tree.lock().insert(executed);
        Ok(Proposal::Block(block))
    }

    fn pick(&self, branch: &Branch, context: &BlockContext) -> Picked {
        let gas = context.gas_limit.saturating_mul(GAS_OFFERED);
        self.0.pool.lock().pick(gas, context.base_fee.unwrap_or(0), &nonces(branch), usize::MAX)
    }

    fn build(
        &self,
        branch: &Branch,
        state: &StateView,
        context: BlockContext,
        picked: &Picked,
        enough: &dyn Fn() -> bool,
    ) -> Result<Built, ChainError> {
        let height = context.height;
        let failed = |source| ChainError::Execution { height, source };
        let hashes = |height| self.block_hash(branch, height).ok().flatten();
        let mut builder = Builder::new(self.rules(), state, &hashes, context).map_err(failed)?;
        let (mut transactions, mut senders, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        let mut full = 0;
        for entry in picked {
            if !transactions.is_empty() && enough() {
                break;
            }
            match builder.add(&entry.transaction).map_err(failed)? {
                Added::Included { .. } => {
                    transactions.push(entry.transaction.inner().clone());
                    senders.push(entry.sender());
                    full = 0;
                }
                Added::Skipped(why) if follows_a_skipped(&why) => {}
                Added::Skipped(why) => {
                    tracing::debug!(hash = %entry.hash, %why, "transaction left out");
                    refused.push(entry.hash);
                }
                Added::Full if full < FULL_IN_A_ROW => full += 1,
                Added::Full => break,
            }
        }
        let execution = builder.finish().map_err(failed)?;
        Ok(Built { execution, transactions, senders, refused })
    }

    fn seal(&self, state: &StateView, context: &BlockContext, built: Built) -> Result<Executed, ChainError> {
        let Built { execution, transactions, senders, .. } = built;
        let overlay = Arc::new(state.apply(execution.changes.clone())?);
        let block = Arc::new(execution::seal(context, &execution, overlay.state_root(), transactions));
        Ok(Arc::new(ExecutedBlock { block, senders, receipts: execution.receipts, overlay }))
    }

    /// Execution refused them above the finalised state: they would be refused, and cost the same, each time. Above a
    /// block that may yet be abandoned they may only have come too early.
    fn forget(&self, refused: &[TxHash]) {
        let mut pool = self.0.pool.lock();
        refused.iter().for_each(|hash| pool.remove(hash));
    }
}

/// A nonce above the account's is no fault of the transaction: the one before it was left out or found no room.
fn follows_a_skipped(why: &InvalidTransaction) -> bool {
    matches!(why, InvalidTransaction::NonceTooHigh { .. })
}
