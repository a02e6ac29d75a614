//! One way of a decoded connection: which of its bytes pass, and what else is put between them.

use crate::proxy::queue::Item;
use bytes::BytesMut;
use std::time::Instant;

/// Where steered bytes go. Without a place for them, all pass as they are and only their meaning is noted.
pub(super) struct Outlet<'a> {
    items: Option<&'a mut Vec<Item>>,
    pub(super) now: Instant,
}

impl<'a> Outlet<'a> {
    pub(super) fn observing(now: Instant) -> Self {
        Self { items: None, now }
    }

    pub(super) fn steering(items: &'a mut Vec<Item>, now: Instant) -> Self {
        Self {
            items: Some(items),
            now,
        }
    }

    fn steers(&self) -> bool {
        self.items.is_some()
    }

    pub(super) fn bytes(&mut self, bytes: &[u8], due: Option<Instant>) {
        if let Some(items) = &mut self.items
            && !bytes.is_empty()
        {
            items.push(Item::bytes(bytes, self.now, due));
        }
    }

    pub(super) fn item(&mut self, item: Item) {
        if let Some(items) = &mut self.items {
            items.push(item);
        }
    }
}

/// What becomes of the bytes of the message under way.
pub(super) enum Fate {
    /// Held back until its head is known.
    Undecided,
    /// They pass, perhaps not before a time.
    Pass { due: Option<Instant> },
    /// They do not pass.
    Discard,
    /// So many pass; then, or at the end of the message, this happens.
    Limited { left: u64, then: Ended },
}

/// What happens where a way ends.
pub(super) enum Ended {
    /// Nothing more passes, for that rule.
    Silent(u64),
    /// The connection is cut.
    Cut(crate::proxy::connection::Closing),
}

/// One way.
pub(super) struct Way {
    undecided: BytesMut,
    fate: Fate,
    at_boundary: bool,
    /// The rule because of which nothing passes any more.
    silent_by: Option<u64>,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            undecided: BytesMut::new(),
            fate: Fate::Undecided,
            at_boundary: true,
            silent_by: None,
        }
    }
}

impl Way {
    /// Before bytes are taken: what had begun to pass before there was a rule goes on to pass.
    pub(super) fn enter(&mut self, out: &Outlet<'_>) {
        let has_begun = !self.at_boundary && self.undecided.is_empty();
        if out.steers() && has_begun && matches!(self.fate, Fate::Undecided) {
            self.fate = self.passing(None);
        }
    }

    /// Bytes of the message under way.
    // What is only observed comes by here four times a command and leaves at once, hence inlined.
    #[inline]
    pub(super) fn take(&mut self, bytes: &[u8], out: &mut Outlet<'_>) {
        if bytes.is_empty() {
            return;
        }
        self.at_boundary = false;
        if out.steers() {
            self.steer(bytes, out);
        }
    }

    fn steer(&mut self, bytes: &[u8], out: &mut Outlet<'_>) {
        match &mut self.fate {
            Fate::Undecided => self.undecided.extend_from_slice(bytes),
            Fate::Discard => {}
            Fate::Pass { due } => out.bytes(bytes, *due),
            Fate::Limited { left, .. } => {
                let passing = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= passing as u64;
                let is_over = *left == 0;
                out.bytes(&bytes[..passing], None);
                if is_over {
                    self.end_limit(out);
                }
            }
        }
    }

    /// The head is known: what was held back, and what follows up to the end, meets this fate.
    #[inline]
    pub(super) fn decide(&mut self, fate: Fate, out: &mut Outlet<'_>) {
        if out.steers() {
            self.decide_steered(fate, out);
        } else {
            self.fate = fate;
        }
    }

    fn decide_steered(&mut self, fate: Fate, out: &mut Outlet<'_>) {
        self.fate = match fate {
            _ if self.silent_by.is_some() => Fate::Discard,
            fate => fate,
        };
        if let Fate::Limited { left: 0, .. } = self.fate {
            self.end_limit(out);
        }
        if !self.undecided.is_empty() {
            let held = self.undecided.split();
            self.take(&held, out);
        }
    }

    /// The message is complete.
    #[inline]
    pub(super) fn end(&mut self, out: &mut Outlet<'_>) {
        if let Fate::Limited { .. } = self.fate {
            self.end_limit(out);
        }
        if !self.undecided.is_empty() {
            self.decide(Fate::Pass { due: None }, out);
        }
        self.fate = Fate::Undecided;
        self.at_boundary = true;
    }

    /// It is not decoded any more, or its source has ended: what is held back passes.
    pub(super) fn let_go(&mut self, out: &mut Outlet<'_>) {
        if !self.undecided.is_empty() {
            self.decide(Fate::Pass { due: None }, out);
        }
    }

    /// From here on all passes, but where the way has been broken.
    pub(super) fn lose(&mut self) {
        if self.undecided.is_empty() {
            self.fate = self.passing(None);
        }
    }

    /// Nothing passes any more, for that rule.
    pub(super) fn fall_silent(&mut self, rule: u64) {
        self.silent_by = Some(rule);
    }

    pub(super) fn silent_by(&self) -> Option<u64> {
        self.silent_by
    }

    /// Whether the head of the message under way is not known yet, and none of it has passed.
    pub(super) fn is_undecided(&self) -> bool {
        matches!(self.fate, Fate::Undecided)
    }

    /// Whether bytes wait for their head to be known.
    pub(super) fn holds_back(&self) -> bool {
        !self.undecided.is_empty()
    }

    /// Whether something is under way that a rule has to do with, though none may be in force any more.
    pub(super) fn is_unsettled(&self) -> bool {
        self.holds_back()
            || self.silent_by.is_some()
            || match self.fate {
                Fate::Undecided | Fate::Pass { due: None } => false,
                Fate::Pass { .. } | Fate::Discard | Fate::Limited { .. } => true,
            }
    }

    fn passing(&self, due: Option<Instant>) -> Fate {
        match self.silent_by {
            Some(_) => Fate::Discard,
            None => Fate::Pass { due },
        }
    }

    fn end_limit(&mut self, out: &mut Outlet<'_>) {
        if let Fate::Limited { then, .. } = std::mem::replace(&mut self.fate, Fate::Discard) {
            match then {
                Ended::Silent(rule) => self.fall_silent(rule),
                Ended::Cut(how) => out.item(Item::Cut(how)),
            }
        }
    }
}
