//! How events get from the workers to the dispatcher.

use std::sync::mpsc::Sender;
use std::time::Instant;
use touchstone_core::event::{RunEvent, RunEventKind, ScenarioKey};

/// Sends the events of one scenario attempt. Never blocks; the dispatcher takes them in order.
#[derive(Debug, Clone)]
pub struct EventSender {
    key: ScenarioKey,
    began: Instant,
    channel: Sender<RunEvent>,
}

impl EventSender {
    pub(super) fn new(key: ScenarioKey, began: Instant, channel: Sender<RunEvent>) -> Self {
        Self {
            key,
            began,
            channel,
        }
    }

    /// A sender outside of a run: there is no dispatcher.
    pub(crate) fn to_nobody(name: &str) -> Self {
        let key = ScenarioKey {
            criterion: name.to_owned(),
            attempt: 1,
        };
        Self::new(key, Instant::now(), std::sync::mpsc::channel().0)
    }

    /// Sends what `kind` makes of the attempt's key.
    pub(crate) fn send(&self, kind: impl FnOnce(ScenarioKey) -> RunEventKind) {
        let event = stamp(self.began, kind(self.key.clone()));
        // Without a dispatcher the run is over, and nobody is left to be told.
        let _ = self.channel.send(event);
    }
}

/// An event that happens now.
pub(super) fn stamp(began: Instant, kind: RunEventKind) -> RunEvent {
    let elapsed_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    RunEvent {
        at: jiff::Timestamp::now(),
        elapsed_us,
        kind,
    }
}
