//! A map with expiry: what a key-value service over Redis must answer, one client at a time.

use std::collections::HashMap;

/// A call to the key-value service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvCall {
    /// Sets a value; with `ttl_s` it expires, without it any earlier expiry is cleared.
    Set {
        /// Which key.
        key: String,
        /// The value, arbitrary bytes.
        value: Vec<u8>,
        /// Seconds until it expires.
        ttl_s: Option<u64>,
    },
    /// Reads a value.
    Get(String),
    /// Deletes a key.
    Delete(String),
    /// Asks whether a key exists.
    Exists(String),
    /// Sets the expiry of a key.
    Expire {
        /// Which key.
        key: String,
        /// Seconds from now.
        ttl_s: u64,
    },
    /// Asks for the remaining seconds.
    Ttl(String),
}

/// What the service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvReply {
    /// A set was acknowledged.
    Done,
    /// A value, or that there is none.
    Value(Option<Vec<u8>>),
    /// A count: deleted keys, 1 or 0 for exists and expire, -2, -1 or seconds for the TTL.
    Number(i64),
}

/// When a call was made, in microseconds on one clock. The truth lies anywhere in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTime {
    /// When it was sent.
    pub called_us: u64,
    /// When its answer was complete.
    pub returned_us: u64,
}

/// The model. Expiries are far away; the test moves a key past its expiry with
/// [`KvModel::expire_now`], after doing the same in the store.
#[derive(Debug, Clone, Default)]
pub struct KvModel {
    entries: HashMap<String, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    value: Vec<u8>,
    expiry: Option<Expiry>,
}

#[derive(Debug, Clone, Copy)]
struct Expiry {
    set: CallTime,
    ttl_s: u64,
}

impl KvModel {
    /// Applies a call and compares the answer with what the model allows; the error says what was
    /// expected.
    pub fn apply(&mut self, call: &KvCall, time: CallTime, reply: &KvReply) -> Result<(), String> {
        let expected = match call {
            KvCall::Ttl(key) => return self.compare_ttl(key, time, reply),
            KvCall::Set { key, value, ttl_s } => {
                let expiry = ttl_s.map(|ttl_s| Expiry { set: time, ttl_s });
                self.entries.insert(
                    key.clone(),
                    Entry {
                        value: value.clone(),
                        expiry,
                    },
                );
                KvReply::Done
            }
            KvCall::Get(key) => KvReply::Value(self.entries.get(key).map(|e| e.value.clone())),
            KvCall::Delete(key) => KvReply::Number(self.entries.remove(key).is_some().into()),
            KvCall::Exists(key) => KvReply::Number(self.entries.contains_key(key).into()),
            KvCall::Expire { key, ttl_s } => {
                let entry = self.entries.get_mut(key);
                let known = entry.is_some();
                if let Some(entry) = entry {
                    entry.expiry = Some(Expiry {
                        set: time,
                        ttl_s: *ttl_s,
                    });
                }
                KvReply::Number(known.into())
            }
        };
        if *reply == expected {
            Ok(())
        } else {
            Err(format!("{expected:?}"))
        }
    }

    /// The key's time has come. Keys without an expiry stay.
    pub fn expire_now(&mut self, key: &str) {
        if self
            .entries
            .get(key)
            .is_some_and(|entry| entry.expiry.is_some())
        {
            self.entries.remove(key);
        }
    }

    /// Whether the key is there and has an expiry.
    pub fn has_expiry(&self, key: &str) -> bool {
        self.entries
            .get(key)
            .is_some_and(|entry| entry.expiry.is_some())
    }

    fn compare_ttl(&self, key: &str, time: CallTime, reply: &KvReply) -> Result<(), String> {
        let (least, most) = match self.entries.get(key).map(|entry| entry.expiry) {
            None => (-2, -2),
            Some(None) => (-1, -1),
            Some(Some(expiry)) => expiry.remaining_s(time),
        };
        match reply {
            KvReply::Number(seconds) if (least..=most).contains(seconds) => Ok(()),
            _ if least == most => Err(format!("Number({least})")),
            _ => Err(format!("Number({least}..={most})")),
        }
    }
}

impl Expiry {
    /// The least and most whole seconds that may remain. Redis rounds to the nearest second
    /// (`(ms + 500) / 1000`); a service that computes it itself may round down or up, so a second
    /// of rounding is allowed on the lower side, and none above the TTL itself.
    fn remaining_s(&self, now: CallTime) -> (i64, i64) {
        let ttl_us = self.ttl_s * 1_000_000;
        let elapsed_most_us = now.returned_us.saturating_sub(self.set.called_us);
        let elapsed_least_us = now.called_us.saturating_sub(self.set.returned_us);
        let least_s = ttl_us.saturating_sub(elapsed_most_us) / 1_000_000;
        let most_s = ttl_us.saturating_sub(elapsed_least_us).div_ceil(1_000_000);
        (least_s as i64, most_s as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> CallTime {
        CallTime {
            called_us: ms * 1000,
            returned_us: ms * 1000 + 500,
        }
    }
    fn set(value: &[u8], ttl_s: Option<u64>) -> KvCall {
        KvCall::Set {
            key: "k".into(),
            value: value.to_vec(),
            ttl_s,
        }
    }

    #[test]
    fn a_plain_set_clears_the_expiry() {
        let mut model = KvModel::default();
        model
            .apply(&set(b"a", Some(100)), at(0), &KvReply::Done)
            .expect("first set");
        model
            .apply(&set(b"b", None), at(1), &KvReply::Done)
            .expect("second set");
        let ttl = KvCall::Ttl("k".into());
        assert_eq!(
            model.apply(&ttl, at(2), &KvReply::Number(99)),
            Err("Number(-1)".into())
        );
        assert_eq!(model.apply(&ttl, at(2), &KvReply::Number(-1)), Ok(()));
    }

    #[test]
    fn the_remaining_time_falls_and_never_exceeds_the_ttl() {
        let mut model = KvModel::default();
        model
            .apply(&set(b"a", Some(100)), at(0), &KvReply::Done)
            .expect("set");
        let ttl = KvCall::Ttl("k".into());
        for (ms, seconds, allowed) in [
            (0, 100, true),
            (0, 101, false),
            (2400, 98, true),
            (2400, 99, false),
            (2400, 97, true),
            (2400, 96, false),
        ] {
            let answer = model.apply(&ttl, at(ms), &KvReply::Number(seconds));
            assert_eq!(
                answer.is_ok(),
                allowed,
                "{seconds} s after {ms} ms: {answer:?}"
            );
        }
    }

    #[test]
    fn an_expired_key_is_gone_for_every_call() {
        let mut model = KvModel::default();
        model
            .apply(&set(b"a", Some(100)), at(0), &KvReply::Done)
            .expect("set");
        model.expire_now("k");
        for (call, reply) in [
            (KvCall::Get("k".into()), KvReply::Value(None)),
            (KvCall::Exists("k".into()), KvReply::Number(0)),
            (KvCall::Delete("k".into()), KvReply::Number(0)),
            (KvCall::Ttl("k".into()), KvReply::Number(-2)),
            (
                KvCall::Expire {
                    key: "k".into(),
                    ttl_s: 5,
                },
                KvReply::Number(0),
            ),
        ] {
            assert_eq!(model.apply(&call, at(1), &reply), Ok(()), "{call:?}");
        }
    }
}
