//! The tap of one connection: reads what passes, and steers it where a rule says so.
//!
//! Without a rule in force the bytes take the same path as without a tap; they are looked at and that is
//! all. With one, each message is held back until its head is known (the name of the command and its keys; 64 KiB at
//! the most), and then passes, waits, or meets what the rule has in store.

mod lookout;
mod tally;
mod trace;
mod way;

pub use lookout::Heard;
pub(crate) use lookout::Lookout;
pub use tally::NameTally;
pub use trace::{CommandRecord, ReplyRecord, Trace};

use super::connection::Closing;
use super::handle::Protocol;
use super::queue::Item;
use super::rule::{Action, RuleState, Seen, Then};
use lookout::Entry;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;
use touchstone_wire::postgres::PostgresDialogue;
use touchstone_wire::redis::RedisDialogue;
use touchstone_wire::{Advance, Command, CommandId, Dialogue, Down, Lost, Remark, Reply, Up};
use way::{Ended, Fate, Outlet, Way};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// From the subject to the store.
    Up,
    /// From the store to the subject.
    Down,
}

/// Chosen per connection; an enum, so that the hot path has no virtual calls.
enum Decoder {
    Redis(Box<RedisDialogue>),
    Postgres(Box<PostgresDialogue>),
}

impl Decoder {
    fn up(&mut self, input: &[u8]) -> Advance<Up> {
        match self {
            Decoder::Redis(dialogue) => dialogue.up(input),
            Decoder::Postgres(dialogue) => dialogue.up(input),
        }
    }

    fn down(&mut self, input: &[u8]) -> Advance<Down> {
        match self {
            Decoder::Redis(dialogue) => dialogue.down(input),
            Decoder::Postgres(dialogue) => dialogue.down(input),
        }
    }

    /// Postgres has nothing to remark.
    fn take_remark(&mut self) -> Remark {
        match self {
            Decoder::Redis(dialogue) => dialogue.take_remark(),
            Decoder::Postgres(_) => Remark::default(),
        }
    }

    fn dialogue(&mut self) -> &mut dyn Dialogue {
        match self {
            Decoder::Redis(dialogue) => &mut **dialogue,
            Decoder::Postgres(dialogue) => &mut **dialogue,
        }
    }
}

/// A command whose reply has not ended.
struct Pending {
    id: CommandId,
    entry: Entry,
    /// Boxed, since there hardly ever is one and there are many of these.
    acting: Option<Box<Acting>>,
}

/// A rule that acts on a command.
struct Acting {
    rule: Rc<RuleState>,
    on: Seen,
}

/// A reply that the proxy owes in the server's stead.
struct Answer {
    id: CommandId,
    bytes: Vec<u8>,
    closes: bool,
    rule: Rc<RuleState>,
}

/// The tap of one connection.
pub(crate) struct Tap {
    decoder: Decoder,
    connection: u64,
    lookout: Rc<Lookout>,
    pending: VecDeque<Pending>,
    answers: VecDeque<Answer>,
    up: Way,
    down: Way,
    is_lost: bool,
}

impl Tap {
    /// A tap, if the proxy decodes.
    pub(crate) fn new(protocol: Protocol, connection: u64, lookout: &Rc<Lookout>) -> Option<Self> {
        let decoder = match protocol {
            Protocol::Opaque => return None,
            Protocol::Redis => Decoder::Redis(Box::default()),
            Protocol::Postgres => Decoder::Postgres(Box::default()),
        };
        Some(Self {
            decoder,
            connection,
            lookout: Rc::clone(lookout),
            pending: VecDeque::new(),
            answers: VecDeque::new(),
            up: Way::default(),
            down: Way::default(),
            is_lost: false,
        })
    }

    /// Whether what is read has to come by here before it may pass.
    pub(crate) fn steers(&self) -> bool {
        self.lookout.has_rules()
            || self.up.is_unsettled()
            || self.down.is_unsettled()
            || !self.answers.is_empty()
    }

    /// Notes what passes.
    pub(crate) fn observe(&mut self, side: Side, bytes: &[u8], now: Instant) {
        self.read(side, bytes, &mut Outlet::observing(now));
    }

    /// Says what becomes of bytes that were read: what passes, in which order, with what in between.
    pub(crate) fn steer(&mut self, side: Side, bytes: &[u8], now: Instant, items: &mut Vec<Item>) {
        self.read(side, bytes, &mut Outlet::steering(items, now));
    }

