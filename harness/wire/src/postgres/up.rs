//! What the client sends.

use super::cycle::Cycle;
use super::fields::{Fed, Fields};
use super::message::{HEADER_BYTES, Header, Message};
use super::shared::{Ending, Pending, Shared};
use super::startup::{Packet, StartupPackets};
use crate::limits::{HEAD_BYTES_MAX, PENDING_MAX};
use crate::{Advance, Command, CommandId, Lost, Up};

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Packets without a type byte.
    #[default]
    Startup,
    Typed,
    /// Nothing may follow: a Terminate or CancelRequest was sent.
    Over,
}

/// What a message is to the cycles.
enum Role {
    /// No part of any.
    Alone,
    /// It belongs to the one that is open, or opens one; and may end it.
    Part { ends_cycle: bool },
}

/// Events that have been reached and are told one at a time, in this order.
#[derive(Debug, Default)]
struct Due {
    head: Option<Command>,
    end: bool,
    aside: bool,
    lost: Option<Lost>,
}

/// The direction from the client to the server.
#[derive(Debug, Default)]
pub(super) struct UpSide {
    phase: Phase,
    packets: StartupPackets,
    message: Message,
    fields: Fields,
    /// The cycle that has begun.
    cycle: Option<Cycle>,
    /// The id of the cycle that has begun, or of the next.
    id: u64,
    has_head: bool,
    /// All that is wanted of this message has been taken from it.
    is_taken: bool,
    /// The cycle does not reach the server.
    is_withheld: bool,
    /// An End was told, and its command may yet be withheld.
    is_unsettled: bool,
    /// The end of this message ends the cycle.
    ends_cycle: bool,
    due: Due,
}

/// Whether the body of such a message is always empty; none for a type that no client sends.
fn body_is_empty(kind: u8) -> Option<bool> {
    match kind {
        b'S' | b'H' | b'X' | b'c' => Some(true),
        b'Q' | b'F' | b'P' | b'B' | b'D' | b'E' | b'C' | b'd' | b'f' | b'p' => Some(false),
        _ => None,
    }
}

impl UpSide {
    pub(super) fn read(&mut self, input: &[u8], shared: &mut Shared) -> Advance<Up> {
        // A caller may ask with nothing whether there is more to tell, and withhold only then.
        if !input.is_empty() && std::mem::take(&mut self.is_unsettled) {
            shared.known.keep();
            self.is_withheld = false;
        }
        let mut consumed = 0;
        loop {
            if shared.lost.is_some() {
                return Advance {
                    consumed: input.len(),
                    event: None,
                };
            }
            let event = self.tell(shared);
            if event.is_some() || consumed == input.len() {
                return Advance { consumed, event };
            }
            consumed += self.step(&input[consumed..], shared);
        }
    }

    pub(super) fn withhold(&mut self, id: CommandId, shared: &mut Shared) {
        let is_latest = match self.is_unsettled {
            true => self.id.checked_sub(1) == Some(id.0),
            false => self.has_head && self.id == id.0,
        };
        if !is_latest {
            return;
        }
        if shared.newest(id).is_some() {
            shared.pending.pop_back();
        }
        shared.known.roll_back();
        self.is_withheld = true;
    }

    fn tell(&mut self, shared: &mut Shared) -> Option<Up> {
        if let Some(command) = self.due.head.take() {
            return Some(Up::Head(command));
        }
        if std::mem::take(&mut self.due.end) {
            return Some(self.end_cycle(shared));
        }
        if std::mem::take(&mut self.due.aside) {
            return Some(Up::Aside);
        }
        let lost = self.due.lost.take()?;
        shared.lost = Some(lost);
        Some(Up::Lost(lost))
    }

    /// Reads some of a non-empty input, at most to the next event: how much.
    fn step(&mut self, input: &[u8], shared: &mut Shared) -> usize {
        match self.phase {
            Phase::Startup => self.step_startup(input, shared),
            Phase::Typed => self.step_typed(input, shared),
            Phase::Over => {
                self.due.lost = Some(Lost::NotTheProtocol);
                1
            }
        }
    }

