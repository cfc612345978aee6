//! The log index: which blocks may contain a log of an address or a topic.
//!
//! D3.1 6.1.7. Blocks are counted in sections of 64. For each section and each term (an address, a topic
//! at its position, or "any log") that occurs in it, a row holds one bit for each block. A second level
//! of 64 sections in a row tells which sections have a row at all, so that a long range costs little
//! where a term is rare.
//!
//! Invariant: superset. A term is known by eight bytes of its hash and terms are not bound to one log,
//! so a block that is named may lack a match, but no block with a match is left out.

use crate::{
    StorageError,
    tables::{LOGS, join},
};
use alloy_primitives::{Address, B256, keccak256};
use redb::{ReadOnlyTable, WriteTransaction};
use std::{collections::BTreeSet, ops::RangeInclusive};
use types::Receipt;

const SECTION_BITS: u32 = 6;
const BLOCKS: u8 = 0;
const SECTIONS: u8 = 1;

const KIND_ADDRESS: u8 = 0;
const KIND_TOPIC: u8 = 1;
const KIND_ANY: u8 = 0xff;

type Term = [u8; 8];

fn term(kind: u8, value: &[u8]) -> Term {
    let hash = keccak256([&[kind], value].concat());
    *hash.first_chunk().expect("a hash has more than eight bytes")
}

/// Sorted by level and section first, so that a commit writes to one place of the tree.
fn row(level: u8, section: u64, term: Term) -> [u8; 17] {
    let head: [u8; 9] = join([level], section.to_be_bytes());
    join(head, term)
}

fn terms(receipts: &[Receipt]) -> BTreeSet<Term> {
    let mut terms = BTreeSet::new();
    for log in receipts.iter().flat_map(|receipt| receipt.logs()) {
        terms.insert(term(KIND_ANY, &[]));
        terms.insert(term(KIND_ADDRESS, log.address.as_slice()));
        for (kind, topic) in (KIND_TOPIC..).zip(log.topics()) {
            terms.insert(term(kind, topic.as_slice()));
        }
    }
    terms
}

pub(crate) fn write(txn: &WriteTransaction, height: u64, receipts: &[Receipt]) -> Result<(), StorageError> {
    let mut table = txn.open_table(LOGS)?;
    let mut set = |level: u8, number: u64, term: Term| -> Result<bool, StorageError> {
        let key = row(level, number >> SECTION_BITS, term);
        let old = redb::ReadableTable::get(&table, &key)?.map_or(0, |mask| mask.value());
        table.insert(&key, old | 1 << (number & 63))?;
        Ok(old == 0)
    };
    for term in terms(receipts) {
        if set(BLOCKS, height, term)? {
            set(SECTIONS, height >> SECTION_BITS, term)?;
        }
    }
    Ok(())
}

/// The heights, ascending, of the blocks that may hold what was asked for. Reads as it goes: for each
/// term one row every 4,096 blocks of the range, and one for each section where all terms occur.
pub struct LogBlocks {
    table: ReadOnlyTable<&'static [u8; 17], u64>,
    /// One of each group has to occur.
    groups: Vec<Vec<Term>>,
    range: RangeInclusive<u64>,
    /// Next section to look at; `None` after the last.
    next: Option<u64>,
    /// What is left of the section before `next`.
    found: u64,
}

impl LogBlocks {
    pub(crate) fn new(
        table: ReadOnlyTable<&'static [u8; 17], u64>,
        range: RangeInclusive<u64>,
        addresses: &[Address],
        topics: &[Vec<B256>],
    ) -> Self {
        let mut groups = vec![addresses.iter().map(|address| term(KIND_ADDRESS, address.as_slice())).collect()];
        for (kind, options) in (KIND_TOPIC..KIND_ANY).zip(topics) {
            groups.push(options.iter().map(|topic| term(kind, topic.as_slice())).collect::<Vec<_>>());
        }
        groups.retain(|group| !group.is_empty());
        if groups.is_empty() {
            groups.push(vec![term(KIND_ANY, &[])]);
        }
        let next = (!range.is_empty()).then(|| range.start() >> SECTION_BITS);
        Self { table, groups, range, next, found: 0 }
    }

