//! Connections to the peers that genesis and configuration name.
//!
//! D3.1 6.1.2. Full mesh: each node dials all others. An unknown key is refused in the handshake and reaches nothing. Nodes
//! that start together dial at slightly different paces, for they would otherwise refuse each other in lock step.

use crate::channels::{Channels, Transport};
use commonware_cryptography::{ChaCha20Poly1305, Signer, ed25519::PrivateKey, ed25519::PublicKey};
use commonware_p2p::authenticated::lookup::{Config, Network, Oracle, Receiver, Sender};
use commonware_p2p::authenticated::peer_set_limit;
use commonware_p2p::utils::mux;
use commonware_p2p::{Address, AddressableManager as _, AddressableTrackedPeers, Ingress};
use commonware_runtime::{Clock, Handle, Metrics, Network as RuntimeNetwork, Resolver, Spawner};
use commonware_stream::{cups, cups::Cups, sake, sake::Sake};
use commonware_utils::{Hostname, NZU32, NZUsize, TryCollect, ordered::Map};
use rand_core::CryptoRng;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

/// Clocks of two peers may differ by so much.
const CLOCK_DRIFT: Duration = Duration::from_secs(5);
const HANDSHAKE_AGE: Duration = Duration::from_secs(10);
/// Between dials, and what each further node waits longer.
const DIAL: Duration = Duration::from_millis(200);
const DIAL_STEP: Duration = Duration::from_millis(37);
/// A refused or lost connection is tried again after this.
const COOLDOWN: Duration = Duration::from_secs(1);
/// A peer that sent what cannot be decoded is shut out for so long.
const BLOCK: Duration = Duration::from_secs(600);
const MAILBOX: NonZeroUsize = NZUsize!(1024);

/// Where a peer listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// Address and port.
    Socket(SocketAddr),
    /// A name, resolved at each dial.
    Dns(Hostname, u16),
}

/// Why a text is no peer address.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no peer address: expected IP:PORT or NAME:PORT")]
pub struct PeerAddressError(String);

impl FromStr for PeerAddress {
    type Err = PeerAddressError;

    fn from_str(text: &str) -> Result<PeerAddress, PeerAddressError> {
        if let Ok(socket) = text.parse() {
            return Ok(PeerAddress::Socket(socket));
        }
        let wrong = || PeerAddressError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = Hostname::new(host).map_err(|_| wrong())?;
        Ok(PeerAddress::Dns(host, port.parse().map_err(|_| wrong())?))
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddress::Socket(socket) => socket.fmt(f),
            PeerAddress::Dns(host, port) => write!(f, "{}:{port}", host.as_str()),
        }
    }
}

impl From<&PeerAddress> for Address {
    fn from(address: &PeerAddress) -> Address {
        match address {
            PeerAddress::Socket(socket) => Address::Symmetric(*socket),
            PeerAddress::Dns(host, port) => Address::Asymmetric {
                ingress: Ingress::Dns { host: host.clone(), port: *port },
                // Not used: peers are known by their keys, not by where they come from.
                egress: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), *port),
            },
        }
    }
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its identity.
    pub key: PublicKey,
    /// Where it listens.
    pub address: PeerAddress,
}

/// How a node meets its peers.
pub struct Options {
    /// This node's identity.
    pub key: PrivateKey,
    /// Tells networks apart: a node of another network fails the handshake.
    pub namespace: Vec<u8>,
    /// Where this node listens.
    pub listen: SocketAddr,
    /// The other nodes. This node's own entry, if there is one, is ignored.
    pub peers: Vec<Peer>,
    /// The longest message of any ledger on any channel, without the ledger's prefix.
    pub message_bytes_max: usize,
}

/// Why the network cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Messages may be longer than the transport can carry.
    #[error("messages of {0} bytes are longer than the transport carries")]
    MessageTooLong(usize),
    /// A key is listed twice.
    #[error("a peer is listed twice")]
    Duplicate,
}

type Handshake = Cups<Sake<PrivateKey>, ChaCha20Poly1305>;

/// What [`open`] gives: the connections, and the task that keeps them. If the task ends, the node must end.
pub type Opened<E> = (Transport<Oracle<PublicKey>, Oracle<PublicKey>, Sender<PublicKey, E>>, Handle<()>);

/// Listens, dials, and goes on doing so.
pub fn open<E>(context: E, options: Options) -> Result<Opened<E>, OpenError>
where
    E: Clock + CryptoRng + Spawner + RuntimeNetwork + Resolver + Metrics,
{
    let bytes_max = mux::prefixed(options.message_bytes_max);
    let wire_max = u32::try_from(bytes_max).map_err(|_| OpenError::MessageTooLong(bytes_max))?;
    if wire_max > commonware_p2p::authenticated::max_size::<Handshake>() {
        return Err(OpenError::MessageTooLong(bytes_max));
    }
    let peers = peers(&options)?;
    let (mut network, mut oracle) = Network::new(context.child("transport"), config(&options, &peers, wire_max));
    oracle.track(0, AddressableTrackedPeers::primary(peers));
    let channels: Channels<Sender<PublicKey, E>, Receiver<PublicKey>> =
        Channels::register(|number, quota| network.register(number, quota));
    let task = network.start();
    Ok((Transport::new(&context, oracle.clone(), oracle, channels, bytes_max), task))
}

/// All nodes, this one included, by key.
fn peers(options: &Options) -> Result<Map<PublicKey, Address>, OpenError> {
    let me = options.key.public_key();
    let others = options.peers.iter().filter(|peer| peer.key != me);
    let others = others.map(|peer| (peer.key.clone(), Address::from(&peer.address)));
    let all = others.chain([(me.clone(), Address::Symmetric(options.listen))]);
    all.try_collect().map_err(|_| OpenError::Duplicate)
}

fn config(options: &Options, peers: &Map<PublicKey, Address>, wire_max: u32) -> Config<Handshake> {
    let me = options.key.public_key();
    let handshake = Cups::new(
        Sake {
            signer: options.key.clone(),
            synchrony_bound: CLOCK_DRIFT,
            max_handshake_age: HANDSHAKE_AGE,
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let index = peers.position(&me).unwrap_or_default();
    let index = u32::try_from(index).unwrap_or_default();
    let limit = peer_set_limit(peers.keys().iter(), &me);
    Config {
        dial_frequency: DIAL + DIAL_STEP * (index % 32),
        peer_connection_cooldown: COOLDOWN,
        block_duration: BLOCK,
        tracked_peer_sets: NZUsize!(2),
        max_concurrent_handshakes: NZU32!(256),
        // Peers behind one address, or behind a translating router, are told apart by their keys.
        bypass_ip_check: true,
        ..Config::local(handshake, &options.namespace, options.listen, limit, wire_max, MAILBOX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_text() {
        for text in ["127.0.0.1:30303", "[::1]:30303", "validator-1:30303", "node.example.org:1"] {
            assert_eq!(text.parse::<PeerAddress>().unwrap().to_string(), text);
        }
        for text in ["", "validator-1", ":30303", "validator-1:99999", "a b:1"] {
            assert!(text.parse::<PeerAddress>().is_err(), "{text}");
        }
    }
}
