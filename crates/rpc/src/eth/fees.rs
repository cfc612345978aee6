//! What gas costs: all sources agree, since all ask the same two functions, `next_base_fee` and `suggested_tip`.
//!
//! D3.1 6.3.1. Invariant: in fee mode `free` each answer is zero; in `fixed` the base fee is the price and no tip is
//! suggested.

use super::blocks::LATEST;
use crate::error::Failure;
use crate::lane::{Class, Deadline};
use crate::registry::{Call, Registry};
use crate::render::blob_price;
use crate::served::Served;
use crate::view::View;
use alloy_consensus::transaction::Transaction as _;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::U256;
use alloy_rpc_types_eth::{FeeHistory, Index};
use types::{FeeMode, Header};

/// Blocks that the suggested tip is taken from.
const TIP_BLOCKS: u64 = 20;
/// Transactions of one block that it looks at.
const TIP_TRANSACTIONS: usize = 100;
/// The suggested tip is this percentile of theirs.
const TIP_PERCENTILE: usize = 60;
/// Percentiles that one fee history may ask for.
const PERCENTILES_MOST: usize = 100;

pub(super) fn register(methods: &mut Registry) {
    methods.on(Class::Read, "eth_gasPrice", gas_price);
    methods.on(Class::Read, "eth_maxPriorityFeePerGas", max_priority_fee);
    methods.on(Class::Read, "eth_baseFee", base_fee);
    methods.on(Class::Read, "eth_blobBaseFee", blob_base_fee);
    methods.on(Class::Read, "eth_feeHistory", fee_history);
}

fn gas_price(call: &mut Call<'_>) -> Result<U256, Failure> {
    call.arguments.end()?;
    let base_fee = next_base_fee(call.ledger)?.unwrap_or(0);
    Ok(U256::from(u128::from(base_fee) + suggested_tip(call.ledger)?))
}

fn max_priority_fee(call: &mut Call<'_>) -> Result<U256, Failure> {
    call.arguments.end()?;
    Ok(U256::from(suggested_tip(call.ledger)?))
}

fn base_fee(call: &mut Call<'_>) -> Result<Option<U256>, Failure> {
    call.arguments.end()?;
    Ok(next_base_fee(call.ledger)?.map(U256::from))
}

fn blob_base_fee(call: &mut Call<'_>) -> Result<U256, Failure> {
    call.arguments.end()?;
    let view = call.ledger.view()?;
    let header = view.header(view.head())?;
    Ok(U256::from(next_blob_fee(call.ledger, &header)))
}

/// Base fee of the block after the last final one.
pub(super) fn next_base_fee(ledger: &Served) -> Result<Option<u64>, Failure> {
    let view = ledger.view()?;
    Ok(base_fee_after(ledger, &view.header(view.head())?))
}

fn base_fee_after(ledger: &Served, parent: &Header) -> Option<u64> {
    let rules = ledger.chain.rules();
    let spec = rules.spec_at(parent.number + 1, parent.timestamp + 1);
    rules.next_base_fee(parent, spec)
}

fn next_blob_fee(ledger: &Served, parent: &Header) -> u128 {
    let rules = ledger.chain.rules();
    let blobs = rules.blob_params_at(parent.number + 1, parent.timestamp + 1);
    match blobs {
        Some(blobs) if !rules.is_free() => parent.next_block_blob_fee(blobs).unwrap_or(0),
        _ => 0,
    }
}

/// What recent transactions paid above the base fee; nothing where nobody may or must.
pub(super) fn suggested_tip(ledger: &Served) -> Result<u128, Failure> {
    if ledger.chain.rules().fees() != FeeMode::Eip1559 {
        return Ok(0);
    }
    let view = ledger.view()?;
    let head = view.head();
    let mut tips = Vec::new();
    for height in head.saturating_sub(TIP_BLOCKS - 1)..=head {
        let stored = view.stored(height)?;
        let base_fee = stored.header().base_fee_per_gas.unwrap_or(0);
        let paid = stored.block.transactions().iter().take(TIP_TRANSACTIONS);
        tips.extend(paid.filter_map(|transaction| transaction.effective_tip_per_gas(base_fee)));
    }
    tips.sort_unstable();
    let index = tips.len().saturating_sub(1) * TIP_PERCENTILE / 100;
    Ok(tips.get(index).copied().unwrap_or(0))
}

fn fee_history(call: &mut Call<'_>) -> Result<FeeHistory, Failure> {
    let Index(count) = call.arguments.required()?;
    let newest = call.arguments.optional::<BlockNumberOrTag>()?.unwrap_or(LATEST);
    let percentiles = call.arguments.optional::<Vec<f64>>()?.unwrap_or_default();
    call.arguments.end()?;
    check_percentiles(&percentiles)?;
    let view = call.ledger.view()?;
    let newest = view.height(BlockId::Number(newest))?.ok_or_else(|| beyond(newest, view.head()))?;
    let count = (count as u64).min(call.ledger.limits.fee_blocks).min(newest + 1);
    if count == 0 {
        return Ok(FeeHistory::default());
    }
    history(&view, newest + 1 - count..=newest, &percentiles, &call.deadline)
}

