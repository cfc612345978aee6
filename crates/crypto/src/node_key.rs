//! A node's Ed25519 key: it authenticates the node to its peers and, on a validator, signs votes.
//!
//! D3.1 6.1.9.1. On disk: 64 hexadecimal digits in a file that only its owner can read.

use crate::secret_file::{SecretFileError, read_secret, write_secret};
use alloy_primitives::{B256, hex};
use commonware_codec::{DecodeExt, Encode};
use commonware_cryptography::Signer;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey};
use std::fmt;
use std::path::Path;

/// An Ed25519 private key with its public key.
#[derive(Clone)]
pub struct NodeKey(PrivateKey);

/// Why a node key could not be loaded or stored.
#[derive(Debug, thiserror::Error)]
pub enum NodeKeyError {
    /// The file could not be read or written.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// The text is no key.
    #[error("not an Ed25519 key: expected 64 hexadecimal digits")]
    Malformed,
}

impl NodeKey {
    /// The key whose secret is `seed`; 32 bytes from a cryptographic random source.
    pub fn from_seed(seed: B256) -> NodeKey {
        NodeKey(PrivateKey::decode(seed.to_vec()).expect("every 32 bytes are an Ed25519 secret"))
    }

    /// Reads the key from `path`.
    pub fn load(path: &Path) -> Result<NodeKey, NodeKeyError> {
        let text = read_secret(path)?;
        let digits = std::str::from_utf8(&text).map_err(|_| NodeKeyError::Malformed)?.trim();
        let seed = hex::decode(digits).map_err(|_| NodeKeyError::Malformed)?;
        let seed = <[u8; 32]>::try_from(seed).map_err(|_| NodeKeyError::Malformed)?;
        Ok(NodeKey::from_seed(B256::from(seed)))
    }

    /// Writes the key to a new file at `path`.
    pub fn save(&self, path: &Path) -> Result<(), NodeKeyError> {
        let text = format!("{}\n", hex::encode(self.0.encode()));
        Ok(write_secret(path, text.as_bytes())?)
    }

    /// The public half, which is the node's identity.
    pub fn public(&self) -> PublicKey {
        self.0.public_key()
    }

    /// The key in the form that the consensus and network engines sign with.
    pub fn signer(&self) -> &PrivateKey {
        &self.0
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.public())
    }
}

/// Reads a public key from 64 hexadecimal digits, with or without `0x`.
pub fn parse_public_key(text: &str) -> Result<PublicKey, NodeKeyError> {
    let bytes = hex::decode(text).map_err(|_| NodeKeyError::Malformed)?;
    PublicKey::decode(bytes).map_err(|_| NodeKeyError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let key = NodeKey::from_seed(B256::repeat_byte(7));
        key.save(&path).unwrap();
        assert_eq!(NodeKey::load(&path).unwrap().public(), key.public());
        assert_eq!(parse_public_key(&key.public().to_string()).unwrap(), key.public());
    }

    // RFC 8032, section 7.1, test 1.
    #[test]
    fn public_key_of_rfc_8032() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60".parse().unwrap();
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(hex::encode(NodeKey::from_seed(seed).public().encode()), public);
    }

    #[test]
    fn refuses_what_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        for (index, text) in ["", "abcd", "zz", &"0".repeat(66)].into_iter().enumerate() {
            let path = folder.path().join(index.to_string());
            write_secret(&path, text.as_bytes()).unwrap();
            assert!(matches!(NodeKey::load(&path), Err(NodeKeyError::Malformed)), "{text}");
        }
        assert!(parse_public_key("0x1234").is_err());
    }
}
