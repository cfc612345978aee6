//! A block's place in the agreement: epoch, view, parent's view, proposer and the milliseconds of its time.
//!
//! D3.1 6.1.5. Packed into the header's `extraData`, so that the block hash commits to it and every Ethereum client
//! reads the block unchanged:
//!
//! ```text
//! byte 0   1..5    5..13   13..21         21..23            23..25
//! 0x01     epoch   view    parent's view  proposer's index  milliseconds of the second     (big endian)
//! ```

use crate::{Bytes, Header};

/// The layout above. Another first byte is another layout, or a block that another network sealed.
const VERSION: u8 = 1;
const LENGTH: usize = 25;

/// When, and in which round, by whom, a block was proposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// Fixed range of heights with one committee.
    pub epoch: u32,
    /// Round of the agreement, counted within the epoch.
    pub view: u64,
    /// View in which the parent was proposed; 0 for the epoch's first block.
    pub parent_view: u64,
    /// Index of the proposer in the epoch's committee.
    pub proposer: u16,
    /// Milliseconds since the Unix epoch; strictly above the parent's.
    pub timestamp_ms: u64,
}

/// Why a header carries no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// `extraData` has another length.
    #[error("extraData has {0} bytes where a slot has {LENGTH}")]
    Length(usize),
    /// `extraData` has another layout.
    #[error("extraData has layout {0} where this version knows {VERSION}")]
    Version(u8),
    /// A second has no such millisecond.
    #[error("extraData says {0} milliseconds within the second")]
    Milliseconds(u16),
}

impl Slot {
    /// The slot's packed form for `extraData`; seconds go into the header's `timestamp`.
    pub fn extra_data(&self) -> Bytes {
        let mut packed = Vec::with_capacity(LENGTH);
        packed.push(VERSION);
        packed.extend_from_slice(&self.epoch.to_be_bytes());
        packed.extend_from_slice(&self.view.to_be_bytes());
        packed.extend_from_slice(&self.parent_view.to_be_bytes());
        packed.extend_from_slice(&self.proposer.to_be_bytes());
        packed.extend_from_slice(&((self.timestamp_ms % 1000) as u16).to_be_bytes());
        packed.into()
    }

    /// The header's whole seconds for this slot.
    pub fn timestamp(&self) -> u64 {
        self.timestamp_ms / 1000
    }

    /// Reads the slot back from a header.
    pub fn of(header: &Header) -> Result<Slot, SlotError> {
        let packed: &[u8; LENGTH] =
            header.extra_data[..].try_into().map_err(|_| SlotError::Length(header.extra_data.len()))?;
        if packed[0] != VERSION {
            return Err(SlotError::Version(packed[0]));
        }
        let millisecond = u16::from_be_bytes([packed[23], packed[24]]);
        if millisecond >= 1000 {
            return Err(SlotError::Milliseconds(millisecond));
        }
        Ok(Slot {
            epoch: u32::from_be_bytes(array(&packed[1..5])),
            view: u64::from_be_bytes(array(&packed[5..13])),
            parent_view: u64::from_be_bytes(array(&packed[13..21])),
            proposer: u16::from_be_bytes(array(&packed[21..23])),
            timestamp_ms: header.timestamp.saturating_mul(1000).saturating_add(millisecond.into()),
        })
    }
}

/// The time of a block in milliseconds: with its slot's precision where it has one, else whole seconds.
pub fn timestamp_ms(header: &Header) -> u64 {
    Slot::of(header).map_or(header.timestamp.saturating_mul(1000), |slot| slot.timestamp_ms)
}

fn array<const N: usize>(slice: &[u8]) -> [u8; N] {
    slice.try_into().expect("the caller cut N bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(slot: &Slot) -> Header {
        Header { extra_data: slot.extra_data(), timestamp: slot.timestamp(), ..Default::default() }
    }

    proptest! {
        #[test]
        fn survives_the_header(epoch: u32, view: u64, parent_view: u64, proposer: u16, timestamp_ms in 0..u64::MAX / 2) {
            let slot = Slot { epoch, view, parent_view, proposer, timestamp_ms };
            prop_assert_eq!(Slot::of(&header(&slot)), Ok(slot));
        }

        #[test]
        fn strange_extra_data_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let strange = Header { extra_data: bytes.clone().into(), ..Default::default() };
            match Slot::of(&strange) {
                Ok(slot) => prop_assert_eq!(&slot.extra_data()[..], &bytes[..]),
                Err(SlotError::Length(found)) => prop_assert!(found == bytes.len() && found != LENGTH),
                Err(SlotError::Version(found)) => prop_assert!(found != VERSION),
                Err(SlotError::Milliseconds(found)) => prop_assert!(found >= 1000),
            }
        }
    }

    /// A wire format: these bytes may never change.
    #[test]
    fn layout_is_pinned() {
        let slot = Slot { epoch: 1, view: 2, parent_view: 3, proposer: 4, timestamp_ms: 5_678 };
        assert_eq!(slot.extra_data().to_string(), "0x010000000100000000000000020000000000000003000402a6");
        assert!(slot.extra_data().len() <= 32, "Ethereum's limit");
    }
}
