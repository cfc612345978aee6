//! The one table from what goes wrong in the domain to JSON-RPC codes and texts.
//!
//! D3.1 6.3.1. Codes and texts are those that Ethereum clients match on (geth's, EIP-1474, EIP-7966).
//! Invariant: a stranger never sees the inside of a storage failure; the log does.

use alloy_primitives::{B256, Bytes};
use chain::{ChainError, Rejected};
use execution::ExecutionError;
use execution::simulate::{CallError, SimulateError};
use execution::trace::TraceError;
use jsonrpsee::types::ErrorObjectOwned;
use ledger::{StateAtError, StorageError};
use std::fmt;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port is taken, or the address is not this machine's.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was asked for.
        address: std::net::SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing to serve.
    #[error("no ledger to serve")]
    NoLedger,
    /// Two ledgers with one name, or a name that no path can carry.
    #[error("ledger name {0:?} is empty, taken twice, or has characters other than letters, digits, '-', '_' and '.'")]
    LedgerName(String),
    /// An origin that is no header value.
    #[error("CORS origin {0:?} is not a valid origin")]
    Origin(String),
}

/// Why a call has no result.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The parameters are wrong.
    InvalidParams(String),
    /// One of the limits of this server.
    Limit(String),
    /// What was asked for is not there.
    NotFound(String),
    /// The execution failed, or the transaction is not acceptable.
    Execution(String),
    /// The contract said no.
    Reverted { message: String, output: Bytes },
    /// A code of its own, for methods whose specification sets it.
    Specified { code: i32, message: String },
    /// The method is not served here.
    NotServed(String),
    /// EIP-7966: not final in time, though admitted.
    Timeout { hash: B256, milliseconds: u128 },
    /// EIP-7966: not even executable, so that it cannot be final in time.
    Unready { hash: B256 },
    /// A request that cannot be answered, since its answer would have no id.
    NoId,
    /// Our fault.
    Internal,
}

impl Failure {
    pub(crate) fn invalid_params(text: impl Into<String>) -> Failure {
        Failure::InvalidParams(text.into())
    }

    pub(crate) fn limit(text: impl Into<String>) -> Failure {
        Failure::Limit(text.into())
    }

    pub(crate) fn not_found(text: impl Into<String>) -> Failure {
        Failure::NotFound(text.into())
    }

    pub(crate) fn execution(text: impl fmt::Display) -> Failure {
        Failure::Execution(text.to_string())
    }

    /// Logs the cause and tells the caller only that it is ours.
    pub(crate) fn internal(cause: &dyn std::error::Error) -> Failure {
        let mut text = cause.to_string();
        let mut source = cause.source();
        while let Some(inner) = source {
            text = format!("{text}: {inner}");
            source = inner.source();
        }
        tracing::error!(cause = %text, "a call failed inside the node");
        Failure::Internal
    }

    /// The JSON-RPC code: the table.
    pub(crate) fn code(&self) -> i32 {
        match self {
            Failure::InvalidParams(_) => -32602,
            Failure::NotServed(_) => -32601,
            Failure::NoId => -32600,
            Failure::Internal => -32603,
            Failure::Limit(_) => -32005,
            Failure::NotFound(_) | Failure::Execution(_) => -32000,
            Failure::Specified { code, .. } => *code,
            Failure::Reverted { .. } => 3,
            Failure::Timeout { .. } => 4,
            Failure::Unready { .. } => 5,
        }
    }

    fn extra(&self) -> Option<String> {
        match self {
            Failure::Reverted { output, .. } => Some(output.to_string()),
            Failure::Timeout { hash, .. } | Failure::Unready { hash } => Some(hash.to_string()),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::InvalidParams(text)
            | Failure::Limit(text)
            | Failure::NotFound(text)
            | Failure::Execution(text)
            | Failure::NotServed(text) => f.write_str(text),
            Failure::Reverted { message, .. } | Failure::Specified { message, .. } => f.write_str(message),
            Failure::Timeout { milliseconds, .. } => {
                write!(f, "the transaction was added to the transaction pool but was not final in {milliseconds} ms")
            }
            Failure::Unready { .. } => {
                f.write_str("the transaction was added to the transaction pool but waits for an earlier nonce")
            }
            Failure::NoId => f.write_str("invalid request: no id, or one that is neither number, string nor null"),
            Failure::Internal => f.write_str("internal error"),
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Failure {
        Failure::internal(&error)
    }
}

impl From<StateAtError> for Failure {
    fn from(error: StateAtError) -> Failure {
        match error {
            StateAtError::Storage(error) => error.into(),
            past => Failure::NotFound(past.to_string()),
        }
    }
}

impl From<ChainError> for Failure {
    fn from(error: ChainError) -> Failure {
        Failure::internal(&error)
    }
}

impl From<ExecutionError> for Failure {
    fn from(error: ExecutionError) -> Failure {
        match error {
            ExecutionError::Invalid(why) => Failure::execution(why),
            failed => Failure::internal(&failed),
        }
    }
}

impl From<Rejected> for Failure {
    fn from(rejected: Rejected) -> Failure {
        match &rejected {
            Rejected::Unavailable(_) => Failure::internal(&rejected),
            why => Failure::execution(why),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        let message = error.to_string();
        match error {
            CallError::Reverted(output) => Failure::Reverted { message, output },
            CallError::Execution(failed) => failed.into(),
            CallError::Override(_) | CallError::Request(_) => Failure::InvalidParams(message),
            _ => Failure::Execution(message),
        }
    }
}

impl From<SimulateError> for Failure {
    fn from(error: SimulateError) -> Failure {
        let (code, message) = (error.code() as i32, error.to_string());
        match error {
            SimulateError::Call(CallError::Execution(failed)) => failed.into(),
            _ => Failure::Specified { code, message },
        }
    }
}

impl From<TraceError> for Failure {
    fn from(error: TraceError) -> Failure {
        let message = error.to_string();
        match error {
            TraceError::Config(_) | TraceError::JavaScript | TraceError::UnknownTracer(_) => {
                Failure::Execution(message)
            }
            TraceError::TooLarge(_) => Failure::Limit(message),
            TraceError::Interrupted | TraceError::NoSuchTransaction { .. } => Failure::Execution(message),
            TraceError::Call(error) => error.into(),
            TraceError::Execution(error) => error.into(),
        }
    }
}

impl From<Failure> for ErrorObjectOwned {
    fn from(failure: Failure) -> ErrorObjectOwned {
        ErrorObjectOwned::owned(failure.code(), failure.to_string(), failure.extra())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::bytes;

    #[test]
    fn reverts_carry_their_output() {
        let failure = Failure::Reverted { message: "execution reverted: no".into(), output: bytes!("08c379a0") };
        let object = ErrorObjectOwned::from(failure);
        let json = serde_json::to_value(&object).unwrap();
        let expected = serde_json::json!({"code": 3, "message": "execution reverted: no", "data": "0x08c379a0"});
        assert_eq!(json, expected);
    }

    #[test]
    fn the_inside_stays_inside() {
        let cause = std::io::Error::other("/secret/path is broken");
        let object = ErrorObjectOwned::from(Failure::internal(&cause));
        assert_eq!((object.code(), object.message()), (-32603, "internal error"));
    }
}
