//! A sender that refuses what the transport would panic on.
//!
//! D3.1 6.1.3. The transport ends the process when a message exceeds its limit. Nothing that this node builds should;
//! if something does, it is dropped and said so, and the node lives.

use commonware_actor::{Feedback, Unreliable};
use commonware_p2p::{CheckedSender, LimitedSender, Recipients};
use commonware_runtime::{Buf as _, IoBufs};
use std::time::SystemTime;

/// `S` with a limit on the length of messages.
#[derive(Clone, Debug)]
pub struct Bounded<S> {
    inner: S,
    bytes_max: usize,
}

impl<S> Bounded<S> {
    /// Refuses messages longer than `bytes_max`.
    pub fn new(inner: S, bytes_max: usize) -> Self {
        Bounded { inner, bytes_max }
    }
}

impl<S: LimitedSender> LimitedSender for Bounded<S> {
    type PublicKey = S::PublicKey;
    type Checked<'a>
        = BoundedChecked<S::Checked<'a>>
    where
        Self: 'a;

    fn check(&mut self, recipients: Recipients<Self::PublicKey>) -> Result<Self::Checked<'_>, SystemTime> {
        let bytes_max = self.bytes_max;
        self.inner.check(recipients).map(|inner| BoundedChecked { inner, bytes_max })
    }
}

/// A permission to send one message.
pub struct BoundedChecked<C> {
    inner: C,
    bytes_max: usize,
}

impl<C: CheckedSender> CheckedSender for BoundedChecked<C> {
    type PublicKey = C::PublicKey;

    fn recipients(&self) -> Vec<Self::PublicKey> {
        self.inner.recipients()
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        let message = message.into();
        let bytes = message.remaining();
        if bytes > self.bytes_max {
            tracing::error!(bytes, limit = self.bytes_max, "message not sent: too long");
            return Unreliable::Rejected;
        }
        self.inner.send(message, priority)
    }
}
