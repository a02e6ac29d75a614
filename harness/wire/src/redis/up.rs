//! Commands, as they stream by.

use super::head::Head;
use super::inline;
use super::lookup::Effect;
use super::number::{Number, Scan};
use super::says::{Listener, Says};
use super::session::{ReplyMode, Session};
use crate::limits::HEAD_BYTES_MAX;
use crate::{Advance, CommandId, Lost, Remark, Up};

/// The first byte of a TLS record that begins a handshake.
pub(super) const TLS_HANDSHAKE: u8 = 0x16;

/// The place of the argument of CLIENT REPLY, and how much of it is looked at.
const REPLY_MODE_AT: u32 = 2;
const REPLY_MODE_BYTES_MAX: usize = 8;

/// Where the next byte lies.
#[derive(Debug, Clone, Copy)]
enum At {
    Begin,
    Count(Number),
    Dollar,
    Length(Number),
    /// So much of the argument is to come.
    Payload(u64),
    Cr,
    Lf,
    Inline,
    /// All of a command was read, and its end was not told yet.
    End,
}

/// What is known of the command under way.
#[derive(Debug)]
enum Told {
    Nothing(Head),
    Head(CommandId, Effect),
}

/// Reads what the service sends.
#[derive(Debug)]
pub(super) struct Requests {
    at: At,
    /// Places in the stream: of the next byte, and of the first of this command.
    offset: u64,
    begin: u64,
    argument_count: u32,
    argument: u32,
    argument_bytes: u64,
    wanted: usize,
    kept: Vec<u8>,
    told: Told,
    reply_mode: Option<ReplyMode>,
    listener: Listener,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            at: At::Begin,
            offset: 0,
            begin: 0,
            argument_count: 0,
            argument: 0,
            argument_bytes: 0,
            wanted: 0,
            kept: Vec::new(),
            told: Told::Nothing(Head::new(0)),
            reply_mode: None,
            listener: Listener::new(Says::Nothing),
        }
    }
}

/// Bytes read, and the event that lies behind them.
type Step = (usize, Option<Up>);

