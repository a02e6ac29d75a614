//! What the server sends.

use super::error_text::ErrorText;
use super::message::{HEADER_BYTES, Header, LENGTH_MAX, Message};
use super::shared::{CopyIn, Ending, Pending, Shared};
use crate::{Advance, CommandId, Down, Lost, Reply, ReplyKind};

/// Bytes kept of a command's tag; the longest that counts rows has some thirty.
const TAG_BYTES_MAX: usize = 64;

/// The reply that has begun.
#[derive(Debug)]
struct Answer {
    id: CommandId,
    bytes: u64,
    /// ParseComplete messages.
    parses: u32,
    /// DataRow messages of the current statement.
    rows: u64,
    /// What the last statement came to.
    kind: ReplyKind,
    error: Option<Box<str>>,
}

impl Answer {
    /// The header of its first message has been read.
    fn begun(id: CommandId) -> Self {
        Self {
            id,
            bytes: HEADER_BYTES as u64,
            parses: 0,
            rows: 0,
            kind: ReplyKind::Done,
            error: None,
        }
    }

    /// The rows with which the input begins, as far as they are complete: what large replies consist of, so
    /// they are not taken through the states of a message one by one. How many bytes they are.
    fn take_rows(&mut self, input: &[u8]) -> usize {
        let mut read = 0;
        while let [b'D', l0, l1, l2, l3, ..] = input[read..] {
            let length = u32::from_be_bytes([l0, l1, l2, l3]);
            let is_possible = (4..=LENGTH_MAX).contains(&length);
            let length = length as usize;
            if !is_possible || length >= input.len() - read {
                break;
            }
            read += 1 + length;
            self.rows += 1;
        }
        self.bytes += read as u64;
        read
    }
}

/// What the message that is being read belongs to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// No reply.
    #[default]
    Aside,
    /// The reply that has begun.
    Answer,
}

/// The direction from the server to the client.
#[derive(Debug, Default)]
pub(super) struct DownSide {
    message: Message,
    place: Place,
    answer: Option<Answer>,
    /// The first ReadyForQuery has come: the session is set up.
    is_ready: bool,
    /// A ReadyForQuery may come that answers no cycle: see [`may_answer_both`].
    may_be_surplus: bool,
    tag: Vec<u8>,
    error: ErrorText,
    /// The last byte of the body: the state in a ReadyForQuery.
    last: u8,
}

/// Whether the body of such a message is always empty; none for a type that no server sends.
fn body_is_empty(kind: u8) -> Option<bool> {
    match kind {
        b'1' | b'2' | b'3' | b'c' | b'I' | b'n' | b's' => Some(true),
        b'A' | b'C' | b'd' | b'D' | b'E' | b'G' | b'H' | b'K' | b'N' | b'R' | b'S' | b't'
        | b'T' | b'v' | b'V' | b'W' | b'Z' => Some(false),
        _ => None,
    }
}

type Outcome = Result<Option<Down>, Lost>;

impl DownSide {
    pub(super) fn read(&mut self, input: &[u8], shared: &mut Shared) -> Advance<Down> {
        let mut consumed = 0;
        loop {
            if shared.lost.is_some() {
                return Advance {
                    consumed: input.len(),
                    event: None,
                };
            }
            let rest = &input[consumed..];
            let (read, outcome) = match self.message.is_in_body() {
                true if self.message.left() == 0 => (0, self.finish(shared)),
                _ if rest.is_empty() => {
                    return Advance {
                        consumed,
                        event: None,
                    };
                }
                true => (self.step_body(rest), Ok(None)),
                false => self.step_header(rest, shared),
            };
            consumed += read;
            let event = outcome.unwrap_or_else(|lost| {
                shared.lost = Some(lost);
                Some(Down::Lost(lost))
            });
            if event.is_some() {
                return Advance { consumed, event };
            }
        }
    }

    /// Whether nothing has begun.
    pub(super) fn is_between(&self) -> bool {
        self.message.is_between() && self.answer.is_none()
    }

    fn step_header(&mut self, input: &[u8], shared: &mut Shared) -> (usize, Outcome) {
        if shared.encryption_answers > 0 && self.message.is_between() {
            match encryption_answer(input[0], shared) {
                Ok(None) => {}
                told => return (1, told),
            }
        }
        if self.message.is_between()
            && let Some(answer) = &mut self.answer
        {
            let read = answer.take_rows(input);
            if read > 0 {
                return (read, Ok(None));
            }
        }
        let (read, outcome) = self.message.read_header(input, body_is_empty);
        self.count(read);
        let outcome = match outcome {
            Err(lost) => Err(lost),
            Ok(Header::Partial) => Ok(None),
            Ok(Header::Complete) => self.begin(shared),
        };
        (read, outcome)
    }