    fn step_startup(&mut self, input: &[u8], shared: &mut Shared) -> usize {
        let (read, outcome) = self.packets.read(input);
        match outcome {
            Err(lost) => self.due.lost = Some(lost),
            Ok(None) => {}
            Ok(Some(packet)) => {
                self.due.aside = true;
                match packet {
                    Packet::Encryption => {
                        shared.encryption_answers = shared.encryption_answers.saturating_add(1)
                    }
                    Packet::Cancel => self.phase = Phase::Over,
                    Packet::Startup => {
                        self.phase = Phase::Typed;
                        shared.is_asked = true;
                    }
                }
            }
        }
        read
    }

    fn step_typed(&mut self, input: &[u8], shared: &mut Shared) -> usize {
        let room = match &self.cycle {
            Some(cycle) if !self.has_head => HEAD_BYTES_MAX - cycle.bytes as usize,
            _ => usize::MAX,
        };
        let input = &input[..input.len().min(room)];
        let read = match self.message.is_in_body() {
            true => self.step_body(input, shared),
            false => self.step_header(input, shared),
        };
        if self.message.is_in_body() && self.message.left() == 0 {
            self.finish_message(shared);
        }
        let is_long = self
            .cycle
            .as_ref()
            .is_some_and(|cycle| cycle.bytes >= HEAD_BYTES_MAX as u64);
        if is_long && !self.has_head {
            self.know_head(false, shared);
        }
        read
    }

    fn step_header(&mut self, input: &[u8], shared: &mut Shared) -> usize {
        let (read, outcome) = self.message.read_header(input, body_is_empty);
        self.count(read);
        match outcome {
            Err(lost) => self.due.lost = Some(lost),
            Ok(Header::Partial) => {}
            Ok(Header::Complete) => self.begin_message(shared),
        }
        read
    }

    fn step_body(&mut self, input: &[u8], shared: &mut Shared) -> usize {
        let piece = &input[..input.len().min(self.message.left())];
        let mut read = piece.len();
        if self.cycle.is_some() && !self.is_taken {
            let (fed_bytes, fed) = self.fields.feed(piece);
            read = fed_bytes;
            if fed == Fed::Enough {
                self.take(true, shared);
            }
        }
        self.message.skip(read);
        self.count(read);
        read
    }

    fn count(&mut self, bytes: usize) {
        if let Some(cycle) = &mut self.cycle {
            cycle.bytes += bytes as u64;
        }
    }

    fn begin_message(&mut self, shared: &mut Shared) {
        let kind = self.message.kind();
        let Role::Part { ends_cycle } = self.role_of(kind, shared) else {
            return;
        };
        let cycle = self.cycle.get_or_insert_with(|| {
            shared.open = Some(CommandId(self.id));
            Cycle::new(HEADER_BYTES)
        });
        cycle.begin_message(kind);
        self.fields.begin(kind);
        self.is_taken = false;
        self.ends_cycle = ends_cycle;
        if kind == b'F' {
            self.take(true, shared);
        }
    }

    /// What a message is to the cycles. Says so itself if that cannot be told.
    fn role_of(&mut self, kind: u8, shared: &mut Shared) -> Role {
        let is_in_cycle = self.cycle.is_some();
        let part_or_alone = match is_in_cycle {
            true => Role::Part { ends_cycle: false },
            false => Role::Alone,
        };
        let copy_in = shared
            .copy_in
            .as_mut()
            .filter(|copy| !copy.is_over || copy.owes_sync);
        match (kind, copy_in) {
            (b'd' | b'c' | b'f' | b'p' | b'X' | b'H', _) => part_or_alone,
            (b'S', Some(copy)) => {
                // It is ignored before the end of the data; after it, it is the one that the server waits for.
                copy.has_second_sync |= copy.owes_sync && copy.is_over;
                copy.owes_sync &= !copy.is_over;
                part_or_alone
            }
            (_, Some(_)) if !is_in_cycle => {
                self.due.lost = Some(Lost::NotTheProtocol);
                Role::Alone
            }
            (_, copy) => {
                if let Some(copy) = copy {
                    // The server refuses it, and then waits for the Sync of this cycle.
                    copy.is_over = true;
                }
                Role::Part {
                    ends_cycle: matches!(kind, b'S' | b'Q' | b'F'),
                }
            }
        }
    }