fn beyond(newest: BlockNumberOrTag, head: u64) -> Failure {
    let asked = newest.as_number().unwrap_or_default();
    Failure::execution(format!("request beyond head block: requested {asked}, head {head}"))
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), Failure> {
    let invalid = |text: String| Err(Failure::execution(format!("invalid reward percentile: {text}")));
    if percentiles.len() > PERCENTILES_MOST {
        return invalid(format!("over the query limit {PERCENTILES_MOST}"));
    }
    if let Some(wrong) = percentiles.iter().find(|percentile| !(0.0..=100.0).contains(*percentile)) {
        return invalid(format!("{wrong:.6}"));
    }
    match percentiles.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => invalid(format!("{:.6} >= {:.6}", pair[0], pair[1])),
        None => Ok(()),
    }
}

fn history(
    view: &View<'_>,
    heights: std::ops::RangeInclusive<u64>,
    percentiles: &[f64],
    deadline: &Deadline,
) -> Result<FeeHistory, Failure> {
    let (ledger, rules) = (view.ledger, view.ledger.chain.rules());
    let mut history = FeeHistory { oldest_block: *heights.start(), ..FeeHistory::default() };
    let mut rewards = Vec::new();
    let mut newest = Header::default();
    for height in heights {
        deadline.check()?;
        let header = view.header(height)?;
        let blobs = rules.blob_params_at(header.number, header.timestamp);
        history.base_fee_per_gas.push(header.base_fee_per_gas.unwrap_or(0).into());
        history.gas_used_ratio.push(ratio(header.gas_used, header.gas_limit));
        let blob_price = if rules.is_free() { None } else { blob_price(&header, rules) };
        history.base_fee_per_blob_gas.push(blob_price.unwrap_or(0));
        let blob_gas = blobs.map_or(0, |blobs| blobs.max_blob_gas_per_block());
        history.blob_gas_used_ratio.push(ratio(header.blob_gas_used.unwrap_or(0), blob_gas));
        if !percentiles.is_empty() {
            rewards.push(block_rewards(view, &header, percentiles)?);
        }
        newest = header;
    }
    history.base_fee_per_gas.push(base_fee_after(ledger, &newest).unwrap_or(0).into());
    history.base_fee_per_blob_gas.push(next_blob_fee(ledger, &newest));
    history.reward = (!percentiles.is_empty()).then_some(rewards);
    Ok(history)
}

fn ratio(used: u64, limit: u64) -> f64 {
    if limit == 0 { 0.0 } else { used as f64 / limit as f64 }
}

/// Tips at the percentiles of a block's gas.
fn block_rewards(view: &View<'_>, header: &Header, percentiles: &[f64]) -> Result<Vec<u128>, Failure> {
    let nothing = vec![0; percentiles.len()];
    if view.ledger.chain.rules().is_free() || header.gas_used == 0 {
        return Ok(nothing);
    }
    let (stored, receipts) = (view.stored(header.number)?, view.receipts(header.number)?);
    let base_fee = header.base_fee_per_gas.unwrap_or(0);
    let mut before = 0;
    let mut paid: Vec<(u128, u64)> = Vec::with_capacity(receipts.len());
    for (transaction, receipt) in stored.block.transactions().iter().zip(receipts.iter()) {
        let gas = receipt.cumulative_gas_used() - before;
        before += gas;
        paid.push((transaction.effective_tip_per_gas(base_fee).unwrap_or(0), gas));
    }
    paid.sort_unstable();
    Ok(at_percentiles(&paid, header.gas_used, percentiles).unwrap_or(nothing))
}

fn at_percentiles(paid: &[(u128, u64)], gas_used: u64, percentiles: &[f64]) -> Option<Vec<u128>> {
    let mut index = 0;
    let mut gas = paid.first()?.1;
    let mut tips = Vec::with_capacity(percentiles.len());
    for percentile in percentiles {
        let threshold = (gas_used as f64 * percentile / 100.0) as u64;
        while gas < threshold && index + 1 < paid.len() {
            index += 1;
            gas += paid[index].1;
        }
        tips.push(paid[index].0);
    }
    Some(tips)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewards_are_weighted_by_gas() {
        let paid = [(1, 10), (2, 80), (9, 10)];
        assert_eq!(at_percentiles(&paid, 100, &[0.0, 10.0, 11.0, 90.0, 95.0, 100.0]), Some(vec![1, 1, 2, 2, 9, 9]));
        assert_eq!(at_percentiles(&[], 0, &[50.0]), None);
    }

    #[test]
    fn percentiles_rise_within_their_range() {
        assert!(check_percentiles(&[0.0, 50.0, 100.0]).is_ok());
        for wrong in [&[-1.0][..], &[101.0], &[f64::NAN], &[50.0, 50.0], &[2.0, 1.0], &[1.0; 101]] {
            assert_eq!(check_percentiles(wrong).unwrap_err().code(), -32000, "{wrong:?}");
        }
    }
}