    /// What has become due on a way without anything having been read there.
    pub(crate) fn owed(&mut self, side: Side, now: Instant, items: &mut Vec<Item>) {
        let mut out = Outlet::steering(items, now);
        if self.is_lost {
            self.way(side).let_go(&mut out);
        }
        if side == Side::Down {
            self.answer_due(&mut out);
        }
    }

    /// Whether something is held back on the way up that is not to be held any more.
    pub(crate) fn owes_up(&self) -> bool {
        self.is_lost && self.up.holds_back()
    }

    /// The source has ended: what is held back of an incomplete message passes.
    pub(crate) fn source_ended(&mut self, side: Side, now: Instant, items: &mut Vec<Item>) {
        let way = self.way(side);
        way.let_go(&mut Outlet::steering(items, now));
    }

    /// Whether a rule has broken one of the ways.
    pub(crate) fn is_broken_by(&self, rule: u64) -> bool {
        [&self.up, &self.down]
            .into_iter()
            .any(|way| way.silent_by() == Some(rule))
    }

    fn way(&mut self, side: Side) -> &mut Way {
        match side {
            Side::Up => &mut self.up,
            Side::Down => &mut self.down,
        }
    }

    fn read(&mut self, side: Side, bytes: &[u8], out: &mut Outlet<'_>) {
        self.way(side).enter(out);
        if self.is_lost {
            self.way(side).let_go(out);
            return self.way(side).take(bytes, out);
        }
        match side {
            Side::Up => self.read_up(bytes, out),
            Side::Down => self.read_down(bytes, out),
        }
    }

    fn read_up(&mut self, mut rest: &[u8], out: &mut Outlet<'_>) {
        loop {
            let step = self.decoder.up(rest);
            let (taken, after) = rest.split_at(step.consumed);
            rest = after;
            self.up.take(taken, out);
            match step.event {
                None => return,
                Some(Up::Head(command)) => self.command_begins(command, out),
                Some(Up::End { id, bytes }) => self.command_ends(id, bytes, out),
                Some(Up::Aside) => self.up.end(out),
                Some(Up::Lost(why)) => {
                    self.lose(why);
                    self.up.let_go(out);
                    return self.up.take(rest, out);
                }
            }
        }
    }

    fn read_down(&mut self, mut rest: &[u8], out: &mut Outlet<'_>) {
        loop {
            let step = self.decoder.down(rest);
            let (taken, after) = rest.split_at(step.consumed);
            rest = after;
            self.down.take(taken, out);
            match step.event {
                None => return,
                Some(Down::Head(id)) => self.reply_begins(id, out),
                Some(Down::End { id, reply, is_last }) => self.reply_ends(id, reply, is_last, out),
                Some(Down::Aside) => self.down.end(out),
                Some(Down::Lost(why)) => {
                    self.lose(why);
                    self.down.let_go(out);
                    return self.down.take(rest, out);
                }
            }
        }
    }

    fn lose(&mut self, why: Lost) {
        self.is_lost = true;
        self.lookout.lost(self.connection, why);
        self.pending.clear();
        self.up.lose();
        self.down.lose();
    }

    fn command_begins(&mut self, command: Command, out: &mut Outlet<'_>) {
        let id = command.id;
        let acting = self.rule_for(&command);
        let action = acting.as_ref().map(|acting| acting.rule.action.name());
        let entry = self
            .lookout
            .command(self.connection, command, out.now, action);
        let fate = match &acting {
            Some(acting) => self.fate_of_command(id, acting, out),
            None => Fate::Pass { due: None },
        };
        let is_withheld = matches!(fate, Fate::Discard | Fate::Limited { left: 0, .. });
        if is_withheld || self.up.silent_by().is_some() {
            self.decoder.dialogue().withhold(id);
        } else {
            self.pending.push_back(Pending { id, entry, acting });
        }
        self.up.decide(fate, out);
    }

    fn rule_for(&self, command: &Command) -> Option<Box<Acting>> {
        if !self.lookout.has_rules() {
            return None;
        }
        // Where some of it has passed already, no rule can be kept.
        if !self.up.is_undecided() || self.up.silent_by().is_some() {
            return None;
        }
        let rule = self.lookout.rule_for(self.connection, command)?;
        let on = Seen::of(self.connection, command);
        rule.acts(on.clone());
        Some(Box::new(Acting { rule, on }))
    }

