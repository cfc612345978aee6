//! The BFT engine: commonware's simplex and marshal over our chain.
//!
//! D3.1 6.1.5. Simplex agrees on one block after the other in views with rotating leaders; marshal keeps, relays and
//! backfills blocks and hands final ones over in order. [`run`] wires both to a [`Chain`] and runs until something ends:
//!
//! ```text
//!   network ── votes, certificates, resolver ──▶ simplex (one per epoch) ──▶ Application ──▶ lane ──▶ Chain ──▶ Ledger
//!           ── blocks, backfill ───────────────▶ marshal ─────────────────────────────────────▲
//! ```
//!
//! Generic over runtime and network, so that whole committees run in the deterministic simulation. Invariants: a vote
//! passes the last-signed [`watermark`]; a block is acknowledged to the engine after it is durable in the ledger; if
//! any part ends, the node ends.

mod application;
mod block;
mod committee;
mod digest;
mod epochs;
mod finality;
mod gates;
mod lane;
mod run;
mod scheme;
mod settings;
mod store;
pub mod watermark;

pub use committee::{Committee, NoCommittee};
pub use digest::Digest;
pub use finality::{FinalityError, verify_finality};
pub use lane::LaneError;
pub use run::{RunError, run};
pub use scheme::Scheme;
pub use store::{StoreError, WriteError};

use crate::status::Publisher;
use block::Block;
use commonware_consensus::marshal::{self, standard::Standard};
use commonware_cryptography::ed25519::PrivateKey;
use commonware_p2p::utils::mux;
use commonware_utils::channel::watch;
use std::sync::Arc;
use types::{BLOCK_BYTES_MAX, Genesis};

type Marshal = marshal::core::Mailbox<Scheme, Standard<Block>>;

/// Two ends of one network channel.
pub type Channel<S, R> = (S, R);

/// What one validator or follower runs with.
pub struct Options {
    /// What all nodes agree on.
    pub genesis: Genesis,
    /// Signs votes if it belongs to a member of the committee.
    pub key: PrivateKey,
    /// Prefix of the engine's files in the runtime's storage: letters, digits, `-` and `_`.
    pub partition: String,
    /// Where the last-signed watermark is kept; apart from the runtime's storage.
    pub watermark: Arc<dyn watermark::Keep>,
    /// Committee members in reach, without this node.
    pub connected: watch::Receiver<usize>,
    /// Where the status goes.
    pub status: Publisher,
}

/// The network as the engine uses it. All channels belong to one ledger.
pub struct Network<P, B, S, R> {
    /// Knows the peers.
    pub provider: P,
    /// Blocks those that misbehave.
    pub blocker: B,
    /// Votes.
    pub votes: Channel<S, R>,
    /// Certificates.
    pub certificates: Channel<S, R>,
    /// Missing certificates.
    pub resolver: Channel<S, R>,
    /// Missing blocks.
    pub backfill: Channel<S, R>,
    /// New blocks.
    pub blocks: Channel<S, R>,
}

/// The longest message that the engine sends on its channels, in bytes, with the prefix that tells epochs apart.
/// The prefix that tells ledgers apart is the network's to add.
pub fn message_bytes_max() -> usize {
    let blocks = marshal::max_payload_size::<Standard<Block>, Scheme>(settings::MEMBERS_MAX, &BLOCK_BYTES_MAX);
    let votes = commonware_consensus::simplex::max_payload_size::<Scheme, Digest>(settings::MEMBERS_MAX);
    blocks.max(mux::prefixed(votes))
}
