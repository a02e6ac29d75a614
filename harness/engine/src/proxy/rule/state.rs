//! A rule in force, on its proxy's thread.

use super::action::Action;
use super::progress::{Progress, Seen};
use super::when::When;
use crate::proxy::delay::Delay;
use rand_chacha::ChaCha8Rng;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use touchstone_core::Seed;
use touchstone_wire::Command;

/// A rule in force.
pub(crate) struct RuleState {
    pub(crate) id: u64,
    pub(crate) action: Action,
    when: When,
    healed: Cell<bool>,
    rng: RefCell<ChaCha8Rng>,
    gates: RefCell<VecDeque<Weak<Gate>>>,
    progress: watch::Sender<Progress>,
}

impl RuleState {
    pub(super) fn new(
        id: u64,
        when: When,
        action: Action,
        seed: Seed,
        progress: watch::Sender<Progress>,
    ) -> Self {
        Self {
            id,
            action,
            when,
            healed: Cell::new(false),
            rng: RefCell::new(seed.rng()),
            gates: RefCell::default(),
            progress,
        }
    }

    /// Counts a command that matches; whether it is one to act on.
    pub(crate) fn meets(&self, connection: u64, command: &Command) -> bool {
        if !self.when.matches(connection, command) {
            return false;
        }
        let mut ordinal = 0;
        self.progress.send_modify(|progress| {
            progress.matched += 1;
            ordinal = progress.matched;
        });
        self.when.acts_on(ordinal)
    }

    /// Notes that it acts on a command.
    pub(crate) fn acts(&self, on: Seen) {
        self.progress.send_modify(|progress| {
            progress.acted += 1;
            progress.last = Some(on);
        });
    }

    /// Holds what is put behind it.
    pub(crate) fn gate(self: &Rc<Self>, longest: Duration, seen: Seen) -> Rc<Gate> {
        let gate = Rc::new(Gate {
            rule: Rc::clone(self),
            seen,
            until: Instant::now() + longest,
            is_open: Cell::new(false),
        });
        self.gates.borrow_mut().push_back(Rc::downgrade(&gate));
        self.tell_held();
        gate
    }

    /// Opens the oldest gate that still holds something; whether there was one.
    pub(crate) fn open_one(&self) -> bool {
        let Some(gate) = self.closed_gates().into_iter().next() else {
            return false;
        };
        gate.is_open.set(true);
        self.progress.send_modify(|progress| progress.released += 1);
        self.tell_held();
        true
    }

    /// Opens every gate; how many there were.
    pub(crate) fn open_all(&self) -> u64 {
        let mut opened = 0;
        while self.open_one() {
            opened += 1;
        }
        opened
    }

    /// From now on it acts on nothing, also not on replies to come.
    pub(crate) fn set_healed(&self) {
        self.healed.set(true);
    }

    pub(crate) fn is_healed(&self) -> bool {
        self.healed.get()
    }

    pub(crate) fn draw(&self, delay: &Delay) -> Duration {
        delay.draw(&mut self.rng.borrow_mut())
    }

    /// A reply to a command that it acted on has passed.
    pub(crate) fn replied(&self) {
        self.progress.send_modify(|progress| progress.replied += 1);
    }

    fn closed_gates(&self) -> Vec<Rc<Gate>> {
        let mut gates = self.gates.borrow_mut();
        gates.retain(|gate| gate.upgrade().is_some_and(|gate| !gate.is_open.get()));
        gates.iter().filter_map(Weak::upgrade).collect()
    }

    fn tell_held(&self) {
        let held = self.closed_gates();
        let held: Vec<_> = held.iter().map(|gate| gate.seen.clone()).collect();
        self.progress.send_modify(|progress| progress.held = held);
    }
}

/// Holds what stands behind it in a flow until it is opened or its time is over.
pub(crate) struct Gate {
    rule: Rc<RuleState>,
    seen: Seen,
    until: Instant,
    is_open: Cell<bool>,
}

impl Gate {
    /// When it opens by itself.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    pub(crate) fn is_open(&self) -> bool {
        if self.is_open.get() {
            return true;
        }
        if Instant::now() < self.until {
            return false;
        }
        self.is_open.set(true);
        self.rule
            .progress
            .send_modify(|progress| progress.overdue += 1);
        self.rule.tell_held();
        true
    }
}

impl Drop for Gate {
    /// The connection has gone and with it what was held.
    fn drop(&mut self) {
        if !self.is_open.get() {
            self.rule.tell_held();
        }
    }
}
