//! The peer network: authenticated channels, transaction gossip, presence.
//!
//! D3.1 6.1.2, 6.1.3. Peers are those that genesis and configuration name; every connection is authenticated by Ed25519
//! keys and encrypted. One connection carries all ledgers of a node:
//!
//! ```text
//!   connection ── channel (votes, blocks, …) ── ledger ── (epoch, within the engine)
//! ```
//!
//! Invariants: a message above the limit is refused here and never reaches the transport, which would panic; every
//! channel is bounded per peer in rate and burst; a stranger's bad message is counted, and costs its sender its quota.

#![warn(missing_docs)]

mod bounded;
mod channels;
pub mod gossip;
mod lookup;
pub mod presence;

pub use bounded::Bounded;
pub use channels::{Channel, Channels, LedgerSender, Quotas, Transport, TransportError};
pub use lookup::{OpenError, Options, Peer, PeerAddress, PeerAddressError, open};
