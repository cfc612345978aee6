//! Starting the engine, in the one order that works, and watching over its parts.
//!
//! D3.1 6.1.5. Every part is a task under one context; the first that ends, ends the node.

use super::application::{Application, Delivery, Parts};
use super::committee::{Committee, NoCommittee, Schemes};
use super::epochs::{Channels, Epochs, journal};
use super::lane::{self, LaneError};
use super::store::{self, StoreError, WriteError};
use super::watermark::{Record, Start, Watermark, WatermarkError};
use super::{Digest, Network, Options, block::Block, epochs, finality, gates::Gates, scheme::Scheme, settings};
use crate::status::Member;
use chain::Chain;
use commonware_broadcast::buffered;
use commonware_consensus::Epochable;
use commonware_consensus::marshal::{self, core::Actor, standard::Standard};
use commonware_consensus::simplex::Floor;
use commonware_consensus::types::{Epoch, Round, View, ViewDelta};
use commonware_cryptography::{Signer, ed25519::PublicKey};
use commonware_p2p::{Blocker, Provider, Receiver, Sender, utils::mux};
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::{self, CacheRef};
use commonware_runtime::{Clock, Error, Handle, Metrics, Spawner, Storage, WriteOptions};
use commonware_utils::acknowledgement::Exact;
use commonware_utils::channel::{mpsc, watch};
use commonware_utils::{NZDuration, NZU64, NZUsize};
use ledger::StorageError;
use rand_core::CryptoRng;
use std::time::Duration;
use types::BLOCK_BYTES_MAX;

