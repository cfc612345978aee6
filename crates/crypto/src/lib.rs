//! Cipher library: recovery of senders, node keys, account keys and their custody.
//!
//! D3.1 6.1.9.1. Everything here is a pure function of its arguments, except where a function's name says that it
//! reads or writes a file. Private keys never appear in a `Debug` or `Display` text.

mod account_key;
mod node_key;
mod recovery;
mod secret_file;

pub use account_key::{AccountKey, AccountKeyError, DEV_MNEMONIC};
pub use alloy_primitives::keccak256;
pub use commonware_cryptography::ed25519::PublicKey as NodePublicKey;
pub use node_key::{NodeKey, NodeKeyError, parse_public_key};
pub use recovery::{RecoveryError, recover_sender};
pub use secret_file::{SecretFileError, read_secret, write_secret};