    /// The next section at or after `section` in which every group occurs.
    fn seek(&self, mut section: u64) -> Result<Option<u64>, StorageError> {
        let last = self.range.end() >> SECTION_BITS;
        while section <= last {
            let rest = self.mask(SECTIONS, section >> SECTION_BITS)? & (u64::MAX << (section & 63));
            if rest != 0 {
                let found = (section & !63) + u64::from(rest.trailing_zeros());
                return Ok((found <= last).then_some(found));
            }
            section = (section & !63) + 64;
        }
        Ok(None)
    }

    fn mask(&self, level: u8, section: u64) -> Result<u64, StorageError> {
        let mut all = u64::MAX;
        for group in &self.groups {
            let mut any = 0;
            for term in group {
                any |= self.table.get(&row(level, section, *term))?.map_or(0, |mask| mask.value());
            }
            all &= any;
            if all == 0 {
                break;
            }
        }
        Ok(all)
    }

    fn load(&mut self, from: u64) -> Result<bool, StorageError> {
        let Some(section) = self.seek(from)? else {
            self.next = None;
            return Ok(false);
        };
        let first = section << SECTION_BITS;
        let mut mask = self.mask(BLOCKS, section)?;
        if first < *self.range.start() {
            mask &= u64::MAX << (self.range.start() - first);
        }
        if self.range.end() - first < 63 {
            mask &= u64::MAX >> (63 - (self.range.end() - first));
        }
        (self.found, self.next) = (mask, Some(section + 1));
        Ok(true)
    }
}

impl Iterator for LogBlocks {
    type Item = Result<u64, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.found == 0 {
            match self.load(self.next?) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.next = None;
                    return Some(Err(error));
                }
            }
        }
        let bit = self.found.trailing_zeros();
        self.found &= self.found - 1;
        let section = self.next.expect("a section was loaded") - 1;
        Some(Ok((section << SECTION_BITS) + u64::from(bit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::Receipt as Fields;
    use alloy_primitives::{Log, LogData};
    use redb::{Database, ReadableDatabase, backends::InMemoryBackend};

    fn receipts(address: Address, topic: B256) -> Vec<Receipt> {
        let log = Log { address, data: LogData::new_unchecked(vec![topic], Default::default()) };
        let receipt = Fields { status: true.into(), cumulative_gas_used: 0, logs: vec![log] };
        vec![Receipt::Legacy(receipt.with_bloom())]
    }

    /// Sparse blocks over millions of heights: both levels, their borders, and every kind of range.
    #[test]
    fn rare_logs_are_found_over_long_ranges() {
        let store = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let (mut height, mut blocks) = (0u64, Vec::new());
        let txn = store.begin_write().unwrap();
        for number in 0..600u64 {
            height += [1, 1, 2, 61, 63, 64, 65, 4_095, 4_096, 4_097, 9_000, 100_000][(number * 7 % 12) as usize];
            let (address, topic) =
                (Address::with_last_byte((number % 3) as u8), B256::with_last_byte((number % 5) as u8));
            write(&txn, height, &receipts(address, topic)).unwrap();
            blocks.push((height, address, topic));
        }
        txn.commit().unwrap();
        let read = store.begin_read().unwrap();
        for step in 0..300usize {
            let (start, end) = (blocks[step].0 - (step as u64 % 2), blocks[599 - step].0 + (step as u64 % 3));
            let range = start.min(end)..=start.max(end);
            let address = Address::with_last_byte((step % 4) as u8);
            let topic = B256::with_last_byte((step % 6) as u8);
            let table = || read.open_table(LOGS).unwrap();
            let found = LogBlocks::new(table(), range.clone(), &[address], &[vec![topic]]).map(Result::unwrap);
            let expected = blocks.iter().filter(|(at, a, t)| range.contains(at) && *a == address && *t == topic);
            assert!(found.eq(expected.map(|(at, ..)| *at)), "{range:?} {address} {topic}");
            let all = LogBlocks::new(table(), range.clone(), &[], &[]).map(Result::unwrap);
            assert!(all.eq(blocks.iter().map(|(at, ..)| *at).filter(|at| range.contains(at))), "{range:?}");
        }
        let to_the_end = LogBlocks::new(read.open_table(LOGS).unwrap(), height..=height + 1_000_000, &[], &[]);
        assert_eq!(to_the_end.take(3).map(Result::unwrap).collect::<Vec<_>>(), [height]);
    }
}