    fn step_body(&mut self, input: &[u8]) -> usize {
        let piece = &input[..input.len().min(self.message.left())];
        match self.message.kind() {
            b'C' => {
                let room = TAG_BYTES_MAX - self.tag.len();
                self.tag.extend_from_slice(&piece[..piece.len().min(room)]);
            }
            b'E' => self.error.feed(piece),
            b'Z' => self.last = piece[piece.len() - 1],
            _ => {}
        }
        self.message.skip(piece.len());
        self.count(piece.len());
        piece.len()
    }

    fn count(&mut self, bytes: usize) {
        if let Some(answer) = &mut self.answer {
            answer.bytes += bytes as u64;
        }
    }

    /// The header of a message is complete.
    fn begin(&mut self, shared: &mut Shared) -> Outcome {
        let kind = self.message.kind();
        let body_bytes = self.message.left();
        match kind {
            b'C' => self.tag.clear(),
            b'E' => self.error.clear(),
            b'Z' if body_bytes != 1 => return Err(Lost::NotTheProtocol),
            _ => {}
        }
        if !self.is_ready {
            self.place = Place::Aside;
            return match kind {
                b'E' => Ok(None),
                b'R' | b'K' | b'S' | b'N' | b'v' | b'Z' if shared.is_asked => Ok(None),
                _ if shared.is_asked => Err(Lost::NotTheProtocol),
                _ => Err(Lost::UnaskedReply),
            };
        }
        match kind {
            b'R' | b'K' | b'v' => return Err(Lost::NotTheProtocol),
            b'W' => return Err(Lost::OtherStream),
            _ => {}
        }
        self.begin_in_session(kind, shared)
    }

    fn begin_in_session(&mut self, kind: u8, shared: &mut Shared) -> Outcome {
        self.place = Place::Answer;
        let mut head = None;
        if self.answer.is_none() {
            if matches!(kind, b'N' | b'S' | b'A') {
                self.place = Place::Aside;
                return Ok(None);
            }
            if kind == b'Z' && self.is_surplus(shared) {
                self.place = Place::Aside;
                return Ok(None);
            }
            let Some(id) = owed(shared) else {
                self.place = Place::Aside;
                // A server that shuts down, or has lost its patience, says so unasked.
                return if kind == b'E' {
                    Ok(None)
                } else {
                    Err(Lost::UnaskedReply)
                };
            };
            // It would have come before this.
            self.may_be_surplus &= kind == b'Z';
            self.answer = Some(Answer::begun(id));
            head = Some(Down::Head(id));
        }
        let answer = self
            .answer
            .as_mut()
            .expect("it has begun, at the latest just now");
        match kind {
            b'D' => answer.rows += 1,
            b'1' => answer.parses += 1,
            b'G' => copy_in(answer.id, shared)?,
            _ => {}
        }
        Ok(head)
    }

    /// Whether a ReadyForQuery with which a reply would begin answers a Sync that was told as an aside.
    fn is_surplus(&mut self, shared: &Shared) -> bool {
        let front = shared.pending.front().map(|pending| pending.ending);
        // Before a bare Sync the two cannot be told apart, and need not be: the other one comes next.
        self.may_be_surplus
            && front != Some(Ending::Bare)
            && std::mem::take(&mut self.may_be_surplus)
    }

    /// A message is complete.
    fn finish(&mut self, shared: &mut Shared) -> Outcome {
        let kind = self.message.kind();
        self.message.end();
        if kind == b'Z' {
            shared.is_in_transaction = match self.last {
                b'I' => false,
                b'T' | b'E' => true,
                _ => return Err(Lost::NotTheProtocol),
            };
        }
        if self.place == Place::Aside {
            self.is_ready |= kind == b'Z';
            return Ok(Some(Down::Aside));
        }
        let answer = self.answer.as_mut().expect("the message is a part of it");
        match kind {
            b'C' => {
                answer.kind = rows_of(&self.tag).map_or(ReplyKind::Done, ReplyKind::Rows);
                answer.rows = 0;
            }
            b's' => answer.kind = ReplyKind::Rows(std::mem::take(&mut answer.rows)),
            b'I' | b'V' => answer.kind = ReplyKind::Done,
            b'E' => {
                let text = self.error.text();
                answer.error.get_or_insert(text);
                fail(answer, shared)?;
            }
            b'Z' => return self.end_answer(shared),
            _ => {}
        }
        Ok(None)
    }

