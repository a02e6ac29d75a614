//! The statements of an SQL text and their first words, found while the text streams by.
//!
//! As `psql` reads it: semicolons in quotes, dollar quotes, comments and parentheses end nothing.

use std::borrow::Cow;
use std::ops::Range;

use crate::limits::{KEYS_MAX, NAME_BYTES_MAX};

/// The longest tag of a dollar quote that is recognised; the longest identifier of Postgres.
const TAG_BYTES_MAX: usize = 63;

/// The words with which nearly all statements begin, so that their names cost nothing.
const COMMON: [&str; 24] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SET",
    "SAVEPOINT",
    "RELEASE",
    "WITH",
    "COPY",
    "CREATE",
    "DROP",
    "ALTER",
    "TRUNCATE",
    "SHOW",
    "START",
    "DISCARD",
    "DEALLOCATE",
    "LISTEN",
    "NOTIFY",
    "EXECUTE",
    "MERGE",
];

/// A statement in a text.
#[derive(Debug)]
pub(super) struct Piece {
    /// Where it stands in the text. Not trimmed.
    pub(super) range: Range<usize>,
    /// Its first word in capitals, empty if it begins with none.
    pub(super) name: Cow<'static, str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first word.
    Before,
    /// In the first word.
    Word,
    Body,
    Dash,
    Slash,
    LineComment,
    BlockComment {
        depth: u32,
        last: u8,
    },
    /// In single quotes, in which a backslash may escape.
    Quoted {
        escapes: bool,
        escaped: bool,
    },
    /// After such quotes: another quote goes on with them.
    QuoteEnd {
        escapes: bool,
    },
    Identifier,
    /// In the opening tag of a dollar quote.
    Tag,
    /// In a dollar quote; so many bytes of its closing tag have come.
    Dollars {
        matched: usize,
    },
}

