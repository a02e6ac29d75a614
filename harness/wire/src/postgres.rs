//! Postgres: protocol 3, simple and extended.

use crate::{Advance, CommandId, Dialogue, Down, Lost, Up};

/// One connection to Postgres.
#[derive(Debug, Default)]
pub struct PostgresDialogue {}

impl Dialogue for PostgresDialogue {
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
