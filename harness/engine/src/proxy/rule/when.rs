//! `when`: which commands a rule is about.

use crate::proxy::tap::CommandRecord;
use regex::bytes::{Regex, RegexBuilder};
use std::fmt;
use touchstone_wire::Command;

/// Of the commands that match, which ones the rule acts on. Counts from 1, over all connections of the
/// proxy, from the moment at which the rule is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nth {
    /// Each.
    Every,
    /// This one alone.
    Only(u64),
    /// This one and all that follow.
    From(u64),
    /// The ones whose number is a multiple of this.
    Each(u64),
}

impl Nth {
    pub(crate) fn includes(self, ordinal: u64) -> bool {
        match self {
            Nth::Every => true,
            Nth::Only(nth) => ordinal == nth,
            Nth::From(nth) => ordinal >= nth,
            Nth::Each(step) => ordinal.is_multiple_of(step),
        }
    }
}

/// Which commands a rule is about: all conditions must hold.
#[derive(Debug, Clone)]
pub struct When {
    command: Option<Glob>,
    without: Vec<Glob>,
    key: Option<Glob>,
    connection: Option<u64>,
    nth: Nth,
}

impl When {
    /// Every command of every connection.
    #[must_use]
    pub fn any() -> Self {
        Self {
            command: None,
            without: Vec::new(),
            key: None,
            connection: None,
            nth: Nth::Every,
        }
    }

    /// Commands of that name; `*` and `?` stand for anything, case is ignored. On Postgres: the first word
    /// of the statement, `PARSE` for one that is only prepared.
    #[must_use]
    pub fn command(name: &str) -> Self {
        Self {
            command: Some(Glob::new(name)),
            ..Self::any()
        }
    }

    /// But not commands of that name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.without.push(Glob::new(name));
        self
    }

    /// Only with a key like this (`*` and `?` stand for anything). On Postgres: a statement's text.
    #[must_use]
    pub fn key(mut self, pattern: &str) -> Self {
        self.key = Some(Glob::new(pattern));
        self
    }

    /// Only on that connection, by its number in the proxy's records.
    #[must_use]
    pub fn connection(mut self, id: u64) -> Self {
        self.connection = Some(id);
        self
    }

    /// Only the nth that matches all else.
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Self {
        self.nth = Nth::Only(nth);
        self
    }

    /// Only the nth that matches all else, and those after it.
    #[must_use]
    pub fn from_nth(mut self, nth: u64) -> Self {
        self.nth = Nth::From(nth);
        self
    }

    /// Of those that match all else, each whose number is a multiple of this.
    #[must_use]
    pub fn each(mut self, step: u64) -> Self {
        self.nth = Nth::Each(step);
        self
    }

    pub(crate) fn matches(&self, connection: u64, command: &Command) -> bool {
        self.is_met(connection, &command.name, &command.keys)
    }

    /// Whether a command of a trace meets the conditions, whichever number it has among those that do.
    #[must_use]
    pub fn matches_record(&self, record: &CommandRecord) -> bool {
        self.is_met(record.connection, &record.name, &record.keys)
    }

    fn is_met(&self, connection: u64, name: &str, keys: &[Box<[u8]>]) -> bool {
        let name = name.as_bytes();
        self.connection.is_none_or(|id| id == connection)
            && self.command.as_ref().is_none_or(|glob| glob.matches(name))
            && !self.without.iter().any(|glob| glob.matches(name))
            && self
                .key
                .as_ref()
                .is_none_or(|glob| keys.iter().any(|key| glob.matches(key)))
    }

    pub(crate) fn acts_on(&self, ordinal: u64) -> bool {
        self.nth.includes(ordinal)
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nth {
            Nth::Every => f.write_str("any ")?,
            Nth::Only(nth) => write!(f, "number {nth} of ")?,
            Nth::From(nth) => write!(f, "number {nth} and later of ")?,
            Nth::Each(step) => write!(f, "each multiple of {step} of ")?,
        }
        match &self.command {
            Some(glob) => write!(f, "{glob}")?,
            None => f.write_str("command")?,
        }
        for glob in &self.without {
            write!(f, ", not {glob}")?;
        }
        if let Some(glob) = &self.key {
            write!(f, " on {glob}")?;
        }
        match self.connection {
            Some(id) => write!(f, " of connection {id}"),
            None => Ok(()),
        }
    }
}

/// `*` for any bytes, `?` for any one; all else for itself, in either case.
#[derive(Debug, Clone)]
struct Glob {
    text: String,
    regex: Regex,
}

impl Glob {
    fn new(text: &str) -> Self {
        let mut pattern = String::from("^");
        for character in text.chars() {
            match character {
                '*' => pattern.push_str(".*"),
                '?' => pattern.push('.'),
                other => pattern.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
            }
        }
        pattern.push('$');
        let regex = RegexBuilder::new(&pattern)
            .case_insensitive(true)
            .dot_matches_new_line(true)
            .unicode(text.contains(|c: char| !c.is_ascii()))
            .build()
            .expect("escaped text and wildcards are a regular expression");
        Self {
            text: text.to_owned(),
            regex,
        }
    }

    fn matches(&self, bytes: &[u8]) -> bool {
        self.regex.is_match(bytes)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use touchstone_wire::CommandId;

    fn command(name: &'static str, key: &[u8]) -> Command {
        Command {
            id: CommandId(0),
            name: Cow::Borrowed(name),
            keys: vec![key.into()],
            key_count: 1,
            argument_count: 2,
            in_transaction: false,
            is_whole: true,
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let when = When::command("s?t*").key("user:*").connection(3);
        assert!(when.matches(3, &command("SET", b"user:1")));
        assert!(when.matches(3, &command("SETEX", b"user:\xff\n")));
        assert!(!when.matches(2, &command("SET", b"user:1")));
        assert!(!when.matches(3, &command("GET", b"user:1")));
        assert!(!when.matches(3, &command("SET", b"an user:1")));
        assert!(!When::any().without("SET").matches(0, &command("SET", b"")));
    }

    #[test]
    fn what_is_special_elsewhere_stands_for_itself() {
        let when = When::any().key("a.b[c]+");
        assert!(when.matches(0, &command("GET", b"a.b[c]+")));
        assert!(!when.matches(0, &command("GET", b"aXb[c]+")));
    }

    #[test]
    fn the_nth_is_counted_from_one() {
        let acts_on = |when: When| (1..=4).filter(|n| when.acts_on(*n)).collect::<Vec<_>>();
        assert_eq!(acts_on(When::any()), [1, 2, 3, 4]);
        assert_eq!(acts_on(When::any().nth(2)), [2]);
        assert_eq!(acts_on(When::any().from_nth(3)), [3, 4]);
        assert_eq!(acts_on(When::any().each(2)), [2, 4]);
    }

    #[test]
    fn a_rule_reads_like_a_sentence() {
        let when = When::command("SET").key("user:*").nth(2);
        assert_eq!(when.to_string(), "number 2 of SET on user:*");
    }
}
