//! The first word of what comes because of a subscription.

use super::lookup::Channels;
use super::session::{Expects, Pending};

/// The longest is `punsubscribe`, as `sunsubscribe`.
pub(super) const BYTES_MAX: usize = 12;

/// What such a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// Somebody published, and so many members tell of it.
    Message(u64),
    /// A subscription has begun.
    Subscribed(Channels),
    /// A subscription has ended.
    Unsubscribed(Channels),
}

impl Verb {
    pub(super) fn find(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"message" | b"smessage" => Self::Message(3),
            b"pmessage" => Self::Message(4),
            b"subscribe" => Self::Subscribed(Channels::Plain),
            b"psubscribe" => Self::Subscribed(Channels::Patterns),
            b"ssubscribe" => Self::Subscribed(Channels::Sharded),
            b"unsubscribe" => Self::Unsubscribed(Channels::Plain),
            b"punsubscribe" => Self::Unsubscribed(Channels::Patterns),
            b"sunsubscribe" => Self::Unsubscribed(Channels::Sharded),
            _ => return None,
        })
    }

    /// How many members such a message has.
    pub(super) fn members(self) -> u64 {
        match self {
            Self::Message(members) => members,
            Self::Subscribed(_) | Self::Unsubscribed(_) => 3,
        }
    }

    pub(super) fn confirms(self) -> Option<Channels> {
        match self {
            Self::Message(_) => None,
            Self::Subscribed(channels) | Self::Unsubscribed(channels) => Some(channels),
        }
    }

    /// Whether it is what that command waits for.
    pub(super) fn answers(self, pending: &Pending) -> bool {
        match (self, pending.expects) {
            (Self::Subscribed(told), Expects::Subscribe(asked, _))
            | (
                Self::Unsubscribed(told),
                Expects::Unsubscribe(asked, _) | Expects::UnsubscribeAll(asked),
            ) => told == asked,
            _ => false,
        }
    }

    /// Besides messages: a cluster ends sharded subscriptions when their slot moves away.
    pub(super) fn comes_unasked(self) -> bool {
        matches!(
            self,
            Self::Message(_) | Self::Unsubscribed(Channels::Sharded)
        )
    }
}
