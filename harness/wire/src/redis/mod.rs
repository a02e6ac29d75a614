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
mod number;
mod session;
mod token;
mod up;
mod verb;

use crate::{Advance, CommandId, Dialogue, Down, Lost, Up};

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

    fn lost(&self) -> Option<Lost> {
        self.session.lost
    }
}
