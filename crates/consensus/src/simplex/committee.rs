//! The committee: who votes in an epoch, who proposes in a view, and how long an epoch is.
//!
//! D3.1 6.2.2. Fixed by genesis for every epoch; all that follows asks per epoch, so that a changing committee needs a
//! change here only. Votes are bound to the ledger by their namespace, which is the hash of genesis and rules.

use super::{digest::Digest, scheme::Scheme, watermark::Watermark};
use commonware_consensus::simplex::elector::{Config, Elector as _, RoundRobin};
use commonware_consensus::types::{Epoch, EpochInfo, Epocher, FixedEpocher, Height, Round};
use commonware_cryptography::certificate::{Provider, Scoped};
use commonware_cryptography::ed25519::{PrivateKey, PublicKey};
use commonware_cryptography::{Sha256, Signer};
use commonware_utils::{Faults, N3f1, TryCollect, ordered::Set};
use std::{num::NonZeroU64, sync::Arc, time::Duration};
use types::{Address, ConsensusConfig, Genesis, Validator};

/// Leaders take turns in the order of their keys.
pub type Elector = RoundRobin<Sha256>;

/// Why a genesis has no committee.
#[derive(Debug, thiserror::Error)]
#[error("this ledger's genesis names another engine than simplex")]
pub struct NoCommittee;

/// What genesis says about the agreement.
#[derive(Clone, Debug)]
pub struct Committee(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// In the order of `Slot::proposer`.
    validators: Vec<Validator>,
    /// In the engine's order.
    members: Set<PublicKey>,
    namespace: Vec<u8>,
    genesis: Digest,
    epocher: FixedEpocher,
    empty_block_period: Duration,
    min_block_interval: Duration,
}

impl Committee {
    /// Reads the committee from `genesis`.
    pub fn of(genesis: &Genesis) -> Result<Committee, NoCommittee> {
        let ConsensusConfig::Simplex(config) = &genesis.lonja.consensus else { return Err(NoCommittee) };
        let keys = config.validators.iter().map(|validator| validator.key.clone());
        Ok(Committee(Arc::new(Inner {
            validators: config.validators.clone(),
            members: keys.try_collect().map_err(|_| NoCommittee)?,
            namespace: [b"lonja-simplex-".as_slice(), genesis.ledger_id().hash().as_slice()].concat(),
            genesis: genesis.hash().into(),
            epocher: FixedEpocher::new(NonZeroU64::new(config.epoch_length.max(2)).ok_or(NoCommittee)?),
            empty_block_period: Duration::from_millis(config.empty_block_period_ms),
            min_block_interval: Duration::from_millis(config.min_block_interval_ms),
        })))
    }

    /// The members in the order of `Slot::proposer`.
    pub fn validators(&self) -> &[Validator] {
        &self.0.validators
    }

    /// The members in the engine's order.
    pub fn members(&self) -> &Set<PublicKey> {
        &self.0.members
    }

    /// Members that must agree.
    pub fn quorum(&self) -> usize {
        N3f1::quorum(self.0.members.len()) as usize
    }

    /// What binds votes to this ledger.
    pub fn namespace(&self) -> &[u8] {
        &self.0.namespace
    }

    /// Digest of the block at height 0.
    pub fn genesis(&self) -> Digest {
        self.0.genesis
    }

    /// Heights to epochs.
    pub fn epocher(&self) -> &FixedEpocher {
        &self.0.epocher
    }

    /// An idle ledger's heartbeat.
    pub fn empty_block_period(&self) -> Duration {
        self.0.empty_block_period
    }

    /// The least time between blocks under load.
    pub fn min_block_interval(&self) -> Duration {
        self.0.min_block_interval
    }

    /// `Slot::proposer` and beneficiary of a member.
    pub fn proposer(&self, key: &PublicKey) -> Option<(u16, Address)> {
        let index = self.0.validators.iter().position(|validator| validator.key == *key)?;
        Some((u16::try_from(index).ok()?, self.0.validators[index].beneficiary))
    }

    /// Beneficiary of the member with this `Slot::proposer`.
    pub fn beneficiary(&self, proposer: u16) -> Option<Address> {
        self.0.validators.get(usize::from(proposer)).map(|validator| validator.beneficiary)
    }

    /// Who proposes in `round`.
    pub fn leader(&self, round: Round) -> PublicKey {
        let elector = Config::<Scheme>::build(Elector::default(), &self.0.members);
        let index = elector.elect(round, ());
        self.0.members[usize::from(index)].clone()
    }

    /// The epoch that the block at `height` belongs to, with its bounds.
    pub fn epoch_of(&self, height: u64) -> Option<EpochInfo> {
        self.0.epocher.containing(Height::new(height))
    }

    /// Last height of an epoch.
    pub fn last(&self, epoch: Epoch) -> Option<Height> {
        self.0.epocher.last(epoch)
    }

    /// A scheme that only verifies.
    pub fn verifier(&self) -> Scheme {
        Scheme::verifier(&self.0.namespace, self.0.members.clone())
    }

    /// Whether `key` is a member's.
    pub fn contains(&self, key: &PrivateKey) -> bool {
        self.0.members.position(&key.public_key()).is_some()
    }
}

/// Answers the engine's question for the scheme of an epoch, past ones included.
#[derive(Clone)]
pub struct Schemes {
    scheme: Arc<Scheme>,
    signs: bool,
}

impl Schemes {
    /// Signs with `key` if it belongs to a member, else verifies only.
    pub fn new(committee: &Committee, key: &PrivateKey, watermark: Watermark) -> Schemes {
        let (namespace, members) = (committee.namespace(), committee.members().clone());
        let signer = Scheme::signer(namespace, members, key.clone(), watermark);
        let signs = signer.is_some();
        Schemes { scheme: Arc::new(signer.unwrap_or_else(|| committee.verifier())), signs }
    }

    /// The scheme of `epoch`.
    pub fn of(&self, _epoch: Epoch) -> Scheme {
        (*self.scheme).clone()
    }
}

impl Provider for Schemes {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, _epoch: Epoch) -> Option<Scoped<Scheme>> {
        Some(match self.signs {
            true => Scoped::scheme(self.scheme.clone()),
            false => Scoped::verifier(self.scheme.clone()),
        })
    }
}
