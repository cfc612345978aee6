//! The `web3_` namespace: who answers, and a hash.
//!
//! D3.1 6.3.1.

use crate::error::Failure;
use crate::lane::Class;
use crate::registry::{Call, Registry};
use alloy_primitives::{B256, Bytes, keccak256};

pub(crate) fn register(methods: &mut Registry) {
    methods.inline("web3_clientVersion", client_version);
    methods.on(Class::Read, "web3_sha3", sha3);
}

fn client_version(call: &mut Call<'_>) -> Result<String, Failure> {
    call.arguments.end()?;
    Ok(call.ledger.client_version.clone())
}

fn sha3(call: &mut Call<'_>) -> Result<B256, Failure> {
    let bytes = call.arguments.hex::<Bytes>()?;
    call.arguments.end()?;
    Ok(keccak256(bytes))
}
