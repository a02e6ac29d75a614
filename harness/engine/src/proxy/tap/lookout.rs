//! What all connections of one proxy share of the tap: the rules in force, the trace, the totals.

use super::tally::{NameTally, Tally};
use super::trace::{Trace, TraceLog};
use crate::proxy::rule::RuleState;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use touchstone_wire::{ClientNote, Command, Lost, Remark, Reply};

/// What a proxy has to tell for an audit.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// Totals by name, of all commands.
    pub names: Vec<NameTally>,
    /// The last commands, and how many had come before them.
    pub trace: Trace,
    /// What clients said of themselves, with the connection's number.
    pub clients: Vec<(u64, ClientNote)>,
    /// Connections that could not be decoded to their end, and why.
    pub undecoded: Vec<(u64, Lost)>,
}

/// Where a command is entered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    sequence: u64,
    name: usize,
    seen_at: Instant,
    has_rule: bool,
    is_answered: bool,
}

/// One proxy's rules and trace.
#[derive(Default)]
pub(crate) struct Lookout {
    rules: RefCell<Vec<Rc<RuleState>>>,
    /// Kept apart, as it is asked with every read.
    has_rules: Cell<bool>,
    trace: RefCell<TraceLog>,
    tally: RefCell<Tally>,
    lost: RefCell<Vec<(u64, Lost)>>,
}

impl Lookout {
    pub(crate) fn has_rules(&self) -> bool {
        self.has_rules.get()
    }

    pub(crate) fn add_rule(&self, rule: RuleState) {
        self.rules.borrow_mut().push(Rc::new(rule));
        self.has_rules.set(true);
    }

    pub(crate) fn rule(&self, id: u64) -> Option<Rc<RuleState>> {
        self.rules
            .borrow()
            .iter()
            .find(|rule| rule.id == id)
            .cloned()
    }

    pub(crate) fn remove_rule(&self, id: u64) -> Option<Rc<RuleState>> {
        let mut rules = self.rules.borrow_mut();
        let index = rules.iter().position(|rule| rule.id == id)?;
        let rule = rules.remove(index);
        rule.set_healed();
        self.has_rules.set(!rules.is_empty());
        Some(rule)
    }

    /// The rule that acts on a command, if any. Each rule counts the command that it matches.
    pub(super) fn rule_for(&self, connection: u64, command: &Command) -> Option<Rc<RuleState>> {
        let mut acting = None;
        for rule in self.rules.borrow().iter() {
            if rule.meets(connection, command) && acting.is_none() {
                acting = Some(Rc::clone(rule));
            }
        }
        acting
    }

    // Inlined down to the trace: a command is too large to be handed on from call to call.
    #[inline]
    pub(super) fn command(
        &self,
        connection: u64,
        command: Command,
        seen_at: Instant,
        rule: Option<&'static str>,
    ) -> Entry {
        let name = self.tally.borrow_mut().command(&command.name);
        let mut trace = self.trace.borrow_mut();
        Entry {
            sequence: trace.command(connection, command, seen_at, rule),
            name,
            seen_at,
            has_rule: rule.is_some(),
            is_answered: false,
        }
    }

    pub(super) fn command_ended(&self, entry: &Entry, bytes: u64, remark: &Remark) {
        let mut trace = self.trace.borrow_mut();
        trace.command_ended(entry.sequence, bytes, remark.expiry);
        self.tally.borrow_mut().ended(entry.name, bytes);
    }

    /// What a client said of itself.
    pub(super) fn client(&self, connection: u64, note: ClientNote) {
        self.tally.borrow_mut().client(connection, note);
    }

    /// A reply has come; only the first to a command is kept.
    pub(super) fn replied(&self, entry: &mut Entry, reply: Reply, ended_at: Instant) {
        if std::mem::replace(&mut entry.is_answered, true) {
            return;
        }
        let took = ended_at.saturating_duration_since(entry.seen_at);
        let took: Option<Duration> = (!entry.has_rule).then_some(took);
        self.tally.borrow_mut().replied(entry.name, &reply, took);
        let mut trace = self.trace.borrow_mut();
        trace.replied(entry.sequence, reply, ended_at);
    }

    pub(super) fn lost(&self, connection: u64, why: Lost) {
        self.lost.borrow_mut().push((connection, why));
    }

    /// Connections that could not be decoded to their end, and why.
    pub(crate) fn undecoded(&self) -> Vec<(u64, Lost)> {
        self.lost.borrow().clone()
    }

    /// All there is to tell.
    pub(crate) fn heard(&self) -> Heard {
        let tally = self.tally.borrow();
        Heard {
            names: tally.names(),
            trace: self.trace_since(0),
            clients: tally.clients(),
            undecoded: self.undecoded(),
        }
    }

    /// The place that the next command will have in the trace.
    pub(crate) fn next(&self) -> u64 {
        self.trace.borrow().next()
    }

    /// The trace from a place on.
    pub(crate) fn trace_since(&self, first: u64) -> Trace {
        self.trace.borrow().since(first)
    }
}