/// Why the engine ended. It never ends well: stopping a node means dropping it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The genesis has no committee.
    #[error(transparent)]
    NoCommittee(#[from] NoCommittee),
    /// The watermark cannot be read or written.
    #[error(transparent)]
    Watermark(#[from] WatermarkError),
    /// The ledger cannot be read.
    #[error("cannot read the ledger: {0}")]
    Ledger(#[from] StorageError),
    /// Final blocks cannot be read or kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Final blocks cannot be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Execution or commit failed.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// The engine's own directory cannot be read or written.
    #[error("engine directory: {0}")]
    Directory(#[from] Error),
    /// A channel was used twice.
    #[error("channel of an epoch: {0}")]
    Channel(#[from] mux::Error),
    /// A part that runs for ever has ended.
    #[error("{0} has ended: {1:?}")]
    Ended(&'static str, Option<Error>),
}

/// Runs the engine for `chain` until a part of it ends. The caller stops it by dropping the context's task.
pub async fn run<E, P, B, S, R>(context: E, options: Options, chain: Chain, network: Network<P, B, S, R>) -> RunError
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    P: Provider<PublicKey = PublicKey>,
    B: Blocker<PublicKey = PublicKey> + Sync,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    match start(&context, options, chain, network).await {
        Ok(parts) => Handle::select(parts).await.unwrap_or_else(|error| RunError::Ended("a task", Some(error))),
        Err(error) => error,
    }
}

async fn start<E, P, B, S, R>(
    context: &E,
    options: Options,
    chain: Chain,
    network: Network<P, B, S, R>,
) -> Result<Vec<Handle<RunError>>, RunError>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    P: Provider<PublicKey = PublicKey>,
    B: Blocker<PublicKey = PublicKey> + Sync,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let committee = Committee::of(&options.genesis)?;
    let position = Position::of(&chain, &committee)?;
    let cache = CacheRef::new(paged::page_size(4096), settings::CACHED_PAGES);
    let watermark = open_watermark(context, &options, &position).await?;
    let (connected, quorum) = (options.connected.clone(), committee.quorum());
    let schemes = Schemes::new(&committee, &options.key, watermark.clone());
    publish(&options, &committee, &chain, &schemes);

    let (certificates, blocks, writer) = store::open(chain.ledger(), &committee)?;
    let (buffer, buffer_mailbox) = buffered::Engine::new(
        context.child("blocks"),
        buffered::Config {
            public_key: options.key.public_key(),
            mailbox_size: settings::MAILBOX,
            deque_size: settings::BUFFERED_BLOCKS,
            priority: false,
            codec_config: BLOCK_BYTES_MAX,
            peer_provider: network.provider.clone(),
            strategy: Sequential,
        },
    );
    let resolver = marshal::resolver::p2p::init(
        context.child("backfill"),
        marshal::resolver::p2p::Config {
            public_key: options.key.public_key(),
            peer_provider: network.provider,
            blocker: network.blocker.clone(),
            mailbox_size: settings::MAILBOX,
            fetch_timeout: NZDuration!(Duration::from_secs(2)),
            fetch_retry_delay: Duration::from_millis(100),
            priority_requests: false,
            priority_responses: false,
        },
        network.backfill,
    );
    let config = marshal::Config {
        provider: schemes.clone(),
        epocher: committee.epocher().clone(),
        start: position.start(&options),
        partition_prefix: format!("{}-marshal", options.partition),
        mailbox_size: settings::MAILBOX,
        view_retention: ViewDelta::new(settings::VIEW_RETENTION),
        prunable_items_per_section: NZU64!(4096),
        page_cache: cache.clone(),
        replay_buffer: NZUsize!(1024 * 1024),
        key_write_buffer: NZUsize!(64 * 1024),
        value_write_buffer: NZUsize!(1024 * 1024),
        block_codec_config: BLOCK_BYTES_MAX,
        max_repair: settings::REPAIRS,
        max_pending_acks: settings::PENDING_ACKS,
        strategy: Sequential,
    };
    let (actor, mailbox, floor) =
        Actor::<_, Standard<Block>, _, _, _, _, _, Exact>::init(context.child("marshal"), certificates, blocks, config)
            .await;
    let processed = floor.processed().map(|processed| processed.height().get());

    let (ends, boundaries) = mpsc::unbounded_channel();
    let (lane, lane_mailbox) = lane::new(chain.clone(), committee.clone(), ends, options.status.clone());
    let application = Application::new(
        context.child("application"),
        Parts {
            chain,
            lane: lane_mailbox.clone(),
            marshal: mailbox.clone(),
            committee: committee.clone(),
            scheme: schemes.of(position.epoch),
            gates: Gates::default(),
            connected: options.connected,
            status: options.status,
        },
    );
    let channels = Channels::new(context, network.votes, network.certificates, network.resolver);
    let epoch_parts = epochs::Parts {
        application,
        marshal: mailbox.clone(),
        schemes,
        committee,
        blocker: network.blocker,
        partition: options.partition,
        cache,
    };
    let epochs = Epochs::new(context.child("epochs"), epoch_parts, channels, boundaries);

    let mut parts = vec![
        watched(context, writer.start(context.child("writer")), |ended| {
            ended.map_or_else(end("writer"), RunError::Write)
        }),
        watched(context, buffer.start(network.blocks), |ended| RunError::Ended("the block relay", ended.err())),
        watched(context, actor.start(Delivery(lane_mailbox), buffer_mailbox, resolver), |ended| {
            RunError::Ended("marshal", ended.err())
        }),
    ];
    let lane = context.child("lane").dedicated().spawn(move |context| lane.run(context, mailbox, processed));
    parts.push(watched(context, lane, |ended| ended.map_or_else(end("lane"), RunError::Lane)));
    let (epoch, floor) = (position.epoch, position.floor());
    parts.push(context.child("epochs").spawn(move |_| epochs.run(epoch, floor)));
    parts.push(context.child("watermark").spawn(move |context| settle(context, watermark, connected, quorum)));
    Ok(parts)
}

fn end(what: &'static str) -> impl FnOnce(Error) -> RunError {
    move |error| RunError::Ended(what, Some(error))
}

/// A task's end, as a reason for the node's.
fn watched<E: Spawner, T: Send + 'static>(
    context: &E,
    task: Handle<T>,
    reason: impl FnOnce(Result<T, Error>) -> RunError + Send + 'static,
) -> Handle<RunError> {
    context.child("watch").spawn(move |_| async move { reason(task.await) })
}

/// Where the ledger stands when the engine starts.
struct Position {
    height: u64,
    epoch: Epoch,
    /// The block before the epoch.
    root: Digest,
    /// The latest certificate in the ledger.
    latest: Option<finality::Certificate>,
}

impl Position {
    fn of(chain: &Chain, committee: &Committee) -> Result<Position, RunError> {
        let height = chain.finalized().number;
        let epoch = committee.epoch_of(height + 1).map_or(Epoch::zero(), |info| info.epoch());
        let snapshot = chain.ledger().snapshot()?;
        let before = epoch.previous().and_then(|epoch| committee.last(epoch)).map_or(0, |last| last.get());
        let root = snapshot.hash_of(before)?.map_or(committee.genesis(), Digest::from);
        let mut latest = None;
        for at in snapshot.finality_heights(0)?.rev() {
            let at = at?;
            if at <= height {
                let found = snapshot.finality(at)?;
                latest = found.and_then(|finality| finality::unpack(committee, &finality).ok());
                break;
            }
        }
        Ok(Position { height, epoch, root, latest })
    }

    /// Marshal's own progress counts if it is further; a wiped engine directory continues at the ledger's tip.
    fn start(&self, options: &Options) -> marshal::Start<Scheme, Digest, commonware_cryptography::Digested<Block>> {
        match &self.latest {
            Some(certificate) => marshal::Start::Floor(certificate.clone()),
            None => marshal::Start::Genesis(Block::new(options.genesis.block().clone()).digested()),
        }
    }

    fn floor(&self) -> Floor<Scheme, Digest> {
        match &self.latest {
            Some(certificate) if certificate.epoch() == self.epoch => Floor::Finalized(certificate.clone()),
            _ => Floor::Genesis(self.root),
        }
    }
}

/// Reads the watermark and finds out whether the journal beside it is the one that it speaks of.
async fn open_watermark<E: Storage>(
    context: &E,
    options: &Options,
    position: &Position,
) -> Result<Watermark, RunError> {
    let found = options.watermark.load()?;
    let run = read_run(context, &options.partition).await?;
    let record = found.unwrap_or_default();
    let start = match found {
        None if run.is_none() && position.height == 0 => Start::Intact,
        None => Start::Unknown,
        Some(record) if run.is_none_or(|run| run < record.run) => Start::Lost,
        // The ledger is older than the votes: it was restored, and the journal is not the one to go with it.
        Some(record) if record.epoch > position.epoch.get() => Start::Lost,
        Some(record) if has_voted(&record, position) && !has_journal(context, options, position).await => Start::Lost,
        Some(_) => Start::Intact,
    };
    if start != Start::Intact {
        tracing::error!(
            ?start,
            ?record,
            "this validator's votes are not all known; it follows until it is safe to vote"
        );
    }
    // First the journal's number, then the record's: a crash in between leaves the journal ahead, which is no loss.
    let next = Record { sequence: record.sequence + 1, run: record.run + 1, ..record };
    write_run(context, &options.partition, next.run).await?;
    options.watermark.save(&next)?;
    Ok(Watermark::open(options.watermark.clone(), next, start))
}

fn has_voted(record: &Record, position: &Position) -> bool {
    record.epoch == position.epoch.get() && record.view > 0
}

async fn has_journal<E: Storage>(context: &E, options: &Options, position: &Position) -> bool {
    let names = context.scan(&journal(&options.partition, position.epoch)).await;
    names.is_ok_and(|names| !names.is_empty())
}

const RUN: &[u8] = b"run";

/// The number of the run that wrote the engine's directory last.
async fn read_run<E: Storage>(context: &E, partition: &str) -> Result<Option<u64>, Error> {
    let (blob, size) = context.open(&format!("{partition}-run"), RUN).await?;
    if size < 8 {
        return Ok(None);
    }
    let bytes = commonware_runtime::Blob::read_at(&blob, 0, 8, Default::default()).await?;
    let bytes = bytes.coalesce();
    Ok(bytes.as_ref().try_into().ok().map(u64::from_be_bytes))
}

async fn write_run<E: Storage>(context: &E, partition: &str, run: u64) -> Result<(), Error> {
    let (blob, _) = context.open(&format!("{partition}-run"), RUN).await?;
    let bytes = run.to_be_bytes().to_vec();
    commonware_runtime::Blob::write_at(&blob, 0, bytes, WriteOptions::SYNC).await
}

/// Ends the ignorance of a lost watermark when a quorum was in reach for long enough to hear where the committee is.
async fn settle<E: Clock>(
    context: E,
    watermark: Watermark,
    connected: watch::Receiver<usize>,
    quorum: usize,
) -> RunError {
    let mut heard = Duration::ZERO;
    while heard < settings::SETTLE {
        context.sleep(Duration::from_secs(1)).await;
        if *connected.borrow() + 1 >= quorum {
            heard += Duration::from_secs(1);
        }
    }
    watermark.settle();
    futures::future::pending().await
}

fn publish(options: &Options, committee: &Committee, chain: &Chain, schemes: &Schemes) {
    let member = |validator: &types::Validator| Member {
        name: validator.name.clone(),
        key: validator.key.clone(),
        last_view: 0,
    };
    let members = committee.validators().iter().map(member).collect();
    let finalized = chain.finalized();
    let votes = schemes.of(Epoch::zero()).index().is_some();
    options.status.update(|status| {
        status.committee = members;
        status.finalized = finalized.number;
        status.finalized_hash = finalized.hash();
        status.votes = votes;
        status.leader = Some(committee.leader(Round::new(Epoch::zero(), View::new(1))));
    });
}
