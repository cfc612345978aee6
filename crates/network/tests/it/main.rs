//! Channels over a simulated network.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use commonware_cryptography::Signer as _;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey};
use commonware_p2p::simulated::{self, Config, Control, Link, Manager, Oracle};
use commonware_p2p::{Manager as _, Receiver as _, Recipients, Sender as _};
use commonware_runtime::{Clock as _, Runner as _, Supervisor as _, deterministic};
use commonware_utils::{NZUsize, ordered::Set, probability};
use network::{Channels, Quotas, Transport};
use std::time::Duration;

type Context = deterministic::Context;
type Simulated =
    Transport<Manager<PublicKey, Context>, Control<PublicKey, Context>, simulated::Sender<PublicKey, Context>>;

const BYTES_MAX: usize = 1_000;

async fn transport(context: &Context, oracle: &Oracle<PublicKey, Context>, key: &PublicKey) -> Simulated {
    let control = oracle.control(key.clone());
    let mut opened = Vec::new();
    for (number, quota) in Quotas::ALL {
        opened.push(control.register(number, quota()).await.unwrap());
    }
    let mut opened = opened.into_iter();
    let channels = Channels::register(|_, _| opened.next().unwrap());
    Transport::new(context, oracle.manager(), control, channels, BYTES_MAX)
}

async fn two(context: &Context) -> (PublicKey, Simulated, Simulated) {
    let [first, second] = [1, 2].map(|seed| PrivateKey::from_seed(seed).public_key());
    let config = Config {
        max_size: BYTES_MAX as u32,
        max_peers_per_set: NZUsize!(2),
        disconnect_on_block: true,
        tracked_peer_sets: NZUsize!(1),
    };
    let (network, oracle) = simulated::Network::new(context.child("network"), config);
    network.start();
    oracle.manager().track(0, Set::from_iter_dedup([first.clone(), second.clone()]));
    let latency = Duration::from_millis(1);
    let link = Link { latency, jitter: Duration::ZERO, success_rate: probability!(1.0) };
    oracle.add_link(first.clone(), second.clone(), link.clone()).await.unwrap();
    oracle.add_link(second.clone(), first.clone(), link).await.unwrap();
    let transports = (transport(context, &oracle, &first).await, transport(context, &oracle, &second).await);
    (first, transports.0, transports.1)
}

/// The transport below would panic.
#[test]
fn a_message_above_the_limit_is_refused() {
    deterministic::Runner::seeded(1).start(|context| async move {
        let (first, mut sending, mut receiving) = two(&context).await;
        let (mut votes, _kept) = sending.ledger(7).await.unwrap().votes;
        let (_, mut received) = receiving.ledger(7).await.unwrap().votes;
        context.sleep(Duration::from_millis(10)).await;
        assert!(votes.send(Recipients::All, vec![0; BYTES_MAX], false).is_empty(), "with its prefix it is too long");
        assert!(!votes.send(Recipients::All, vec![5; BYTES_MAX - 10], false).is_empty());
        let (from, message) = received.recv().await.unwrap();
        assert_eq!((from, message.as_ref().len()), (first, BYTES_MAX - 10));
    });
}

#[test]
fn ledgers_do_not_hear_each_other() {
    deterministic::Runner::seeded(2).start(|context| async move {
        let (_, mut sending, mut receiving) = two(&context).await;
        let (mut to_one, _kept) = sending.ledger(1).await.unwrap().transactions;
        let (mut to_two, _kept) = sending.ledger(2).await.unwrap().transactions;
        let (_, mut received) = receiving.ledger(2).await.unwrap().transactions;
        assert!(receiving.ledger(2).await.is_err(), "a ledger's channels are opened once");
        context.sleep(Duration::from_millis(10)).await;
        to_one.send(Recipients::All, vec![1], false);
        to_two.send(Recipients::All, vec![2], false);
        assert_eq!(received.recv().await.unwrap().1.as_ref(), [2]);
    });
}
