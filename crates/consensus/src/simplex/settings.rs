//! Timers and sizes of the engine. Measured; equal on all validators, therefore constants and no configuration.
//!
//! D3.1 6.1.5. No timer backs off: whatever the outage, agreement resumes within these. The skip time must exceed the
//! certification time and the retry; the skip budget must exceed twice the blockless views between two heartbeats.

use commonware_utils::NZUsize;
use std::num::NonZeroUsize;
use std::time::Duration;

/// A leader that is silent for so long loses its view. An idle ledger passes one view after the other at this pace.
pub const LEADER_TIMEOUT: Duration = Duration::from_millis(500);
/// A proposal that is not certified within this loses its view.
pub const CERTIFICATION_TIMEOUT: Duration = Duration::from_secs(1);
/// A leader adds transactions to its block for so long. With the slowest transaction behind it, the block must reach the
/// others within the leader timeout, and they must execute it within the certification timeout.
pub const FILLING: Duration = Duration::from_millis(200);
/// Votes to end a view are repeated at this interval.
pub const RETRY: Duration = Duration::from_millis(500);
/// Views of a leader that was silent for so long are skipped at once.
pub const SKIP: Duration = Duration::from_secs(2);
/// Decided views kept for peers that lag. Each is an open file.
pub const VIEW_RETENTION: u64 = 256;
/// Messages that wait at an actor.
pub const MAILBOX: NonZeroUsize = NZUsize!(1024);
/// Final blocks on their way to the ledger.
pub const PENDING_ACKS: NonZeroUsize = NZUsize!(8);
/// Missing blocks fetched at a time.
pub const REPAIRS: NonZeroUsize = NZUsize!(32);
/// Blocks of each validator that are held until they are asked for.
pub const BUFFERED_BLOCKS: usize = 16;
/// Pages of 4 KiB that all journals share in memory.
pub const CACHED_PAGES: NonZeroUsize = NZUsize!(2048);
/// A node whose watermark was lost listens for so long before it knows how far the committee is.
pub const SETTLE: Duration = Duration::from_secs(10);
/// The largest committee that messages are sized for.
pub const MEMBERS_MAX: u32 = 1024;
