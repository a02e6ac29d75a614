//! What is read of the body of a message of the client: names and texts, as far as they are kept.

use std::borrow::Cow;
use std::sync::Arc;

use super::known::Statement;
use super::sql::Scanner;
use crate::limits::KEY_BYTES_MAX;

/// Bytes of the name of a statement or a portal. Postgres itself tells 63 of them apart.
const NAME_BYTES_MAX: usize = 256;

/// A part of a body, ended by a zero but for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// One byte: a statement or a portal is meant.
    Target,
    Portal,
    Statement,
    /// The name of either.
    Either,
    Text,
}

/// The begin of the body of that message; what follows is of no interest.
fn parts_of(kind: u8) -> &'static [Part] {
    match kind {
        b'Q' => &[Part::Text],
        b'P' => &[Part::Statement, Part::Text],
        b'B' => &[Part::Portal, Part::Statement],
        b'E' => &[Part::Portal],
        b'D' | b'C' => &[Part::Target, Part::Either],
        _ => &[],
    }
}

/// A name, if it is short enough to be kept.
#[derive(Debug, Default)]
pub(super) struct Name {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Name {
    fn clear(&mut self) {
        self.bytes.clear();
        self.is_cut = false;
    }

    fn feed(&mut self, bytes: &[u8]) {
        let room = NAME_BYTES_MAX - self.bytes.len();
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.is_cut |= bytes.len() > room;
    }

    /// The name, unless it is too long to be told from others.
    pub(super) fn get(&self) -> Option<&[u8]> {
        (!self.is_cut).then_some(self.bytes.as_slice())
    }
}

/// An SQL text: the begin of it, and what its statements are.
#[derive(Debug, Default)]
pub(super) struct Text {
    kept: Vec<u8>,
    is_cut: bool,
    pub(super) scanner: Scanner,
}

impl Text {
    fn clear(&mut self) {
        self.kept.clear();
        self.is_cut = false;
        self.scanner.clear();
    }

    /// Reads bytes of the text until no more of them are wanted: how many.
    fn feed(&mut self, bytes: &[u8]) -> usize {
        let room = KEY_BYTES_MAX - self.kept.len();
        let taken = bytes.len().min(room);
        self.kept.extend_from_slice(&bytes[..taken]);
        self.scanner.feed(&bytes[..taken]);
        if taken == bytes.len() {
            return taken;
        }
        self.is_cut = true;
        let beyond = &bytes[taken..];
        // The first byte that is not kept tells that it is cut; the others are read for a first word only.
        let mut read = 0;
        while read < beyond.len() && (read == 0 || !self.is_enough()) {
            if !self.scanner.has_name() {
                self.scanner.feed(&beyond[read..=read]);
            }
            read += 1;
        }
        taken + read
    }

    /// Whether the rest of it changes nothing.
    fn is_enough(&self) -> bool {
        self.is_cut && self.scanner.has_name()
    }

    /// No more of it comes, or no more of it is waited for.
    pub(super) fn finish(&mut self, is_whole: bool) {
        self.is_cut |= !is_whole;
        self.scanner.finish(!self.is_cut);
    }

    /// Whether all of it is kept.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_cut
    }

    /// Its statements, each as far as it is kept.
    pub(super) fn statements(&self) -> impl Iterator<Item = (&Cow<'static, str>, &[u8])> {
        self.scanner.pieces().iter().map(|piece| {
            let (start, end) = (piece.range.start, piece.range.end);
            let kept = self.kept.len();
            (
                &piece.name,
                self.kept[start.min(kept)..end.min(kept)].trim_ascii(),
            )
        })
    }

    /// It as a statement that can be prepared.
    pub(super) fn to_statement(&self) -> Arc<Statement> {
        let text = self.statements().next().map_or(&[][..], |(_, text)| text);
        Arc::new(Statement {
            name: self.scanner.name().clone(),
            text: text.into(),
            is_whole: self.is_whole(),
        })
    }
}

/// The message that is being read.
#[derive(Debug, Default)]
pub(super) struct Fields {
    parts: &'static [Part],
    pub(super) target: u8,
    pub(super) portal: Name,
    pub(super) statement: Name,
    pub(super) text: Text,
}

/// What a part of a body has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// Nothing to act on.
    More,
    /// All that is wanted of this message is known.
    Enough,
}

impl Fields {
    /// A message of that type begins.
    pub(super) fn begin(&mut self, kind: u8) {
        self.parts = parts_of(kind);
        self.target = 0;
        self.portal.clear();
        self.statement.clear();
        if self.parts.contains(&Part::Text) {
            self.text.clear();
        }
    }

    /// Reads from a non-empty piece of the body: the bytes read, and what that has come to.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (usize, Fed) {
        let Some((&part, later)) = self.parts.split_first() else {
            return (bytes.len(), Fed::More);
        };
        let (read, is_over) = match part {
            Part::Target => {
                self.target = bytes[0];
                (1, true)
            }
            Part::Text => self.feed_text(bytes),
            Part::Portal => feed_name(&mut self.portal, bytes),
            Part::Statement => feed_name(&mut self.statement, bytes),
            Part::Either if self.target == b'P' => feed_name(&mut self.portal, bytes),
            Part::Either => feed_name(&mut self.statement, bytes),
        };
        if is_over {
            self.parts = later;
        }
        let is_enough = is_over && later.is_empty();
        (read, if is_enough { Fed::Enough } else { Fed::More })
    }

    fn feed_text(&mut self, bytes: &[u8]) -> (usize, bool) {
        let end = bytes.iter().position(|&byte| byte == 0);
        let text = &bytes[..end.unwrap_or(bytes.len())];
        let read = self.text.feed(text);
        if self.text.is_enough() {
            return (read, true);
        }
        (end.map_or(read, |end| end + 1), end.is_some())
    }
}

fn feed_name(name: &mut Name, bytes: &[u8]) -> (usize, bool) {
    let end = bytes.iter().position(|&byte| byte == 0);
    let length = end.unwrap_or(bytes.len());
    name.feed(&bytes[..length]);
    (end.map_or(length, |end| end + 1), end.is_some())
}
