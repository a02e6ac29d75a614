//! Plays what two sides say to a dialogue, cut in several ways, and writes down what it tells.

use touchstone_wire::redis::RedisDialogue;
use touchstone_wire::{Command, CommandId, Dialogue, Down, Lost, ReplyKind, Up};

/// One connection.
#[derive(Default)]
pub(crate) struct Exchange {
    /// The same connection, read whole, byte by byte, and in pieces of three.
    copies: [RedisDialogue; 3],
    heads: Vec<Command>,
}

const PIECES: [usize; 3] = [usize::MAX, 1, 3];

impl Exchange {
    /// What is told of bytes from the service, in words.
    #[track_caller]
    pub(crate) fn up(&mut self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        let mut all = Vec::new();
        for (dialogue, piece) in self.copies.iter_mut().zip(PIECES) {
            all.push(up(dialogue, bytes.as_ref(), piece));
        }
        assert_eq!(all[0], all[1], "byte by byte it is the same");
        assert_eq!(all[0], all[2], "in pieces of three it is the same");
        let told = all.remove(0);
        self.heads = told.iter().filter_map(|(_, event)| head(event)).collect();
        told.iter().map(|(_, event)| up_words(event)).collect()
    }

    /// What is told of bytes from the store, in words.
    #[track_caller]
    pub(crate) fn down(&mut self, bytes: impl AsRef<[u8]>) -> Vec<String> {
        let mut all = Vec::new();
        for (dialogue, piece) in self.copies.iter_mut().zip(PIECES) {
            all.push(down(dialogue, bytes.as_ref(), piece));
        }
        assert_eq!(all[0], all[1], "byte by byte it is the same");
        assert_eq!(all[0], all[2], "in pieces of three it is the same");
        all[0].iter().map(|(_, event)| down_words(event)).collect()
    }

    /// The heads among the last events from the service.
    pub(crate) fn heads(&self) -> &[Command] {
        &self.heads
    }

    pub(crate) fn withhold(&mut self, id: u64) {
        for dialogue in &mut self.copies {
            dialogue.withhold(CommandId(id));
        }
    }

    pub(crate) fn oldest_pending(&self) -> Option<u64> {
        self.copies[0].oldest_pending().map(|id| id.0)
    }

    pub(crate) fn down_is_between(&self) -> bool {
        self.copies[0].down_is_between()
    }

    pub(crate) fn lost(&self) -> Option<Lost> {
        self.copies[0].lost()
    }
}

/// Events and where they lie behind the begin of the input.
pub(crate) fn up(dialogue: &mut RedisDialogue, bytes: &[u8], piece: usize) -> Vec<(usize, Up)> {
    drive(bytes, piece, |rest| {
        let advance = dialogue.up(rest);
        (advance.consumed, advance.event)
    })
}

/// The same for the other direction.
pub(crate) fn down(dialogue: &mut RedisDialogue, bytes: &[u8], piece: usize) -> Vec<(usize, Down)> {
    drive(bytes, piece, |rest| {
        let advance = dialogue.down(rest);
        (advance.consumed, advance.event)
    })
}

fn drive<E>(
    bytes: &[u8],
    piece: usize,
    mut read: impl FnMut(&[u8]) -> (usize, Option<E>),
) -> Vec<(usize, E)> {
    let mut told = Vec::new();
    let mut offset = 0;
    for piece in bytes.chunks(piece.min(bytes.len()).max(1)) {
        let mut rest = piece;
        let mut in_place = 0;
        loop {
            let (consumed, event) = read(rest);
            rest = &rest[consumed..];
            offset += consumed;
            in_place = if consumed == 0 { in_place + 1 } else { 0 };
            assert!(in_place < 4, "it gets on");
            match event {
                Some(event) => told.push((offset, event)),
                None => break,
            }
        }
        assert!(rest.is_empty(), "without an event all is consumed");
    }
    told
}

fn head(event: &Up) -> Option<Command> {
    match event {
        Up::Head(command) => Some(command.clone()),
        _ => None,
    }
}

fn up_words(event: &Up) -> String {
    match event {
        Up::Head(command) => command_words(command),
        Up::End { id, bytes } => format!("end {} of {bytes}", id.0),
        Up::Aside => "aside".to_owned(),
        Up::Lost(lost) => format!("lost {lost:?}"),
    }
}

/// `id NAME key key`, then what is unusual: more keys, a transaction, not whole.
fn command_words(command: &Command) -> String {
    let mut words = format!("{} {}", command.id.0, command.name);
    for key in &command.keys {
        words += &format!(" {}", String::from_utf8_lossy(key));
    }
    if command.key_count != command.keys.len() {
        words += &format!(" of {}", command.key_count);
    }
    if command.in_transaction {
        words += " (in transaction)";
    }
    if !command.is_whole {
        words += " (cut)";
    }
    words
}

fn down_words(event: &Down) -> String {
    match event {
        Down::Head(id) => format!("to {}", id.0),
        Down::End { id, reply, is_last } => {
            let kind = match &reply.kind {
                ReplyKind::Error(text) => format!("error {text}"),
                kind => format!("{kind:?}"),
            };
            let more = if *is_last { "" } else { ", more" };
            format!("end {} {kind} of {}{more}", id.0, reply.bytes)
        }
        Down::Aside => "aside".to_owned(),
        Down::Lost(lost) => format!("lost {lost:?}"),
    }
}

/// A command as a client sends it.
pub(crate) fn command(words: &str) -> Vec<u8> {
    let words: Vec<&[u8]> = words.split_whitespace().map(str::as_bytes).collect();
    array(&words)
}

/// The same, of any bytes.
pub(crate) fn array(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
