//! A timer on a `timerfd`: tokio's own wheel ticks in milliseconds, too coarse for an injected delay.

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets the descriptor be registered with the runtime's epoll, so that no other thread is needed.
struct Descriptor(TimerFd);

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

struct Entry {
    due: Instant,
    /// Makes the order total; wakers have none.
    sequence: u64,
    waker: Waker,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

/// Wakes tasks of one thread at precise times. [`PreciseTimer::run`] must be running there.
pub(crate) struct PreciseTimer {
    descriptor: AsyncFd<Descriptor>,
    entries: RefCell<BinaryHeap<Reverse<Entry>>>,
    armed_for: Cell<Option<Instant>>,
    next_sequence: Cell<u64>,
}

impl PreciseTimer {
    /// Must be called inside the thread's runtime.
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for owners that swap their descriptor"
    )]
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        Ok(Self {
            descriptor: AsyncFd::with_interest(Descriptor(timer), Interest::READABLE)?,
            entries: RefCell::default(),
            armed_for: Cell::new(None),
            next_sequence: Cell::new(0),
        })
    }

    /// Wakes the task once, at `due` or just after. It may be woken for other reasons before.
    pub(crate) fn wake_at(&self, due: Instant, waker: &Waker) {
        let sequence = self.next_sequence.get();
        self.next_sequence.set(sequence + 1);
        self.entries.borrow_mut().push(Reverse(Entry {
            due,
            sequence,
            waker: waker.clone(),
        }));
        if self.armed_for.get().is_none_or(|armed| due < armed) {
            self.arm(due);
        }
    }

    /// Sleeps until `due`.
    pub(crate) async fn sleep_until(&self, due: Instant) {
        poll_fn(|cx| {
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            self.wake_at(due, cx.waker());
            Poll::Pending
        })
        .await;
    }

    /// Serves the timer for as long as the thread lives.
    pub(crate) async fn run(&self) {
        while let Ok(mut ready) = self.descriptor.readable().await {
            ready.clear_ready();
            // Reading resets the descriptor; that it was set anew meanwhile (EAGAIN) is no error.
            let _ = nix::unistd::read(&self.descriptor.get_ref().0, &mut [0; 8]);
            self.wake_due();
        }
    }

    fn wake_due(&self) {
        self.armed_for.set(None);
        let now = Instant::now();
        loop {
            let mut entries = self.entries.borrow_mut();
            match entries.peek() {
                Some(Reverse(first)) if first.due <= now => {
                    let Some(Reverse(entry)) = entries.pop() else {
                        return;
                    };
                    // Waking may come back to `wake_at`.
                    drop(entries);
                    entry.waker.wake();
                }
                Some(Reverse(first)) => {
                    let due = first.due;
                    drop(entries);
                    return self.arm(due);
                }
                None => return,
            }
        }
    }

    fn arm(&self, due: Instant) {
        // Zero would disarm the timer.
        let wait = due
            .saturating_duration_since(Instant::now())
            .max(Duration::from_nanos(1));
        let expiration = Expiration::OneShot(TimeSpec::from_duration(wait));
        match self
            .descriptor
            .get_ref()
            .0
            .set(expiration, TimerSetTimeFlags::empty())
        {
            Ok(()) => self.armed_for.set(Some(due)),
            Err(error) => tracing::error!(%error, "the delay timer could not be set"),
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test says what it expected by failing"
)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use tokio::runtime::{Builder, LocalOptions};

    #[test]
    fn every_sleeper_wakes_and_none_early() {
        let mut builder = Builder::new_current_thread();
        let runtime = builder
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            let timer = Rc::new(PreciseTimer::new().unwrap());
            let server = Rc::clone(&timer);
            tokio::task::spawn_local(async move { server.run().await });
            let start = Instant::now();
            // First, so that the others have to set the timer anew.
            let distant = Rc::clone(&timer);
            tokio::task::spawn_local(async move {
                distant.sleep_until(start + Duration::from_secs(3600)).await;
            });
            let sleepers = [9_000, 200, 5_000, 0, 1_300, 200].map(|wait_us| {
                let timer = Rc::clone(&timer);
                let due = start + Duration::from_micros(wait_us);
                tokio::task::spawn_local(async move {
                    timer.sleep_until(due).await;
                    assert!(Instant::now() >= due);
                })
            });
            for sleeper in sleepers {
                sleeper.await.unwrap();
            }
        });
    }
}
