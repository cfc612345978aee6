//! What became of every transaction of a burst.
//!
//! Invariant: a transaction is final when each endpoint has shown it once, with a successful receipt; it is settled when it
//! is final, reverted or rejected; what is not settled at the end is lost, or open if the run was interrupted.

use crate::report::Recorder;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Different reasons that are kept apart; a node that words every refusal anew cannot fill memory or screen.
const REASONS_MAX: usize = 20;

/// One thing that happened.
pub enum Event {
    /// A batch is being sent.
    Sent { members: Vec<u32>, at: Instant },
    /// A batch was answered, or will never be.
    Answered(Answered),
    /// An endpoint shows a block with transactions of ours.
    Seen(Sighting),
    /// An endpoint could not be read; it is being asked again.
    Trouble { endpoint: usize, cause: String },
}

pub struct Answered {
    pub members: Vec<u32>,
    pub at: Instant,
    /// One a member, in order.
    pub answers: Vec<Reply>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Accepted,
    Rejected(String),
    /// Nobody knows whether the node has it.
    Unanswered(String),
}

pub struct Sighting {
    pub endpoint: usize,
    pub height: u64,
    pub at: Instant,
    pub included: Vec<Included>,
}

pub struct Included {
    pub index: u32,
    pub succeeded: bool,
    pub gas: u64,
}

pub struct Tally {
    fates: Vec<Fate>,
    shown: Vec<u64>,
    troubles: BTreeMap<usize, String>,
    reasons: BTreeMap<String, u64>,
    sent: usize,
    answered: usize,
    accepted: usize,
    unanswered: usize,
    settled: usize,
    first_sent: Option<Instant>,
    last_answered: Option<Instant>,
}

#[derive(Clone, Default)]
struct Fate {
    sent_at: Option<Instant>,
    is_rejected: bool,
    is_reverted: bool,
    is_settled: bool,
    shown_by: usize,
    shown_last: Option<Instant>,
    height: u64,
    gas: u64,
}

/// The counts and times of a burst.
#[derive(Debug)]
pub struct Counts {
    pub transactions: usize,
    pub sent: usize,
    pub accepted: usize,
    pub rejected: usize,
    pub unanswered: usize,
    pub reasons: BTreeMap<String, u64>,
    pub reverted: usize,
    pub is_final: usize,
    /// Sent, and not on every endpoint although it was waited for.
    pub lost: usize,
    /// Sent, and not on every endpoint when the run was interrupted.
    pub open: usize,
    /// Transactions that each endpoint has shown in a block.
    pub shown: Vec<u64>,
    /// Last error of each endpoint that could not be read at some time.
    pub troubles: BTreeMap<usize, String>,
    pub heights: BTreeSet<u64>,
    pub gas: u64,
    pub ingress: Duration,
    pub wall: Duration,
}

impl Tally {
    pub fn new(transactions: usize, endpoints: usize) -> Tally {
        Tally {
            fates: vec![Fate::default(); transactions],
            shown: vec![0; endpoints],
            troubles: BTreeMap::new(),
            reasons: BTreeMap::new(),
            sent: 0,
            answered: 0,
            accepted: 0,
            unanswered: 0,
            settled: 0,
            first_sent: None,
            last_answered: None,
        }
    }

    /// Takes note, and says whether that was progress.
    pub fn note(&mut self, event: Event) -> bool {
        match event {
            Event::Sent { members, at } => self.sent(&members, at),
            Event::Answered(answered) => self.answered(answered),
            Event::Seen(sighting) => return self.seen(&sighting),
            Event::Trouble { endpoint, cause } => {
                self.troubles.insert(endpoint, cause);
                return false;
            }
        }
        true
    }

    /// Nothing more can change.
    pub fn is_settled(&self) -> bool {
        self.answered == self.fates.len() && self.settled == self.fates.len()
    }

    /// Transactions that were sent and that some endpoint has not shown.
    pub fn unsettled(&self) -> impl Iterator<Item = usize> {
        let fates = self.fates.iter().enumerate();
        fates.filter(|(_, fate)| fate.sent_at.is_some() && !fate.is_settled).map(|(index, _)| index)
    }

    pub fn settled(&self) -> u64 {
        self.settled as u64
    }

    fn sent(&mut self, members: &[u32], at: Instant) {
        self.sent += members.len();
        self.first_sent = Some(self.first_sent.map_or(at, |first| first.min(at)));
        for index in members {
            self.fates[*index as usize].sent_at = Some(at);
        }
    }

    fn answered(&mut self, answered: Answered) {
        self.answered += answered.members.len();
        self.last_answered = self.last_answered.max(Some(answered.at));
        for (index, reply) in answered.members.into_iter().zip(answered.answers) {
            match reply {
                Reply::Accepted => self.accepted += 1,
                Reply::Rejected(reason) => {
                    self.fates[index as usize].is_rejected = true;
                    self.reason(reason);
                    self.settle(index);
                }
                Reply::Unanswered(reason) => {
                    self.unanswered += 1;
                    self.reason(reason);
                }
            }
        }
    }

    fn seen(&mut self, sighting: &Sighting) -> bool {
        self.shown[sighting.endpoint] += sighting.included.len() as u64;
        for included in &sighting.included {
            let fate = &mut self.fates[included.index as usize];
            fate.shown_by += 1;
            fate.shown_last = fate.shown_last.max(Some(sighting.at));
            fate.is_reverted |= !included.succeeded;
            fate.height = sighting.height;
            fate.gas = included.gas;
            if fate.shown_by == self.shown.len() {
                self.settle(included.index);
            }
        }
        !sighting.included.is_empty()
    }

