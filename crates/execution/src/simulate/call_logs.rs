//! The logs of a simulated call, with transfers of value among them.
//!
//! As geth counts: a log that is reverted leaves a gap in the block's numbering.

use alloy_primitives::{Address, B256, Log, LogData, U256, address, b256};
use revm::{
    Inspector,
    context_interface::{ContextTr, JournalTr},
    interpreter::{CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome},
};

/// Where a transfer's log comes from.
const TRANSFER_EMITTER: Address = address!("0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
/// `Transfer(address,address,uint256)`.
const TRANSFER_TOPIC: B256 = b256!("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// A log and its number in the block.
pub(super) type NumberedLog = (u64, Log);

/// Collects logs frame by frame, so that a failed frame's are forgotten.
#[derive(Default)]
pub(super) struct CallLogs {
    transfers: bool,
    count: u64,
    frames: Vec<Vec<NumberedLog>>,
    finished: Vec<NumberedLog>,
}

impl CallLogs {
    pub(super) fn new(transfers: bool) -> CallLogs {
        CallLogs { transfers, ..CallLogs::default() }
    }

    /// The logs of the transaction that just ran. The numbering goes on.
    pub(super) fn take(&mut self) -> Vec<NumberedLog> {
        self.frames.clear();
        std::mem::take(&mut self.finished)
    }

    fn add(&mut self, log: Log) {
        let numbered = (self.count, log);
        self.count += 1;
        match self.frames.last_mut() {
            Some(frame) => frame.push(numbered),
            None => self.finished.push(numbered),
        }
    }

    fn transfer(&mut self, from: Address, to: Address, value: U256) {
        if !self.transfers || value.is_zero() {
            return;
        }
        let topics = vec![TRANSFER_TOPIC, from.into_word(), to.into_word()];
        let data = LogData::new_unchecked(topics, value.to_be_bytes_vec().into());
        self.add(Log { address: TRANSFER_EMITTER, data });
    }

    fn leave(&mut self, succeeded: bool) {
        let Some(frame) = self.frames.pop() else { return };
        if succeeded {
            self.frames.last_mut().unwrap_or(&mut self.finished).extend(frame);
        }
    }
}

impl<CTX: ContextTr> Inspector<CTX> for CallLogs {
    fn log(&mut self, _: &mut CTX, log: Log) {
        self.add(log);
    }

    fn call(&mut self, _: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.frames.push(Vec::new());
        if inputs.scheme != CallScheme::DelegateCall {
            self.transfer(inputs.caller, inputs.target_address, inputs.call_value());
        }
        None
    }

    fn call_end(&mut self, _: &mut CTX, _: &CallInputs, outcome: &mut CallOutcome) {
        self.leave(outcome.result.is_ok());
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.frames.push(Vec::new());
        let caller = context.journal_mut().load_account(inputs.caller());
        let Ok(nonce) = caller.map(|account| account.data.info.nonce) else { return None };
        self.transfer(inputs.caller(), inputs.created_address(nonce), inputs.value());
        None
    }

    fn create_end(&mut self, _: &mut CTX, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.leave(outcome.result.is_ok());
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.transfer(contract, target, value);
    }
}
