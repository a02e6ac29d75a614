//! Redis: RESP2 and RESP3, arrays and inline commands.

use crate::{Advance, CommandId, Dialogue, Down, Lost, Up};

/// One connection to Redis.
#[derive(Debug, Default)]
pub struct RedisDialogue {}

impl Dialogue for RedisDialogue {
    fn up(&mut self, input: &[u8]) -> Advance<Up> {
        Advance {
            consumed: input.len(),
            event: None,
        }
    }
    fn down(&mut self, input: &[u8]) -> Advance<Down> {
        Advance {
            consumed: input.len(),
            event: None,
        }
    }
    fn withhold(&mut self, _id: CommandId) {}
    fn oldest_pending(&self) -> Option<CommandId> {
        None
    }
    fn down_is_between(&self) -> bool {
        true
    }
    fn lost(&self) -> Option<Lost> {
        None
    }
}
