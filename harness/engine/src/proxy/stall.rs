//! How late a thread of ours was: on busy cores our own delay must never look like the subject's.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bounds the log; it holds decreasing values only, so that even a bad run needs few.
const KEPT_STALLS: usize = 1024;

/// One late wake-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// When the thread did wake up.
    pub at: Instant,
    /// How much later that was than it was due.
    pub lateness: Duration,
}

/// The worst latenesses of a ticker, for any span of time up to now.
///
/// Cloning gives another handle to the same log. A stall shorter than the ticker's period may be
/// missed or seen shortened by up to one period; it is never seen longer than it was.
#[derive(Debug, Clone, Default)]
pub struct StallLog(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// Times rise, latenesses fall: the first one in a span is its worst.
    worst: VecDeque<Stall>,
    next_due: Option<Instant>,
}

impl StallLog {
    /// Notes that a tick which was due then happened at `at`, and when the next one is due.
    pub fn tick(&self, due: Instant, at: Instant, next_due: Instant) {
        let stall = Stall {
            at,
            lateness: at.saturating_duration_since(due),
        };
        let mut inner = self.lock();
        inner.next_due = Some(next_due);
        while inner
            .worst
            .back()
            .is_some_and(|last| last.lateness <= stall.lateness)
        {
            inner.worst.pop_back();
        }
        if inner.worst.len() == KEPT_STALLS {
            inner.worst.pop_back();
        }
        inner.worst.push_back(stall);
    }

    /// The worst lateness since then, one that still goes on included; `None` before the first tick.
    #[must_use]
    pub fn worst_since(&self, since: Instant) -> Option<Stall> {
        self.worst_between(since, Instant::now())
    }

    fn worst_between(&self, since: Instant, now: Instant) -> Option<Stall> {
        let inner = self.lock();
        let past = inner.worst.iter().find(|stall| stall.at >= since).copied();
        let going_on = inner
            .next_due
            .map(|due| Stall {
                at: now,
                lateness: now.saturating_duration_since(due),
            })
            .filter(|stall| !stall.lateness.is_zero());
        past.into_iter()
            .chain(going_on)
            .max_by_key(|stall| stall.lateness)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the log of the thread that it runs on: how late its own wake-ups are. Never ends; when it is
/// dropped, with its thread's runtime for instance, nothing is due any more.
pub async fn watch_own_thread(log: StallLog, every: Duration) {
    let watching = Watching(log);
    let mut due = Instant::now();
    loop {
        tokio::time::sleep_until(due.into()).await;
        let now = Instant::now();
        watching.0.tick(due, now, now + every);
        due = now + every;
    }
}

/// A thread that has ended is not late.
struct Watching(StallLog);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.lock().next_due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn ticked(latenesses_ms: &[u64]) -> (StallLog, Instant) {
        let (log, start) = (StallLog::default(), Instant::now());
        for (index, lateness) in latenesses_ms.iter().enumerate() {
            let due = start + ms(100) * (index as u32 + 1);
            log.tick(due, due + ms(*lateness), due + ms(100));
        }
        (log, start)
    }

    #[test]
    fn a_thread_that_has_ended_is_not_late() {
        let log = StallLog::default();
        let began = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async {
            tokio::spawn(watch_own_thread(log.clone(), Duration::from_millis(1)));
            tokio::time::sleep(Duration::from_millis(5)).await;
        });
        drop(runtime);
        let long_after = Instant::now() + Duration::from_secs(60);
        let worst = log.worst_between(began, long_after).expect("it had ticked");
        assert!(worst.lateness < Duration::from_secs(30), "{worst:?}");
    }

    #[test]
    fn the_worst_stall_since_any_moment_is_found() {
        let latenesses = [3, 9, 1, 4, 0, 2];
        let (log, start) = ticked(&latenesses);
        for first in 0..latenesses.len() {
            let since = start + ms(100) * (first as u32 + 1);
            let expected = latenesses[first..].iter().max().copied();
            let seen = log
                .worst_between(since, start + ms(650))
                .map(|stall| stall.lateness);
            assert_eq!(seen, expected.map(ms), "since tick {first}");
        }
    }

    #[test]
    fn a_stall_that_still_goes_on_counts() {
        let (log, start) = ticked(&[1, 2]);
        let seen = log.worst_between(start, start + ms(350));
        assert_eq!(seen.map(|stall| stall.lateness), Some(ms(50)));
        assert_eq!(StallLog::default().worst_since(start), None);
    }

    #[test]
    fn memory_is_bounded_when_every_tick_is_better_than_the_last() {
        let falling: Vec<u64> = (0..2 * KEPT_STALLS as u64).rev().collect();
        let (log, start) = ticked(&falling);
        assert_eq!(log.lock().worst.len(), KEPT_STALLS);
        let seen = log.worst_between(start, start).map(|stall| stall.lateness);
        assert_eq!(seen, Some(ms(2 * KEPT_STALLS as u64 - 1)));
    }
}
