//! The vocabulary of the ledger: transaction, block, receipt, genesis, slot, finality.
//!
//! D3.1 6.1.7.1. Ethereum's own types, from alloy, under the names of the field; what is added here is what a BFT
//! ledger needs beside them. Plain values: nothing here reads a clock, a file or a random source.

#![warn(missing_docs)]

mod block;
mod finality;
mod genesis;
mod slot;
mod transaction;

pub use alloy_consensus::Header;
pub use alloy_primitives::{Address, B256, BlockHash, Bloom, Bytes, Log, TxHash, U256};
pub use block::{BLOCK_BYTES_MAX, Block, BlockBody, BlockDecodeError};
pub use finality::Finality;
pub use genesis::{
    ConsensusConfig, FeeMode, Genesis, GenesisError, GenesisTemplate, LedgerId, LonjaConfig, SimplexConfig, Validator,
};
pub use slot::{Slot, SlotError, timestamp_ms};
pub use transaction::{Receipt, Recovered, Transaction, TransactionError, decode_transaction, recover};
