//! The interface that Ethereum tools speak: JSON-RPC over HTTP and WebSocket on one port.
//!
//! D3.1 6.3.1, 6.3.2 (user and administration interfaces).
//!
//! ```text
//! connection ─ socket ─► server ─ path ─► middleware ─► registry ─► lane ─► eth, debug, net, txpool, web3, lonja
//!              stalls     hosts   ledger   bounds,       parameters  threads  ask the chain and its ledger
//!                                          batches                   by class
//! ```
//!
//! Invariant: whatever a stranger sends is bounded in size, number, depth, time and memory, and answered by a value;
//! no class of requests can take the threads of another, and none those of agreement.

mod debug;
mod dev;
mod error;
mod eth;
mod filters;
mod lane;
mod lonja;
mod middleware;
mod namespaces;
mod net;
mod options;
mod params;
mod recent;
mod registry;
mod render;
mod served;
mod server;
mod socket;
mod txpool;
mod view;
mod web3;

pub use error::ServeError;
pub use lane::LaneLimits;
pub use options::{DEFAULT_PORT, LedgerApi, Limits, Options, Status};
pub use server::{Server, serve};
