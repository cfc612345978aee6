//! Executions that leave no trace: call, estimate, access list, simulated blocks.

use crate::error::Failure;
use crate::lane::Class;
use crate::registry::{Call, Registry};
use crate::view::View;
use alloy_eips::BlockId;
use alloy_primitives::{Bytes, U64};
use alloy_rpc_types_eth::simulate::SimulatePayload;
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{AccessListResult, BlockOverrides, TransactionRequest};
use execution::simulate::{self, Limits, Overrides, Setting, SimulatedBlocks};

pub(super) fn register(methods: &mut Registry) {
    methods.on(Class::Execute, "eth_call", call);
    methods.on(Class::Execute, "eth_estimateGas", estimate_gas);
    methods.on(Class::Execute, "eth_createAccessList", create_access_list);
    methods.on(Class::Execute, "eth_simulateV1", simulate_v1);
}

/// What all of them are given: a request, a block, and what should be otherwise.
struct Asked {
    request: TransactionRequest,
    block: BlockId,
    overrides: Overrides,
}

impl Asked {
    fn parse(call: &mut Call<'_>) -> Result<Asked, Failure> {
        let request = call.arguments.required::<TransactionRequest>()?;
        let block = call.arguments.block()?;
        let state = call.arguments.optional::<StateOverride>()?;
        let overrides = Overrides { state, block: call.arguments.optional::<Box<BlockOverrides>>()? };
        call.arguments.end()?;
        Ok(Asked { request, block, overrides })
    }
}

/// Runs something on the state of a block.
pub(crate) fn simulated<T>(
    view: &View<'_>,
    block: BlockId,
    run: impl FnOnce(&Setting<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (context, state) = view.stage(block)?;
    // A caller may move itself to a height whose ancestors nobody has: their hashes are zero, as Ethereum's are.
    let hash_of = |height| view.snapshot.hash_of(height).ok().flatten();
    let (parent, parent_hash) = (context.height.saturating_sub(1), context.parent_hash);
    let block_hashes =
        |height| hash_of(height).or(Some(if height == parent { parent_hash } else { types::B256::ZERO }));
    run(&Setting { rules: view.ledger.chain.rules(), view: &state, block_hashes: &block_hashes, context })
}

impl Call<'_> {
    /// The gas bounds a single run well below a second.
    fn by_gas(&self) -> Limits<'_> {
        Limits { gas: self.ledger.limits.call_gas, interrupt: None }
    }

    /// For what runs many times, or runs slowly because it records.
    pub(crate) fn by_gas_and_time(&self) -> Limits<'_> {
        Limits { interrupt: Some(self.deadline.interrupt()), ..self.by_gas() }
    }
}

fn call(call: &mut Call<'_>) -> Result<Bytes, Failure> {
    let Asked { request, block, overrides } = Asked::parse(call)?;
    let view = call.ledger.view()?;
    simulated(&view, block, |setting| Ok(simulate::call(setting, &request, overrides, call.by_gas())?.output))
}

fn estimate_gas(call: &mut Call<'_>) -> Result<U64, Failure> {
    let asked = Asked::parse(call)?;
    Ok(U64::from(estimated(call, asked)?))
}

/// Gas that a request needs now, for filling a transaction.
pub(super) fn estimate(call: &Call<'_>, request: TransactionRequest) -> Result<u64, Failure> {
    estimated(call, Asked { request, block: BlockId::latest(), overrides: Overrides::default() })
}

fn estimated(call: &Call<'_>, asked: Asked) -> Result<u64, Failure> {
    let Asked { request, block, overrides } = asked;
    let view = call.ledger.view()?;
    simulated(&view, block, |setting| Ok(simulate::estimate_gas(setting, &request, overrides, call.by_gas_and_time())?))
}

fn create_access_list(call: &mut Call<'_>) -> Result<AccessListResult, Failure> {
    let Asked { request, block, overrides } = Asked::parse(call)?;
    let view = call.ledger.view()?;
    simulated(&view, block, |setting| {
        Ok(simulate::create_access_list(setting, &request, overrides, call.by_gas_and_time())?)
    })
}

fn simulate_v1(call: &mut Call<'_>) -> Result<SimulatedBlocks, Failure> {
    let payload = call.arguments.required::<SimulatePayload>()?;
    let block = call.arguments.block()?;
    call.arguments.end()?;
    let (view, most) = (call.ledger.view()?, call.ledger.limits.simulate_calls);
    if payload.block_state_calls.iter().map(|block| block.calls.len()).sum::<usize>() > most {
        return Err(Failure::invalid_params(format!("too many calls: max {most}")));
    }
    let limits = call.by_gas_and_time();
    let parent = view.header(view.height_or_fail(block)?)?;
    let run = |setting: &Setting<'_>| Ok(simulate::simulate_v1(setting, &parent, payload, limits)?);
    simulated(&view, BlockId::from(parent.number), run)
}
