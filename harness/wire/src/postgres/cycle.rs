//! A cycle, while the client sends it.

use std::borrow::Cow;

use super::fields::{Fields, Text};
use super::known::{Known, Statement};
use crate::limits::KEYS_MAX;
use crate::{Command, CommandId};

/// Names and texts of statements that stand together.
#[derive(Debug, Default)]
struct Told {
    name: Option<Cow<'static, str>>,
    keys: Vec<Box<[u8]>>,
    count: usize,
    /// Something of them is not known.
    is_short: bool,
}

impl Told {
    fn add(&mut self, statement: Option<&Statement>, fallback: &'static str) {
        self.count += 1;
        let Some(statement) = statement else {
            self.name = Some(Cow::Borrowed(fallback));
            self.is_short = true;
            return;
        };
        self.name = Some(named(statement.name.clone(), fallback));
        self.add_key(&statement.text);
        self.is_short |= !statement.is_whole;
    }

    fn add_text(&mut self, text: &Text) {
        self.count += text.scanner.piece_count().max(1);
        self.name = Some(named(text.scanner.name().clone(), "QUERY"));
        for (_, statement) in text.statements() {
            self.add_key(statement);
        }
        self.is_short |=
            !text.is_whole() || text.scanner.piece_count() > text.scanner.pieces().len();
    }

    fn add_key(&mut self, text: &[u8]) {
        if self.keys.len() < KEYS_MAX {
            self.keys.push(text.into());
        } else {
            self.is_short = true;
        }
    }
}

fn named(name: Cow<'static, str>, fallback: &'static str) -> Cow<'static, str> {
    match name.is_empty() {
        true => Cow::Borrowed(fallback),
        false => name,
    }
}

/// What a cycle has been found to be so far.
#[derive(Debug, Default)]
pub(super) struct Cycle {
    /// Bytes since it began.
    pub(super) bytes: u64,
    /// Its messages, the one that is being read included.
    pub(super) messages: usize,
    /// Statements parsed.
    pub(super) parses: u32,
    /// It holds messages of the extended protocol.
    pub(super) is_extended: bool,
    /// What it does besides executing something, by its first such message.
    other: Option<&'static str>,
    executed: Told,
    parsed: Told,
    bound: Told,
    described: Told,
}

