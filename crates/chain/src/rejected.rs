//! Why a transaction was not admitted: a value for the client, with a stable code.

use crate::pool::PoolLimits;
use execution::InvalidTransaction;
use types::{Address, TransactionError, U256};

/// A transaction that was not admitted to the pool. The texts begin with the words that Ethereum clients look for.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// The bytes are no transaction of this network, or nobody signed them.
    #[error(transparent)]
    Malformed(#[from] TransactionError),
    /// The bytes are more than a transaction may have.
    #[error("oversized data: transaction size {found}, limit {limit}")]
    TooLarge {
        /// Bytes.
        found: usize,
        /// Bytes.
        limit: usize,
    },
    /// The pool holds it, or a block does.
    #[error("already known")]
    AlreadyKnown,
    /// No block of this network could contain it.
    #[error(transparent)]
    Invalid(#[from] InvalidTransaction),
    /// A transaction with this nonce is final.
    #[error("nonce too low: next nonce {next}, tx nonce {found}")]
    NonceTooLow {
        /// The account's next nonce.
        next: u64,
        /// The transaction's nonce.
        found: u64,
    },
    /// Too far ahead of the account's next nonce for the pool to keep.
    #[error("nonce too high: next nonce {next}, tx nonce {found}, the pool keeps {ahead} ahead")]
    NonceTooHigh {
        /// The account's next nonce.
        next: u64,
        /// The transaction's nonce.
        found: u64,
        /// How far ahead the pool keeps.
        ahead: u64,
    },
    /// The account cannot pay for this and what it has already sent.
    #[error("insufficient funds for gas * price + value: address {address} have {have} want {want}")]
    InsufficientFunds {
        /// The sender.
        address: Address,
        /// Wei the account holds.
        have: U256,
        /// Wei that its pooled transactions and this one need.
        want: U256,
    },
    /// The pool holds another transaction with this nonce, at a price that this one does not sufficiently exceed.
    #[error("replacement transaction underpriced")]
    Underpriced,
    /// The account has as many transactions in the pool as one account may have.
    #[error("account limit exceeded: {limit} transactions of {address} are waiting")]
    AccountFull {
        /// The sender.
        address: Address,
        /// [`PoolLimits::account_count_max`].
        limit: usize,
    },
    /// The pool is full of transactions that come before this one.
    #[error("txpool is full")]
    PoolFull,
    /// The ledger could not be read.
    #[error("the ledger cannot be read: {0}")]
    Unavailable(String),
}

impl Rejected {
    /// A word that stays the same across versions, for metrics and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Rejected::Malformed(TransactionError::Signature(_)) => "invalid_signature",
            Rejected::Malformed(TransactionError::Blob) => "blob_unsupported",
            Rejected::Malformed(_) => "malformed",
            Rejected::TooLarge { .. } => "too_large",
            Rejected::AlreadyKnown => "already_known",
            Rejected::Invalid(_) => "invalid",
            Rejected::NonceTooLow { .. } => "nonce_too_low",
            Rejected::NonceTooHigh { .. } => "nonce_too_high",
            Rejected::InsufficientFunds { .. } => "insufficient_funds",
            Rejected::Underpriced => "underpriced",
            Rejected::AccountFull { .. } => "account_full",
            Rejected::PoolFull => "pool_full",
            Rejected::Unavailable(_) => "unavailable",
        }
    }
}

impl PoolLimits {
    pub(crate) fn check_size(&self, bytes: usize) -> Result<(), Rejected> {
        match bytes <= self.transaction_bytes_max {
            true => Ok(()),
            false => Err(Rejected::TooLarge { found: bytes, limit: self.transaction_bytes_max }),
        }
    }
}