    fn end_answer(&mut self, shared: &mut Shared) -> Outcome {
        let answer = self
            .answer
            .take()
            .expect("its last message has just been read");
        let owed = shared
            .pending
            .front()
            .filter(|pending| pending.id == answer.id);
        if owed.is_some_and(|pending| pending.ending == Ending::Open) {
            return Err(Lost::UnaskedReply);
        }
        if owed.is_some() {
            shared.pending.pop_front();
        }
        let copy = shared.copy_in.take_if(|copy| copy.id == answer.id);
        self.may_be_surplus |= copy.is_some_and(may_answer_both);
        if !shared.is_in_transaction && shared.pending.is_empty() && shared.open.is_none() {
            shared.known.end_transaction();
        }
        let kind = answer.error.map_or(answer.kind, ReplyKind::Error);
        let bytes = answer.bytes;
        Ok(Some(Down::End {
            id: answer.id,
            reply: Reply { kind, bytes },
            is_last: true,
        }))
    }
}

/// The single byte that answers a request for encryption. An old server answers with an error instead.
fn encryption_answer(byte: u8, shared: &mut Shared) -> Outcome {
    match byte {
        b'N' => {
            shared.encryption_answers -= 1;
            Ok(Some(Down::Aside))
        }
        b'S' | b'G' => Err(Lost::Encrypted),
        b'E' => {
            shared.encryption_answers = 0;
            Ok(None)
        }
        _ => Err(Lost::NotTheProtocol),
    }
}

/// The cycle to which the next message of the server answers: perhaps one whose head is not known yet.
fn owed(shared: &mut Shared) -> Option<CommandId> {
    if shared.pending.is_empty() {
        let id = shared.open?;
        let ending = Ending::Open;
        shared.pending.push_back(Pending { id, ending });
    }
    shared.pending.front().map(|pending| pending.id)
}

/// The server begins to read data of a COPY. Whatever else was sent to it by now it takes for a part of them.
fn copy_in(id: CommandId, shared: &mut Shared) -> Result<(), Lost> {
    let is_alone = shared.pending.len() == 1 && shared.open.is_none_or(|open| open == id);
    let ending = shared.pending.front().map(|pending| pending.ending);
    if !is_alone || ending == Some(Ending::Mixed) {
        return Err(Lost::NotTheProtocol);
    }
    shared.copy_in = Some(CopyIn {
        id,
        owes_sync: ending == Some(Ending::Sync),
        has_second_sync: false,
        has_failed: false,
        is_over: false,
    });
    Ok(())
}

/// A server that fails after it has asked for data, but before it reads any (a view that takes none, a trigger),
/// goes on to the Sync that stands before the data. If the one behind them had been sent by then, and taken
/// for what it waits for, it is answered, too.
fn may_answer_both(copy: CopyIn) -> bool {
    copy.has_failed && copy.has_second_sync
}

/// A cycle has failed.
fn fail(answer: &Answer, shared: &mut Shared) -> Result<(), Lost> {
    shared.known.forget_failed(answer.id, answer.parses);
    if let Some(copy) = shared.copy_in.as_mut().filter(|copy| copy.id == answer.id) {
        copy.is_over = true;
        copy.has_failed = true;
    }
    let owed = shared
        .pending
        .front()
        .filter(|pending| pending.id == answer.id);
    match owed.map(|pending| pending.ending) {
        Some(Ending::Mixed) => Err(Lost::NotTheProtocol),
        _ => Ok(()),
    }
}

/// The rows of a command's tag, if it counts any.
fn rows_of(tag: &[u8]) -> Option<u64> {
    let tag = tag.strip_suffix(b"\0")?;
    let tag = std::str::from_utf8(tag).ok()?;
    let (name, count) = tag.rsplit_once(' ')?;
    let name = name.split_once(' ').map_or(name, |(name, _)| name);
    let counts_rows = matches!(
        name,
        "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "COPY" | "FETCH" | "MOVE"
    );
    count.parse().ok().filter(|_| counts_rows)
}
