//! Replies, pushes and messages, as they stream by.

use super::message::{Level, Message, Whose};
use super::number::{self, Number, Scan};
use super::session::{Expects, Session};
use super::token::Token;
use super::up::TLS_HANDSHAKE;
use super::verb::{self, Verb};
use crate::limits::{DEPTH_MAX, ERROR_BYTES_MAX};
use crate::{Advance, Down, Lost, Reply, ReplyKind};

/// Where the next byte lies.
#[derive(Debug, Clone, Copy)]
enum At {
    /// The first byte of a value, which tells its type.
    Type,
    /// The number of members of an aggregate of this type.
    Count(u8, Number),
    /// The length of a string of this type.
    Length(u8, Number),
    Integer(Number),
    Token(Token),
    Text,
    TextLf,
    Payload(u64),
    Cr,
    Lf,
    /// All of a message was read, and its end was not told yet.
    End,
}

/// Reads what the store sends.
#[derive(Debug)]
pub(super) struct Replies {
    at: At,
    /// Places in the stream: of the next byte, and of the first of this message, if it has begun.
    offset: u64,
    begin: Option<u64>,
    message: Message,
}

impl Default for Replies {
    fn default() -> Self {
        Self {
            at: At::Type,
            offset: 0,
            begin: None,
            message: Message::default(),
        }
    }
}

/// Bytes read, and what lies behind them.
type Step = (usize, Result<Option<Down>, Lost>);

const NOTHING: Result<Option<Down>, Lost> = Ok(None);
const BAD: Result<Option<Down>, Lost> = Err(Lost::NotTheProtocol);

impl Replies {
    /// Whether nothing of a message was read that has not ended.
    pub(super) fn is_between(&self) -> bool {
        self.begin.is_none()
    }

    /// Reads up to the next event.
    pub(super) fn read(&mut self, input: &[u8], session: &mut Session) -> Advance<Down> {
        let mut consumed = 0;
        loop {
            if matches!(self.at, At::End) {
                let event = Some(self.end(session));
                return Advance { consumed, event };
            }
            let rest = &input[consumed..];
            if rest.is_empty() {
                let event = None;
                return Advance { consumed, event };
            }
            let (read, outcome) = self.step(rest, session);
            consumed += read;
            self.offset += read as u64;
            let event = outcome.unwrap_or_else(|reason| {
                session.lost = Some(reason);
                Some(Down::Lost(reason))
            });
            if event.is_some() {
                return Advance { consumed, event };
            }
        }
    }

    fn step(&mut self, rest: &[u8], session: &mut Session) -> Step {
        match &mut self.at {
            At::Type => self.typed(rest[0], session),
            At::Count(of, number) => match (*of, number.scan(rest)) {
                (_, (read, Scan::More)) => (read, NOTHING),
                (_, (read, Scan::Bad)) => (read, BAD),
                (of, (read, Scan::Done(count))) => (read, self.counted(of, count, session)),
            },
            At::Length(of, number) => match (*of, number.scan(rest)) {
                (_, (read, Scan::More)) => (read, NOTHING),
                (_, (read, Scan::Bad)) => (read, BAD),
                (of, (read, Scan::Done(length))) => (read, self.measured(of, length, session)),
            },
            At::Integer(number) => match number.scan(rest) {
                (read, Scan::More) => (read, NOTHING),
                (read, Scan::Bad) => (read, BAD),
                (read, Scan::Done(value)) => (read, self.integer(value)),
            },
            At::Token(token) => match token.scan(rest) {
                (read, Scan::More) => (read, NOTHING),
                (read, Scan::Bad) => (read, BAD),
                (read, Scan::Done(_)) => (read, self.complete()),
            },
            At::Text | At::TextLf => self.text(rest),
            At::Payload(_) | At::Cr | At::Lf => self.payload(rest, session),
            At::End => (0, NOTHING),
        }
    }

