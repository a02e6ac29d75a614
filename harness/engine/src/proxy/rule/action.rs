//! `do`: what is done to a command, or to its reply.

use crate::proxy::delay::Delay;
use std::fmt;
use std::time::Duration;

/// What is done to a command that a rule acts on, or to its reply.
#[derive(Debug, Clone)]
pub enum Action {
    /// Nothing: tells that the command came, and that its reply has passed.
    Note,
    /// The command is held until it is released, at the longest for so long; then it passes, and the hold counts
    /// as not kept.
    Hold {
        /// Below the subject's response timeout, or the subject gives up first.
        longest: Duration,
    },
    /// The server gets the command; its reply is held likewise.
    HoldReply {
        /// As above.
        longest: Duration,
    },
    /// The command arrives later.
    Delay(Delay),
    /// Its reply arrives later.
    DelayReply(Delay),
    /// The command is not passed on; the proxy answers in the server's stead, in the right place among the
    /// replies. Redis only.
    Answer(ErrorReply),
    /// The command and all that follow it on its connection are acknowledged and never arrive, as if the way
    /// up had broken there. Replies to what was sent before still come.
    Swallow,
    /// The connection ends before the command, which the server never sees.
    CutBefore(Then),
    /// The connection ends as soon as the command was passed on. Whether the server runs it is open; to cut after it
    /// surely has, use [`Action::CutReply`].
    CutAfter(Then),
    /// The server has applied the command; of its reply that many bytes pass, then the connection ends.
    /// With 0 and [`Then::Silence`]: the reply is lost and none follows.
    CutReply {
        /// Bytes of the reply that pass. A shorter reply passes whole.
        after_bytes: u64,
        /// How it ends.
        then: Then,
    },
    /// These bytes instead of the reply; the connection goes on.
    ReplaceReply(Vec<u8>),
}

/// How a way ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Then {
    /// Nothing more comes; the connection stands until the rule heals.
    Silence,
    /// An orderly end (FIN).
    Close,
    /// A reset (RST).
    Reset,
}

impl Action {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Action::Note => "note",
            Action::Hold { .. } => "hold",
            Action::HoldReply { .. } => "hold-reply",
            Action::Delay(_) => "delay",
            Action::DelayReply(_) => "delay-reply",
            Action::Answer(_) => "answer",
            Action::Swallow => "swallow",
            Action::CutBefore(_) => "cut-before",
            Action::CutAfter(_) => "cut-after",
            Action::CutReply { .. } => "cut-reply",
            Action::ReplaceReply(_) => "replace-reply",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Note => f.write_str("note it and its reply"),
            Action::Hold { longest } => write!(f, "hold it, {} ms at most", longest.as_millis()),
            Action::HoldReply { longest } => {
                write!(f, "hold its reply, {} ms at most", longest.as_millis())
            }
            Action::Delay(delay) => write!(f, "delay it by {delay}"),
            Action::DelayReply(delay) => write!(f, "delay its reply by {delay}"),
            Action::Answer(error) => write!(f, "answer `{}` in the server's stead", error.text()),
            Action::Swallow => f.write_str("swallow it and what follows"),
            Action::CutBefore(then) => write!(f, "{then} before it"),
            Action::CutAfter(then) => write!(f, "{then} after it"),
            Action::CutReply { after_bytes, then } => {
                write!(f, "{then} after {after_bytes} bytes of its reply")
            }
            Action::ReplaceReply(bytes) => {
                write!(f, "answer `{}` instead", bytes.escape_ascii())
            }
        }
    }
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Then::Silence => "fall silent",
            Then::Close => "close",
            Then::Reset => "reset",
        })
    }
}

/// An error that the proxy gives in the server's stead, word for word as Redis 7.0 gives it (`src/server.c`,
/// `src/cluster.c`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorReply {
    /// A write on a replica: a failover that the client has not noticed.
    ReadOnly,
    /// It reads its data after a start.
    Loading,
    /// `maxmemory` is reached.
    OutOfMemory,
    /// No longer authenticated, or never.
    NoAuth,
    /// The slot lives elsewhere.
    Moved {
        /// Which slot, 0 to 16383.
        slot: u16,
        /// Where, as `host:port`.
        address: String,
    },
    /// The slot is on its way elsewhere.
    Ask {
        /// Which slot, 0 to 16383.
        slot: u16,
        /// Where, as `host:port`.
        address: String,
    },
    /// It has forgotten its scripts.
    NoScript,
    /// A script runs for too long.
    Busy,
    /// It takes no more clients; the connection is closed behind it.
    MaxClients,
    /// It cannot persist, and refuses writes.
    Misconf,
    /// Any other, with its code, without the `-` before it. Without a line break.
    Other(String),
}

impl ErrorReply {
    /// All with fixed words, for tests and tools.
    pub const FIXED: [ErrorReply; 8] = [
        ErrorReply::ReadOnly,
        ErrorReply::Loading,
        ErrorReply::OutOfMemory,
        ErrorReply::NoAuth,
        ErrorReply::NoScript,
        ErrorReply::Busy,
        ErrorReply::MaxClients,
        ErrorReply::Misconf,
    ];

    /// The line without `-` and line break.
    #[must_use]
    pub fn text(&self) -> String {
        let fixed = match self {
            ErrorReply::ReadOnly => "READONLY You can't write against a read only replica.",
            ErrorReply::Loading => "LOADING Redis is loading the dataset in memory",
            ErrorReply::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            ErrorReply::NoAuth => "NOAUTH Authentication required.",
            ErrorReply::Moved { slot, address } => return format!("MOVED {slot} {address}"),
            ErrorReply::Ask { slot, address } => return format!("ASK {slot} {address}"),
            ErrorReply::NoScript => "NOSCRIPT No matching script. Please use EVAL.",
            ErrorReply::Busy => {
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
            }
            ErrorReply::MaxClients => "ERR max number of clients reached",
            ErrorReply::Misconf => {
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error."
            }
            // A line break would end the reply and begin another.
            ErrorReply::Other(text) => return text.replace(['\r', '\n'], " "),
        };
        fixed.to_owned()
    }

    pub(crate) fn wire(&self) -> Vec<u8> {
        format!("-{}\r\n", self.text()).into_bytes()
    }

    /// Whether the server closes the connection behind it.
    pub(crate) fn closes(&self) -> bool {
        *self == ErrorReply::MaxClients
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_ones_own_cannot_smuggle_a_second_reply_in() {
        let error = ErrorReply::Other("ERR a\r\n+OK".to_owned());
        assert_eq!(error.wire(), b"-ERR a  +OK\r\n");
    }
}
