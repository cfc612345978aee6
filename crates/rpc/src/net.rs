//! The `net_` namespace: the network as Ethereum tools ask for it.
//!
//! D3.1 6.3.1.

use crate::error::Failure;
use crate::registry::{Call, Registry};
use alloy_primitives::U64;

pub(crate) fn register(methods: &mut Registry) {
    methods.inline("net_version", version);
    methods.inline("net_listening", listening);
    methods.inline("net_peerCount", peer_count);
}

fn version(call: &mut Call<'_>) -> Result<String, Failure> {
    call.arguments.end()?;
    Ok(call.ledger.chain.rules().chain_id().to_string())
}

fn listening(call: &mut Call<'_>) -> Result<bool, Failure> {
    call.arguments.end()?;
    Ok(true)
}

fn peer_count(call: &mut Call<'_>) -> Result<U64, Failure> {
    call.arguments.end()?;
    Ok(U64::from(call.ledger.status.borrow().peers.len()))
}