    /// The first byte of a value.
    fn typed(&mut self, byte: u8, session: &mut Session) -> Step {
        if byte == TLS_HANDSHAKE && self.offset == 0 {
            return (0, Err(Lost::Encrypted));
        }
        let is_top = self.message.levels.is_empty();
        let at = match byte {
            b'*' | b'~' | b'%' | b'|' => At::Count(byte, Number::strict()),
            b'>' if is_top => At::Count(byte, Number::strict()),
            b'$' | b'=' | b'!' => At::Length(byte, Number::strict()),
            b':' => At::Integer(Number::lenient()),
            b'+' | b'-' => At::Text,
            b'_' | b'#' | b',' | b'(' => At::Token(Token::new(byte)),
            _ => return (0, BAD),
        };
        let outcome = match byte {
            b'|' => NOTHING,
            _ if is_top => self.top(byte, session),
            _ => NOTHING,
        };
        if outcome.is_err() {
            return (0, outcome);
        }
        self.at = at;
        self.begin.get_or_insert(self.offset);
        let is_first_member = self.message.levels.len() == 1;
        match outcome {
            Ok(None) if is_first_member && self.is_undecided() && byte != b'$' => {
                (1, self.decide(None, session))
            }
            _ => (1, outcome),
        }
    }

    fn is_undecided(&self) -> bool {
        self.message.whose == Whose::ByFirstMember
    }

    /// The first byte of a message, but for its attributes.
    fn top(&mut self, byte: u8, session: &mut Session) -> Result<Option<Down>, Lost> {
        self.message.value_type = byte;
        if byte == b'-' {
            self.message.text_wanted = ERROR_BYTES_MAX;
        }
        if byte == b'>' || byte == b'*' && session.is_array_ambiguous() {
            self.message.whose = Whose::ByFirstMember;
            return NOTHING;
        }
        self.answer(session)
    }

    /// It answers whoever is owed a reply. An error nobody asked for is what the store says before it closes.
    fn answer(&mut self, session: &mut Session) -> Result<Option<Down>, Lost> {
        let is_error = self.message.value_type == b'-';
        match session.front_heard() {
            Some(front) if front.expects == Expects::OtherStream && !is_error => {
                Err(Lost::OtherStream)
            }
            Some(front) => {
                self.message.whose = Whose::Reply(front.id);
                Ok(Some(Down::Head(front.id)))
            }
            None if is_error => {
                self.message.whose = Whose::Nobodys;
                NOTHING
            }
            None => Err(Lost::UnaskedReply),
        }
    }

    /// The first member of a push, or of an array that may be a message, is known.
    fn decide(&mut self, verb: Option<Verb>, session: &mut Session) -> Result<Option<Down>, Lost> {
        let message = &mut self.message;
        message.verb = verb.filter(|verb| message.kind == ReplyKind::Aggregate(verb.members()));
        let front = session.front();
        let answered = front.filter(|front| message.verb.is_some_and(|verb| verb.answers(front)));
        if let Some(front) = answered {
            message.is_confirmation = true;
            message.whose = Whose::Reply(front.id);
            return Ok(Some(Down::Head(front.id)));
        }
        let is_unasked = message.verb.is_some_and(Verb::comes_unasked) && session.is_subscribed();
        if message.value_type == b'>' || is_unasked {
            message.whose = Whose::Nobodys;
            return NOTHING;
        }
        message.verb = None;
        self.answer(session)
    }

    fn counted(&mut self, of: u8, count: i64, session: &mut Session) -> Result<Option<Down>, Lost> {
        if count < 0 && !(count == -1 && of == b'*') {
            return BAD;
        }
        let is_top = self.message.levels.is_empty() && of != b'|';
        if is_top {
            self.message.kind = match u64::try_from(count) {
                Ok(count) => ReplyKind::Aggregate(count),
                Err(_) => ReplyKind::Nil,
            };
        }
        let members = count.max(0) as u64 * if matches!(of, b'%' | b'|') { 2 } else { 1 };
        if members == 0 {
            // Attributes are part of the value that follows.
            if of == b'|' {
                self.at = At::Type;
                return NOTHING;
            }
            let decided = match is_top && self.is_undecided() {
                true => self.decide(None, session),
                false => NOTHING,
            };
            return self.complete().and(decided);
        }
        if self.message.levels.len() == DEPTH_MAX {
            return BAD;
        }
        self.message.levels.push(Level {
            left: members,
            is_attribute: of == b'|',
        });
        self.at = At::Type;
        NOTHING
    }

