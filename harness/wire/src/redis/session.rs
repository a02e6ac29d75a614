//! What both directions of a connection know together: who is owed a reply, and what state it is in.

use std::collections::VecDeque;

use super::lookup::{Channels, Effect};
use crate::limits::PENDING_MAX;
use crate::{CommandId, Lost};

/// A command that is owed a reply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) id: CommandId,
    pub(super) expects: Expects,
    /// Only confirmations come: replies are switched off, but those are sent all the same.
    pub(super) is_muted: bool,
}

/// What the reply will be, or do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expects {
    /// One reply, of any kind.
    Plain,
    /// One, and the transaction has not begun if it is an error.
    Multi,
    /// One, and the protocol may be another after it.
    Hello,
    /// One, and all is as it was at the begin after it.
    Reset,
    /// So many confirmations, or one error.
    Subscribe(Channels, u32),
    /// The same, for the end of subscriptions.
    Unsubscribe(Channels, u32),
    /// A confirmation for each channel of that kind, and at least one.
    UnsubscribeAll(Channels),
    /// An error, or what is not decoded.
    OtherStream,
}

impl Expects {
    pub(super) fn is_confirmation(self) -> bool {
        matches!(
            self,
            Self::Subscribe(..) | Self::Unsubscribe(..) | Self::UnsubscribeAll(..)
        )
    }
}

/// Whether the store answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Silence {
    #[default]
    Off,
    On,
    ForOne,
}

/// What the service has asked for so far. It precedes what the store has done by what is pending.
#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    transaction: Option<CommandId>,
    /// EXEC will be answered by something that is no single reply.
    is_transaction_odd: bool,
    silence: Silence,
}

/// The argument of CLIENT REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyMode {
    On,
    Off,
    Skip,
}

/// How many channels are subscribed to, as the store last told.
#[derive(Debug, Default)]
struct Subscribed {
    plain: u64,
    patterns: u64,
    sharded: u64,
}

#[derive(Debug)]
struct Newest {
    id: CommandId,
    is_silent: bool,
    is_withheld: bool,
    before: Sent,
}

/// What both directions know together.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) lost: Option<Lost>,
    pending: VecDeque<Pending>,
    next_id: u64,
    sent: Sent,
    newest: Option<Newest>,
    is_resp3: bool,
    subscribed: Subscribed,
}

impl Session {
    /// A command's head is known: its id, and whether it is part of a transaction.
    pub(super) fn begin(&mut self, effect: Effect, count: u32) -> Result<(CommandId, bool), Lost> {
        let id = CommandId(self.next_id);
        let before = self.sent;
        let is_in = before.transaction.is_some();
        let is_silent = self.is_silent(effect);
        let expects = self.expects(effect, count, id);
        let is_owed = !is_silent || expects.is_confirmation();
        if is_owed && self.pending.len() >= PENDING_MAX {
            return Err(Lost::TooManyPending);
        }
        self.next_id += 1;
        self.newest = Some(Newest {
            id,
            is_silent,
            is_withheld: false,
            before,
        });
        if is_owed {
            self.pending.push_back(Pending {
                id,
                expects,
                is_muted: is_silent,
            });
        }
        let ends = matches!(effect, Effect::Exec | Effect::Discard | Effect::Reset);
        Ok((id, is_in && !ends))
    }

    /// RESET switches replies on again before it answers, but CLIENT REPLY SKIP holds for it.
    fn is_silent(&mut self, effect: Effect) -> bool {
        match self.sent.silence {
            Silence::Off => false,
            Silence::On => effect != Effect::Reset,
            Silence::ForOne => {
                self.sent.silence = Silence::Off;
                true
            }
        }
    }

    fn expects(&mut self, effect: Effect, count: u32, id: CommandId) -> Expects {
        let sent = &mut self.sent;
        let is_in = sent.transaction.is_some();
        match effect {
            Effect::Multi if count == 1 && !is_in => {
                sent.transaction = Some(id);
                Expects::Multi
            }
            Effect::Exec => {
                sent.transaction = None;
                if std::mem::take(&mut sent.is_transaction_odd) {
                    return Expects::OtherStream;
                }
                Expects::Plain
            }
            Effect::Discard if count == 1 => {
                (sent.transaction, sent.is_transaction_odd) = (None, false);
                Expects::Plain
            }
            Effect::Reset if count == 1 => {
                *sent = Sent::default();
                Expects::Reset
            }
            Effect::Subscribe(_) | Effect::Unsubscribe(_) | Effect::ClientReply if is_in => {
                sent.is_transaction_odd = true;
                Expects::Plain
            }
            Effect::Subscribe(channels) if count > 1 => Expects::Subscribe(channels, count - 1),
            Effect::Unsubscribe(channels) if count > 1 => Expects::Unsubscribe(channels, count - 1),
            Effect::Unsubscribe(channels) => Expects::UnsubscribeAll(channels),
            Effect::Hello if !is_in => Expects::Hello,
            Effect::OtherStream if !is_in => Expects::OtherStream,
            _ => Expects::Plain,
        }
    }

