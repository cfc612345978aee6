//! Accounts and slots in order, a page at a time: dumps, exports, `debug_accountRange`.
//!
//! The order is that of addresses and slots themselves, not of their hashes. What stands at a key is
//! asked of the view; here is only decided which keys to ask about.

use super::{Layers, StateView};
use crate::{Account, StorageError, tables::slot_key};
use alloy_primitives::{Address, B256, U256};
use std::ops::Bound;

impl StateView {
    /// Up to `limit` accounts from `start` on. The next page starts after the last one's address.
    pub fn accounts_from(&self, start: Option<Address>, limit: usize) -> Result<Vec<(Address, Account)>, StorageError> {
        let mut page = Vec::new();
        let mut next = Some(start.unwrap_or_default());
        while page.len() < limit
            && let Some(from) = next
            && let Some(address) = self.account_key(from)?
        {
            page.extend(self.account(address)?.map(|account| (address, account)));
            next = successor(address.0.0).map(Address::from);
        }
        Ok(page)
    }

    /// Up to `limit` slots of an account, from `start` on, that are not zero.
    pub fn storage_from(&self, address: Address, start: B256, limit: usize) -> Result<Vec<(B256, U256)>, StorageError> {
        let mut page = Vec::new();
        let mut next = Some(start);
        while page.len() < limit
            && let Some(from) = next
            && let Some(slot) = self.slot_key(address, from)?
        {
            let value = self.storage(address, slot)?;
            page.extend((!value.is_zero()).then_some((slot, value)));
            next = successor(slot.0).map(B256::from);
        }
        Ok(page)
    }

    /// The first address at or after `from` that has, had, or gets an account.
    fn account_key(&self, from: Address) -> Result<Option<Address>, StorageError> {
        let row = self.0.accounts.range::<&[u8; 20]>(&from.0.0..)?.next().transpose()?;
        let stored = row.map(|(key, _)| Address::from(*key.value()));
        let other = match &self.0.layers {
            Layers::Past { history, .. } => history.next_account(from)?,
            Layers::Overlays(overlays) => {
                let firsts = overlays.iter().map(|overlay| overlay.changes.accounts.range(from..).next());
                firsts.flatten().map(|(address, _)| *address).min()
            }
        };
        Ok(stored.into_iter().chain(other).min())
    }

    fn slot_key(&self, address: Address, from: B256) -> Result<Option<B256>, StorageError> {
        let (first, last) = (slot_key(address, from), slot_key(address, B256::repeat_byte(0xff)));
        let row = self.0.storage.range::<&[u8; 52]>(&first..=&last)?.next().transpose()?;
        let stored = row.map(|(key, _)| B256::from_slice(&key.value()[20..]));
        let other = match &self.0.layers {
            Layers::Past { history, .. } => history.next_slot(address, from)?,
            Layers::Overlays(overlays) => {
                let changes = overlays.iter().filter_map(|overlay| overlay.changes.accounts.get(&address));
                let range = (Bound::Included(from), Bound::Unbounded);
                let firsts = changes.map(|change| change.storage.range(range).next());
                firsts.flatten().map(|(slot, _)| *slot).min()
            }
        };
        Ok(stored.into_iter().chain(other).min())
    }
}

/// The next key in order, `None` after the last.
fn successor<const N: usize>(mut key: [u8; N]) -> Option<[u8; N]> {
    for byte in key.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(key);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::successor;

    #[test]
    fn successors_carry_and_end() {
        assert_eq!(successor([0, 0xff]), Some([1, 0]));
        assert_eq!(successor([0, 1]), Some([0, 2]));
        assert_eq!(successor([0xff, 0xff]), None);
    }
}
