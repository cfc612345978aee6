//! Logs: which blocks may hold them comes from the ledger's index, the logs from those blocks' receipts.
//!
//! D3.1 6.3.1. Invariant: a query is bounded by the blocks it names, the logs it finds, the terms it has and its
//! deadline, and says which bound it met.

use super::blocks::LATEST;
use crate::error::Failure;
use crate::lane::{Class, Deadline};
use crate::options::Limits;
use crate::registry::{Call, Registry};
use crate::render;
use crate::served::Served;
use crate::view::View;
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256};
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use std::ops::RangeInclusive;

/// Blocks that the index is asked about at once.
const CHUNK: u64 = 16_384;

pub(super) fn register(methods: &mut Registry) {
    methods.on(Class::Scan, "eth_getLogs", get_logs);
}

fn get_logs(call: &mut Call<'_>) -> Result<Vec<Log>, Failure> {
    let filter = call.arguments.required::<Filter>()?;
    call.arguments.end()?;
    find(call.ledger, &filter, &call.deadline)
}

/// All logs that match, in their order.
pub(super) fn find(ledger: &Served, filter: &Filter, deadline: &Deadline) -> Result<Vec<Log>, Failure> {
    check_terms(filter, &ledger.limits)?;
    let view = ledger.view()?;
    match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let height = view.snapshot.height_of(hash)?.ok_or_else(|| Failure::not_found("unknown block"))?;
            let mut found = Vec::new();
            scan(&view, filter, height, &mut found)?;
            Ok(found)
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let range = range(&view, from_block.unwrap_or(LATEST), to_block.unwrap_or(LATEST))?;
            between(&view, filter, range, deadline)
        }
    }
}

/// All logs that match in these blocks, which are final.
pub(super) fn between(
    view: &View<'_>,
    filter: &Filter,
    heights: RangeInclusive<u64>,
    deadline: &Deadline,
) -> Result<Vec<Log>, Failure> {
    let limits = &view.ledger.limits;
    if heights.end() - heights.start() >= limits.log_blocks {
        return Err(Failure::limit(format!("query exceeds max block range {}", limits.log_blocks)));
    }
    let addresses: Vec<Address> = filter.address.iter().copied().collect();
    let topics: Vec<Vec<B256>> = filter.topics.iter().map(|topic| topic.iter().copied().collect()).collect();
    let mut found = Vec::new();
    let several = heights.start() != heights.end(); // one block's logs are bounded by its gas
    for chunk in chunks(heights) {
        deadline.check()?;
        for height in view.snapshot.blocks_with_logs(chunk, &addresses, &topics)? {
            deadline.check()?;
            scan(view, filter, height?, &mut found)?;
            if several && found.len() > limits.log_results {
                return Err(Failure::limit(format!("query exceeds max results {}", limits.log_results)));
            }
        }
    }
    Ok(found)
}

/// The index looks through a whole range before it names a block; in between somebody must look at the clock.
fn chunks(heights: RangeInclusive<u64>) -> impl Iterator<Item = RangeInclusive<u64>> {
    let (first, last) = heights.into_inner();
    (first..=last).step_by(CHUNK as usize).map(move |start| start..=last.min(start + (CHUNK - 1)))
}

fn scan(view: &View<'_>, filter: &Filter, height: u64, found: &mut Vec<Log>) -> Result<(), Failure> {
    let (stored, receipts) = (view.stored(height)?, view.receipts(height)?);
    found.extend(render::logs(&stored.block, &receipts, |log| filter.matches(log)));
    Ok(())
}

fn range(view: &View<'_>, from: BlockNumberOrTag, to: BlockNumberOrTag) -> Result<RangeInclusive<u64>, Failure> {
    let beyond = || Failure::invalid_params("block range extends beyond current head block");
    if from.is_pending() || to.is_pending() {
        return Err(Failure::execution("pending logs are not supported"));
    }
    if let (Some(from), Some(to)) = (from.as_number(), to.as_number())
        && from > to
    {
        return Err(Failure::invalid_params("invalid block range params"));
    }
    let (from, to) = (view.height_at(from).ok_or_else(beyond)?, view.height_at(to).ok_or_else(beyond)?);
    if from > to {
        return Err(Failure::invalid_params("invalid block range params"));
    }
    Ok(from..=to)
}

/// A filter's terms are compared with every log.
pub(crate) fn check_terms(filter: &Filter, limits: &Limits) -> Result<(), Failure> {
    let terms = filter.address.len() + filter.topics.iter().map(|topic| topic.len()).sum::<usize>();
    if terms > limits.log_terms {
        return Err(Failure::invalid_params(format!(
            "exceed max addresses or topics: {terms}, max {}",
            limits.log_terms
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_a_range_once() {
        for range in [0..=0, 5..=CHUNK + 4, 5..=CHUNK + 5, 1..=3 * CHUNK] {
            let all: Vec<u64> = chunks(range.clone()).flatten().collect();
            assert!(range.clone().eq(all), "{range:?}");
            assert!(chunks(range).all(|chunk| chunk.count() as u64 <= CHUNK));
        }
    }
}
