//! The consensus digest: a block's hash, in the form that the engine asks for.
//!
//! D3.1 6.1.5. Votes and certificates name a block by this; it is the Keccak-256 hash that every Ethereum client
//! computes, never a second identity.

use alloy_primitives::B256;
use bytes::BufMut;
use commonware_codec::{Buf, Error, FixedArray, FixedSize, Read, ReadExt, Write};
use commonware_math::algebra::Random;
use commonware_utils::{Array, Span};
use rand_core::CryptoRng;
use std::{fmt, ops::Deref};

/// A block hash as the engine's digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, FixedArray)]
#[fixed_array(infallible)]
pub struct Digest([u8; 32]);

impl From<B256> for Digest {
    fn from(hash: B256) -> Digest {
        Digest(hash.0)
    }
}

impl From<Digest> for B256 {
    fn from(digest: Digest) -> B256 {
        B256::new(digest.0)
    }
}

impl Write for Digest {
    fn write(&self, buf: &mut impl BufMut) {
        self.0.write(buf);
    }
}

impl Read for Digest {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        Ok(Digest(<[u8; 32]>::read(buf)?))
    }
}

impl FixedSize for Digest {
    const SIZE: usize = 32;
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Digest {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        B256::new(self.0).fmt(f)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        B256::new(self.0).fmt(f)
    }
}

impl Random for Digest {
    fn random(mut rng: impl CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Digest(bytes)
    }
}

impl Span for Digest {}
impl Array for Digest {}

impl commonware_cryptography::Digest for Digest {
    const EMPTY: Self = Digest([0; 32]);
}
