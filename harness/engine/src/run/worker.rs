//! One of the threads that execute attempts.

use super::events::EventSender;
use super::executor::Executor;
use super::plan::Attempt;
use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::watch;
use touchstone_core::event::{RunEvent, RunEventKind};

/// Takes attempts from the queue until there are none, or no more are to start.
pub(super) struct Worker {
    pub(super) queue: Arc<Mutex<VecDeque<Attempt>>>,
    pub(super) executor: Executor,
    pub(super) no_more: watch::Sender<Option<String>>,
    pub(super) began: Instant,
    pub(super) sender: Sender<RunEvent>,
}

impl Worker {
    /// To the end, on this thread.
    pub(super) async fn run(self) {
        while let Some(attempt) = self.next() {
            let events = EventSender::new(attempt.key.clone(), self.began, self.sender.clone());
            let record = Box::new(self.executor.execute(&attempt, events.clone()).await);
            // Here and not where the event arrives: by then the next attempt would have begun.
            if self.executor.plan.fail_fast && !record.verdict.is_acceptable() {
                self.no_more.send_if_modified(|reason| {
                    let first = reason.is_none();
                    reason.get_or_insert_with(|| format!("--fail-fast after {}", record.criterion));
                    first
                });
            }
            events.send(|_| RunEventKind::ScenarioFinished { record });
        }
    }

    fn next(&self) -> Option<Attempt> {
        if self.no_more.borrow().is_some() || self.executor.cancelled.borrow().is_some() {
            return None;
        }
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}
