//! A block that agreement made final becomes part of the ledger.
//!
//! D3.1 6.1.5.2. Durable and atomic, or the node stops. Engines deliver at least once and in order; a block that is in
//! the ledger already is no error.

use crate::submit::funds_of;
use crate::{Chain, ChainError, Executed};
use std::sync::Arc;
use types::{Block, Finality};

impl Chain {
    /// Commits the block, which must follow the finalised one. When this returns, it is on disk.
    pub fn finalize(&self, block: &Arc<Block>, finality: Option<&Finality>) -> Result<(), ChainError> {
        let _lane = self.0.lane.lock();
        if block.height() <= self.finalized().number {
            return self.already(block, finality);
        }
        let executed = self.executed(block)?;
        let failed = |source| ChainError::Commit { height: block.height(), source };
        self.0.ledger.commit(&executed, finality).map_err(failed)?;
        self.0.tree.lock().prune(block.height(), &block.hash());
        self.advance_pool(&executed)?;
        self.0.finalized.send_replace(block.height());
        Ok(())
    }

    fn already(&self, block: &Block, finality: Option<&Finality>) -> Result<(), ChainError> {
        let height = block.height();
        let snapshot = self.0.ledger.snapshot()?;
        match snapshot.hash_of(height)? {
            Some(first) if first != block.hash() => Err(ChainError::Conflict { height, first, second: block.hash() }),
            _ => {
                let missing = finality.filter(|_| matches!(snapshot.finality(height), Ok(None)));
                let stored = missing.map_or(Ok(()), |finality| self.0.ledger.store_finality(finality));
                stored.map_err(|source| ChainError::Certificate { height, source })
            }
        }
    }

    fn executed(&self, block: &Arc<Block>) -> Result<Executed, ChainError> {
        if let Some(executed) = self.0.tree.lock().get(&block.hash()) {
            return Ok(executed.clone());
        }
        let finalized = self.finalized();
        if block.parent_hash() != finalized.hash() {
            let (height, hash, finalized) = (block.height(), block.hash(), finalized.number);
            return Err(ChainError::NotNext { height, hash, finalized });
        }
        self.execute_finalized(&Vec::new(), block)
    }

    /// Follows every account that the block changed and that has transactions in the pool; nothing else can have
    /// become invalid.
    fn advance_pool(&self, executed: &Executed) -> Result<(), ChainError> {
        let view = self.0.ledger.state(Vec::new())?;
        let mut pool = self.0.pool.lock();
        for address in executed.overlay.changes().accounts.keys() {
            if pool.knows(address) {
                pool.advance(*address, funds_of(&view, *address)?);
            }
        }
        Ok(())
    }
}
