//! The neutral observer: reads the blocks of one endpoint and says when it shows which of our transactions.
//!
//! It asks only for heights and for the receipts of whole blocks. Invariant: a block counts from the moment at which the
//! endpoint's height included it, however long its receipts then take to read.

use crate::endpoint::{Block, CallError, Endpoint, Receipt};
use crate::tally::{Event, Included, Sighting};
use alloy_primitives::{B256, U64};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Rest before an endpoint that could not answer is asked again.
const RETRY: Duration = Duration::from_millis(50);
/// Receipts asked for in one batch, where a node cannot answer a block's receipts at once.
const RECEIPTS_PER_BATCH: usize = 100;

/// Our transactions, by hash.
pub type Wanted = Arc<HashMap<B256, u32>>;

pub struct Observer {
    pub endpoint: Endpoint,
    pub number: usize,
    pub wanted: Wanted,
    pub poll: Duration,
    pub events: mpsc::Sender<Event>,
}

impl Observer {
    /// Reads every block above `from`, until dropped.
    pub async fn run(self, from: u64) {
        let (heights, seen) = mpsc::unbounded_channel(); // a few bytes a block, while blocks are being read
        tokio::join!(self.follow(from, heights), self.read(from, seen));
    }

    /// Looks at the height, apart from the reading of blocks, so that a big block delays no timestamp.
    async fn follow(&self, mut height: u64, heights: mpsc::UnboundedSender<(u64, Instant)>) {
        loop {
            match self.endpoint.call::<U64>("eth_blockNumber", json!([])).await {
                Ok(found) if found.to::<u64>() > height => {
                    height = found.to();
                    if heights.send((height, Instant::now())).is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(error) => self.trouble(&error).await,
            }
            tokio::time::sleep(self.poll).await;
        }
    }

    async fn read(&self, mut height: u64, mut heights: mpsc::UnboundedReceiver<(u64, Instant)>) {
        while let Some((to, at)) = heights.recv().await {
            while height < to {
                height += 1;
                let included = self.included(height).await;
                let sighting = Sighting { endpoint: self.number, height, at, included };
                if self.events.send(Event::Seen(sighting)).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Our transactions in a block; asks until there is an answer.
    async fn included(&self, height: u64) -> Vec<Included> {
        loop {
            match self.receipts(height).await {
                Ok(Some(receipts)) => return receipts.iter().filter_map(|receipt| self.ours(receipt)).collect(),
                Ok(None) => tokio::time::sleep(RETRY).await, // behind one address may be several nodes
                Err(error) => self.trouble(&error).await,
            }
        }
    }

    fn ours(&self, receipt: &Receipt) -> Option<Included> {
        let index = *self.wanted.get(&receipt.transaction_hash)?;
        Some(Included { index, succeeded: receipt.succeeded(), gas: receipt.gas_used.to() })
    }

    async fn receipts(&self, height: u64) -> Result<Option<Vec<Receipt>>, CallError> {
        match self.endpoint.call("eth_getBlockReceipts", json!([U64::from(height)])).await {
            Err(error) if error.is_method_missing() => self.receipts_singly(height).await,
            answer => answer,
        }
    }

    /// For nodes without `eth_getBlockReceipts`.
    async fn receipts_singly(&self, height: u64) -> Result<Option<Vec<Receipt>>, CallError> {
        let block: Option<Block> =
            self.endpoint.call("eth_getBlockByNumber", json!([U64::from(height), false])).await?;
        let Some(block) = block else { return Ok(None) };
        let ours = block.transactions.iter().filter(|hash| self.wanted.contains_key(*hash));
        let params: Vec<Value> = ours.map(|hash| json!([hash])).collect();
        let mut receipts = Vec::new();
        for some in params.chunks(RECEIPTS_PER_BATCH) {
            receipts.extend(self.endpoint.calls::<Receipt>("eth_getTransactionReceipt", some).await?);
        }
        Ok(Some(receipts))
    }

    async fn trouble(&self, error: &CallError) {
        let trouble = Event::Trouble { endpoint: self.number, cause: error.to_string() };
        let _ = self.events.send(trouble).await; // nobody listens any more: the run is over
        tokio::time::sleep(RETRY).await;
    }
}
