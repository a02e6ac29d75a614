//! What was injected, when it was healed, and whether it bit.

use crate::clock::Clock;
use crate::run::EventSender;
use std::sync::{Mutex, PoisonError};
use touchstone_core::event::RunEventKind;
use touchstone_core::fault::FaultRecord;

/// The faults of one scenario. The executor asks it at the end: a fault that did not bite makes the
/// verdict unknown, whatever the scenario says.
#[derive(Debug)]
pub struct Ledger {
    clock: Clock,
    events: EventSender,
    records: Mutex<Vec<FaultRecord>>,
}

impl Ledger {
    /// An empty one.
    pub(crate) fn new(clock: Clock, events: EventSender) -> Self {
        Self {
            clock,
            events,
            records: Mutex::default(),
        }
    }

    /// Every fault so far, in the order of injection.
    pub fn records(&self) -> Vec<FaultRecord> {
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Enters a fault that is in force now; returns its place.
    pub(super) fn enter(&self, fault: FaultRecord) -> usize {
        self.events.send(|key| RunEventKind::FaultInjected {
            key,
            fault: fault.clone(),
        });
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.push(fault);
        records.len() - 1
    }

    /// Completes a fault. One that is not healed stays in force until the teardown.
    pub(super) fn complete(&self, place: usize, bite: Option<String>, healed: bool) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let record = &mut records[place];
        record.bite = bite;
        record.healed_at_us = healed.then(|| self.clock.now_us());
        let fault = record.clone();
        drop(records);
        self.events
            .send(|key| RunEventKind::FaultHealed { key, fault });
    }
}
