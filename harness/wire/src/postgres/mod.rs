//! Postgres: protocol 3, simple and extended.
//!
//! A command is a **cycle**: all that the client sends up to and including the message for which the server
//! owes a ReadyForQuery (`Query`, `FunctionCall`, or a run of extended messages up to `Sync`). Its reply is
//! everything from the first message that answers it up to and including that ReadyForQuery.
//!
//! # Names
//! A cycle is called by the first word of the last statement that it executes. One that executes nothing is
//! called `PARSE`, `BIND`, `DESCRIBE`, `CLOSE` or `SYNC`, by the first of them that it contains; a function call
//! is `FUNCTION`, a text without a word `QUERY`, a statement that is not remembered `EXECUTE`. Where the head
//! comes before the end (a `Flush`, or [`HEAD_BYTES_MAX`](crate::limits::HEAD_BYTES_MAX)) a statement that is
//! bound counts as executed, since a large parameter stands before its `Execute`; such a head, and one with a
//! text that was cut, is not whole.
//!
//! # What is remembered
//! The text of a prepared statement, until it is closed, deallocated, or pushed out by newer ones. When a
//! cycle fails, the statements that it parsed and for which no ParseComplete had come are forgotten: the server
//! has none, or an older one, by that name. A cycle that was pipelined behind such a failure has by then been
//! told with the text that was meant. What is forgotten is never replaced by a guess.
//!
//! # Limits
//! - Statements in a text are told apart by their semicolons, as `psql` does; after `BEGIN ATOMIC` no more.
//! - A reply can begin before the head of its cycle if its bytes were passed on undecided: an error in a
//!   `Parse` is sent at once. [`Down::Head`] then comes before [`Up::Head`], with the id that it will have.
//! - `Query` in an extended cycle that was not ended by `Sync`: after an error it cannot be told how many
//!   replies the server still owes. Likewise commands that are sent into a running `COPY FROM STDIN`. Both
//!   are given up ([`Lost::NotTheProtocol`]); no known client does either.
//! - A `Sync` sent before the data of a COPY is ignored by the server, and the one sent after them is told as
//!   an [`Up::Aside`]. When such a COPY fails before the server has read any data, both are answered, and the
//!   second ReadyForQuery is a [`Down::Aside`] if its Sync was one.

mod cycle;
mod down;
mod error_text;
mod fields;
mod known;
mod message;
mod shared;
mod sql;
mod startup;
mod up;

use crate::{Advance, CommandId, Dialogue, Down, Lost, Up};

/// One connection to Postgres.
#[derive(Debug, Default)]
pub struct PostgresDialogue {
    up: up::UpSide,
    down: down::DownSide,
    shared: shared::Shared,
}

impl Dialogue for PostgresDialogue {
    fn up(&mut self, input: &[u8]) -> Advance<Up> {
        self.up.read(input, &mut self.shared)
    }

    fn down(&mut self, input: &[u8]) -> Advance<Down> {
        self.down.read(input, &mut self.shared)
    }

    fn withhold(&mut self, id: CommandId) {
        self.up.withhold(id, &mut self.shared);
    }

    fn oldest_pending(&self) -> Option<CommandId> {
        self.shared.pending.front().map(|pending| pending.id)
    }

    fn down_is_between(&self) -> bool {
        self.down.is_between()
    }

    fn lost(&self) -> Option<Lost> {
        self.shared.lost
    }
}