    fn fate_of_command(
        &mut self,
        id: CommandId,
        Acting { rule, on }: &Acting,
        out: &mut Outlet<'_>,
    ) -> Fate {
        match &rule.action {
            Action::Hold { longest } => {
                out.item(Item::Gate(rule.gate(*longest, on.clone())));
                Fate::Pass { due: None }
            }
            Action::Delay(delay) => Fate::Pass {
                due: Some(out.now + rule.draw(delay)),
            },
            Action::Answer(error) => {
                self.answers.push_back(Answer {
                    id,
                    bytes: error.wire(),
                    closes: error.closes(),
                    rule: Rc::clone(rule),
                });
                Fate::Discard
            }
            Action::Swallow => {
                self.up.fall_silent(rule.id);
                Fate::Discard
            }
            Action::CutBefore(then) => Fate::Limited {
                left: 0,
                then: ended(*then, rule),
            },
            Action::CutAfter(then) => Fate::Limited {
                left: u64::MAX,
                then: ended(*then, rule),
            },
            Action::Note
            | Action::HoldReply { .. }
            | Action::DelayReply(_)
            | Action::CutReply { .. }
            | Action::ReplaceReply(_) => Fate::Pass { due: None },
        }
    }

    fn command_ends(&mut self, id: CommandId, bytes: u64, out: &mut Outlet<'_>) {
        let remark = self.decoder.take_remark();
        if let Some(pending) = self.pending.back()
            && pending.id == id
        {
            self.lookout.command_ended(&pending.entry, bytes, &remark);
        }
        if let Some(note) = remark.client {
            self.lookout.client(self.connection, note);
        }
        self.up.end(out);
    }

    fn reply_begins(&mut self, id: CommandId, out: &mut Outlet<'_>) {
        // What came before it and had no reply is owed none: CLIENT REPLY OFF.
        while self.pending.front().is_some_and(|pending| pending.id < id) {
            self.pending.pop_front();
        }
        let pending = self.pending.front().filter(|pending| pending.id == id);
        let acting = pending.and_then(|pending| pending.acting.as_deref());
        let Some(Acting { rule, on }) = acting.filter(|acting| !acting.rule.is_healed()) else {
            return self.down.decide(Fate::Pass { due: None }, out);
        };
        if !self.down.is_undecided() {
            return;
        }
        let fate = match &rule.action {
            Action::HoldReply { longest } => {
                out.item(Item::Gate(rule.gate(*longest, on.clone())));
                Fate::Pass { due: None }
            }
            Action::DelayReply(delay) => Fate::Pass {
                due: Some(out.now + rule.draw(delay)),
            },
            Action::CutReply { after_bytes, then } => Fate::Limited {
                left: *after_bytes,
                then: ended(*then, rule),
            },
            Action::ReplaceReply(bytes) => {
                out.bytes(bytes, None);
                Fate::Discard
            }
            _ => Fate::Pass { due: None },
        };
        self.down.decide(fate, out);
    }

    fn reply_ends(&mut self, id: CommandId, reply: Reply, is_last: bool, out: &mut Outlet<'_>) {
        self.down.end(out);
        let is_front = self.pending.front().is_some_and(|pending| pending.id == id);
        if let Some(pending) = self.pending.front_mut().filter(|_| is_front) {
            self.lookout.replied(&mut pending.entry, reply, out.now);
            if let Some(acting) = pending.acting.as_ref().filter(|_| is_last) {
                out.item(Item::Passed(Rc::clone(&acting.rule)));
            }
        }
        if is_front && is_last {
            self.pending.pop_front();
        }
        self.answer_due(out);
    }

    /// Puts in the answers for which it is their turn among the server's replies.
    fn answer_due(&mut self, out: &mut Outlet<'_>) {
        if self.answers.is_empty() || !self.is_lost && !self.decoder.dialogue().down_is_between() {
            return;
        }
        let oldest = self.decoder.dialogue().oldest_pending();
        while let Some(answer) = self.answers.front()
            && (self.is_lost || oldest.is_none_or(|oldest| answer.id < oldest))
            && let Some(answer) = self.answers.pop_front()
        {
            if self.down.silent_by().is_some() {
                continue;
            }
            out.bytes(&answer.bytes, None);
            out.item(Item::Passed(answer.rule));
            if answer.closes {
                out.item(Item::Cut(Closing::Fin));
            }
        }
    }
}

fn ended(then: Then, rule: &Rc<RuleState>) -> Ended {
    match then {
        Then::Silence => Ended::Silent(rule.id),
        Then::Close => Ended::Cut(Closing::Fin),
        Then::Reset => Ended::Cut(Closing::Reset),
    }
}
