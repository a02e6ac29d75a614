//! Redis: RESP2 and RESP3, arrays and inline commands.
//!
//! What is kept of a stream is what [`crate::limits`] allows; payloads are skipped a piece at a time. Some
//! things are known to be left out, and end in [`Lost`] where they matter: the streamed strings and aggregates
//! of RESP3, which no server sends; subscriptions and CLIENT REPLY inside a transaction, whose EXEC is
//! answered by something that is no single reply.

mod commands;
mod down;
mod head;
mod inline;
mod keys;
mod lookup;
mod message;
mod number;
mod says;
mod session;
mod token;
mod up;
mod verb;

use crate::{Advance, CommandId, Dialogue, Down, Lost, Remark, Up};

/// One connection to Redis.
#[derive(Debug, Default)]
pub struct RedisDialogue {
    requests: up::Requests,
    replies: down::Replies,
    session: session::Session,
}

impl Dialogue for RedisDialogue {
    fn up(&mut self, input: &[u8]) -> Advance<Up> {
        if self.session.lost.is_some() {
            return Advance {
                consumed: input.len(),
                event: None,
            };
        }
        self.requests.read(input, &mut self.session)
    }

    fn down(&mut self, input: &[u8]) -> Advance<Down> {
        if self.session.lost.is_some() {
            return Advance {
                consumed: input.len(),
                event: None,
            };
        }
        self.replies.read(input, &mut self.session)
    }

    fn withhold(&mut self, id: CommandId) {
        self.session.withhold(id);
    }

    fn oldest_pending(&self) -> Option<CommandId> {
        self.session.front().map(|front| front.id)
    }

    fn down_is_between(&self) -> bool {
        self.session.lost.is_none() && self.replies.is_between()
    }

    fn take_remark(&mut self) -> Remark {
        self.requests.take_remark()
    }

    fn lost(&self) -> Option<Lost> {
        self.session.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE_BYTES: usize = 512 << 20;
    const PIECE_BYTES: usize = 64 << 10;

    fn retained_bytes(dialogue: &RedisDialogue) -> usize {
        dialogue.requests.retained_bytes()
            + dialogue.replies.retained_bytes()
            + dialogue.session.retained_bytes()
    }

    fn stream(dialogue: &mut RedisDialogue, is_up: bool, bytes: &[u8]) -> usize {
        let (mut rest, mut events) = (bytes, 0);
        loop {
            let (consumed, is_event) = if is_up {
                let advance = dialogue.up(rest);
                (advance.consumed, advance.event.is_some())
            } else {
                let advance = dialogue.down(rest);
                (advance.consumed, advance.event.is_some())
            };
            rest = &rest[consumed..];
            if !is_event {
                return events;
            }
            events += 1;
        }
    }

    #[test]
    fn a_value_of_half_a_gigabyte_streams_through_without_being_kept() {
        let mut dialogue = RedisDialogue::default();
        let piece = vec![b'x'; PIECE_BYTES];
        for (is_up, begin) in [(true, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n"), (false, "")] {
            stream(&mut dialogue, is_up, begin.as_bytes());
            let length = format!("${VALUE_BYTES}\r\n");
            stream(&mut dialogue, is_up, length.as_bytes());
            for _ in 0..VALUE_BYTES / PIECE_BYTES {
                assert_eq!(stream(&mut dialogue, is_up, &piece), 0);
                assert!(retained_bytes(&dialogue) < 4096);
            }
            assert_eq!(stream(&mut dialogue, is_up, b"\r\n"), 1, "its end");
        }
    }

    #[test]
    fn a_key_of_half_a_gigabyte_is_cut_and_not_kept() {
        let mut dialogue = RedisDialogue::default();
        let begin = format!("*2\r\n$3\r\nGET\r\n${VALUE_BYTES}\r\n");
        stream(&mut dialogue, true, begin.as_bytes());
        let piece = vec![b'x'; PIECE_BYTES];
        for _ in 0..VALUE_BYTES / PIECE_BYTES {
            stream(&mut dialogue, true, &piece);
            assert!(retained_bytes(&dialogue) < 8192);
        }
        assert_eq!(stream(&mut dialogue, true, b"\r\n"), 1, "its end");
    }
}
