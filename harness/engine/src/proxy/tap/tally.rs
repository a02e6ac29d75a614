//! Totals by the name of the command. Kept for every command, so it allocates for new names only; all else that an
//! audit tells is worked out from the trace when it is asked for.

use std::collections::HashMap;
use std::time::Duration;
use touchstone_wire::{ClientNote, Reply, ReplyKind};

/// Redis knows fewer than 400; a subject that makes names up must not fill our memory.
const NAMES_MAX: usize = 512;

/// The name of all commands beyond that limit.
const OTHERS: &str = "(others)";

/// A connection has up to three; a subject that reconnects in a tight loop stays below it for a while.
const CLIENT_NOTES_MAX: usize = 4096;

/// All commands of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTally {
    /// The name.
    pub name: String,
    /// How many heads were seen.
    pub count: u64,
    /// How many have been answered by the store.
    pub answered: u64,
    /// How many of those by an error.
    pub errors: u64,
    /// Bytes of complete commands that were not kept from the store.
    pub sent_bytes: u64,
    /// Bytes of first replies.
    pub received_bytes: u64,
    /// The longest time between a head and the end of its first reply, where no rule acted on the command.
    pub slowest: Option<Duration>,
}

/// The totals while they are kept.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rows: Vec<NameTally>,
    places: HashMap<String, usize>,
    /// Of the command before: many are followed by another of their name, and a hash takes longer than a look.
    last: usize,
    clients: Vec<(u64, ClientNote)>,
}

impl Tally {
    /// Counts a command; the place of its name.
    pub(super) fn command(&mut self, name: &str) -> usize {
        if let Some(row) = self.rows.get_mut(self.last)
            && row.name == name
        {
            row.count += 1;
            return self.last;
        }
        self.last = match self.places.get(name) {
            Some(place) => *place,
            None => self.place(name),
        };
        self.rows[self.last].count += 1;
        self.last
    }

    fn place(&mut self, name: &str) -> usize {
        if self.rows.len() >= NAMES_MAX && name != OTHERS {
            return match self.places.get(OTHERS) {
                Some(place) => *place,
                None => self.place(OTHERS),
            };
        }
        self.places.insert(name.to_owned(), self.rows.len());
        self.rows.push(NameTally {
            name: name.to_owned(),
            count: 0,
            answered: 0,
            errors: 0,
            sent_bytes: 0,
            received_bytes: 0,
            slowest: None,
        });
        self.rows.len() - 1
    }

    pub(super) fn ended(&mut self, place: usize, bytes: u64) {
        self.rows[place].sent_bytes += bytes;
    }

    /// The first reply to a command of that name has come, so long after it, if that says something of the store.
    pub(super) fn replied(&mut self, place: usize, reply: &Reply, took: Option<Duration>) {
        let row = &mut self.rows[place];
        row.answered += 1;
        row.errors += u64::from(matches!(reply.kind, ReplyKind::Error(_)));
        row.received_bytes += reply.bytes;
        row.slowest = row.slowest.max(took);
    }

    pub(super) fn client(&mut self, connection: u64, note: ClientNote) {
        if self.clients.len() < CLIENT_NOTES_MAX {
            self.clients.push((connection, note));
        }
    }

    pub(super) fn names(&self) -> Vec<NameTally> {
        self.rows.clone()
    }

    pub(super) fn clients(&self) -> Vec<(u64, ClientNote)> {
        self.clients.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_are_counted_together() {
        let mut tally = Tally::default();
        for number in 0..2 * NAMES_MAX {
            tally.command(&format!("NAME {number}"));
        }
        let names = tally.names();
        assert_eq!(names.len(), NAMES_MAX + 1);
        assert_eq!(names[NAMES_MAX].name, OTHERS);
        assert_eq!(names[NAMES_MAX].count, NAMES_MAX as u64);
    }
}