/// Reads a text byte by byte.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    /// Whether the first word of this statement is over, to go on with after a comment.
    has_begun: bool,
    at: usize,
    start: usize,
    /// Something other than white space and comments stands in this statement.
    has_content: bool,
    parentheses: u32,
    word: Vec<u8>,
    /// The word that is being read inside a statement, as far as it could be `ATOMIC` or an `E` before a quote.
    inner: [u8; 6],
    inner_bytes: usize,
    /// In the body of a function: no semicolon ends the statement.
    is_atomic: bool,
    tag: Vec<u8>,
    pieces: Vec<Piece>,
    piece_count: usize,
    name: Cow<'static, str>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Before,
            has_begun: false,
            at: 0,
            start: 0,
            has_content: false,
            parentheses: 0,
            word: Vec::new(),
            inner: [0; 6],
            inner_bytes: 0,
            is_atomic: false,
            tag: Vec::new(),
            pieces: Vec::new(),
            piece_count: 0,
            name: Cow::Borrowed(""),
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl Scanner {
    /// Begins another text.
    pub(super) fn clear(&mut self) {
        let (mut word, mut tag, mut pieces) = (
            std::mem::take(&mut self.word),
            std::mem::take(&mut self.tag),
            std::mem::take(&mut self.pieces),
        );
        word.clear();
        tag.clear();
        pieces.clear();
        *self = Self {
            word,
            tag,
            pieces,
            ..Self::default()
        };
    }

    /// Whether the first word of some statement is known.
    pub(super) fn has_name(&self) -> bool {
        !self.name.is_empty()
    }

    /// The first word of the last statement that has one, in capitals; empty if none has.
    pub(super) fn name(&self) -> &Cow<'static, str> {
        &self.name
    }

    /// The statements found, at most [`KEYS_MAX`] of them.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// How many statements there are.
    pub(super) fn piece_count(&self) -> usize {
        self.piece_count
    }

    /// Reads more.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.byte(byte);
            self.at += 1;
        }
    }

    /// The text ends here, or is known no further. A word that may go on does not count.
    pub(super) fn finish(&mut self, is_whole: bool) {
        match self.state {
            State::Word if is_whole => self.end_word(),
            State::Word => self.word.clear(),
            State::Dash | State::Slash => self.has_content = true,
            _ => {}
        }
        self.end_statement();
    }

    fn byte(&mut self, byte: u8) {
        match self.state {
            State::Before | State::Body => self.plain(byte),
            State::Word => self.in_word(byte),
            State::Dash if byte == b'-' => self.state = State::LineComment,
            State::Slash if byte == b'*' => self.state = State::BlockComment { depth: 1, last: 0 },
            State::Dash | State::Slash => {
                self.has_content = true;
                self.has_begun = true;
                self.state = State::Body;
                self.plain(byte);
            }
            State::LineComment if byte == b'\n' || byte == b'\r' => self.resume(),
            State::LineComment => {}
            State::BlockComment { depth, last } => self.in_comment(byte, depth, last),
            State::Quoted { escapes, escaped } => self.in_quotes(byte, escapes, escaped),
            State::QuoteEnd { escapes } if byte == b'\'' => {
                self.state = State::Quoted {
                    escapes,
                    escaped: false,
                };
            }
            State::QuoteEnd { .. } => {
                self.state = State::Body;
                self.plain(byte);
            }
            State::Identifier if byte == b'"' => self.state = State::Body,
            State::Identifier => {}
            State::Tag => self.in_tag(byte),
            State::Dollars { matched } => self.in_dollars(byte, matched),
        }
    }

    /// Back from a comment.
    fn resume(&mut self) {
        self.state = if self.has_begun {
            State::Body
        } else {
            State::Before
        };
    }

    /// A byte outside of words, quotes and comments; or inside a word that is not the first.
    fn plain(&mut self, byte: u8) {
        if is_word(byte) {
            return self.word_byte(byte);
        }
        let inner_bytes = self.end_inner();
        match byte {
            b'-' => self.state = State::Dash,
            b'/' => self.state = State::Slash,
            b';' if self.parentheses == 0 && !self.is_atomic => self.end_statement(),
            b'(' => self.parentheses += 1,
            b')' => self.parentheses = self.parentheses.saturating_sub(1),
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => {}
            _ => {
                self.begin_body();
                self.state = match byte {
                    b'\'' => State::Quoted {
                        escapes: inner_bytes == 1 && self.inner[0] == b'E',
                        escaped: false,
                    },
                    b'"' => State::Identifier,
                    b'$' if inner_bytes == 0 => {
                        self.tag.clear();
                        State::Tag
                    }
                    _ => State::Body,
                };
            }
        }
    }

    fn begin_body(&mut self) {
        self.has_content = true;
        self.has_begun = true;
    }

    fn word_byte(&mut self, byte: u8) {
        self.has_content = true;
        if !self.has_begun && byte.is_ascii_alphabetic() {
            self.has_begun = true;
            self.state = State::Word;
            self.word.clear();
            return self.word.push(byte.to_ascii_uppercase());
        }
        self.begin_body();
        self.state = State::Body;
        if let Some(place) = self.inner.get_mut(self.inner_bytes) {
            *place = byte.to_ascii_uppercase();
        }
        self.inner_bytes += 1;
    }

    /// An inner word is over: how long it was.
    fn end_inner(&mut self) -> usize {
        let bytes = std::mem::take(&mut self.inner_bytes);
        if bytes == 6 && self.inner == *b"ATOMIC" && self.word == b"CREATE" {
            self.is_atomic = true;
        }
        bytes
    }

    fn in_word(&mut self, byte: u8) {
        if is_word(byte) {
            if self.word.len() < NAME_BYTES_MAX {
                self.word.push(byte.to_ascii_uppercase());
            }
            return;
        }
        self.end_word();
        self.state = State::Body;
        self.plain(byte);
    }

    fn end_word(&mut self) {
        let common = COMMON.iter().find(|name| name.as_bytes() == self.word);
        self.name = match common {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(String::from_utf8_lossy(&self.word).into_owned()),
        };
    }

    fn in_comment(&mut self, byte: u8, depth: u32, last: u8) {
        let (depth, last) = match (last, byte) {
            (b'*', b'/') if depth == 1 => return self.resume(),
            (b'*', b'/') => (depth - 1, 0),
            (b'/', b'*') => (depth + 1, 0),
            _ => (depth, byte),
        };
        self.state = State::BlockComment { depth, last };
    }

    fn in_quotes(&mut self, byte: u8, escapes: bool, escaped: bool) {
        self.state = match byte {
            b'\'' if !escaped => State::QuoteEnd { escapes },
            b'\\' if escapes && !escaped => State::Quoted {
                escapes,
                escaped: true,
            },
            _ => State::Quoted {
                escapes,
                escaped: false,
            },
        };
    }

    fn in_tag(&mut self, byte: u8) {
        let goes_on = is_word(byte) && !(self.tag.is_empty() && byte.is_ascii_digit());
        if byte == b'$' {
            self.state = State::Dollars { matched: 0 };
        } else if goes_on && self.tag.len() < TAG_BYTES_MAX {
            self.tag.push(byte);
        } else {
            // A parameter (`$1`), or nothing that Postgres knows.
            self.state = State::Body;
            self.plain(byte);
        }
    }

    fn in_dollars(&mut self, byte: u8, matched: usize) {
        let is_closing = matched == self.tag.len() + 1;
        let wanted = match matched {
            0 => b'$',
            _ if is_closing => b'$',
            _ => self.tag[matched - 1],
        };
        self.state = match byte == wanted {
            true if is_closing => State::Body,
            true => State::Dollars {
                matched: matched + 1,
            },
            false => State::Dollars {
                matched: usize::from(byte == b'$'),
            },
        };
    }

    fn end_statement(&mut self) {
        if self.has_content {
            if self.pieces.len() < KEYS_MAX {
                let name = self.piece_name();
                let range = self.start..self.at;
                self.pieces.push(Piece { range, name });
            }
            self.piece_count += 1;
        }
        self.state = State::Before;
        self.has_begun = false;
        self.has_content = false;
        self.is_atomic = false;
        self.parentheses = 0;
        self.word.clear();
        self.start = self.at + 1;
    }

    /// The name of this very statement, which may have none though an earlier one has.
    fn piece_name(&self) -> Cow<'static, str> {
        match self.word.is_empty() {
            true => Cow::Borrowed(""),
            false => self.name.clone(),
        }
    }
}
