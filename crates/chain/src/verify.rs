//! Somebody's block, executed and compared with what its header says.
//!
//! D3.1 6.1.5.2. `Unknown` is not `Invalid`: an engine is never told that temporary ignorance is invalidity.

use crate::tree::Branch;
use crate::{Chain, ChainError, Executed, Round};
use alloy_primitives::map::B256Map;
use execution::{ExecutionError, InvalidBlock, InvalidReason, check_context, check_execution};
use ledger::ExecutedBlock;
use std::sync::Arc;
use types::{Address, Block, BlockHash, Slot, recover};

/// What verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The block follows the rules and was executed here.
    Valid,
    /// The block breaks a rule, for everybody and for ever.
    Invalid(String),
    /// This ancestor has not been executed here yet; ask again when it has.
    Unknown(BlockHash),
}

/// Why a block is not executed: it is at fault, or this node is.
enum Refused {
    Block(String),
    Node(ChainError),
}

impl Chain {
    /// Checks a proposed block in the round in which agreement received it.
    pub fn verify(&self, block: &Arc<Block>, round: Round) -> Result<Verdict, ChainError> {
        let _lane = self.0.lane.lock();
        if Slot::of(block.header()) != Ok(round.slot) {
            return Ok(Verdict::Invalid("its extraData is not the round's slot".into()));
        }
        if self.is_executed(block)? {
            return Ok(Verdict::Valid);
        }
        if block.height() <= self.finalized().number {
            return Ok(Verdict::Invalid(format!("height {} is final with another block", block.height())));
        }
        let Some(branch) = self.branch(&block.parent_hash()) else {
            return Ok(Verdict::Unknown(block.parent_hash()));
        };
        match self.execute(&branch, block, round) {
            Ok(executed) => {
                self.0.tree.lock().insert(executed);
                Ok(Verdict::Valid)
            }
            Err(Refused::Block(why)) => Ok(Verdict::Invalid(why)),
            Err(Refused::Node(error)) => Err(error),
        }
    }

    /// Executes a block that is final elsewhere; any fault of it is a fault of the agreement.
    pub(crate) fn execute_finalized(&self, branch: &Branch, block: &Arc<Block>) -> Result<Executed, ChainError> {
        let invalid = |why: String| ChainError::FinalizedInvalid { height: block.height(), hash: block.hash(), why };
        let slot = Slot::of(block.header()).map_err(|error| invalid(error.to_string()))?;
        let round = Round { slot, beneficiary: block.header().beneficiary };
        self.execute(branch, block, round).map_err(|refused| match refused {
            Refused::Block(why) => invalid(why),
            Refused::Node(error) => error,
        })
    }

    fn is_executed(&self, block: &Block) -> Result<bool, ChainError> {
        if self.0.tree.lock().get(&block.hash()).is_some() {
            return Ok(true);
        }
        Ok(self.0.ledger.snapshot()?.hash_of(block.height())? == Some(block.hash()))
    }

    fn execute(&self, branch: &Branch, block: &Arc<Block>, round: Round) -> Result<Executed, Refused> {
        let parent = self.tip_header(branch);
        let context = self.rules().next_context(&parent, &round.slot, round.beneficiary);
        check_context(&context, &parent, block)?;
        let senders = self.senders(block)?;
        let state = self.state_after(branch).map_err(ChainError::from)?;
        let hashes = |height| self.block_hash(branch, height).ok().flatten();
        let failed = |source| Refused::of(block.height(), source);
        let execution = execution::execute(self.rules(), &state, &hashes, block, &senders).map_err(failed)?;
        let overlay = Arc::new(state.apply(execution.changes.clone()).map_err(ChainError::from)?);
        check_execution(block, context.spec, &execution, overlay.state_root())?;
        Ok(Arc::new(ExecutedBlock { block: block.clone(), senders, receipts: execution.receipts, overlay }))
    }

    /// The block's senders: from the pool where it holds the transaction, recovered otherwise.
    fn senders(&self, block: &Block) -> Result<Vec<Address>, Refused> {
        let pooled: B256Map<Address> = {
            let pool = self.0.pool.lock();
            let found = block.transactions().iter().filter_map(|transaction| pool.get(transaction.hash()));
            found.map(|entry| (entry.hash, entry.sender())).collect()
        };
        let sender = |(index, transaction): (usize, &types::Transaction)| match pooled.get(transaction.hash()) {
            Some(sender) => Ok(*sender),
            None => recover(transaction.clone())
                .map(|recovered| recovered.signer())
                .map_err(|why| Refused::Block(format!("transaction {index}: {why}"))),
        };
        block.transactions().iter().enumerate().map(sender).collect()
    }
}

impl Refused {
    /// A block whose own senders or system calls do not work is at fault; a state that cannot be read is not.
    fn of(height: u64, source: ExecutionError) -> Refused {
        match source {
            ExecutionError::Invalid(invalid) => Refused::from(invalid),
            source => Refused::Node(ChainError::Execution { height, source }),
        }
    }
}

impl From<InvalidBlock> for Refused {
    fn from(invalid: InvalidBlock) -> Refused {
        debug_assert!(!matches!(invalid.reason, InvalidReason::Senders { .. }), "one sender a transaction");
        Refused::Block(invalid.to_string())
    }
}

impl From<ChainError> for Refused {
    fn from(error: ChainError) -> Refused {
        Refused::Node(error)
    }
}
