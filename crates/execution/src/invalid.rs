//! Why a transaction cannot be in a block.
//!
//! D3.1 6.1.6.1 (verification of transactions). The texts begin with the words that geth uses: client
//! libraries recognise errors by them. The codes never change.

use alloy_primitives::{Address, U256};
use revm::context::{BlockEnv, Cfg, CfgEnv, TxEnv, result::InvalidTransaction as EvmInvalid};

/// A transaction's fault. A value, not a failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTransaction {
    #[error("nonce too low: address {sender}, tx: {tx} state: {state}")]
    NonceTooLow { sender: Address, tx: u64, state: u64 },
    #[error("nonce too high: address {sender}, tx: {tx} state: {state}")]
    NonceTooHigh { sender: Address, tx: u64, state: u64 },
    #[error("nonce has max value")]
    NonceMax,
    #[error("insufficient funds for gas * price + value: address {sender} have {have} want {want}")]
    InsufficientFunds { sender: Address, have: U256, want: U256 },
    #[error("gas * price + value is above 2^256-1")]
    CostOverflow,
    #[error("intrinsic gas too low: have {have}, want {want}")]
    IntrinsicGas { have: u64, want: u64 },
    #[error("insufficient gas for floor data gas cost: have {have}, want {want}")]
    FloorGas { have: u64, want: u64 },
    #[error("exceeds block gas limit: have {have}, limit {limit}")]
    BlockGasLimit { have: u64, limit: u64 },
    #[error("gas limit reached: have {have}, left in the block {left}")]
    GasLimitReached { have: u64, left: u64 },
    #[error("transaction gas limit too high (cap: {cap}, tx: {have})")]
    GasLimitCap { have: u64, cap: u64 },
    #[error("max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, maxFeePerGas: {cap}")]
    TipAboveFeeCap { tip: u128, cap: u128 },
    #[error("max fee per gas less than block base fee: maxFeePerGas: {cap}, baseFee: {base_fee}")]
    FeeCapTooLow { cap: u128, base_fee: u64 },
    #[error("transaction underpriced: gas price {price}, minimum needed {minimum}")]
    Underpriced { price: u128, minimum: u64 },
    #[error("max initcode size exceeded: code size {size} limit {limit}")]
    InitCodeSize { size: usize, limit: usize },
    #[error("sender not an eoa: address {0} has code")]
    SenderHasCode(Address),
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId { have: u64, want: u64 },
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    NotReplayProtected,
    #[error("transaction type not supported: type {0} is not active on this chain yet")]
    TypeNotActive(u8),
    #[error("blob transactions are not supported on this network")]
    BlobsNotSupported,
    #[error("blob transaction: {0}")]
    Blob(&'static str),
    #[error("EIP-7702 transaction with empty auth list")]
    EmptyAuthorizationList,
    #[error("block would be larger than {limit} bytes")]
    BlockSize { limit: usize },
    #[error("invalid transaction: {0}")]
    Other(String),
}

impl InvalidTransaction {
    /// A name that programs may rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NonceTooLow { .. } => "nonce-too-low",
            Self::NonceTooHigh { .. } => "nonce-too-high",
            Self::NonceMax => "nonce-max",
            Self::InsufficientFunds { .. } => "insufficient-funds",
            Self::CostOverflow => "cost-overflow",
            Self::IntrinsicGas { .. } => "intrinsic-gas-too-low",
            Self::FloorGas { .. } => "floor-gas-too-low",
            Self::BlockGasLimit { .. } => "exceeds-block-gas-limit",
            Self::GasLimitReached { .. } => "gas-limit-reached",
            Self::GasLimitCap { .. } => "gas-limit-too-high",
            Self::TipAboveFeeCap { .. } => "tip-above-fee-cap",
            Self::FeeCapTooLow { .. } => "fee-cap-too-low",
            Self::Underpriced { .. } => "underpriced",
            Self::InitCodeSize { .. } => "init-code-too-large",
            Self::SenderHasCode(_) => "sender-has-code",
            Self::ChainId { .. } => "wrong-chain-id",
            Self::NotReplayProtected => "not-replay-protected",
            Self::TypeNotActive(_) => "type-not-active",
            Self::BlobsNotSupported => "blobs-not-supported",
            Self::Blob(_) => "invalid-blobs",
            Self::EmptyAuthorizationList => "empty-authorization-list",
            Self::BlockSize { .. } => "block-size",
            Self::Other(_) => "invalid",
        }
    }

    /// The machine's verdict on a transaction, in the words above.
    pub(crate) fn from_evm(why: EvmInvalid, tx: &TxEnv, block: &BlockEnv, cfg: &CfgEnv) -> InvalidTransaction {
        let sender = tx.caller;
        match why {
            EvmInvalid::NonceTooLow { tx, state } => Self::NonceTooLow { sender, tx, state },
            EvmInvalid::NonceTooHigh { tx, state } => Self::NonceTooHigh { sender, tx, state },
            EvmInvalid::NonceOverflowInTransaction => Self::NonceMax,
            EvmInvalid::LackOfFundForMaxFee { fee, balance } => {
                Self::InsufficientFunds { sender, have: *balance, want: *fee }
            }
            EvmInvalid::OverflowPaymentInTransaction => Self::CostOverflow,
            EvmInvalid::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
                Self::IntrinsicGas { have: gas_limit, want: initial_gas }
            }
            EvmInvalid::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
                Self::FloorGas { have: gas_limit, want: gas_floor }
            }
            EvmInvalid::CallerGasLimitMoreThanBlock => {
                Self::BlockGasLimit { have: tx.gas_limit, limit: block.gas_limit }
            }
            EvmInvalid::TxGasLimitGreaterThanCap { gas_limit, cap } => Self::GasLimitCap { have: gas_limit, cap },
            EvmInvalid::PriorityFeeGreaterThanMaxFee => {
                Self::TipAboveFeeCap { tip: tx.gas_priority_fee.unwrap_or(0), cap: tx.gas_price }
            }
            EvmInvalid::GasPriceLessThanBasefee => Self::FeeCapTooLow { cap: tx.gas_price, base_fee: block.basefee },
            EvmInvalid::CreateInitCodeSizeLimit => {
                Self::InitCodeSize { size: tx.data.len(), limit: cfg.max_initcode_size() }
            }
            EvmInvalid::RejectCallerWithCode => Self::SenderHasCode(sender),
            EvmInvalid::InvalidChainId => Self::ChainId { have: tx.chain_id.unwrap_or(0), want: cfg.chain_id },
            EvmInvalid::Eip2930NotSupported
            | EvmInvalid::Eip1559NotSupported
            | EvmInvalid::Eip4844NotSupported
            | EvmInvalid::Eip7702NotSupported => Self::TypeNotActive(tx.tx_type),
            EvmInvalid::EmptyAuthorizationList => Self::EmptyAuthorizationList,
            EvmInvalid::EmptyBlobs => Self::Blob("it carries no blob"),
            EvmInvalid::BlobCreateTransaction => Self::Blob("it cannot create a contract"),
            EvmInvalid::TooManyBlobs { .. } => Self::Blob("it carries too many blobs"),
            EvmInvalid::BlobVersionNotSupported => Self::Blob("a blob's hash has an unknown version"),
            EvmInvalid::BlobGasPriceGreaterThanMax { .. } => {
                Self::Blob("max fee per blob gas less than block blob gas fee")
            }
            other => Self::Other(other.to_string()),
        }
    }
}