impl Cycle {
    /// It begins with a message of which so many bytes have been read.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            bytes: bytes as u64,
            ..Self::default()
        }
    }

    /// A message of that type begins.
    pub(super) fn begin_message(&mut self, kind: u8) {
        self.messages += 1;
        self.is_extended |= !matches!(kind, b'Q' | b'F' | b'S');
        let name = match kind {
            b'P' => "PARSE",
            b'B' => "BIND",
            b'D' => "DESCRIBE",
            b'C' => "CLOSE",
            _ => return,
        };
        let is_first = self.other.is_none() || kind == b'P';
        if is_first {
            self.other = Some(name);
        }
    }

    /// All that is wanted of an extended message is known. `is_assumed`: the server will see it.
    pub(super) fn take(
        &mut self,
        kind: u8,
        fields: &mut Fields,
        known: &mut Known,
        id: CommandId,
        is_assumed: bool,
    ) {
        match kind {
            b'P' => self.parse(fields, known, id, is_assumed),
            b'B' => self.bind(fields, known, is_assumed),
            b'E' => self.execute(fields, known, is_assumed),
            b'D' if fields.target == b'S' => {
                let statement = fields
                    .statement
                    .get()
                    .and_then(|name| known.statement(name));
                self.described.add(statement.as_deref(), "DESCRIBE");
            }
            b'D' => {
                let statement = fields.portal.get().and_then(|name| known.portal(name));
                self.described.add(statement.as_deref(), "DESCRIBE");
            }
            b'C' if is_assumed => close(fields, known),
            _ => {}
        }
    }

    fn parse(&mut self, fields: &mut Fields, known: &mut Known, id: CommandId, is_assumed: bool) {
        fields.text.finish(true);
        let statement = fields.text.to_statement();
        self.parsed.add(Some(&statement), "PARSE");
        if let Some(name) = fields.statement.get().filter(|_| is_assumed) {
            known.parse(name, statement, id, self.parses);
        }
        self.parses += 1;
    }

    fn bind(&mut self, fields: &Fields, known: &mut Known, is_assumed: bool) {
        let statement = fields
            .statement
            .get()
            .and_then(|name| known.statement(name));
        self.bound.add(statement.as_deref(), "EXECUTE");
        if let Some(portal) = fields.portal.get().filter(|_| is_assumed) {
            known.bind(portal, statement);
        }
    }

    fn execute(&mut self, fields: &Fields, known: &mut Known, is_assumed: bool) {
        let statement = fields.portal.get().and_then(|name| known.portal(name));
        self.executed.add(statement.as_deref(), "EXECUTE");
        if let Some(statement) = statement.filter(|_| is_assumed) {
            apply(&statement.name, &statement.text, known);
        }
    }

    /// The text of a Query is known, or as much of it as is waited for.
    pub(super) fn query(
        &mut self,
        text: &mut Text,
        is_whole: bool,
        known: &mut Known,
        is_assumed: bool,
    ) {
        text.finish(is_whole);
        self.executed.add_text(text);
        if is_assumed {
            for (name, statement) in text.statements() {
                apply(name, statement, known);
            }
        }
    }

    /// A function is called.
    pub(super) fn call_function(&mut self) {
        self.executed.count += 1;
        self.executed.name = Some(Cow::Borrowed("FUNCTION"));
    }

    /// The cycle as it is known now, told once. `is_decided`: nothing can be added to it any more.
    pub(super) fn tell(
        &mut self,
        id: CommandId,
        in_transaction: bool,
        is_decided: bool,
    ) -> Command {
        let is_portal_pending = !is_decided && self.executed.count == 0;
        let (name, told) = match self.other {
            _ if self.executed.count > 0 => (None, &mut self.executed),
            _ if is_portal_pending && self.bound.count > 0 => (None, &mut self.bound),
            Some("PARSE") => (self.other, &mut self.parsed),
            Some("BIND") => (self.other, &mut self.bound),
            Some("DESCRIBE") => (self.other, &mut self.described),
            other => (other.or(Some("SYNC")), &mut self.described),
        };
        let told = std::mem::take(told);
        let name = name.map(Cow::Borrowed).or(told.name);
        Command {
            id,
            name: name.unwrap_or(Cow::Borrowed("QUERY")),
            keys: told.keys,
            key_count: told.count,
            argument_count: self.messages,
            in_transaction,
            is_whole: is_decided && !told.is_short,
        }
    }
}

fn close(fields: &Fields, known: &mut Known) {
    match fields.target {
        b'P' => fields.portal.get().map(|name| known.forget_portal(name)),
        _ => fields
            .statement
            .get()
            .map(|name| known.forget_statement(name)),
    };
}

/// What a statement does to those that are prepared. One that cannot be read forgets them all, which is safe.
fn apply(name: &str, text: &[u8], known: &mut Known) {
    if !matches!(name, "DEALLOCATE" | "DISCARD" | "PREPARE") {
        return;
    }
    let text = String::from_utf8_lossy(text);
    let mut words = text.split_ascii_whitespace().skip(1);
    let mut target = words.next().unwrap_or_default();
    if name == "DEALLOCATE" && target.eq_ignore_ascii_case("PREPARE") {
        target = words.next().unwrap_or_default();
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match (name, target) {
        ("DISCARD", target) if !target.eq_ignore_ascii_case("ALL") => {}
        ("DEALLOCATE", target) if target.eq_ignore_ascii_case("ALL") => known.forget_statements(),
        ("DEALLOCATE" | "PREPARE", target)
            if !target.is_empty() && target.bytes().all(is_plain) =>
        {
            known.forget_statement(target.to_ascii_lowercase().as_bytes());
        }
        _ => known.forget_statements(),
    }
}
