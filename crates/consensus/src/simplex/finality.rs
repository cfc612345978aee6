//! Certificates of finality in the form that is stored and served, and their verification by anyone.
//!
//! D3.1 6.1.5.2. `Finality::certificate` holds, in the engine's encoding:
//!
//! ```text
//! epoch (varint) · view (varint) · parent view (varint) · block hash (32) · signers (bitmap) · signatures (64 each)
//! ```
//!
//! Each signer signed the bytes before the bitmap under the namespace `lonja-simplex-` ‖ ledger id ‖ `_FINALIZE`, framed
//! as commonware's Ed25519 does. Whoever has the genesis file can check it; no node is trusted.

use super::{
    committee::{Committee, NoCommittee},
    digest::Digest,
    scheme::Scheme,
};
use commonware_codec::{Decode as _, Encode, types::lazy::Lazy};
use commonware_consensus::simplex::{scheme::Namespace, types::Finalization};
use commonware_consensus::{Epochable, Viewable};
use commonware_cryptography::{Verifier as _, ed25519::Signature};
use commonware_utils::{Participant, ordered::Quorum as _};
use types::{Finality, Genesis};

/// The engine's certificate over our digest.
pub type Certificate = Finalization<Scheme, Digest>;

/// Why a statement of finality is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum FinalityError {
    /// The genesis has no committee.
    #[error(transparent)]
    NoCommittee(#[from] NoCommittee),
    /// The certificate's bytes are none.
    #[error("malformed certificate: {0}")]
    Malformed(#[from] commonware_codec::Error),
    /// The certificate speaks of another block or round than the statement around it.
    #[error("the certificate is for another {0}")]
    Other(&'static str),
    /// Fewer than a quorum of valid signatures.
    #[error("the signatures are not a quorum's")]
    Signatures,
}

/// Packs a certificate for the block at `height`.
pub fn pack(height: u64, certificate: &Certificate) -> Option<Finality> {
    Some(Finality {
        height,
        block_hash: certificate.proposal.payload.into(),
        epoch: u32::try_from(certificate.epoch().get()).ok()?,
        view: certificate.view().get(),
        certificate: certificate.encode().to_vec().into(),
    })
}

/// Reads the certificate back, without verifying it.
pub fn unpack(committee: &Committee, finality: &Finality) -> Result<Certificate, FinalityError> {
    let certificate = Certificate::decode_cfg(finality.certificate.0.clone(), &committee.members().len())?;
    if certificate.proposal.payload != finality.block_hash.into() {
        return Err(FinalityError::Other("block"));
    }
    if (certificate.epoch().get(), certificate.view().get()) != (u64::from(finality.epoch), finality.view) {
        return Err(FinalityError::Other("round"));
    }
    match committee.epoch_of(finality.height).map(|info| info.epoch()) == Some(certificate.epoch()) {
        true => Ok(certificate),
        false => Err(FinalityError::Other("epoch than its height's")),
    }
}

/// Whether the committee of `genesis` made `finality.block_hash` final. That the block has the stated height is in the
/// block's header, which the hash commits to. Signatures are checked one by one, so that no randomness is needed.
pub fn verify_finality(genesis: &Genesis, finality: &Finality) -> Result<(), FinalityError> {
    let committee = Committee::of(genesis)?;
    let Finalization { proposal, certificate } = unpack(&committee, finality)?;
    let (signers, signatures) = (&certificate.signers, &certificate.signatures);
    if signers.len() != committee.members().len()
        || signers.count() < committee.quorum()
        || signers.count() != signatures.len()
    {
        return Err(FinalityError::Signatures);
    }
    let namespace = Namespace::new(committee.namespace()).finalize;
    let message = proposal.encode();
    let signed = |(signer, signature): (Participant, &Lazy<Signature>)| {
        let key = committee.members().key(signer);
        key.zip(signature.get()).is_some_and(|(key, signature)| key.verify(&namespace, &message, signature))
    };
    match signers.iter().zip(signatures).all(signed) {
        true => Ok(()),
        false => Err(FinalityError::Signatures),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_consensus::simplex::{scheme::ed25519, types::Finalize, types::Proposal};
    use commonware_consensus::types::{Epoch, Round, View};
    use commonware_cryptography::{Signer as _, ed25519::PrivateKey};
    use commonware_parallel::Sequential;
    use commonware_utils::non_empty;
    use types::{Address, B256, ConsensusConfig, GenesisTemplate, SimplexConfig, Validator};

    fn genesis(ledger: &str) -> (Genesis, Vec<PrivateKey>) {
        let keys: Vec<_> = (1..=4).map(PrivateKey::from_seed).collect();
        let validator = |(index, key): (usize, &PrivateKey)| Validator {
            name: index.to_string(),
            key: key.public_key(),
            beneficiary: Address::ZERO,
        };
        let validators = keys.iter().enumerate().map(validator).collect();
        let consensus = ConsensusConfig::Simplex(SimplexConfig::new(validators));
        (GenesisTemplate { ledger: ledger.into(), consensus, ..Default::default() }.build().unwrap(), keys)
    }

    /// Signed by the library's own scheme, as another implementation would.
    fn finality(genesis: &Genesis, keys: &[PrivateKey]) -> Finality {
        let committee = Committee::of(genesis).unwrap();
        let round = Round::new(Epoch::zero(), View::new(9));
        let proposal = Proposal::new(round, View::new(8), Digest::from(B256::repeat_byte(7)));
        let schemes: Vec<_> = keys
            .iter()
            .map(|key| {
                ed25519::Scheme::signer(committee.namespace(), committee.members().clone(), key.clone()).unwrap()
            })
            .collect();
        let votes: Vec<_> = schemes.iter().map(|scheme| Finalize::sign(scheme, proposal.clone()).unwrap()).collect();
        let certificate = Finalization::from_owned_finalizes(&schemes[0], non_empty![@votes], &Sequential).unwrap();
        Finality {
            height: 3,
            block_hash: B256::repeat_byte(7),
            epoch: 0,
            view: 9,
            certificate: certificate.encode().to_vec().into(),
        }
    }

    #[test]
    fn a_quorum_is_believed_and_nothing_else() {
        let (genesis, keys) = genesis("main");
        let good = finality(&genesis, &keys[..3]);
        verify_finality(&genesis, &good).unwrap();
        verify_finality(&genesis, &finality(&genesis, &keys)).unwrap();
        verify_finality(&super::tests::genesis("side").0, &good).expect_err("another ledger");
        for wrong in [
            Finality { block_hash: B256::repeat_byte(8), ..good.clone() },
            Finality { view: 10, ..good.clone() },
            Finality { epoch: 1, ..good.clone() },
            Finality { height: 100_000, ..good.clone() },
        ] {
            verify_finality(&genesis, &wrong).unwrap_err();
        }
    }

    #[test]
    fn no_flipped_bit_is_believed() {
        let (genesis, keys) = genesis("main");
        let good = finality(&genesis, &keys[..3]);
        for bit in 0..good.certificate.len() * 8 {
            let mut bytes = good.certificate.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let wrong = Finality { certificate: bytes.into(), ..good.clone() };
            assert!(verify_finality(&genesis, &wrong).is_err(), "bit {bit}");
        }
        for length in 0..good.certificate.len() {
            let wrong = Finality { certificate: good.certificate.slice(..length), ..good.clone() };
            assert!(verify_finality(&genesis, &wrong).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn two_of_four_are_no_quorum() {
        let (genesis, keys) = genesis("main");
        let good = finality(&genesis, &keys[..3]);
        let committee = Committee::of(&genesis).unwrap();
        let Finalization { proposal, certificate } = unpack(&committee, &good).unwrap();
        let signers: Vec<_> = certificate.signers.iter().take(2).collect();
        let signers = commonware_cryptography::certificate::Signers::new(4, signers).unwrap();
        let signatures = certificate.signatures[..2].to_vec();
        let certificate = commonware_cryptography::certificate::ed25519::Certificate { signers, signatures };
        let bytes = Finalization::<super::super::scheme::Scheme, Digest> { proposal, certificate }.encode();
        let wrong = Finality { certificate: bytes.to_vec().into(), ..good };
        assert!(matches!(verify_finality(&genesis, &wrong), Err(FinalityError::Signatures)));
    }
}
