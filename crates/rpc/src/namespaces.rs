//! All namespaces of a ledger, and `rpc_modules`, which names them.
//!
//! D3.1 6.3.1.

use crate::error::Failure;
use crate::registry::{Call, Registry};
use crate::served::Served;
use crate::{debug, dev, eth, lonja, net, txpool, web3};
use std::collections::BTreeMap;
use std::sync::Arc;

const NAMESPACES: [&str; 7] = ["debug", "eth", "lonja", "net", "rpc", "txpool", "web3"];

/// Every method of one ledger.
pub(crate) fn register(ledger: Arc<Served>) -> Registry {
    let develops = !ledger.signers.is_empty();
    let mut methods = Registry::new(ledger);
    debug::register(&mut methods);
    if develops {
        dev::register(&mut methods);
    }
    eth::register(&mut methods);
    lonja::register(&mut methods);
    net::register(&mut methods);
    txpool::register(&mut methods);
    web3::register(&mut methods);
    methods.inline("rpc_modules", modules);
    methods
}

fn modules(call: &mut Call<'_>) -> Result<BTreeMap<&'static str, &'static str>, Failure> {
    call.arguments.end()?;
    Ok(NAMESPACES.into_iter().map(|name| (name, "1.0")).collect())
}
