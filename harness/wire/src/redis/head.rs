//! What is gathered of a command until it is known what it is.

use std::borrow::Cow;

use super::commands::Row;
use super::keys::{Finder, Place, Role, Undo};
use super::lookup::{self, Effect};
use super::says::Says;
use crate::limits::{KEY_BYTES_MAX, KEYS_MAX, NAME_BYTES_MAX};
use crate::{Command, CommandId};

/// Of a word that is compared with those of the protocol; all of them are shorter.
const WORD_BYTES_MAX: usize = 32;

/// The head of one command, while its arguments pass by.
#[derive(Debug, Default)]
pub(super) struct Head {
    argument_count: u32,
    name: Cow<'static, str>,
    effect: Effect,
    says: Says,
    naming: Naming,
    finder: Finder,
    keys: Vec<Box<[u8]>>,
    keys_passed: usize,
    is_cut: bool,
}

#[derive(Debug, Clone, Copy, Default)]
enum Naming {
    #[default]
    Begun,
    /// Its subcommand is still to come.
    Container(&'static Row),
    Done,
}

impl Head {
    /// A command of so many arguments begins.
    pub(super) fn begin(&mut self, argument_count: u32) {
        self.argument_count = argument_count;
        self.effect = Effect::None;
        self.says = Says::Nothing;
        self.naming = Naming::Begun;
        self.finder = Finder::default();
        self.keys.clear();
        self.keys_passed = 0;
        self.is_cut = false;
    }

    pub(super) fn effect(&self) -> Effect {
        self.effect
    }

    /// Which arguments behind its keys are to be looked at.
    pub(super) fn says(&self) -> Says {
        self.says
    }

    /// How many bytes of the argument at this place are wanted.
    pub(super) fn wanted(&self, at: u32) -> usize {
        match self.naming {
            Naming::Begun | Naming::Container(_) => NAME_BYTES_MAX,
            Naming::Done => match self.finder.role(at) {
                Role::Skip => 0,
                Role::Key if self.keys.len() == KEYS_MAX => 0,
                Role::Key => KEY_BYTES_MAX,
                Role::Word => WORD_BYTES_MAX,
            },
        }
    }

    /// The argument at this place has passed: what was wanted of it, and its length.
    pub(super) fn argument(&mut self, at: u32, kept: &[u8], length: u64) {
        let is_all = kept.len() as u64 == length;
        match self.naming {
            Naming::Begun => self.begin_name(kept, is_all),
            Naming::Container(row) => self.end_name(row, kept, is_all),
            Naming::Done => match self.finder.role(at) {
                Role::Skip => {}
                Role::Key => self.key(at, kept, length),
                Role::Word => {
                    let undo = self.finder.word(at, if is_all { kept } else { b"" });
                    self.undo(undo);
                }
            },
        }
    }

    fn begin_name(&mut self, name: &[u8], is_all: bool) {
        match lookup::find(name, None).filter(|_| is_all) {
            Some(known) if known.row.1 == Place::Container && self.argument_count > 1 => {
                self.name = Cow::Borrowed(known.row.0);
                self.naming = Naming::Container(known.row);
            }
            Some(known) => self.known(known),
            None => self.unknown(lookup::capitals(name), is_all),
        }
    }

    fn end_name(&mut self, container: &'static Row, name: &[u8], is_all: bool) {
        let known = lookup::find(container.0.as_bytes(), Some(name)).filter(|_| is_all);
        match known {
            Some(known) => self.known(known),
            None => {
                let both = [container.0.as_bytes(), b" ", name].concat();
                let fits = both.len() <= NAME_BYTES_MAX;
                self.unknown(lookup::capitals(&both), is_all && fits);
            }
        }
    }

    fn known(&mut self, known: lookup::Known) {
        self.name = Cow::Borrowed(known.row.0);
        self.effect = known.effect;
        self.says = known.says;
        self.naming = Naming::Done;
        self.finder = Finder::new(known.row.1, self.argument_count);
    }

    fn unknown(&mut self, name: String, is_all: bool) {
        self.name = Cow::Owned(name);
        self.naming = Naming::Done;
        self.is_cut |= !is_all;
    }

    fn key(&mut self, at: u32, kept: &[u8], length: u64) {
        self.finder.key(at, length);
        self.keys_passed += 1;
        if self.keys.len() < KEYS_MAX {
            self.is_cut |= length > KEY_BYTES_MAX as u64;
            self.keys.push(Box::from(kept));
        }
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Last => {
                self.keys.pop();
                self.keys_passed -= 1;
            }
            Undo::All => {
                self.keys.clear();
                self.keys_passed = 0;
            }
        }
    }

    #[cfg(test)]
    pub(super) fn retained_bytes(&self) -> usize {
        self.keys.iter().map(|key| key.len()).sum()
    }

    /// Whether nothing of what is kept is still to come.
    pub(super) fn is_complete(&self) -> bool {
        let is_full = self.keys.len() == KEYS_MAX;
        matches!(self.naming, Naming::Done)
            && self.finder.is_search_over()
            && (is_full || self.finder.keys_left() == 0)
    }

    /// The argument at this place is still arriving, but no more is waited for: what there is of it is used.
    pub(super) fn cut(&mut self, at: u32, kept: &[u8]) {
        self.is_cut = true;
        match self.naming {
            Naming::Begun => self.unknown(lookup::capitals(kept), false),
            Naming::Container(_) => self.naming = Naming::Done,
            Naming::Done if kept.len() == KEY_BYTES_MAX && self.finder.role(at) == Role::Key => {
                self.key(at, kept, u64::MAX);
            }
            Naming::Done => {}
        }
    }

    /// The head as it is told.
    pub(super) fn take_command(&mut self, id: CommandId, in_transaction: bool) -> Command {
        let key_count = self.keys_passed + self.finder.keys_left() as usize;
        let keys = std::mem::take(&mut self.keys);
        Command {
            id,
            name: std::mem::take(&mut self.name),
            is_whole: !self.is_cut && key_count == keys.len(),
            keys,
            key_count,
            argument_count: self.argument_count as usize,
            in_transaction,
        }
    }
}
