//! Transactions and receipts, in Ethereum's encodings (EIP-2718).

use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, Signed, TxEip4844};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Log, Signature};
use crypto::{RecoveryError, recover_sender};

/// A signed transaction of any of Ethereum's five types. Blob transactions occur in imported history only.
pub type Transaction = EthereumTxEnvelope<TxEip4844>;

/// A transaction with its sender, which was recovered once and is trusted from then on.
pub type Recovered = alloy_consensus::transaction::Recovered<Transaction>;

/// A receipt of any type: status (or post-state root), cumulative gas, logs and their bloom.
pub type Receipt = alloy_consensus::ReceiptEnvelope<Log>;

/// Why bytes are no transaction.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// The bytes are not one canonical EIP-2718 envelope.
    #[error("malformed transaction: {0}")]
    Malformed(alloy_eips::eip2718::Eip2718Error),
    /// The envelope is followed by more bytes.
    #[error("malformed transaction: {0} bytes after its end")]
    TrailingBytes(usize),
    /// Blob transactions need a blob store, which this ledger has not.
    #[error("blob transactions are not supported")]
    Blob,
    /// The signature has no signer.
    #[error(transparent)]
    Signature(#[from] RecoveryError),
}

/// Reads one transaction, as `eth_sendRawTransaction` takes it and as it stands in a block's list.
pub fn decode_transaction(mut bytes: &[u8]) -> Result<Transaction, TransactionError> {
    if bytes.first() == Some(&(alloy_consensus::TxType::Eip4844 as u8)) {
        return Err(TransactionError::Blob);
    }
    let transaction = Transaction::decode_2718(&mut bytes).map_err(TransactionError::Malformed)?;
    match bytes.len() {
        0 => Ok(transaction),
        rest => Err(TransactionError::TrailingBytes(rest)),
    }
}

/// Recovers the sender and binds it to the transaction.
pub fn recover(transaction: Transaction) -> Result<Recovered, RecoveryError> {
    let sender = match &transaction {
        Transaction::Legacy(signed) => sender_of(signed),
        Transaction::Eip2930(signed) => sender_of(signed),
        Transaction::Eip1559(signed) => sender_of(signed),
        Transaction::Eip4844(signed) => sender_of(signed),
        Transaction::Eip7702(signed) => sender_of(signed),
    }?;
    Ok(Recovered::new_unchecked(transaction, sender))
}

fn sender_of<T: SignableTransaction<Signature>>(
    signed: &Signed<T>,
) -> Result<alloy_primitives::Address, RecoveryError> {
    recover_sender(&signed.signature_hash(), signed.signature())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::TxEip1559;
    use alloy_eips::eip2718::Encodable2718;
    use crypto::{AccountKey, DEV_MNEMONIC};

    fn signed() -> (Transaction, AccountKey) {
        let key = AccountKey::from_mnemonic(DEV_MNEMONIC, 0).unwrap();
        let unsigned = TxEip1559 { chain_id: 1, gas_limit: 21_000, ..Default::default() };
        let signature = key.sign(&unsigned.signature_hash());
        (Transaction::Eip1559(unsigned.into_signed(signature)), key)
    }

    #[test]
    fn the_sender_is_the_signer() {
        let (transaction, key) = signed();
        let decoded = decode_transaction(&transaction.encoded_2718()).unwrap();
        assert_eq!(decoded, transaction);
        assert_eq!(recover(decoded).unwrap().signer(), key.address());
    }

    #[test]
    fn nothing_may_follow_and_nothing_may_miss() {
        let bytes = signed().0.encoded_2718();
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(matches!(decode_transaction(&longer), Err(TransactionError::TrailingBytes(1))));
        for length in 0..bytes.len() {
            assert!(decode_transaction(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn blobs_are_refused_by_name() {
        assert!(matches!(decode_transaction(&[3, 0xc0]), Err(TransactionError::Blob)));
    }
}
