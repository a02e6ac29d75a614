//! A reply as it was seen on the wire.

/// What kind of reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyKind {
    /// A simple string, boolean or other single value that is none of the others (Redis).
    Simple,
    /// A number.
    Integer(i64),
    /// A string of this many bytes.
    Bulk(u64),
    /// Nothing, as told by the protocol (`$-1`, `*-1`, `_`).
    Nil,
    /// An array, set or map with this many members at its top.
    Aggregate(u64),
    /// The server refused. Its text, cut at [`crate::limits::ERROR_BYTES_MAX`]; Postgres: `SQLSTATE text`.
    Error(Box<str>),
    /// Rows sent, or changed, by the last statement (Postgres).
    Rows(u64),
    /// Done, with no rows to tell of (Postgres: BEGIN, a prepared statement).
    Done,
}

/// A complete reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What it was.
    pub kind: ReplyKind,
    /// Its size on the wire, in bytes.
    pub bytes: u64,
}
