//! Stops a run from outside.

use std::sync::atomic::{AtomicBool, Ordering};

use revm::{
    Inspector,
    context_interface::{ContextError, ContextTr},
    interpreter::Interpreter,
};

pub(crate) const INTERRUPTED: &str = "interrupted";
const STEPS: u32 = 1024;

/// Looks at a flag every thousand steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt<'a> {
    flag: Option<&'a AtomicBool>,
    steps: u32,
}

impl<'a> Interrupt<'a> {
    pub(crate) fn new(flag: Option<&'a AtomicBool>) -> Interrupt<'a> {
        Interrupt { flag, steps: 0 }
    }
}

impl<CTX: ContextTr> Inspector<CTX> for Interrupt<'_> {
    fn step(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        self.steps = self.steps.wrapping_add(1);
        if !self.steps.is_multiple_of(STEPS) {
            return;
        }
        if self.flag.is_some_and(|flag| flag.load(Ordering::Relaxed)) && context.error().is_ok() {
            *context.error() = Err(ContextError::Custom(INTERRUPTED.into()));
            interpreter.halt_fatal();
        }
    }
}
