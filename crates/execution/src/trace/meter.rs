//! Counts what a tracer keeps, and stops the run before it is too much.
//!
//! The tracing library bounds the bytes that it copies (memory, inputs). What it keeps for each step (the
//! stack, and in the answer the contract's slots seen so far) and for each call is counted here.

use std::collections::BTreeSet;

use alloy_primitives::{Address, U256};
use alloy_rpc_types_trace::geth::GethDebugTracingOptions;
use revm::{
    Inspector,
    bytecode::opcode,
    context_interface::{ContextError, ContextTr},
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter,
        interpreter_types::{InputsTr, Jumps},
    },
};

use super::TraceLimits;
use crate::simulate::Interrupt;

pub(super) const TOO_LARGE: &str = "trace too large";

const STEP_BYTES: usize = 200;
const STACK_WORD_BYTES: usize = 32;
const SLOT_BYTES: usize = 64;
const CALL_BYTES: usize = 1024;

#[derive(Clone, Debug)]
pub(super) struct Meter<'a> {
    bytes_max: usize,
    bytes: usize,
    /// How many struct logs are kept.
    steps_max: u64,
    steps: u64,
    stack: bool,
    storage: bool,
    slots: BTreeSet<(Address, U256)>,
    interrupt: Interrupt<'a>,
}

impl<'a> Meter<'a> {
    pub(super) fn new(options: &GethDebugTracingOptions, limits: TraceLimits<'a>) -> Meter<'a> {
        let named = options.tracer.as_ref().is_some_and(|tracer| !tracer.as_str().is_empty());
        let wanted = options.config.limit.filter(|limit| *limit > 0).unwrap_or(u64::MAX);
        Meter {
            bytes_max: limits.bytes,
            bytes: 0,
            steps_max: if named { 0 } else { wanted },
            steps: 0,
            stack: !options.config.disable_stack.unwrap_or(false),
            storage: !options.config.disable_storage.unwrap_or(false),
            slots: BTreeSet::new(),
            interrupt: Interrupt::new(limits.interrupt),
        }
    }

    /// The next transaction has its own budget.
    pub(super) fn reset(&mut self) {
        self.bytes = 0;
        self.steps = 0;
        self.slots.clear();
    }

    fn keep(&mut self, bytes: usize, context: &mut impl ContextTr) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.bytes_max && context.error().is_ok() {
            *context.error() = Err(ContextError::Custom(TOO_LARGE.into()));
        }
    }

    fn step_bytes(&mut self, interpreter: &Interpreter) -> usize {
        let mut bytes = STEP_BYTES;
        if self.stack {
            bytes += STACK_WORD_BYTES * interpreter.stack.len();
        }
        if self.storage && matches!(interpreter.bytecode.opcode(), opcode::SLOAD | opcode::SSTORE) {
            if let Ok(slot) = interpreter.stack.peek(0) {
                self.slots.insert((interpreter.input.target_address(), slot));
            }
            bytes += SLOT_BYTES * self.slots.len();
        }
        bytes
    }
}

impl<CTX: ContextTr> Inspector<CTX> for Meter<'_> {
    fn step(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        self.interrupt.step(interpreter, context);
        if self.steps < self.steps_max {
            self.steps += 1;
            let bytes = self.step_bytes(interpreter);
            self.keep(bytes, context);
        }
        if self.bytes > self.bytes_max {
            interpreter.halt_fatal();
        }
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.keep(CALL_BYTES + inputs.input.len(), context);
        None
    }

    fn call_end(&mut self, context: &mut CTX, _: &CallInputs, outcome: &mut CallOutcome) {
        self.keep(outcome.result.output.len(), context);
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.keep(CALL_BYTES + inputs.init_code().len(), context);
        None
    }

    fn create_end(&mut self, context: &mut CTX, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.keep(outcome.result.output.len(), context);
    }
}
