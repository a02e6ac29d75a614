//! Prepared statements and portals, as far as they are remembered.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::CommandId;

/// Statements remembered on one connection: pools of drivers keep some hundred.
const STATEMENTS_MAX: usize = 1024;

/// Portals remembered. Nearly always there is one, without a name.
const PORTALS_MAX: usize = 256;

/// Changes of one cycle that can be taken back one by one.
const UNDO_MAX: usize = 4096;

/// What a statement says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// Its first word, in capitals; empty if it has none.
    pub(super) name: Cow<'static, str>,
    /// Its text, or the begin of it.
    pub(super) text: Box<[u8]>,
    /// Whether that is all of it.
    pub(super) is_whole: bool,
}

/// The Parse that made a statement: its cycle, and how many came before it there.
#[derive(Debug, Clone, Copy)]
struct Origin {
    cycle: CommandId,
    ordinal: u32,
}

#[derive(Debug, Clone)]
struct Entry {
    statement: Arc<Statement>,
    origin: Option<Origin>,
    used_at: u64,
}

/// Statements by name; the one that was not used for longest makes room.
#[derive(Debug)]
struct Names {
    entries: HashMap<Box<[u8]>, Entry>,
    count_max: usize,
}

impl Names {
    fn new(count_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            count_max,
        }
    }

    /// Sets or removes an entry: what was there before.
    fn put(&mut self, name: &[u8], entry: Option<Entry>) -> Option<Entry> {
        let Some(entry) = entry else {
            return self.entries.remove(name);
        };
        if let Some(there) = self.entries.get_mut(name) {
            return Some(std::mem::replace(there, entry));
        }
        if self.entries.len() >= self.count_max {
            self.make_room();
        }
        self.entries.insert(name.into(), entry);
        None
    }

    /// Looks through all of them: happens only to those who prepare more than is remembered.
    fn make_room(&mut self) {
        let oldest = self
            .entries
            .iter()
            .min_by_key(|(_, entry)| entry.used_at)
            .map(|(name, _)| name.clone());
        if let Some(name) = oldest {
            self.entries.remove(&name);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Statements,
    Portals,
}

#[derive(Debug)]
struct Undo {
    of: Of,
    name: Box<[u8]>,
    before: Option<Entry>,
}

/// The statements and portals of a connection, and what the latest cycle changed in them.
#[derive(Debug)]
pub(super) struct Known {
    statements: Names,
    portals: Names,
    undo: Vec<Undo>,
    /// More was changed than can be taken back.
    undo_is_short: bool,
    now: u64,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            statements: Names::new(STATEMENTS_MAX),
            portals: Names::new(PORTALS_MAX),
            undo: Vec::new(),
            undo_is_short: false,
            now: 0,
        }
    }
}

impl Known {
    /// The statement of that name.
    pub(super) fn statement(&mut self, name: &[u8]) -> Option<Arc<Statement>> {
        self.now += 1;
        let entry = self.statements.entries.get_mut(name)?;
        entry.used_at = self.now;
        Some(Arc::clone(&entry.statement))
    }

    /// The statement that is bound to that portal.
    pub(super) fn portal(&self, name: &[u8]) -> Option<Arc<Statement>> {
        let entry = self.portals.entries.get(name)?;
        Some(Arc::clone(&entry.statement))
    }

    /// The cycle parses a statement, after `ordinal` others.
    pub(super) fn parse(
        &mut self,
        name: &[u8],
        statement: Arc<Statement>,
        cycle: CommandId,
        ordinal: u32,
    ) {
        let origin = Some(Origin { cycle, ordinal });
        self.put(Of::Statements, name, Some((statement, origin)));
    }

    /// Binds a portal to a statement, or to one that is not known.
    pub(super) fn bind(&mut self, portal: &[u8], statement: Option<Arc<Statement>>) {
        self.put(
            Of::Portals,
            portal,
            statement.map(|statement| (statement, None)),
        );
    }

    /// The statement of that name is gone.
    pub(super) fn forget_statement(&mut self, name: &[u8]) {
        self.put(Of::Statements, name, None);
    }

    /// The portal of that name is gone.
    pub(super) fn forget_portal(&mut self, name: &[u8]) {
        self.put(Of::Portals, name, None);
    }

    /// All statements are gone.
    pub(super) fn forget_statements(&mut self) {
        let names: Vec<_> = self.statements.entries.keys().cloned().collect();
        for name in names {
            self.put(Of::Statements, &name, None);
        }
    }

    /// A transaction has ended, and its portals with it.
    pub(super) fn end_transaction(&mut self) {
        self.portals.entries.clear();
    }

    /// What that cycle parsed after `done` others has failed.
    pub(super) fn forget_failed(&mut self, cycle: CommandId, done: u32) {
        let has_failed = |entry: &Entry| {
            let origin = entry.origin.filter(|origin| origin.cycle == cycle);
            origin.is_some_and(|origin| origin.ordinal >= done)
        };
        self.statements
            .entries
            .retain(|_, entry| !has_failed(entry));
        for undo in &mut self.undo {
            undo.before.take_if(|entry| has_failed(entry));
        }
    }

    /// What was changed since the last call of this or of `roll_back` is there to stay.
    pub(super) fn keep(&mut self) {
        self.undo.clear();
        self.undo_is_short = false;
    }

    /// What was changed since then has not happened.
    pub(super) fn roll_back(&mut self) {
        if std::mem::take(&mut self.undo_is_short) {
            self.statements.entries.clear();
            self.portals.entries.clear();
        }
        while let Some(Undo { of, name, before }) = self.undo.pop() {
            // What was pushed out to make room stays forgotten.
            self.names(of).put(&name, before);
        }
    }

    fn put(&mut self, of: Of, name: &[u8], new: Option<(Arc<Statement>, Option<Origin>)>) {
        self.now += 1;
        let used_at = self.now;
        let new = new.map(|(statement, origin)| Entry {
            statement,
            origin,
            used_at,
        });
        let before = self.names(of).put(name, new);
        if self.undo.len() < UNDO_MAX {
            let name = name.into();
            self.undo.push(Undo { of, name, before });
        } else {
            self.undo_is_short = true;
        }
    }

    fn names(&mut self, of: Of) -> &mut Names {
        match of {
            Of::Statements => &mut self.statements,
            Of::Portals => &mut self.portals,
        }
    }
}
