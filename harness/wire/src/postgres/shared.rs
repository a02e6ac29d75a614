//! What both directions of a connection know of each other.

use std::collections::VecDeque;

use super::known::Known;
use crate::{CommandId, Lost};

/// How the client ended a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Not yet: its head is known.
    Open,
    /// By Query or FunctionCall.
    Simple,
    /// By Query or FunctionCall, in the middle of extended messages.
    Mixed,
    /// By Sync.
    Sync,
    /// It is a Sync and nothing else: the only cycle that is answered by ReadyForQuery alone.
    Bare,
}

/// A cycle that is owed a reply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) id: CommandId,
    pub(super) ending: Ending,
}

/// The server reads data of a COPY.
#[derive(Debug, Clone, Copy)]
pub(super) struct CopyIn {
    /// The cycle that asked for it.
    pub(super) id: CommandId,
    /// The client's Sync came before the data: the server ignores it, and waits for another.
    pub(super) owes_sync: bool,
    /// That other one has come.
    pub(super) has_second_sync: bool,
    /// The server has told of an error since it asked for the data.
    pub(super) has_failed: bool,
    /// The data have ended, or the server does not want them any more.
    pub(super) is_over: bool,
}

/// What one direction learns from the other.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) lost: Option<Lost>,
    pub(super) pending: VecDeque<Pending>,
    /// The cycle that the client has begun and not ended, with a head or without.
    pub(super) open: Option<CommandId>,
    pub(super) known: Known,
    pub(super) copy_in: Option<CopyIn>,
    /// A StartupMessage was sent.
    pub(super) is_asked: bool,
    /// Single bytes that answer a request for encryption.
    pub(super) encryption_answers: u32,
    pub(super) is_in_transaction: bool,
}

impl Shared {
    /// The pending cycle with that id, if it is the newest.
    pub(super) fn newest(&mut self, id: CommandId) -> Option<&mut Pending> {
        self.pending.back_mut().filter(|pending| pending.id == id)
    }
}
