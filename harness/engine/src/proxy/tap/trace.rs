//! The commands that a proxy saw, in the order in which they came.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Instant;
use touchstone_wire::{Command, Expiry, Reply, ReplyKind};

/// A load of 10,000 requests of some commands each stays below it; about 10 MB.
const KEPT_COMMANDS: usize = 64 * 1024;

/// A command, and its reply once that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRecord {
    /// Its place among all commands of the proxy, from 0.
    pub sequence: u64,
    /// The connection, by its number in the proxy's records.
    pub connection: u64,
    /// Its place on its connection, from 0.
    pub place: u64,
    /// What it is called, in capitals; see [`Command::name`].
    pub name: Cow<'static, str>,
    /// Its keys; on Postgres the statements. Cut at the limits of the decoder.
    pub keys: Vec<Box<[u8]>>,
    /// How many arguments, its name included.
    pub argument_count: usize,
    /// What it says of the expiry of its key; `None` until it is complete, and where it says nothing.
    /// [`Expiry::WithValue`]: it sets the value and its expiry in one.
    pub expiry: Option<Expiry>,
    /// Whether it was sent inside a transaction.
    pub in_transaction: bool,
    /// When the proxy had read its head.
    pub seen_at: Instant,
    /// Its size on the wire in bytes; 0 until it is complete.
    pub bytes: u64,
    /// The first reply to it; `None` until it has come whole.
    pub reply: Option<ReplyRecord>,
    /// The rule that acted on it, by the name of its action.
    pub rule: Option<&'static str>,
}

/// A reply, as the server gave it, whatever a rule did to it on its way to the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyRecord {
    /// What it was.
    pub kind: ReplyKind,
    /// Its size on the wire in bytes.
    pub bytes: u64,
    /// When the proxy had read its last byte.
    pub ended_at: Instant,
}

/// One line for a report: bytes that are no text are escaped, the value of a command is not in it.
impl std::fmt::Display for CommandRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A statement begins with its name; a prepared one does not.
        let has_own_name = self.keys.first().is_some_and(|text| {
            let name = self.name.as_bytes();
            text.len() > name.len() && text[..name.len()].eq_ignore_ascii_case(name)
        });
        if !has_own_name {
            write!(f, "{} ", self.name)?;
        }
        for key in self.keys.iter().take(3) {
            write!(f, "{} ", key.escape_ascii())?;
        }
        if self.keys.len() > 3 {
            write!(f, "and {} keys ", self.keys.len() - 3)?;
        }
        match &self.reply {
            Some(reply) => write!(f, "-> {}", describe(&reply.kind))?,
            None => f.write_str("-> no reply")?,
        }
        match self.rule {
            Some(rule) => write!(f, " [{rule}]"),
            None => Ok(()),
        }
    }
}

fn describe(kind: &ReplyKind) -> String {
    match kind {
        ReplyKind::Simple => "ok".to_owned(),
        ReplyKind::Integer(number) => number.to_string(),
        ReplyKind::Bulk(bytes) => format!("{bytes} bytes"),
        ReplyKind::Nil => "nil".to_owned(),
        ReplyKind::Aggregate(members) => format!("{members} members"),
        ReplyKind::Error(text) => format!("error {text}"),
        ReplyKind::Rows(rows) => format!("{rows} rows"),
        ReplyKind::Done => "done".to_owned(),
    }
}

/// What was seen, oldest first, from a place on.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// The commands.
    pub commands: Vec<CommandRecord>,
    /// How many that were asked for have been dropped since, because more than the limit had gathered.
    pub dropped: u64,
}

/// The trace while it is written.
#[derive(Debug, Default)]
pub(super) struct TraceLog {
    kept: VecDeque<CommandRecord>,
    next: u64,
}

impl TraceLog {
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    #[inline]
    pub(super) fn command(
        &mut self,
        connection: u64,
        command: Command,
        seen_at: Instant,
        rule: Option<&'static str>,
    ) -> u64 {
        if self.kept.len() == KEPT_COMMANDS {
            self.kept.pop_front();
        }
        let sequence = self.next;
        self.next += 1;
        self.kept.push_back(CommandRecord {
            sequence,
            connection,
            place: command.id.0,
            name: command.name,
            keys: command.keys,
            argument_count: command.argument_count,
            expiry: None,
            in_transaction: command.in_transaction,
            seen_at,
            bytes: 0,
            reply: None,
            rule,
        });
        sequence
    }

    pub(super) fn command_ended(&mut self, sequence: u64, bytes: u64, expiry: Option<Expiry>) {
        if let Some(record) = self.record(sequence) {
            record.bytes = bytes;
            record.expiry = expiry;
        }
    }

    pub(super) fn replied(&mut self, sequence: u64, reply: Reply, ended_at: Instant) {
        if let Some(record) = self.record(sequence) {
            record.reply = Some(ReplyRecord {
                kind: reply.kind,
                bytes: reply.bytes,
                ended_at,
            });
        }
    }

    pub(super) fn since(&self, first: u64) -> Trace {
        let oldest = self.next - self.kept.len() as u64;
        let skip = usize::try_from(first.saturating_sub(oldest)).unwrap_or(usize::MAX);
        Trace {
            commands: self.kept.iter().skip(skip).cloned().collect(),
            dropped: oldest.saturating_sub(first),
        }
    }

    fn record(&mut self, sequence: u64) -> Option<&mut CommandRecord> {
        let oldest = self.next - self.kept.len() as u64;
        let index = sequence.checked_sub(oldest)?;
        self.kept.get_mut(usize::try_from(index).ok()?)
    }
}
