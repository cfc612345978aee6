//! The last-signed watermark: which views this key may already have voted in, kept apart from the engine's journal.
//!
//! D3.1 6.2.2.4. The journal tells the engine what it voted; whoever loses or restores the journal would let the
//! engine vote again in the same views and contradict itself. This record survives the journal:
//!
//! ```text
//!              voted, perhaps                reserved           refused until reserved
//!  |───────────────────────────────●────────────────────────|──────────────────────────▶ views
//!                             last vote              record.view
//! ```
//!
//! Invariant: no vote leaves the node for a view at or above the reserved bound on disk. The bound is moved
//! [`RESERVE`] views ahead whenever it comes near, so that one write serves hundreds of votes. When the journal does
//! not belong to the record ([`Start::Lost`]), nothing below the bound is signed: the node follows until the
//! committee is past it.

use commonware_consensus::types::Round;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Views reserved at once. At 20 blocks a second this is one write every half minute.
pub const RESERVE: u64 = 1_000;

/// The bound is moved before fewer than this many reserved views are left.
const SLACK: u64 = RESERVE / 2;

/// What is on disk: the bound, exclusive, and the number of the run that owns the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Raised with every write, so that the newer of two copies is known.
    pub sequence: u64,
    /// Raised with every start; the journal carries the same number.
    pub run: u64,
    /// Epoch of the bound.
    pub epoch: u64,
    /// First view of that epoch that is not reserved.
    pub view: u64,
}

/// Why a watermark cannot be read or kept. The node must not vote without one.
#[derive(Debug, thiserror::Error)]
pub enum WatermarkError {
    /// The file system refused.
    #[error("watermark file {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Both copies are damaged. The bound is unknown, so voting is not safe.
    #[error("both copies of the watermark in {0} are damaged; restore one, or retire this validator key")]
    Damaged(PathBuf),
}

/// Where the record is kept. Synchronous, because a vote must not be signed before the write is durable.
pub trait Keep: Send + Sync + 'static {
    /// The newest intact record; `None` if there never was one.
    fn load(&self) -> Result<Option<Record>, WatermarkError>;
    /// Durable when it returns.
    fn save(&self, record: &Record) -> Result<(), WatermarkError>;
}

/// Two copies in a directory outside the engine's, written in turn: a torn write spoils one.
pub struct Files {
    directory: PathBuf,
}

impl Files {
    /// Keeps the record in `directory`, which is created if need be.
    pub fn new(directory: &Path) -> Files {
        Files { directory: directory.to_path_buf() }
    }

    fn path(&self, copy: u64) -> PathBuf {
        self.directory.join(format!("watermark.{copy}"))
    }

    fn read(&self, copy: u64) -> Result<Copy, WatermarkError> {
        let path = self.path(copy);
        match fs::read(&path) {
            Ok(bytes) => Ok(decode(&bytes).map_or(Copy::Damaged, Copy::Intact)),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Copy::Missing),
            Err(source) => Err(WatermarkError::File { path, source }),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let mut file = fs::File::create(path)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        fs::File::open(&self.directory)?.sync_all()
    }
}

enum Copy {
    Missing,
    Damaged,
    Intact(Record),
}

impl Keep for Files {
    fn load(&self) -> Result<Option<Record>, WatermarkError> {
        match (self.read(0)?, self.read(1)?) {
            (Copy::Missing, Copy::Missing) => Ok(None),
            (Copy::Intact(first), Copy::Intact(second)) => Ok(Some(first.max(second))),
            (Copy::Intact(record), _) | (_, Copy::Intact(record)) => Ok(Some(record)),
            _ => Err(WatermarkError::Damaged(self.directory.clone())),
        }
    }

    fn save(&self, record: &Record) -> Result<(), WatermarkError> {
        let path = self.path(record.sequence % 2);
        self.write(&path, &encode(record)).map_err(|source| WatermarkError::File { path, source })
    }
}

/// A record in memory that outlives the node which votes by it: for the simulation.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Option<Record>>>);

impl Keep for Memory {
    fn load(&self) -> Result<Option<Record>, WatermarkError> {
        Ok(*self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn save(&self, record: &Record) -> Result<(), WatermarkError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(*record);
        Ok(())
    }
}

const MAGIC: &[u8; 8] = b"LONJAWM1";
const ENCODED: usize = 8 + 4 * 8 + 32;

fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for field in [record.sequence, record.run, record.epoch, record.view] {
        bytes.extend_from_slice(&field.to_be_bytes());
    }
    let checksum = alloy_primitives::keccak256(&bytes);
    bytes.extend_from_slice(checksum.as_slice());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Record> {
    if bytes.len() != ENCODED || !bytes.starts_with(MAGIC) {
        return None;
    }
    let (content, checksum) = bytes.split_at(ENCODED - 32);
    if alloy_primitives::keccak256(content).as_slice() != checksum {
        return None;
    }
    let field = |index: usize| {
        let at = 8 + index * 8;
        content[at..at + 8].try_into().map(u64::from_be_bytes).ok()
    };
    Some(Record { sequence: field(0)?, run: field(1)?, epoch: field(2)?, view: field(3)? })
}

/// What the engine's directory looks like beside the record, when a node starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The journal is the one that the record's last run wrote: it knows every vote.
    Intact,
    /// The journal is missing or older than the record: votes below the bound may be forgotten.
    Lost,
    /// There is a history but no record: nothing is known about earlier votes.
    Unknown,
}

/// Decides whether a vote may be signed. Shared by all epochs' schemes.
#[derive(Clone)]
pub struct Watermark(Arc<Mutex<State>>);

