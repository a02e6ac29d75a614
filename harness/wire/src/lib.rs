//! What the bytes between a service and its stores mean, as they stream by.
//!
//! A [`Dialogue`] reads both directions of one connection, in whatever pieces they come, and says where a
//! command begins and ends, what it is, and which reply belongs to it. It never changes, delays or keeps the
//! bytes: that is for its caller, who learns the *places* in the stream at which something can be done.
//! It keeps what a rule or an audit needs (names, keys, sizes) up to the limits in [`limits`], so that a
//! value of any size streams through.
//!
//! It has no sockets and no clock. What it cannot decode it says so of ([`Lost`]) and then leaves alone:
//! nothing is guessed.
//!
//! Why not a decoder crate: those for RESP and for Postgres want a whole message in memory before they tell
//! anything of it, and none of them tells the place of a key inside one that is still arriving. They serve
//! as the second opinion in the tests.

pub mod command;
pub mod limits;
pub mod postgres;
pub mod redis;
pub mod remark;
pub mod reply;

pub use command::{Command, CommandId};
pub use remark::{ClientNote, Expiry, Remark};
pub use reply::{Reply, ReplyKind};

/// What a call of [`Dialogue::up`] or [`Dialogue::down`] has come to.
///
/// `consumed` bytes of the input lie before the event. Without an event all of the input is consumed. A
/// caller goes on with the rest of the input until that happens:
///
/// - *undecided* bytes are those since the last boundary (the begin of the stream, `End` or `Aside`) for
///   which no `Head` has come yet;
/// - with `Head` all of them, and all that follow up to `End`, belong to that command or reply;
/// - with `Aside` all of them belong to something that is neither.
///
/// `Head` comes as early as name and keys are known, at the latest after [`limits::HEAD_BYTES_MAX`] bytes;
/// for a small message it may come together with its last byte, and `End` then follows with `consumed: 0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance<E> {
    /// Bytes of the input before the event.
    pub consumed: usize,
    /// What was reached.
    pub event: Option<E>,
}

/// From the service to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Up {
    /// It is known what this command is.
    Head(Command),
    /// It is complete. The size of all of it, in bytes.
    End {
        /// Which.
        id: CommandId,
        /// Its size on the wire, in bytes.
        bytes: u64,
    },
    /// A complete message that asks nothing: a start-up packet, a password, data of a COPY, a goodbye.
    Aside,
    /// From here on nothing is decoded, in either direction. Comes once.
    Lost(Lost),
}

/// From the store to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Down {
    /// This begins the reply to that command. (Of several parts, where one command has several replies.)
    Head(CommandId),
    /// The reply is complete.
    End {
        /// To which command.
        id: CommandId,
        /// What it was.
        reply: Reply,
        /// Whether it was the last that the command is owed: more come for a SUBSCRIBE of several channels.
        is_last: bool,
    },
    /// A complete message that answers no command: a push, a notice, a changed parameter, start-up.
    Aside,
    /// From here on nothing is decoded, in either direction. Comes once.
    Lost(Lost),
}

/// Why a connection is not decoded any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lost {
    /// It is encrypted from here on.
    Encrypted,
    /// Bytes that the protocol does not know.
    NotTheProtocol,
    /// A reply that no command had asked for.
    UnaskedReply,
    /// More commands without a reply than are kept track of.
    TooManyPending,
    /// From here on it is a stream of another kind: MONITOR, replication.
    OtherStream,
}

/// One connection, read in both directions.
pub trait Dialogue {
    /// Reads what the service sent.
    fn up(&mut self, input: &[u8]) -> Advance<Up>;

    /// Reads what the store sent.
    fn down(&mut self, input: &[u8]) -> Advance<Down>;

    /// The command whose head was last reported does not reach the store: no reply to it will come.
    ///
    /// Must be called between its `Head` and the first call of [`Dialogue::up`] after its `End`. Whatever
    /// the command would have changed in the state of the connection is then not assumed.
    fn withhold(&mut self, id: CommandId);

    /// The oldest command that is owed a reply by the store.
    fn oldest_pending(&self) -> Option<CommandId>;

    /// Whether the last byte read from the store ended something: what is put in now lies between two replies.
    fn down_is_between(&self) -> bool;

    /// What the command that has ended last says beside its name and keys. Whole, and to be asked once, between its
    /// `End` and the next call of [`Dialogue::up`].
    fn take_remark(&mut self) -> Remark {
        Remark::default()
    }

    /// Why it is not decoded any more, if so.
    fn lost(&self) -> Option<Lost>;
}
