//! The compact encodings of values in the store.
//!
//! Invariant: what was encoded decodes to the same value; anything else in the store is corruption.

use crate::{Account, StorageError};
use alloy_consensus::{Eip658Value, Receipt as Fields, TxReceipt};
use alloy_primitives::{Address, B256, Log, U256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use alloy_trie::KECCAK_EMPTY;
use types::Receipt;

const HAS_CODE: u8 = 0x80;

/// `flags ‖ nonce ‖ code hash ‖ balance`: the flags are the nonce's length and whether there is a code
/// hash; numbers have no leading zeros.
pub(crate) fn encode_account(account: &Account) -> Vec<u8> {
    let nonce = account.nonce.to_be_bytes();
    let nonce = &nonce[account.nonce.leading_zeros() as usize / 8..];
    let has_code = account.code_hash != KECCAK_EMPTY;
    let mut out = vec![nonce.len() as u8 | if has_code { HAS_CODE } else { 0 }];
    out.extend_from_slice(nonce);
    if has_code {
        out.extend_from_slice(account.code_hash.as_slice());
    }
    out.extend_from_slice(&encode_value(account.balance));
    out
}

pub(crate) fn decode_account(address: Address, bytes: &[u8]) -> Result<Account, StorageError> {
    parse_account(bytes).ok_or_else(|| StorageError::corrupt(format_args!("account {address}"), "malformed"))
}

fn parse_account(bytes: &[u8]) -> Option<Account> {
    let (&flags, rest) = bytes.split_first()?;
    let (nonce, mut rest) = rest.split_at_checked(usize::from(flags & !HAS_CODE))?;
    let mut code_hash = KECCAK_EMPTY;
    if flags & HAS_CODE != 0 {
        let (hash, balance) = rest.split_at_checked(32)?;
        (code_hash, rest) = (B256::from_slice(hash), balance);
    }
    let nonce = U256::try_from_be_slice(nonce)?.try_into().ok()?;
    Some(Account { nonce, balance: U256::try_from_be_slice(rest)?, code_hash })
}

/// Big-endian without leading zeros.
pub(crate) fn encode_value(value: U256) -> Vec<u8> {
    value.to_be_bytes_trimmed_vec()
}

pub(crate) fn decode_value(address: Address, slot: B256, bytes: &[u8]) -> Result<U256, StorageError> {
    U256::try_from_be_slice(bytes)
        .ok_or_else(|| StorageError::corrupt(format_args!("slot {slot} of account {address}"), "malformed"))
}

/// A receipt without its bloom, which follows from the logs.
#[derive(RlpEncodable, RlpDecodable)]
struct StoredReceipt {
    kind: u8,
    status: Eip658Value,
    cumulative_gas_used: u64,
    logs: Vec<Log>,
}

pub(crate) fn encode_receipts(receipts: &[Receipt]) -> Vec<u8> {
    let stored: Vec<StoredReceipt> = receipts
        .iter()
        .map(|receipt| StoredReceipt {
            kind: receipt.tx_type() as u8,
            status: receipt.status_or_post_state(),
            cumulative_gas_used: receipt.cumulative_gas_used(),
            logs: receipt.logs().to_vec(),
        })
        .collect();
    let mut out = Vec::new();
    stored.encode(&mut out);
    out
}

pub(crate) fn decode_receipts(height: u64, mut bytes: &[u8]) -> Result<Vec<Receipt>, StorageError> {
    let corrupt = |what: String| StorageError::corrupt(format_args!("receipts of block {height}"), what);
    let stored = Vec::<StoredReceipt>::decode(&mut bytes).map_err(|error| corrupt(error.to_string()))?;
    let receipts = stored.into_iter().map(restore_receipt).collect::<Option<Vec<_>>>();
    receipts.filter(|_| bytes.is_empty()).ok_or_else(|| corrupt("malformed".into()))
}

fn restore_receipt(stored: StoredReceipt) -> Option<Receipt> {
    let StoredReceipt { kind, status, cumulative_gas_used, logs } = stored;
    let receipt = Fields { status, cumulative_gas_used, logs }.with_bloom();
    Some(match kind {
        0 => Receipt::Legacy(receipt),
        1 => Receipt::Eip2930(receipt),
        2 => Receipt::Eip1559(receipt),
        3 => Receipt::Eip4844(receipt),
        4 => Receipt::Eip7702(receipt),
        _ => return None,
    })
}

pub(crate) fn encode_senders(senders: &[Address]) -> Vec<u8> {
    senders.iter().flat_map(|sender| sender.0.0).collect()
}

pub(crate) fn decode_senders(height: u64, bytes: &[u8]) -> Result<Vec<Address>, StorageError> {
    let (senders, rest) = bytes.as_chunks::<20>();
    match rest {
        [] => Ok(senders.iter().map(|sender| Address::from(*sender)).collect()),
        _ => Err(StorageError::corrupt(format_args!("senders of block {height}"), "malformed")),
    }
}

/// Decodes all of `bytes`, or says what of the store is corrupt.
pub(crate) fn decode_rlp<T: Decodable>(place: impl std::fmt::Display, bytes: &[u8]) -> Result<T, StorageError> {
    alloy_rlp::decode_exact(bytes).map_err(|error| StorageError::corrupt(place, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Bytes, LogData};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn accounts_survive(nonce in any::<u64>(), limbs in any::<[u64; 4]>(), zeros in 0usize..256, code in any::<Option<[u8; 32]>>()) {
            let account = Account {
                nonce: nonce.checked_shr(zeros as u32 / 4).unwrap_or(0),
                balance: U256::from_limbs(limbs) >> zeros,
                code_hash: code.map_or(KECCAK_EMPTY, B256::from),
            };
            let bytes = encode_account(&account);
            prop_assert_eq!(decode_account(Address::ZERO, &bytes).unwrap(), account);
        }

        #[test]
        fn damaged_accounts_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode_account(Address::ZERO, &bytes);
        }

        #[test]
        fn damaged_receipts_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode_receipts(0, &bytes);
        }
    }

    #[test]
    fn layouts_are_pinned() {
        assert_eq!(encode_account(&Account::default()), [0]);
        let account = Account { nonce: 0x0102, balance: U256::from(3), code_hash: KECCAK_EMPTY };
        assert_eq!(encode_account(&account), [2, 1, 2, 3]);
        let contract = Account { nonce: 1, balance: U256::ZERO, code_hash: B256::repeat_byte(7) };
        assert_eq!(encode_account(&contract), [&[0x81, 1][..], &[7; 32]].concat());
        assert_eq!(encode_value(U256::from(256)), [1, 0]);
        assert!(encode_value(U256::ZERO).is_empty());
    }

    #[test]
    fn receipts_survive_without_their_bloom() {
        let log = Log {
            address: Address::repeat_byte(1),
            data: LogData::new_unchecked(vec![B256::repeat_byte(2)], Bytes::from_static(b"data")),
        };
        let receipts: Vec<Receipt> = (0..5u8)
            .map(|kind| {
                let status = match kind {
                    0 => Eip658Value::PostState(B256::repeat_byte(9)),
                    kind => Eip658Value::Eip658(kind % 2 == 0),
                };
                restore_receipt(StoredReceipt { kind, status, cumulative_gas_used: 21_000, logs: vec![log.clone()] })
                    .unwrap()
            })
            .collect();
        assert!(receipts.iter().all(|receipt| !receipt.logs_bloom().is_zero()));
        assert_eq!(decode_receipts(0, &encode_receipts(&receipts)).unwrap(), receipts);
    }
}
