//! Commands, as they stream by.

use super::head::Head;
use super::inline;
use super::lookup::Effect;
use super::number::{self, Number, Scan};
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

/// What lies behind the bytes that were read.
#[derive(Debug, Clone, Copy)]
enum Stop {
    /// More bytes.
    Nothing,
    Head,
    Aside,
    Lost(Lost),
}

const BAD: Stop = Stop::Lost(Lost::NotTheProtocol);

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
    head: Head,
    /// What the head was told by, once it was.
    told: Option<(CommandId, Effect)>,
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
            head: Head::default(),
            told: None,
            reply_mode: None,
            listener: Listener::new(Says::Nothing),
        }
    }
}

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
            let (read, stop) = self.step(self.window(rest));
            consumed += read;
            self.offset += read as u64;
            let event = match stop {
                Stop::Nothing if !self.is_head_full() => continue,
                Stop::Nothing => {
                    self.head.cut(self.argument, &self.kept);
                    self.listener = Listener::new(self.head.says());
                    self.kept.clear();
                    self.wanted = 0;
                    self.tell(session)
                }
                Stop::Head => self.tell(session),
                Stop::Aside => Up::Aside,
                Stop::Lost(reason) => lost(session, reason),
            };
            let event = Some(event);
            return Advance { consumed, event };
        }
    }

    /// How far may be read before the head must be told.
    fn window<'a>(&self, rest: &'a [u8]) -> &'a [u8] {
        if !self.is_head_awaited() {
            return rest;
        }
        let left = self.begin + HEAD_BYTES_MAX as u64 - self.offset;
        &rest[..rest.len().min(left as usize)]
    }

    fn is_head_awaited(&self) -> bool {
        self.told.is_none() && !matches!(self.at, At::Begin | At::Inline | At::End)
    }

    fn is_head_full(&self) -> bool {
        self.is_head_awaited() && self.offset - self.begin >= HEAD_BYTES_MAX as u64
    }

    fn step(&mut self, window: &[u8]) -> (usize, Stop) {
        match &mut self.at {
            At::Begin => self.first(window),
            At::Dollar => self.dollar(window),
            At::Payload(_) | At::Cr | At::Lf => self.payload(window),
            At::Count(number) => match number.scan(window) {
                (read, Scan::More) => (read, Stop::Nothing),
                (read, Scan::Bad) => (read, BAD),
                (read, Scan::Done(count)) => (read, self.counted(count)),
            },
            At::Length(number) => match number.scan(window) {
                (read, Scan::More) => (read, Stop::Nothing),
                (read, Scan::Done(length)) if length >= 0 => {
                    self.measured(length as u64);
                    (read, Stop::Nothing)
                }
                (read, _) => (read, BAD),
            },
            At::Inline => self.line(window),
            At::End => (0, Stop::Nothing),
        }
    }

    fn first(&mut self, window: &[u8]) -> (usize, Stop) {
        self.begin = self.offset;
        self.told = None;
        match window[0] {
            TLS_HANDSHAKE if self.offset == 0 => (0, Stop::Lost(Lost::Encrypted)),
            b'*' => match number::quick(&window[1..]) {
                Some((count, read)) => (1 + read, self.counted(count)),
                None => {
                    self.at = At::Count(Number::strict());
                    (1, Stop::Nothing)
                }
            },
            b' ' | b'\t' | b'\r' | b'\n' | 0x21..=0x7e => {
                self.at = At::Inline;
                (0, Stop::Nothing)
            }
            _ => (0, BAD),
        }
    }

    fn counted(&mut self, count: i64) -> Stop {
        if count <= 0 {
            self.at = At::Begin;
            return Stop::Aside;
        }
        // The store itself takes no more.
        if count > i64::from(i32::MAX) {
            return BAD;
        }
        self.argument_count = count as u32;
        self.argument = 0;
        self.head.begin(self.argument_count);
        self.at = At::Dollar;
        Stop::Nothing
    }

    /// The begin of an argument, and all of it if it is short and there.
    fn dollar(&mut self, window: &[u8]) -> (usize, Stop) {
        if window[0] != b'$' {
            return (0, BAD);
        }
        let Some((length, digits)) = number::quick(&window[1..]) else {
            self.at = At::Length(Number::strict());
            return (1, Stop::Nothing);
        };
        let read = 1 + digits;
        self.measured(length as u64);
        match number::with_crlf(&window[read..], length as u64) {
            Some((argument, more)) => {
                let kept = &argument[..argument.len().min(self.wanted)];
                (read + more, self.passed(kept))
            }
            None => (read, Stop::Nothing),
        }
    }

    fn measured(&mut self, length: u64) {
        self.argument_bytes = length;
        self.kept.clear();
        self.wanted = match self.told {
            None => self.head.wanted(self.argument),
            Some((_, Effect::ClientReply)) if self.argument == REPLY_MODE_AT => {
                REPLY_MODE_BYTES_MAX
            }
            Some(_) => self.listener.wanted(self.argument),
        };
        self.at = if length > 0 {
            At::Payload(length)
        } else {
            At::Cr
        };
    }

    fn payload(&mut self, window: &[u8]) -> (usize, Stop) {
        match self.at {
            At::Payload(left) => {
                let read =
                    usize::try_from(left).map_or(window.len(), |left| left.min(window.len()));
                let keep = read.min(self.wanted - self.kept.len());
                self.kept.extend_from_slice(&window[..keep]);
                let left = left - read as u64;
                self.at = if left > 0 { At::Payload(left) } else { At::Cr };
                (read, Stop::Nothing)
            }
            At::Cr if window[0] == b'\r' => {
                self.at = At::Lf;
                (1, Stop::Nothing)
            }
            At::Lf if window[0] == b'\n' => {
                let kept = std::mem::take(&mut self.kept);
                let stop = self.passed(&kept);
                self.kept = kept;
                self.kept.clear();
                (1, stop)
            }
            _ => (0, BAD),
        }
    }

    /// An argument has passed, with its CR LF.
    fn passed(&mut self, kept: &[u8]) -> Stop {
        let at = self.argument;
        self.argument += 1;
        let is_end = self.argument == self.argument_count;
        self.at = if is_end { At::End } else { At::Dollar };
        match self.told {
            None => {
                self.head.argument(at, kept, self.argument_bytes);
                if is_end || self.head.is_complete() {
                    self.listener = Listener::new(self.head.says());
                    return Stop::Head;
                }
            }
            Some((_, Effect::ClientReply)) if at == REPLY_MODE_AT => {
                self.reply_mode = reply_mode(kept).filter(|_| self.argument_count == 3);
            }
            Some(_) => self.listener.argument(at, kept, self.argument_bytes),
        }
        Stop::Nothing
    }

    fn tell(&mut self, session: &mut Session) -> Up {
        let effect = self.head.effect();
        match session.begin(effect, self.argument_count) {
            Ok((id, in_transaction)) => {
                self.told = Some((id, effect));
                Up::Head(self.head.take_command(id, in_transaction))
            }
            Err(reason) => lost(session, reason),
        }
    }

    fn end(&mut self, session: &mut Session) -> Up {
        if let Some(mode) = self.reply_mode.take() {
            session.reply_mode(mode);
        }
        self.at = At::Begin;
        let (id, _) = self.told.expect("a head is told before the end");
        let bytes = self.offset - self.begin;
        Up::End { id, bytes }
    }

    /// A command in a line of its own. The store itself takes none above the limit of a head.
    fn line(&mut self, window: &[u8]) -> (usize, Stop) {
        for (at, &byte) in window.iter().enumerate() {
            let is_control = byte.is_ascii_control() && !inline::is_space(byte);
            if is_control || self.kept.len() == HEAD_BYTES_MAX {
                return (at, BAD);
            }
            if byte == b'\n' {
                let line = std::mem::take(&mut self.kept);
                return (at + 1, self.typed(&line));
            }
            self.kept.push(byte);
        }
        (window.len(), Stop::Nothing)
    }

    fn typed(&mut self, line: &[u8]) -> Stop {
        let Some(words) = inline::words(line) else {
            return BAD;
        };
        if words.is_empty() {
            self.at = At::Begin;
            return Stop::Aside;
        }
        self.argument_count = words.len() as u32;
        self.head.begin(self.argument_count);
        for (at, word) in words.iter().enumerate() {
            let at = at as u32;
            let kept = &word[..word.len().min(self.head.wanted(at))];
            self.head.argument(at, kept, word.len() as u64);
        }
        if self.head.effect() == Effect::ClientReply && words.len() == 3 {
            self.reply_mode = reply_mode(&words[2]);
        }
        self.listener = Listener::new(self.head.says());
        for (at, word) in words.iter().enumerate() {
            let at = at as u32;
            let kept = &word[..word.len().min(self.listener.wanted(at))];
            self.listener.argument(at, kept, word.len() as u64);
        }
        self.at = At::End;
        Stop::Head
    }

    pub(super) fn take_remark(&mut self) -> Remark {
        self.listener.take()
    }

    #[cfg(test)]
    pub(super) fn retained_bytes(&self) -> usize {
        self.kept.capacity() + self.head.retained_bytes()
    }
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