    /// The newest command has ended, and was a CLIENT REPLY with this argument.
    pub(super) fn reply_mode(&mut self, mode: ReplyMode) {
        let Some(newest) = &self.newest else { return };
        if newest.is_withheld || newest.before.transaction.is_some() {
            return;
        }
        let (id, is_silent) = (newest.id, newest.is_silent);
        match mode {
            ReplyMode::On if is_silent => self.pending.push_back(Pending {
                id,
                expects: Expects::Plain,
                is_muted: false,
            }),
            ReplyMode::On => {}
            ReplyMode::Off | ReplyMode::Skip => self.forget(id),
        }
        self.sent.silence = match mode {
            ReplyMode::On => Silence::Off,
            ReplyMode::Off => Silence::On,
            ReplyMode::Skip if self.sent.silence == Silence::On => Silence::On,
            ReplyMode::Skip => Silence::ForOne,
        };
    }

    /// The newest command does not reach the store.
    pub(super) fn withhold(&mut self, id: CommandId) {
        let Some(newest) = self.newest.as_mut().filter(|newest| newest.id == id) else {
            return;
        };
        newest.is_withheld = true;
        self.sent = newest.before;
        self.forget(id);
    }

    fn forget(&mut self, id: CommandId) {
        if self.pending.back().is_some_and(|last| last.id == id) {
            self.pending.pop_back();
        }
    }

    #[cfg(test)]
    pub(super) fn retained_bytes(&self) -> usize {
        self.pending.capacity() * size_of::<Pending>()
    }

    /// Who is answered next.
    pub(super) fn front(&self) -> Option<Pending> {
        self.pending.front().copied()
    }

    /// Who is answered by a reply that is no confirmation: those that get nothing else got nothing.
    pub(super) fn front_heard(&mut self) -> Option<Pending> {
        while self.pending.front().is_some_and(|front| front.is_muted) {
            self.pending.pop_front();
        }
        self.front()
    }

    /// Whether an array may be a message or a confirmation: in RESP3 those are pushes.
    pub(super) fn is_array_ambiguous(&self) -> bool {
        let front = self.pending.front();
        !self.is_resp3
            && (self.is_subscribed() || front.is_some_and(|front| front.expects.is_confirmation()))
    }

    pub(super) fn is_subscribed(&self) -> bool {
        let Subscribed {
            plain,
            patterns,
            sharded,
        } = self.subscribed;
        plain > 0 || patterns > 0 || sharded > 0
    }

    /// The store has confirmed a begin or an end of a subscription: that many are left, as it tells.
    pub(super) fn confirmed(&mut self, channels: Channels, left: u64) {
        let subscribed = &mut self.subscribed;
        match channels {
            Channels::Plain => subscribed.plain = left.saturating_sub(subscribed.patterns),
            Channels::Patterns => subscribed.patterns = left.saturating_sub(subscribed.plain),
            Channels::Sharded => subscribed.sharded = left,
        }
    }

    /// The command at the front has got a reply, or one of its confirmations. Whether it was the last.
    pub(super) fn answered(&mut self, id: CommandId, answer: Answer) -> bool {
        let Some(front) = self.pending.front_mut().filter(|front| front.id == id) else {
            return true;
        };
        let is_last = match (answer, &mut front.expects) {
            (Answer::Confirmation, Expects::Subscribe(_, left) | Expects::Unsubscribe(_, left)) => {
                *left -= 1;
                *left == 0
            }
            (Answer::Confirmation, Expects::UnsubscribeAll(channels)) => {
                let subscribed = &self.subscribed;
                0 == match channels {
                    Channels::Plain => subscribed.plain,
                    Channels::Patterns => subscribed.patterns,
                    Channels::Sharded => subscribed.sharded,
                }
            }
            _ => true,
        };
        let expects = front.expects;
        if is_last {
            self.pending.pop_front();
            self.take_effect(id, expects, answer);
        }
        is_last
    }

    fn take_effect(&mut self, id: CommandId, expects: Expects, answer: Answer) {
        match (expects, answer) {
            (Expects::Multi, Answer::Error) => {
                let before = self.newest.as_mut().map(|newest| &mut newest.before);
                for sent in before.into_iter().chain([&mut self.sent]) {
                    if sent.transaction == Some(id) {
                        (sent.transaction, sent.is_transaction_odd) = (None, false);
                    }
                }
            }
            (Expects::Hello, Answer::Map) => self.is_resp3 = true,
            (Expects::Hello, Answer::Array) => self.is_resp3 = false,
            (Expects::Reset, Answer::Other) => {
                self.is_resp3 = false;
                self.subscribed = Subscribed::default();
            }
            _ => {}
        }
    }
}

/// Of a reply what the state of the connection depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Error,
    Array,
    Map,
    Confirmation,
    Other,
}
