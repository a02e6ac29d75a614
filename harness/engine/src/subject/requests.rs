//! When the harness asked an instance for something: what a store was sent meanwhile, was sent for it.

use crate::clock::Clock;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use touchstone_core::audit::Span;

/// A load of that many requests is measured; of what comes after them nothing is known. 4 MB.
const KEPT_REQUESTS: usize = 64 * 1024;

/// The requests to one instance, in the order of their ends. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct RequestLog(Arc<Mutex<Vec<Span>>>);

/// A request under way. It is entered when this is dropped, also by a caller that waits for the answer no more.
#[derive(Debug)]
pub(super) struct UnderWay<'a> {
    log: &'a RequestLog,
    clock: Clock,
    span: Span,
}

impl RequestLog {
    /// A request is sent now.
    pub(super) fn begin(&self, operation: Cow<'static, str>, clock: Clock) -> UnderWay<'_> {
        let from_us = clock.now_us();
        UnderWay {
            log: self,
            clock,
            span: Span {
                operation,
                from_us,
                to_us: from_us,
                answered: false,
            },
        }
    }

    /// All that have ended.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl UnderWay<'_> {
    /// It was answered, and not only given up.
    pub(super) fn answered(&mut self) {
        self.span.answered = true;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.span.to_us = self.clock.now_us();
        let mut spans = self.log.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.len() < KEPT_REQUESTS {
            spans.push(self.span.clone());
        }
    }
}
