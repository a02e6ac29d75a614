//! What is known of one message from the store while it streams by.

use super::lookup::Channels;
use super::session::Answer;
use super::verb::Verb;
use crate::limits::ERROR_BYTES_MAX;
use crate::{CommandId, ReplyKind};

/// Whose message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// It is not known before its type is.
    Unknown,
    /// Nor before its first member is.
    ByFirstMember,
    Reply(CommandId),
    Nobodys,
}

/// An aggregate that is not complete.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub(super) left: u64,
    pub(super) is_attribute: bool,
}

/// One message from the store.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) whose: Whose,
    /// The type of its value; that of its attributes does not count.
    pub(super) value_type: u8,
    pub(super) kind: ReplyKind,
    pub(super) levels: Vec<Level>,
    pub(super) verb: Option<Verb>,
    pub(super) is_confirmation: bool,
    /// What a confirmation tells of the subscriptions that are left.
    pub(super) subscriptions_left: Option<u64>,
    /// What is kept: of an error, or of the first member.
    pub(super) text: Vec<u8>,
    pub(super) text_wanted: usize,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            whose: Whose::Unknown,
            value_type: 0,
            kind: ReplyKind::Simple,
            levels: Vec::new(),
            verb: None,
            is_confirmation: false,
            subscriptions_left: None,
            text: Vec::new(),
            text_wanted: 0,
        }
    }
}

impl Message {
    /// Keeps of a string or an error what is wanted of it.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        let room = self.text_wanted.saturating_sub(self.text.len());
        if room > 0 {
            let kept = &bytes[..bytes.len().min(room)];
            self.text.extend_from_slice(kept);
        }
    }

    /// What a confirmation, or the like of it that nobody waits for, tells of the subscriptions that are left.
    pub(super) fn subscriptions(&self) -> Option<(Channels, u64)> {
        self.verb?.confirms().zip(self.subscriptions_left)
    }

    /// What the state of the connection depends on.
    pub(super) fn answer(&self) -> Answer {
        match self.value_type {
            _ if self.is_confirmation => Answer::Confirmation,
            b'-' | b'!' => Answer::Error,
            b'%' => Answer::Map,
            b'*' => Answer::Array,
            _ => Answer::Other,
        }
    }

    /// What it was, as it is told.
    pub(super) fn reply_kind(&self) -> ReplyKind {
        match self.value_type {
            b'-' | b'!' => {
                let mut text = String::from_utf8_lossy(&self.text).into_owned();
                text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX));
                ReplyKind::Error(text.into_boxed_str())
            }
            b'_' => ReplyKind::Nil,
            _ => self.kind.clone(),
        }
    }

    /// For the next one. What was allocated is used again.
    pub(super) fn clear(&mut self) {
        self.levels.clear();
        self.text.clear();
        *self = Self {
            levels: std::mem::take(&mut self.levels),
            text: std::mem::take(&mut self.text),
            ..Self::default()
        };
    }

    #[cfg(test)]
    pub(super) fn retained_bytes(&self) -> usize {
        self.text.capacity() + self.levels.capacity() * size_of::<Level>()
    }
}
