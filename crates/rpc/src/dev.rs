//! What deployment tools ask of a development node, and of no other.
//!
//! D3.1 6.1.6.2. Hardhat's tools wait for the next block after each step, except where a transaction makes its own block.

use crate::error::Failure;
use crate::registry::{Call, Registry};

pub(crate) fn register(methods: &mut Registry) {
    methods.inline("hardhat_getAutomine", automine);
}

fn automine(call: &mut Call<'_>) -> Result<bool, Failure> {
    call.arguments.end()?;
    Ok(true)
}