    /// All that is wanted of this message is known; or, if it is not `is_whole`, no more is waited for.
    fn take(&mut self, is_whole: bool, shared: &mut Shared) {
        self.is_taken = true;
        let (id, is_assumed) = (CommandId(self.id), !self.is_withheld);
        let cycle = self
            .cycle
            .as_mut()
            .expect("it is called for a message in a cycle");
        match self.message.kind() {
            b'Q' => cycle.query(
                &mut self.fields.text,
                is_whole,
                &mut shared.known,
                is_assumed,
            ),
            b'F' => cycle.call_function(),
            kind => return cycle.take(kind, &mut self.fields, &mut shared.known, id, is_assumed),
        }
        if !self.has_head {
            self.know_head(true, shared);
        }
    }

    fn know_head(&mut self, is_decided: bool, shared: &mut Shared) {
        if !is_decided && !self.is_taken && self.message.is_in_body() && self.message.kind() == b'Q'
        {
            // Takes what has come, and comes back here.
            return self.take(false, shared);
        }
        let id = CommandId(self.id);
        self.has_head = true;
        if shared.newest(id).is_none() {
            if shared.pending.len() >= PENDING_MAX {
                self.due.lost = Some(Lost::TooManyPending);
                return;
            }
            let ending = Ending::Open;
            shared.pending.push_back(Pending { id, ending });
        }
        let cycle = self.cycle.as_mut().expect("only a cycle has a head");
        self.due.head = Some(cycle.tell(id, shared.is_in_transaction, is_decided));
    }

    fn finish_message(&mut self, shared: &mut Shared) {
        let kind = self.message.kind();
        match (kind, &mut shared.copy_in) {
            (b'c' | b'f', Some(copy)) => copy.is_over = true,
            (b'X', _) => self.phase = Phase::Over,
            _ => {}
        }
        if self.cycle.is_none() {
            self.due.aside = self.due.lost.is_none();
        } else if kind == b'X' {
            self.abandon(shared);
        } else {
            self.finish_part(kind, shared);
        }
        self.message.end();
    }

    fn finish_part(&mut self, kind: u8, shared: &mut Shared) {
        if kind == b'Q' && !self.is_taken {
            // No zero ends the text: the server will refuse it, and answer.
            self.take(true, shared);
        }
        if !self.has_head && (self.ends_cycle || kind == b'H') {
            self.know_head(self.ends_cycle, shared);
        }
        if !self.ends_cycle {
            return;
        }
        self.due.end = self.due.lost.is_none();
        let cycle = self
            .cycle
            .as_ref()
            .expect("its last message has just ended");
        let (is_extended, is_bare) = (cycle.is_extended, cycle.messages == 1);
        if let Some(pending) = shared.newest(CommandId(self.id)) {
            pending.ending = match kind {
                b'S' if is_bare => Ending::Bare,
                b'S' => Ending::Sync,
                _ if is_extended => Ending::Mixed,
                _ => Ending::Simple,
            };
        }
    }

    /// The client says goodbye in the middle of a cycle, to which no answer will come.
    fn abandon(&mut self, shared: &mut Shared) {
        if self.has_head {
            self.due.end = true;
        } else {
            self.cycle = None;
            shared.open = None;
            self.due.aside = true;
        }
    }

    fn end_cycle(&mut self, shared: &mut Shared) -> Up {
        let id = CommandId(self.id);
        let bytes = self.cycle.take().map_or(0, |cycle| cycle.bytes);
        self.id += 1;
        self.has_head = false;
        self.is_unsettled = true;
        shared.open = None;
        Up::End { id, bytes }
    }
}