impl Requests {
    /// Reads up to the next event.
    pub(super) fn read(&mut self, input: &[u8], session: &mut Session) -> Advance<Up> {
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
            let (read, event) = self.step(self.window(rest), session);
            consumed += read;
            self.offset += read as u64;
            let event = event.or_else(|| self.cut(session));
            if event.is_some() {
                return Advance { consumed, event };
            }
        }
    }

    /// How far may be read before the head must be told.
    fn window<'a>(&self, rest: &'a [u8]) -> &'a [u8] {
        if matches!(self.told, Told::Head(..)) || matches!(self.at, At::Begin | At::Inline) {
            return rest;
        }
        let left = self.begin + HEAD_BYTES_MAX as u64 - self.offset;
        &rest[..rest.len().min(left as usize)]
    }

    /// The head, if it has become too long.
    fn cut(&mut self, session: &mut Session) -> Option<Up> {
        let is_full = self.offset - self.begin >= HEAD_BYTES_MAX as u64;
        if !is_full || matches!(self.at, At::Begin | At::Inline | At::End) {
            return None;
        }
        let Told::Nothing(head) = &mut self.told else {
            return None;
        };
        head.cut(self.argument, &self.kept);
        self.want_nothing();
        Some(self.tell(session))
    }

    fn want_nothing(&mut self) {
        self.wanted = 0;
        self.kept.clear();
    }

    fn step(&mut self, window: &[u8], session: &mut Session) -> Step {
        match &mut self.at {
            At::Begin => self.first(window[0], session),
            At::Count(number) => match number.scan(window) {
                (read, Scan::More) => (read, None),
                (read, Scan::Bad) => (read, Some(lost(session, Lost::NotTheProtocol))),
                (read, Scan::Done(count)) => self.counted(read, count, session),
            },
            At::Dollar if window[0] == b'$' => {
                self.at = At::Length(Number::strict());
                (1, None)
            }
            At::Dollar => (0, Some(lost(session, Lost::NotTheProtocol))),
            At::Length(number) => match number.scan(window) {
                (read, Scan::More) => (read, None),
                (read, Scan::Done(length)) if length >= 0 => {
                    self.measured(length as u64);
                    (read, None)
                }
                (read, _) => (read, Some(lost(session, Lost::NotTheProtocol))),
            },
            At::Payload(_) | At::Cr | At::Lf => self.payload(window, session),
            At::Inline => self.line(window, session),
            At::End => (0, None),
        }
    }

    fn first(&mut self, byte: u8, session: &mut Session) -> Step {
        match byte {
            TLS_HANDSHAKE if self.offset == 0 => (0, Some(lost(session, Lost::Encrypted))),
            b'*' => {
                self.begin = self.offset;
                self.at = At::Count(Number::strict());
                (1, None)
            }
            b' ' | b'\t' | b'\r' | b'\n' | 0x21..=0x7e => {
                self.begin = self.offset;
                self.at = At::Inline;
                (0, None)
            }
            _ => (0, Some(lost(session, Lost::NotTheProtocol))),
        }
    }

    fn counted(&mut self, read: usize, count: i64, session: &mut Session) -> Step {
        if count <= 0 {
            self.at = At::Begin;
            return (read, Some(Up::Aside));
        }
        // The store itself takes no more.
        if count > i64::from(i32::MAX) {
            return (read, Some(lost(session, Lost::NotTheProtocol)));
        }
        self.argument_count = count as u32;
        self.argument = 0;
        self.told = Told::Nothing(Head::new(self.argument_count));
        self.at = At::Dollar;
        (read, None)
    }

    fn measured(&mut self, length: u64) {
        self.argument_bytes = length;
        self.kept.clear();
        self.wanted = match &self.told {
            Told::Nothing(head) => head.wanted(self.argument),
            Told::Head(_, Effect::ClientReply) if self.argument == REPLY_MODE_AT => {
                REPLY_MODE_BYTES_MAX
            }
            Told::Head(..) => self.listener.wanted(self.argument),
        };
        self.at = if length > 0 {
            At::Payload(length)
        } else {
            At::Cr
        };
    }

    fn payload(&mut self, window: &[u8], session: &mut Session) -> Step {
        match self.at {
            At::Payload(length) if self.kept.is_empty() => {
                if let Some((argument, read)) = whole(window, length) {
                    let kept = &argument[..argument.len().min(self.wanted)];
                    return (read, self.passed(kept, session));
                }
                self.piece(window, length)
            }
            At::Payload(left) => self.piece(window, left),
            At::Cr if window[0] == b'\r' => {
                self.at = At::Lf;
                (1, None)
            }
            At::Lf if window[0] == b'\n' => {
                let kept = std::mem::take(&mut self.kept);
                let event = self.passed(&kept, session);
                self.kept = kept;
                self.kept.clear();
                (1, event)
            }
            _ => (0, Some(lost(session, Lost::NotTheProtocol))),
        }
    }

    /// A part of an argument, or all of it without its CR LF.
    fn piece(&mut self, window: &[u8], left: u64) -> Step {
        let read = usize::try_from(left).map_or(window.len(), |left| left.min(window.len()));
        let keep = read.min(self.wanted - self.kept.len());
        self.kept.extend_from_slice(&window[..keep]);
        let left = left - read as u64;
        self.at = if left > 0 { At::Payload(left) } else { At::Cr };
        (read, None)
    }

    /// An argument has passed, with its CR LF.
    fn passed(&mut self, kept: &[u8], session: &mut Session) -> Option<Up> {
        let at = self.argument;
        self.argument += 1;
        self.at = if self.argument < self.argument_count {
            At::Dollar
        } else {
            At::End
        };
        match &mut self.told {
            Told::Nothing(head) => {
                head.argument(at, kept, self.argument_bytes);
                (head.is_complete() || matches!(self.at, At::End)).then(|| self.tell(session))
            }
            Told::Head(_, Effect::ClientReply) if at == REPLY_MODE_AT => {
                self.reply_mode = reply_mode(kept).filter(|_| self.argument_count == 3);
                None
            }
            Told::Head(..) => {
                self.listener.argument(at, kept, self.argument_bytes);
                None
            }
        }
    }

    fn tell(&mut self, session: &mut Session) -> Up {
        let Told::Nothing(head) = &mut self.told else {
            unreachable!("a head is told once");
        };
        let head = std::mem::replace(head, Head::new(0));
        let effect = head.effect();
        self.listener = Listener::new(head.says());
        match session.begin(effect, head.argument_count()) {
            Ok((id, in_transaction)) => {
                self.told = Told::Head(id, effect);
                Up::Head(head.into_command(id, in_transaction))
            }
            Err(reason) => lost(session, reason),
        }
    }

    fn end(&mut self, session: &mut Session) -> Up {
        let Told::Head(id, _) = self.told else {
            unreachable!("a head is told before the end");
        };
        if let Some(mode) = self.reply_mode.take() {
            session.reply_mode(mode);
        }
        self.at = At::Begin;
        let bytes = self.offset - self.begin;
        Up::End { id, bytes }
    }

    /// A command in a line of its own. The store itself takes none above the limit of a head.
    fn line(&mut self, window: &[u8], session: &mut Session) -> Step {
        for (at, &byte) in window.iter().enumerate() {
            let is_control = byte.is_ascii_control() && !inline::is_space(byte);
            if is_control || self.kept.len() == HEAD_BYTES_MAX {
                return (at, Some(lost(session, Lost::NotTheProtocol)));
            }
            if byte == b'\n' {
                let line = std::mem::take(&mut self.kept);
                return (at + 1, self.typed(&line, session));
            }
            self.kept.push(byte);
        }
        (window.len(), None)
    }

    fn typed(&mut self, line: &[u8], session: &mut Session) -> Option<Up> {
        let Some(words) = inline::words(line) else {
            return Some(lost(session, Lost::NotTheProtocol));
        };
        if words.is_empty() {
            self.at = At::Begin;
            return Some(Up::Aside);
        }
        self.argument_count = words.len() as u32;
        let mut head = Head::new(self.argument_count);
        for (at, word) in words.iter().enumerate() {
            let at = at as u32;
            let kept = &word[..word.len().min(head.wanted(at))];
            head.argument(at, kept, word.len() as u64);
        }
        if head.effect() == Effect::ClientReply && words.len() == 3 {
            self.reply_mode = reply_mode(&words[2]);
        }
        self.told = Told::Nothing(head);
        self.at = At::End;
        let told = self.tell(session);
        for (at, word) in words.iter().enumerate() {
            let at = at as u32;
            let kept = &word[..word.len().min(self.listener.wanted(at))];
            self.listener.argument(at, kept, word.len() as u64);
        }
        Some(told)
    }

    pub(super) fn take_remark(&mut self) -> Remark {
        self.listener.take()
    }

    #[cfg(test)]
    pub(super) fn retained_bytes(&self) -> usize {
        self.kept.capacity()
    }
}

/// An argument with its CR LF, if all of it is there, and how many bytes they are.
fn whole(window: &[u8], length: u64) -> Option<(&[u8], usize)> {
    let length = usize::try_from(length).ok()?;
    let end = length.checked_add(2)?;
    (window.get(length..end)? == b"\r\n").then(|| (&window[..length], end))
}

fn reply_mode(word: &[u8]) -> Option<ReplyMode> {
    match word.to_ascii_uppercase().as_slice() {
        b"ON" => Some(ReplyMode::On),
        b"OFF" => Some(ReplyMode::Off),
        b"SKIP" => Some(ReplyMode::Skip),
        _ => None,
    }
}

pub(super) fn lost(session: &mut Session, reason: Lost) -> Up {
    session.lost = Some(reason);
    Up::Lost(reason)
}
