//! A secp256k1 key that signs transactions, and its custody in Web3 keystore files (version 3).
//!
//! D3.1 6.1.9.1. The files are those of geth, Besu and every wallet, in both directions.

use crate::secret_file::{SecretFileError, read_secret, write_secret};
use alloy_primitives::{Address, B256, Signature, hex};
use alloy_signer::SignerSync;
use alloy_signer_local::coins_bip39::English;
use alloy_signer_local::{LocalSignerError, MnemonicBuilder, PrivateKeySigner};
use std::fmt;
use std::path::{Path, PathBuf};

/// The mnemonic whose accounts every Ethereum development tool knows. Public: never for real value.
pub const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// A secp256k1 private key with its address.
#[derive(Clone)]
pub struct AccountKey(PrivateKeySigner);

/// Why an account key could not be made, opened or stored.
#[derive(Debug, thiserror::Error)]
pub enum AccountKeyError {
    /// The bytes or words are no private key.
    #[error("not a secp256k1 private key: expected 64 hexadecimal digits, not zero and below the curve's order")]
    Malformed,
    /// The words or the derivation path are wrong.
    #[error("not a mnemonic phrase of BIP-39")]
    Mnemonic(#[source] LocalSignerError),
    /// A wrong password, or a file that is no keystore.
    #[error("cannot open {path}: wrong password, or not a version 3 keystore", path = path.display())]
    Locked {
        /// The keystore file.
        path: PathBuf,
        /// What the library found.
        #[source]
        source: LocalSignerError,
    },
    /// The file could not be read or written.
    #[error(transparent)]
    File(#[from] SecretFileError),
}

impl AccountKey {
    /// The key with these 32 secret bytes.
    pub fn from_secret(secret: &B256) -> Result<AccountKey, AccountKeyError> {
        PrivateKeySigner::from_bytes(secret).map(AccountKey).map_err(|_| AccountKeyError::Malformed)
    }

    /// A new key from the operating system's random source.
    pub fn random() -> AccountKey {
        AccountKey(PrivateKeySigner::random())
    }

    /// Reads 64 hexadecimal digits, with or without `0x`.
    pub fn parse(text: &str) -> Result<AccountKey, AccountKeyError> {
        let bytes = hex::decode(text.trim()).map_err(|_| AccountKeyError::Malformed)?;
        let secret = <[u8; 32]>::try_from(bytes).map_err(|_| AccountKeyError::Malformed)?;
        AccountKey::from_secret(&B256::from(secret))
    }

    /// Key `index` of a mnemonic, on Ethereum's path `m/44'/60'/0'/0/index`.
    pub fn from_mnemonic(phrase: &str, index: u32) -> Result<AccountKey, AccountKeyError> {
        let builder = MnemonicBuilder::<English>::default().phrase(phrase).index(index);
        builder.and_then(|builder| builder.build()).map(AccountKey).map_err(AccountKeyError::Mnemonic)
    }

    /// Opens a version 3 keystore file.
    pub fn open(path: &Path, password: &str) -> Result<AccountKey, AccountKeyError> {
        read_secret(path)?; // who else can read it, and is it small enough to parse
        let opened = PrivateKeySigner::decrypt_keystore(path, password);
        opened.map(AccountKey).map_err(|source| AccountKeyError::Locked { path: path.into(), source })
    }

    /// Encrypts the key into a new version 3 keystore file in `directory`, named as geth names them; `stamp` is the
    /// time part of that name. Returns the file's path.
    pub fn seal(&self, directory: &Path, password: &str, stamp: &str) -> Result<PathBuf, AccountKeyError> {
        let name = format!("UTC--{stamp}--{}", hex::encode(self.address()));
        let path = directory.join(name);
        let scratch = directory.join(format!(".sealing-{}", hex::encode(self.address())));
        let failed = |source| SecretFileError::Io { verb: "write", path: scratch.clone(), source };
        std::fs::create_dir_all(&scratch).map_err(failed)?;
        let sealed = self.seal_in(&scratch, password).and_then(|text| Ok(write_secret(&path, &text)?));
        std::fs::remove_dir_all(&scratch).map_err(failed)?;
        sealed.map(|()| path)
    }

    /// The library writes with the process's default mode, so it writes where nobody looks and we copy with 0600.
    fn seal_in(&self, scratch: &Path, password: &str) -> Result<Vec<u8>, AccountKeyError> {
        let locked = |source| AccountKeyError::Locked { path: scratch.into(), source };
        let secret = self.0.to_bytes();
        let mut rng = rand_08::thread_rng();
        PrivateKeySigner::encrypt_keystore(scratch, &mut rng, secret, password, Some("key")).map_err(locked)?;
        let path = scratch.join("key");
        std::fs::read(&path).map_err(|source| SecretFileError::Io { verb: "read", path, source }.into())
    }

    /// The account that this key controls.
    pub fn address(&self) -> Address {
        self.0.address()
    }

    /// Signs a 32-byte hash.
    pub fn sign(&self, hash: &B256) -> Signature {
        self.0.sign_hash_sync(hash).expect("a local key signs every hash")
    }

    /// The 32 secret bytes. For development banners and exports only.
    pub fn secret(&self) -> B256 {
        self.0.to_bytes()
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountKey({})", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recover_sender;
    use alloy_primitives::{address, keccak256};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn development_accounts_are_the_ones_tools_know() {
        let first = AccountKey::from_mnemonic(DEV_MNEMONIC, 0).unwrap();
        assert_eq!(first.address(), address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
        let tenth = AccountKey::from_mnemonic(DEV_MNEMONIC, 9).unwrap();
        assert_eq!(tenth.address(), address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"));
        assert!(AccountKey::from_mnemonic("test test", 0).is_err());
    }

    #[test]
    fn what_it_signs_recovers_to_it() {
        let key = AccountKey::from_secret(&B256::repeat_byte(0x11)).unwrap();
        let hash = keccak256("lonja");
        assert_eq!(recover_sender(&hash, &key.sign(&hash)), Ok(key.address()));
    }

    #[test]
    fn keystore_opens_with_its_password_only() {
        let folder = tempfile::tempdir().unwrap();
        let key = AccountKey::from_secret(&B256::repeat_byte(0x22)).unwrap();
        let path = key.seal(folder.path(), "open sesame", "2026-01-01T00-00-00").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
        assert_eq!(AccountKey::open(&path, "open sesame").unwrap().address(), key.address());
        assert!(matches!(AccountKey::open(&path, "open"), Err(AccountKeyError::Locked { .. })));
    }

    #[test]
    fn refuses_what_is_no_key() {
        assert!(AccountKey::parse("0x00").is_err());
        assert!(AccountKey::from_secret(&B256::ZERO).is_err());
        assert!(AccountKey::from_secret(&B256::repeat_byte(0xff)).is_err());
    }
}
