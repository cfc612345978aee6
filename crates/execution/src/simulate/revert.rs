//! Why a call failed, in geth's words.

use alloy_primitives::Bytes;
use alloy_sol_types::{Panic, Revert, SolError};
use revm::context::result::{HaltReason, OutOfGasError};

/// The text in `Error(string)` or the meaning of `Panic(uint256)`; none for a contract's own errors.
pub fn revert_reason(output: &[u8]) -> Option<String> {
    if let Ok(revert) = Revert::abi_decode(output) {
        return Some(revert.reason);
    }
    Panic::abi_decode(output).ok().map(|panic| panic.as_geth_str().into_owned())
}

pub(super) fn message(output: &Bytes) -> String {
    match revert_reason(output) {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".to_owned(),
    }
}

/// The machine's verdict.
pub fn halt_reason(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(OutOfGasError::InvalidOperand) => "gas uint64 overflow".into(),
        HaltReason::OutOfGas(_) => "out of gas".into(),
        HaltReason::OpcodeNotFound | HaltReason::NotActivated => "invalid opcode".into(),
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID".into(),
        HaltReason::InvalidJump => "invalid jump destination".into(),
        HaltReason::StackOverflow => "stack limit reached 1024".into(),
        HaltReason::OutOfOffset => "return data out of bounds".into(),
        HaltReason::CreateCollision => "contract address collision".into(),
        HaltReason::NonceOverflow => "nonce uint64 overflow".into(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".into(),
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef".into(),
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded".into(),
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => "write protection".into(),
        HaltReason::OutOfFunds => "insufficient balance for transfer".into(),
        HaltReason::CallTooDeep => "max call depth exceeded".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{U256, hex};

    #[test]
    fn decodes_error_and_panic() {
        let error = Revert::from("no money").abi_encode();
        assert_eq!(revert_reason(&error).as_deref(), Some("no money"));
        assert_eq!(message(&error.into()), "execution reverted: no money");
        let panic = Panic { code: U256::from(0x11) }.abi_encode();
        assert_eq!(revert_reason(&panic).as_deref(), Some("arithmetic underflow or overflow"));
    }

    #[test]
    fn own_errors_and_rubbish_have_no_reason() {
        assert_eq!(revert_reason(&hex!("deadbeef00")), None);
        assert_eq!(revert_reason(&[]), None);
        assert_eq!(message(&Bytes::from_static(&[8, 0xc3, 0x79, 0xa0, 1])), "execution reverted");
    }
}
