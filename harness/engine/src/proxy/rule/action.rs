//! `do`: what is done to a command, or to its reply.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Exp, Normal, Pareto};
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

/// How jitter is spread. Sources: Toxiproxy has the uniform one only; the others are those of `tc netem`
/// (normal, pareto) and the exponential of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Distribution {
    /// Anything from zero to the jitter, alike.
    #[default]
    Uniform,
    /// Around zero, with the jitter as its standard deviation; never below a delay of zero.
    Normal,
    /// From zero, with the jitter as its mean.
    Exponential,
    /// From zero with a long tail (shape 3), with the jitter as its mean.
    Pareto,
}

/// A delay, drawn anew for each command from the rule's seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// What every draw begins with.
    pub base: Duration,
    /// What is added to it, spread as `distribution` says.
    pub jitter: Duration,
    /// How.
    pub distribution: Distribution,
}

/// A delay is drawn longer than this only where a heavy tail asks for it, and is then cut here.
const DELAY_MAX: Duration = Duration::from_secs(60);

impl Delay {
    /// Always the same.
    #[must_use]
    pub fn fixed(base: Duration) -> Self {
        Self {
            base,
            jitter: Duration::ZERO,
            distribution: Distribution::Uniform,
        }
    }

    pub(crate) fn draw(&self, rng: &mut ChaCha8Rng) -> Duration {
        let (base_s, jitter_s) = (self.base.as_secs_f64(), self.jitter.as_secs_f64());
        if jitter_s == 0.0 {
            return self.base;
        }
        let positive = "the jitter is above zero";
        let added_s = match self.distribution {
            Distribution::Uniform => rng.random_range(0.0..=jitter_s),
            Distribution::Normal => Normal::new(0.0, jitter_s).expect(positive).sample(rng),
            Distribution::Exponential => Exp::new(1.0 / jitter_s).expect(positive).sample(rng),
            // A Pareto of shape 3 from `scale` up has the mean 1.5 `scale`; less `scale` it begins at zero.
            Distribution::Pareto => {
                let scale = 2.0 * jitter_s;
                Pareto::new(scale, 3.0).expect(positive).sample(rng) - scale
            }
        };
        Duration::from_secs_f64((base_s + added_s).clamp(0.0, DELAY_MAX.as_secs_f64()))
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} us", self.base.as_micros())?;
        if self.jitter.is_zero() {
            return Ok(());
        }
        let spread = match self.distribution {
            Distribution::Uniform => "uniform",
            Distribution::Normal => "normal",
            Distribution::Exponential => "exponential",
            Distribution::Pareto => "pareto",
        };
        write!(f, " and {} us of {spread} jitter", self.jitter.as_micros())
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
    use touchstone_core::Seed;

    fn draws(distribution: Distribution, seed: u64) -> Vec<Duration> {
        let delay = Delay {
            base: Duration::from_millis(10),
            jitter: Duration::from_millis(4),
            distribution,
        };
        let mut rng = Seed(seed).rng();
        (0..20_000).map(|_| delay.draw(&mut rng)).collect()
    }

    fn mean_ms(draws: &[Duration]) -> f64 {
        draws.iter().map(Duration::as_secs_f64).sum::<f64>() / draws.len() as f64 * 1000.0
    }

    #[test]
    fn each_distribution_has_the_mean_and_the_bounds_that_it_promises() {
        for (distribution, mean, least_ms) in [
            (Distribution::Uniform, 12.0, 10),
            (Distribution::Normal, 10.0, 0),
            (Distribution::Exponential, 14.0, 10),
            (Distribution::Pareto, 14.0, 10),
        ] {
            let draws = draws(distribution, 1);
            let seen = mean_ms(&draws);
            assert!((seen - mean).abs() < 0.3, "{distribution:?}: {seen} ms");
            let least = Duration::from_millis(least_ms);
            assert!(draws.iter().all(|draw| *draw >= least), "{distribution:?}");
        }
    }

    #[test]
    fn draws_repeat_from_the_seed_and_only_from_it() {
        for distribution in [Distribution::Uniform, Distribution::Pareto] {
            assert_eq!(draws(distribution, 1), draws(distribution, 1));
            assert_ne!(draws(distribution, 1), draws(distribution, 2));
        }
    }

    #[test]
    fn an_error_of_ones_own_cannot_smuggle_a_second_reply_in() {
        let error = ErrorReply::Other("ERR a\r\n+OK".to_owned());
        assert_eq!(error.wire(), b"-ERR a  +OK\r\n");
    }
}