struct State {
    keep: Arc<dyn Keep>,
    record: Record,
    /// Below this nothing is signed; `None` while it is not known.
    floor: Option<(u64, u64)>,
    /// Highest round that was asked for while the floor was unknown.
    seen: (u64, u64),
}

impl Watermark {
    /// Takes over the record of an earlier run. Votes are refused as `start` demands.
    pub fn open(keep: Arc<dyn Keep>, record: Record, start: Start) -> Watermark {
        let floor = match start {
            Start::Intact => Some((0, 0)),
            Start::Lost => Some((record.epoch, record.view)),
            Start::Unknown => None,
        };
        Watermark(Arc::new(Mutex::new(State { keep, record, floor, seen: (0, 0) })))
    }

    /// Whether a vote in `round` is safe; reserves further views where needed.
    ///
    /// # Panics
    /// If the record cannot be written: a node that cannot remember its votes must stop.
    pub fn admit(&self, round: Round) -> bool {
        let round = (round.epoch().get(), round.view().get());
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.seen = state.seen.max(round);
        if state.floor.is_none_or(|floor| round < floor) {
            return false;
        }
        state.reserve(round);
        true
    }

    /// Whether a vote in `round` would be refused, without reserving anything.
    pub fn refuses(&self, round: Round) -> bool {
        let round = (round.epoch().get(), round.view().get());
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.seen = state.seen.max(round);
        state.floor.is_none_or(|floor| round < floor)
    }

    /// Ends an [`Start::Unknown`]: votes are allowed from [`RESERVE`] views above what was seen so far. Every vote
    /// that this key cast before was in a view that a quorum had reached, which the committee is past by then.
    pub fn settle(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.floor.is_none() {
            let (epoch, view) = state.seen;
            state.floor = Some((epoch, view.saturating_add(RESERVE)));
        }
    }

    /// The first (epoch, view) that may be signed; `None` while unknown.
    pub fn floor(&self) -> Option<(u64, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).floor
    }
}

impl State {
    fn reserve(&mut self, (epoch, view): (u64, u64)) {
        let left = match self.record.epoch.cmp(&epoch) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => self.record.view.saturating_sub(view),
            std::cmp::Ordering::Greater => return,
        };
        if left >= SLACK {
            return;
        }
        let view = view.saturating_add(RESERVE);
        let record = Record { sequence: self.record.sequence + 1, epoch, view, ..self.record };
        if let Err(error) = self.keep.save(&record) {
            panic!("cannot vote without a watermark: {error}");
        }
        self.record = record;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_consensus::types::{Epoch, View};

    fn round(epoch: u64, view: u64) -> Round {
        Round::new(Epoch::new(epoch), View::new(view))
    }

    fn open(keep: &Memory, start: Start) -> Watermark {
        let record = keep.load().unwrap().unwrap_or_default();
        Watermark::open(Arc::new(keep.clone()), record, start)
    }

    #[test]
    fn a_vote_is_always_below_the_bound_on_disk() {
        let keep = Memory::default();
        let watermark = open(&keep, Start::Intact);
        for view in [1, 2, 499, 500, 501, 999, 1_000, 50_000] {
            assert!(watermark.admit(round(0, view)));
            assert!(keep.load().unwrap().unwrap().view > view);
        }
        assert!(watermark.admit(round(1, 1)));
        assert_eq!(keep.load().unwrap().unwrap().epoch, 1);
    }

    #[test]
    fn writes_are_rare() {
        let keep = Memory::default();
        let watermark = open(&keep, Start::Intact);
        for view in 1..=10_000 {
            assert!(watermark.admit(round(0, view)));
        }
        let writes = keep.load().unwrap().unwrap().sequence;
        assert!(writes <= 21, "{writes} writes for 10,000 views");
    }

    #[test]
    fn a_lost_journal_is_silent_below_the_bound() {
        let keep = Memory::default();
        assert!(open(&keep, Start::Intact).admit(round(3, 40)));
        let watermark = open(&keep, Start::Lost);
        assert!(!watermark.admit(round(2, 9_999)));
        assert!(!watermark.admit(round(3, 41)));
        assert!(!watermark.admit(round(3, 40 + RESERVE - 1)));
        assert!(watermark.admit(round(3, 40 + RESERVE)));
        assert!(watermark.admit(round(4, 1)), "another epoch, other votes");
    }

    #[test]
    fn without_a_record_it_waits_until_it_has_seen_enough() {
        let watermark = open(&Memory::default(), Start::Unknown);
        assert!(!watermark.admit(round(0, 70)));
        assert!(!watermark.admit(round(0, 100_000)));
        watermark.settle();
        assert!(!watermark.admit(round(0, 100_001)));
        assert!(watermark.admit(round(0, 101_000)));
    }

    #[test]
    fn one_torn_copy_is_survived_two_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path());
        assert_eq!(files.load().unwrap(), None);
        let older = Record { sequence: 1, run: 1, epoch: 0, view: 10 };
        let newer = Record { sequence: 2, run: 1, epoch: 0, view: 20 };
        files.save(&older).unwrap();
        files.save(&newer).unwrap();
        assert_eq!(files.load().unwrap(), Some(newer));
        let path = files.path(0);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..20]).unwrap();
        assert_eq!(files.load().unwrap(), Some(older));
        fs::write(files.path(1), b"").unwrap();
        assert!(matches!(files.load(), Err(WatermarkError::Damaged(_))));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = encode(&Record { sequence: 1, run: 2, epoch: 3, view: 4 });
        for index in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[index / 8] ^= 1 << (index % 8);
            assert_eq!(decode(&damaged), None);
        }
    }
}
