//! Who is there: each node sends a sign of life ten times a second, and counts whom it hears.
//!
//! D3.1 6.1.3. The transport does not say who is connected. What is heard here also proves that the peer holds the same
//! ledger and is not stuck, which a connection alone does not. A leader that hears no quorum passes its turn.

use commonware_cryptography::ed25519::PublicKey;
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::{Clock, IoBuf};
use commonware_utils::channel::watch;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// Between two signs of life.
const INTERVAL: Duration = Duration::from_millis(100);
/// A peer that was silent for so long is gone.
const SILENCE: Duration = Duration::from_millis(550);

/// Who is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// The peers heard in the last half second.
    pub peers: BTreeSet<PublicKey>,
}

/// Where presence is written: all peers, and how many of them are of the committee.
pub struct Outputs {
    /// For readers and gossip.
    pub presence: watch::Sender<Presence>,
    /// For the consensus engine.
    pub committee: watch::Sender<usize>,
    /// The committee.
    pub members: BTreeSet<PublicKey>,
}

/// Runs until the channel closes.
pub async fn run<E, S, R>(context: E, (mut sender, mut receiver): (S, R), outputs: Outputs)
where
    E: Clock,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let mut heard = BTreeMap::<PublicKey, SystemTime>::new();
    let mut next = context.current();
    loop {
        select! {
            message = receiver.recv() => {
                let Ok((peer, _)) = message else { return };
                if heard.insert(peer, context.current()).is_none() {
                    outputs.publish(&heard);
                }
            },
            _ = context.sleep_until(next) => {
                let now = context.current();
                next = now + INTERVAL;
                let _ = sender.send(Recipients::All, IoBuf::from(b"."), false);
                let before = heard.len();
                heard.retain(|_, at| now.duration_since(*at).unwrap_or_default() < SILENCE);
                if heard.len() != before {
                    outputs.publish(&heard);
                }
            },
        }
    }
}

impl Outputs {
    fn publish(&self, heard: &BTreeMap<PublicKey, SystemTime>) {
        let peers: BTreeSet<_> = heard.keys().cloned().collect();
        self.committee.send_replace(peers.intersection(&self.members).count());
        self.presence.send_replace(Presence { peers });
    }
}
