//! Lanes: each class of methods computes on its own bounded share of threads, behind its own bounded queue.
//!
//! D3.1 6.3.1. Invariant: at most `concurrency` calls of a class run at once and at most `queue` wait, whatever their
//! callers do. A call past its deadline is answered at once, but keeps its place until its thread is free, so that
//! giving up early buys a caller nothing.

use crate::error::Failure;
use crate::options::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a method costs. A class names its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Reads of one account, block or transaction.
    Read,
    /// Runs of the virtual machine.
    Execute,
    /// Many blocks or many trie nodes.
    Scan,
    /// Recorded runs of the virtual machine.
    Trace,
    /// Transactions coming in.
    Submit,
}

impl Class {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Class::Read => "read",
            Class::Execute => "execute",
            Class::Scan => "scan",
            Class::Trace => "trace",
            Class::Submit => "submit",
        }
    }
}

/// The bounds of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneLimits {
    /// Calls that run at once, each on a thread.
    pub concurrency: usize,
    /// Calls that wait for one.
    pub queue: usize,
    /// From arrival to answer.
    pub deadline: Duration,
}

/// The moment when a call's time is over.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    end: Instant,
    interrupt: Arc<AtomicBool>,
}

impl Deadline {
    pub(crate) fn after(duration: Duration) -> Deadline {
        Deadline { end: Instant::now() + duration, interrupt: Arc::default() }
    }

    /// Loops ask this between steps, so that work nobody waits for ends.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match Instant::now() < self.end && !self.interrupt.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(Failure::limit("the time limit of this method is over")),
        }
    }

    /// Becomes true when nobody waits any more. What cannot look at a clock looks at this.
    pub(crate) fn interrupt(&self) -> &AtomicBool {
        &self.interrupt
    }

    /// Ends the work when its caller stops waiting, whether by time or because the connection is gone.
    fn watch(&self) -> Abandon {
        Abandon(Arc::clone(&self.interrupt))
    }
}

/// Interrupts the work when dropped.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// All the lanes of a server.
#[derive(Debug)]
pub(crate) struct Lanes {
    read: Lane,
    execute: Lane,
    scan: Lane,
    trace: Lane,
    submit: Lane,
}

impl Lanes {
    pub(crate) fn new(limits: &Limits) -> Lanes {
        Lanes {
            read: Lane::new(Class::Read, limits.read),
            execute: Lane::new(Class::Execute, limits.execute),
            scan: Lane::new(Class::Scan, limits.scan),
            trace: Lane::new(Class::Trace, limits.trace),
            submit: Lane::new(Class::Submit, limits.submit),
        }
    }

    pub(crate) fn of(&self, class: Class) -> &Lane {
        match class {
            Class::Read => &self.read,
            Class::Execute => &self.execute,
            Class::Scan => &self.scan,
            Class::Trace => &self.trace,
            Class::Submit => &self.submit,
        }
    }
}

/// One class's threads and queue.
#[derive(Debug)]
pub(crate) struct Lane {
    class: Class,
    limits: LaneLimits,
    places: Arc<Semaphore>,
    threads: Arc<Semaphore>,
}

/// A place in the queue and a thread, held until the work is really over.
type Permits = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Lane {
    fn new(class: Class, limits: LaneLimits) -> Lane {
        let places = Arc::new(Semaphore::new(limits.concurrency + limits.queue));
        Lane { class, limits, places, threads: Arc::new(Semaphore::new(limits.concurrency)) }
    }

    /// Runs `work` on a thread of this lane, or says that the lane is full or too slow.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(Deadline) -> Result<T, Failure> + Send + 'static,
    {
        let deadline = Deadline::after(self.limits.deadline);
        let end = deadline.end.into();
        let _abandon = deadline.watch();
        let permits = self.enter(end).await?;
        let task = tokio::task::spawn_blocking(move || {
            let answer = deadline.check().and_then(|()| work(deadline));
            drop(permits);
            answer
        });
        match tokio::time::timeout_at(end, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(panic)) => Err(Failure::internal(&panic)),
            Err(_) => Err(self.too_slow()),
        }
    }

    async fn enter(&self, end: tokio::time::Instant) -> Result<Permits, Failure> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| self.full())?;
        let thread = Arc::clone(&self.threads).acquire_owned();
        match tokio::time::timeout_at(end, thread).await {
            Ok(Ok(thread)) => Ok((place, thread)),
            Ok(Err(_)) | Err(_) => Err(self.too_slow()),
        }
    }

    fn full(&self) -> Failure {
        let LaneLimits { concurrency, queue, .. } = self.limits;
        let class = self.class.name();
        Failure::limit(format!("too many {class} requests: {concurrency} run and {queue} wait; try again later"))
    }

    fn too_slow(&self) -> Failure {
        let (class, seconds) = (self.class.name(), self.limits.deadline.as_secs_f32());
        Failure::limit(format!("{class} request exceeded its time limit of {seconds} s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn lane(concurrency: usize, queue: usize, deadline_ms: u64) -> Lane {
        Lane::new(Class::Trace, LaneLimits { concurrency, queue, deadline: Duration::from_millis(deadline_ms) })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_lane_refuses_at_once_and_recovers() {
        let lane = Arc::new(lane(1, 0, 60_000));
        let (release, gate) = mpsc::channel::<()>();
        let (started, running) = tokio::sync::oneshot::channel();
        let busy = Arc::clone(&lane);
        let first = tokio::spawn(async move {
            busy.run(move |_| {
                started.send(()).ok();
                gate.recv().ok();
                Ok(1)
            })
            .await
        });
        running.await.unwrap();
        assert_eq!(lane.run(|_| Ok(2)).await.unwrap_err().code(), -32005);
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap(), 1);
        assert_eq!(lane.run(|_| Ok(3)).await.unwrap(), 3);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn late_work_is_answered_but_keeps_its_thread() {
        let lane = lane(1, 0, 50);
        let (release, gate) = mpsc::channel::<()>();
        let late = lane.run(move |_| Ok(gate.recv().is_ok())).await;
        assert_eq!(late.unwrap_err().code(), -32005);
        assert_eq!(lane.threads.available_permits(), 0, "the thread is still busy");
        assert_eq!(lane.run(|_| Ok(())).await.unwrap_err().code(), -32005);
        release.send(()).unwrap();
        let _free = lane.threads.acquire().await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error() {
        let answer: Result<(), Failure> = lane(1, 1, 60_000).run(|_| panic!("no")).await;
        assert_eq!(answer.unwrap_err().code(), -32603);
    }
}
