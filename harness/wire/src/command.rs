//! A command as it was seen on the wire.

use std::borrow::Cow;

/// Counts the commands of one connection, from 0, in the order in which they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// A command, as far as it is known at its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its place on its connection.
    pub id: CommandId,
    /// What it is called, in capitals. Redis: the command, with its subcommand where it has one
    /// (`GET`, `CLIENT SETINFO`). Postgres: the first word of the statement (`SELECT`, `BEGIN`), `PARSE` for a
    /// statement that is only prepared, `COPY`, ...; the last statement's where several go together.
    pub name: Cow<'static, str>,
    /// Redis: its keys (channels are none). Postgres: the text of each statement. Cut at
    /// [`crate::limits::KEY_BYTES_MAX`] and [`crate::limits::KEYS_MAX`].
    pub keys: Vec<Box<[u8]>>,
    /// How many keys or statements it has, if that is known.
    pub key_count: usize,
    /// How many arguments it announces, its name included. Postgres: messages in the cycle so far.
    pub argument_count: usize,
    /// Sent between MULTI and EXEC, or inside a transaction block of Postgres.
    pub in_transaction: bool,
    /// Whether name and keys are all there; otherwise its head was longer than is kept.
    pub is_whole: bool,
}
