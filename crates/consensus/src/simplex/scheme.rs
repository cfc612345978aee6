//! The signing scheme: Ed25519 votes that pass the last-signed watermark.
//!
//! D3.1 6.1.9.1. Attributable: a certificate is a bitmap of signers and their signatures, so that misbehaviour is
//! provable to anyone. On the wire and in certificates it is the engine's own Ed25519 scheme, byte for byte; what is
//! added is that [`Scheme::sign`] may refuse. The engine takes a refusal for abstention: it journals and sends nothing.

use super::watermark::Watermark;
use commonware_codec::Read;
use commonware_consensus::simplex::{scheme::Namespace, types::Subject};
use commonware_consensus::types::Round;
use commonware_cryptography::certificate::ed25519::{Certificate, Generic};
use commonware_cryptography::certificate::{self, AssemblyError, Attestation, Membership, Verification, Verifier};
use commonware_cryptography::ed25519::{PrivateKey, PublicKey, Signature};
use commonware_parallel::Strategy;
use commonware_utils::{N3f1, Participant, iter::NonEmpty, ordered::Set};
use rand_core::CryptoRng;
use std::fmt;

/// Verifies a committee's votes and certificates; signs for one member if it has the key.
#[derive(Clone)]
pub struct Scheme {
    generic: Generic<Namespace>,
    watermark: Option<Watermark>,
}

impl Scheme {
    /// Signs as the member that `key` belongs to, as far as `watermark` admits; `None` if it is no member.
    pub fn signer(namespace: &[u8], members: Set<PublicKey>, key: PrivateKey, watermark: Watermark) -> Option<Scheme> {
        let generic = Generic::signer(namespace, members, key)?;
        Some(Scheme { generic, watermark: Some(watermark) })
    }

    /// Verifies only.
    pub fn verifier(namespace: &[u8], members: Set<PublicKey>) -> Scheme {
        Scheme { generic: Generic::verifier(namespace, members), watermark: None }
    }

    /// Whether a vote in `round` would be refused.
    pub fn refuses(&self, round: Round) -> bool {
        self.watermark.as_ref().is_none_or(|watermark| watermark.refuses(round))
    }

    /// The member that this instance signs for.
    pub fn index(&self) -> Option<Participant> {
        self.generic.signer_index()
    }
}

impl fmt::Debug for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scheme({} members, signer {:?})", self.generic.participants.len(), self.index())
    }
}

fn round_of<D: commonware_cryptography::Digest>(subject: &Subject<'_, D>) -> Round {
    match subject {
        Subject::Notarize { proposal } | Subject::Finalize { proposal } => proposal.round,
        Subject::Nullify { round } => *round,
    }
}

impl Verifier for Scheme {
    type Subject<'a, D: commonware_cryptography::Digest> = Subject<'a, D>;
    type Faults = N3f1;
    type PublicKey = PublicKey;
    type Certificate = Certificate;

    fn verify_certificate<R: CryptoRng, D: commonware_cryptography::Digest>(
        &self,
        rng: &mut R,
        subject: Subject<'_, D>,
        certificate: &Certificate,
        strategy: &impl Strategy,
    ) -> bool {
        self.generic.verify_certificate::<Self, _>(rng, subject, certificate, strategy)
    }

    fn verify_certificates<'a, R, D, I>(&self, rng: &mut R, certificates: NonEmpty<I>, strategy: &impl Strategy) -> bool
    where
        R: CryptoRng,
        D: commonware_cryptography::Digest,
        I: Iterator<Item = (Subject<'a, D>, &'a Certificate)>,
    {
        self.generic.verify_certificates::<Self, _, _, _>(rng, certificates, strategy)
    }

    fn is_batchable() -> bool {
        Generic::<Namespace>::is_batchable()
    }

    fn max_certificate_size(participants: u32) -> usize {
        Generic::<Namespace>::max_certificate_size(participants)
    }

    fn certificate_codec_config(&self) -> <Certificate as Read>::Cfg {
        self.generic.certificate_codec_config()
    }

    fn certificate_codec_config_unbounded() -> <Certificate as Read>::Cfg {
        Generic::<Namespace>::certificate_codec_config_unbounded()
    }
}

impl certificate::Scheme for Scheme {
    type Signature = Signature;

    fn me(&self) -> Option<Membership> {
        self.index().map(Membership::Signer)
    }

    fn participants(&self) -> &Set<PublicKey> {
        &self.generic.participants
    }

    fn sign<D: commonware_cryptography::Digest>(&self, subject: Subject<'_, D>) -> Option<Attestation<Self>> {
        let round = round_of(&subject);
        if !self.watermark.as_ref()?.admit(round) {
            tracing::debug!(%round, "not voting: the watermark does not know what this key voted here");
            return None;
        }
        self.generic.sign(subject)
    }

    fn verify_attestation<R: CryptoRng, D: commonware_cryptography::Digest>(
        &self,
        _rng: &mut R,
        subject: Subject<'_, D>,
        attestation: &Attestation<Self>,
        _strategy: &impl Strategy,
    ) -> bool {
        self.generic.verify_attestation(subject, attestation)
    }

    fn verify_attestations<R, D, I>(
        &self,
        rng: &mut R,
        subject: Subject<'_, D>,
        attestations: I,
        strategy: &impl Strategy,
    ) -> Verification<Self>
    where
        R: CryptoRng,
        D: commonware_cryptography::Digest,
        I: IntoIterator<Item = Attestation<Self>>,
        I::IntoIter: Send,
    {
        self.generic.verify_attestations(rng, subject, attestations, strategy)
    }

    fn optimistic_assemble<'a, R, D, I, J>(
        &self,
        rng: &mut R,
        subject: Subject<'_, D>,
        pending: I,
        verified: J,
        strategy: &impl Strategy,
    ) -> Result<Certificate, Verification<Self>>
    where
        R: CryptoRng,
        D: commonware_cryptography::Digest,
        I: IntoIterator<Item = Attestation<Self>>,
        I::IntoIter: ExactSizeIterator + Send,
        J: IntoIterator<Item = &'a Attestation<Self>>,
        J::IntoIter: Send,
    {
        certificate::verify_then_assemble::<Self, _, D, _, _>(self, rng, subject, pending, verified, strategy)
    }

    fn assemble<I>(&self, attestations: NonEmpty<I>, _strategy: &impl Strategy) -> Result<Certificate, AssemblyError>
    where
        I: Iterator<Item = Attestation<Self>> + Send,
    {
        self.generic.assemble::<Self, _>(attestations)
    }

    fn is_attributable() -> bool {
        true
    }
}