    fn settle(&mut self, index: u32) {
        let fate = &mut self.fates[index as usize];
        self.settled += usize::from(!fate.is_settled);
        fate.is_settled = true;
    }

    fn reason(&mut self, reason: String) {
        let is_known = self.reasons.contains_key(&reason) || self.reasons.len() < REASONS_MAX;
        *self.reasons.entry(if is_known { reason } else { "other reasons".into() }).or_default() += 1;
    }

    fn is_shown(&self, fate: &Fate) -> bool {
        fate.shown_by == self.shown.len()
    }

    /// From sending to being seen on every endpoint, of each final transaction.
    pub fn latencies(&self) -> Recorder {
        let mut recorder = Recorder::default();
        for fate in self.fates.iter().filter(|fate| self.is_shown(fate) && !fate.is_reverted) {
            if let (Some(sent), Some(seen)) = (fate.sent_at, fate.shown_last) {
                recorder.record(seen.saturating_duration_since(sent));
            }
        }
        recorder
    }

    pub fn counts(&self, is_interrupted: bool) -> Counts {
        let unsettled = self.unsettled().count();
        let shown = || self.fates.iter().filter(|fate| self.is_shown(fate));
        let rejected = self.fates.iter().filter(|fate| fate.is_rejected && !self.is_shown(fate)).count();
        let since_first = |end: Option<Instant>| match (self.first_sent, end) {
            (Some(first), Some(end)) => end.saturating_duration_since(first),
            _ => Duration::ZERO,
        };
        Counts {
            transactions: self.fates.len(),
            sent: self.sent,
            accepted: self.accepted,
            rejected,
            unanswered: self.unanswered,
            reasons: self.reasons.clone(),
            reverted: shown().filter(|fate| fate.is_reverted).count(),
            is_final: shown().filter(|fate| !fate.is_reverted).count(),
            lost: if is_interrupted { 0 } else { unsettled },
            open: if is_interrupted { unsettled } else { 0 },
            shown: self.shown.clone(),
            troubles: self.troubles.clone(),
            heights: shown().map(|fate| fate.height).collect(),
            gas: shown().map(|fate| fate.gas).sum(),
            ingress: since_first(self.last_answered),
            wall: since_first(shown().filter_map(|fate| fate.shown_last).max()),
        }
    }
}

/// A refusal's text without what differs from transaction to transaction, so that equal reasons are counted together.
pub fn reason(code: i64, message: &str) -> String {
    let words = message.split_whitespace().map(|word| {
        let is_number = word.chars().any(|c| c.is_ascii_digit());
        if is_number { "…" } else { word }
    });
    let text: String = words.collect::<Vec<_>>().join(" ").chars().take(160).collect();
    format!("{text} (code {code})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(members: &[u32], answers: &[Reply], at: Instant) -> Event {
        Event::Answered(Answered { members: members.into(), at, answers: answers.into() })
    }

    fn seen(endpoint: usize, index: u32, succeeded: bool, at: Instant) -> Event {
        let included = vec![Included { index, succeeded, gas: 21_000 }];
        Event::Seen(Sighting { endpoint, height: 7, at, included })
    }

    #[test]
    fn final_means_successful_on_every_endpoint() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut tally = Tally::new(4, 2);
        let rejected = Reply::Rejected(reason(-32000, "nonce too low: 3 < 4"));
        let replies = [Reply::Accepted, Reply::Accepted, rejected, Reply::Unanswered("cut off".into())];
        tally.note(Event::Sent { members: vec![0, 1, 2, 3], at: start });
        tally.note(seen(0, 0, true, after(5))); // a block may come before the answer
        tally.note(answered(&[0, 1, 2, 3], &replies, after(2)));
        tally.note(seen(1, 0, true, after(9)));
        tally.note(seen(0, 1, false, after(5)));
        tally.note(seen(1, 1, false, after(5)));
        tally.note(seen(0, 3, true, after(6)));
        assert!(!tally.is_settled(), "one endpoint has not shown 3");
        let counts = tally.counts(false);
        assert_eq!((counts.sent, counts.accepted, counts.rejected, counts.unanswered), (4, 2, 1, 1));
        assert_eq!((counts.is_final, counts.reverted, counts.lost, counts.open), (1, 1, 1, 0));
        assert_eq!((tally.counts(true).lost, tally.counts(true).open), (0, 1), "who interrupts loses nothing");
        assert_eq!(counts.shown, [3, 2]);
        assert_eq!(counts.gas, 42_000);
        assert_eq!(counts.ingress, Duration::from_millis(2));
        assert_eq!(counts.wall, Duration::from_millis(9));
        let slowest = tally.latencies().latencies().unwrap().max_ms;
        assert!((slowest - 9.0).abs() < 0.01, "{slowest}");

        tally.note(seen(1, 3, true, after(20)));
        assert!(tally.is_settled());
        assert_eq!((tally.counts(false).is_final, tally.counts(false).lost), (2, 0));
    }

    #[test]
    fn reasons_are_counted_together_and_bounded() {
        assert_eq!(
            reason(-32000, "nonce too low: next 12, got 0x0c"),
            reason(-32000, "nonce too low: next 7, got 0x01")
        );
        let mut tally = Tally::new(100, 1);
        let words = |n: u32| Reply::Rejected("x".repeat(n as usize + 1));
        let all: Vec<u32> = (0..100).collect();
        let replies: Vec<_> = all.iter().map(|n| words(*n)).collect();
        tally.note(answered(&all, &replies, Instant::now()));
        let counts = tally.counts(false);
        assert_eq!(counts.reasons.len(), REASONS_MAX + 1);
        assert_eq!(counts.reasons["other reasons"], 80);
        assert_eq!(counts.rejected, 100);
    }
}
