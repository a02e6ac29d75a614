//! What all connections of one proxy share of the tap: the rules in force, the trace, the totals.

use super::totals::{CommandTotal, Totals};
use super::trace::{Trace, TraceLog};
use crate::proxy::rule::RuleState;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;
use touchstone_wire::{Command, Lost, Reply, ReplyKind};

/// One proxy's rules and trace.
#[derive(Default)]
pub(crate) struct Lookout {
    rules: RefCell<Vec<Rc<RuleState>>>,
    /// Kept apart, as it is asked with every read.
    has_rules: Cell<bool>,
    trace: RefCell<TraceLog>,
    totals: RefCell<Totals>,
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

    pub(super) fn command(
        &self,
        connection: u64,
        command: Command,
        seen_at: Instant,
        rule: Option<&'static str>,
    ) -> u64 {
        self.totals.borrow_mut().command(&command.name);
        self.trace
            .borrow_mut()
            .command(connection, command, seen_at, rule)
    }

    pub(super) fn command_ended(&self, sequence: u64, bytes: u64) {
        self.trace.borrow_mut().command_ended(sequence, bytes);
    }

    pub(super) fn replied(&self, sequence: u64, reply: Reply, ended_at: Instant) {
        let is_error = matches!(reply.kind, ReplyKind::Error(_));
        let mut trace = self.trace.borrow_mut();
        let record = trace.replied(sequence, reply, ended_at);
        if let Some(record) = record.filter(|_| is_error) {
            self.totals.borrow_mut().refused(&record.name);
        }
    }

    /// How often each command came.
    pub(crate) fn command_totals(&self) -> BTreeMap<String, CommandTotal> {
        self.totals.borrow().get()
    }

    pub(super) fn lost(&self, connection: u64, why: Lost) {
        self.lost.borrow_mut().push((connection, why));
    }

    /// Connections that could not be decoded to their end, and why.
    pub(crate) fn undecoded(&self) -> Vec<(u64, Lost)> {
        self.lost.borrow().clone()
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
