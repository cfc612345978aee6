//! What an engine tells the rest of the node: where the agreement stands and who takes part.
//!
//! D3.1 6.3.5. A value behind a watch channel; reading it never waits for the engine.

use commonware_utils::channel::watch;
use crypto::NodePublicKey;
use types::{Block, BlockHash};

/// Where the agreement stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Fixed range of heights with one committee.
    pub epoch: u64,
    /// Round of the agreement within the epoch.
    pub view: u64,
    /// Who proposes in this view.
    pub leader: Option<NodePublicKey>,
    /// Height of the last block that is final and durable here.
    pub finalized: u64,
    /// Its hash.
    pub finalized_hash: BlockHash,
    /// The committee, in the order of `Slot::proposer`, with its part in the agreement.
    pub committee: Vec<Member>,
    /// Committee members in reach, this node included.
    pub connected: usize,
    /// Whether this node may vote in this view: a member, whose watermark allows it.
    pub votes: bool,
    /// Proofs of misbehaviour seen since the start.
    pub faults: u64,
}

/// A committee member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name in genesis.
    pub name: String,
    /// Its key.
    pub key: NodePublicKey,
    /// The last view of this epoch whose certificate carries its signature.
    pub last_view: u64,
}

/// The engine's end of the channel.
#[derive(Clone)]
pub struct Publisher(watch::Sender<Status>);

/// A channel for one engine's status.
pub fn channel() -> (Publisher, watch::Receiver<Status>) {
    let (sender, receiver) = watch::channel(Status::default());
    (Publisher(sender), receiver)
}

impl Publisher {
    /// Changes the status.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Status)) {
        self.0.send_modify(change);
    }

    /// A block is final and durable.
    pub(crate) fn finalized(&self, block: &Block) {
        self.update(|status| {
            status.finalized = block.height();
            status.finalized_hash = block.hash();
        });
    }
}