    fn measured(
        &mut self,
        of: u8,
        length: i64,
        session: &mut Session,
    ) -> Result<Option<Down>, Lost> {
        let is_top = self.message.levels.is_empty();
        let is_undecided = self.is_undecided();
        let Ok(length) = u64::try_from(length) else {
            if length != -1 || of != b'$' {
                return BAD;
            }
            if is_top {
                self.message.kind = ReplyKind::Nil;
            }
            let decided = match is_undecided {
                true => self.decide(None, session),
                false => NOTHING,
            };
            return self.complete().and(decided);
        };
        if is_top {
            self.message.kind = ReplyKind::Bulk(length);
        }
        self.at = if length > 0 {
            At::Payload(length)
        } else {
            At::Cr
        };
        if is_undecided && length > verb::BYTES_MAX as u64 {
            return self.decide(None, session);
        }
        self.message.text_wanted = match of {
            b'!' if is_top => ERROR_BYTES_MAX,
            _ if is_undecided => verb::BYTES_MAX,
            _ => 0,
        };
        NOTHING
    }

    fn integer(&mut self, value: i64) -> Result<Option<Down>, Lost> {
        let message = &mut self.message;
        match message.levels.as_slice() {
            [] => message.kind = ReplyKind::Integer(value),
            [Level { left: 1, .. }] if message.verb.is_some() => {
                message.subscriptions_left = u64::try_from(value).ok();
            }
            _ => {}
        }
        self.complete()
    }

    /// A simple string or an error, without an end that is known before.
    fn text(&mut self, rest: &[u8]) -> Step {
        if matches!(self.at, At::TextLf) {
            return match rest[0] {
                b'\n' => (1, self.complete()),
                _ => (0, BAD),
            };
        }
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let text = &rest[..end.unwrap_or(rest.len())];
        self.message.keep(text);
        match end {
            None => (text.len(), NOTHING),
            Some(end) if rest[end] == b'\n' => (end, BAD),
            Some(end) => {
                self.at = At::TextLf;
                (end + 1, NOTHING)
            }
        }
    }

    fn payload(&mut self, rest: &[u8], session: &mut Session) -> Step {
        match self.at {
            At::Payload(left) => {
                if let Some((string, read)) = number::with_crlf(rest, left) {
                    self.message.keep(string);
                    return (read, self.string(session));
                }
                let read = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                self.message.keep(&rest[..read]);
                let left = left - read as u64;
                self.at = if left > 0 { At::Payload(left) } else { At::Cr };
                (read, NOTHING)
            }
            At::Cr if rest[0] == b'\r' => {
                self.at = At::Lf;
                (1, NOTHING)
            }
            At::Lf if rest[0] == b'\n' => (1, self.string(session)),
            _ => (0, BAD),
        }
    }

    /// A string has passed, with its CR LF.
    fn string(&mut self, session: &mut Session) -> Result<Option<Down>, Lost> {
        let decided = match self.is_undecided() {
            true => self.decide(Verb::find(&self.message.text), session),
            false => NOTHING,
        };
        self.complete().and(decided)
    }

    /// A value is complete, and with it perhaps those around it.
    fn complete(&mut self) -> Result<Option<Down>, Lost> {
        self.at = At::Type;
        self.message.text_wanted = 0;
        loop {
            let Some(level) = self.message.levels.last_mut() else {
                self.at = At::End;
                return NOTHING;
            };
            level.left -= 1;
            if level.left > 0 {
                return NOTHING;
            }
            let is_attribute = level.is_attribute;
            self.message.levels.pop();
            if is_attribute {
                return NOTHING;
            }
        }
    }

    #[cfg(test)]
    pub(super) fn retained_bytes(&self) -> usize {
        self.message.retained_bytes()
    }

    fn end(&mut self, session: &mut Session) -> Down {
        self.at = At::Type;
        let begin = self.begin.take().unwrap_or(self.offset);
        let bytes = self.offset - begin;
        let message = &self.message;
        if let Some((channels, left)) = message.subscriptions() {
            session.confirmed(channels, left);
        }
        let event = match message.whose {
            Whose::Reply(id) => Down::End {
                id,
                reply: Reply {
                    kind: message.reply_kind(),
                    bytes,
                },
                is_last: session.answered(id, message.answer()),
            },
            _ => Down::Aside,
        };
        self.message.clear();
        event
    }
}
