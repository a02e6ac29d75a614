//! From a name as sent to its row in the table of commands, without a search.

use super::commands::{COMMANDS, Row};
use super::says::{Says, says};
use crate::limits::NAME_BYTES_MAX;

/// What a command changes in the connection, or in how it is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Effect {
    #[default]
    None,
    Multi,
    Exec,
    Discard,
    Reset,
    Hello,
    ClientReply,
    Subscribe(Channels),
    Unsubscribe(Channels),
    /// What follows its reply is no protocol of commands and replies.
    OtherStream,
}

/// What one can subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channels {
    Plain,
    Patterns,
    Sharded,
}

/// A command that is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) row: &'static Row,
    pub(super) effect: Effect,
    pub(super) says: Says,
}

const fn effect(name: &[u8]) -> Effect {
    match name {
        b"MULTI" => Effect::Multi,
        b"EXEC" => Effect::Exec,
        b"DISCARD" => Effect::Discard,
        b"RESET" => Effect::Reset,
        b"HELLO" => Effect::Hello,
        b"CLIENT REPLY" => Effect::ClientReply,
        b"SUBSCRIBE" => Effect::Subscribe(Channels::Plain),
        b"PSUBSCRIBE" => Effect::Subscribe(Channels::Patterns),
        b"SSUBSCRIBE" => Effect::Subscribe(Channels::Sharded),
        b"UNSUBSCRIBE" => Effect::Unsubscribe(Channels::Plain),
        b"PUNSUBSCRIBE" => Effect::Unsubscribe(Channels::Patterns),
        b"SUNSUBSCRIBE" => Effect::Unsubscribe(Channels::Sharded),
        b"MONITOR" | b"SYNC" | b"PSYNC" => Effect::OtherStream,
        _ => Effect::None,
    }
}

/// Longer than any name in the table.
const PADDED: usize = 32;
const SLOTS: usize = 1024;
const FREE: u16 = u16::MAX;

static SLOT: [u16; SLOTS] = slots();
static EFFECT: [Effect; COMMANDS.len()] = effects();
static SAYS: [Says; COMMANDS.len()] = all_that_say();

const fn effects() -> [Effect; COMMANDS.len()] {
    let mut all = [Effect::None; COMMANDS.len()];
    let mut at = 0;
    while at < COMMANDS.len() {
        all[at] = effect(COMMANDS[at].0.as_bytes());
        at += 1;
    }
    all
}

const fn all_that_say() -> [Says; COMMANDS.len()] {
    let mut all = [Says::Nothing; COMMANDS.len()];
    let mut at = 0;
    while at < COMMANDS.len() {
        all[at] = says(COMMANDS[at].0.as_bytes());
        at += 1;
    }
    all
}

const fn slots() -> [u16; SLOTS] {
    let mut slots = [FREE; SLOTS];
    let mut at = 0;
    while at < COMMANDS.len() {
        let name = COMMANDS[at].0.as_bytes();
        let mut padded = [0; PADDED];
        let mut byte = 0;
        while byte < name.len() {
            padded[byte] = name[byte];
            byte += 1;
        }
        let mut slot = hash(&padded, name.len());
        while slots[slot] != FREE {
            slot = (slot + 1) % SLOTS;
        }
        slots[slot] = at as u16;
        at += 1;
    }
    slots
}

const fn hash(padded: &[u8; PADDED], length: usize) -> usize {
    let mut hash = length as u64;
    let mut at = 0;
    while at < length {
        let word = u64::from_le_bytes([
            padded[at],
            padded[at + 1],
            padded[at + 2],
            padded[at + 3],
            padded[at + 4],
            padded[at + 5],
            padded[at + 6],
            padded[at + 7],
        ]);
        hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        at += 8;
    }
    (hash >> 54) as usize
}

/// Finds a command by its name, or by container and subcommand, in any case.
pub(super) fn find(name: &[u8], subcommand: Option<&[u8]>) -> Option<Known> {
    let mut padded = [0; PADDED];
    let mut length = name.len();
    padded.get_mut(..length)?.copy_from_slice(name);
    if let Some(subcommand) = subcommand {
        let end = length + 1 + subcommand.len();
        padded.get_mut(length + 1..end)?.copy_from_slice(subcommand);
        padded[length] = b' ';
        length = end;
    }
    padded.make_ascii_uppercase();
    let mut slot = hash(&padded, length);
    while SLOT[slot] != FREE {
        let at = usize::from(SLOT[slot]);
        if COMMANDS[at].0.as_bytes() == &padded[..length] {
            return Some(Known {
                row: &COMMANDS[at],
                effect: EFFECT[at],
                says: SAYS[at],
            });
        }
        slot = (slot + 1) % SLOTS;
    }
    None
}

/// A name that is not in the table, in capitals, as much of it as is kept.
pub(super) fn capitals(name: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(name).to_ascii_uppercase();
    text.truncate(text.floor_char_boundary(NAME_BYTES_MAX));
    text
}
