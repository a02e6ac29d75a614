//! Keys of Redis that had no expiry at some instant.
//!
//! Followed from the commands and their answers: a key that a command made or left without an expiry is noted once
//! that command is answered; an EXPIRE that comes for it as a command of its own closes the gap, and a crash of the
//! service in between would have left the key for ever. What is sent in one transaction happens at one instant.
//!
//! Limits. What a script does is not seen: its keys are not followed until something else tells about them. A key
//! that was never seen is taken for absent, as a scenario begins with an empty store. What the harness itself writes
//! is not seen, nor is a second database told from the first, nor a key that expired. Commands of two connections
//! are taken in the order in which they were sent.

use super::pattern;
use super::{Answer, Expiry, FINDINGS_MAX, Seen, Sent, StoreName};
use crate::record::WithoutExpiry;
use std::collections::{BTreeMap, HashMap};

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    Absent,
    Expiring,
    /// It has no expiry, by the command at that place. Whether that is in the record already.
    Eternal {
        by: usize,
        is_noted: bool,
    },
}

/// What a command does to its keys, if it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// The first is written anew.
    Overwrite,
    /// All are.
    OverwriteAll,
    /// The first is made if it is not there.
    Create,
    Delete,
    DeleteEverything,
    /// Something that is not followed.
    Unclear,
    /// Nothing; the answer may tell of the key.
    Read,
}

fn effect(name: &str) -> Effect {
    match name {
        "SET" | "SETEX" | "PSETEX" | "SETNX" | "GETSET" | "RESTORE" | "BITOP" | "SDIFFSTORE"
        | "SINTERSTORE" | "SUNIONSTORE" | "ZDIFFSTORE" | "ZINTERSTORE" | "ZUNIONSTORE"
        | "ZRANGESTORE" | "GEOSEARCHSTORE" => Effect::Overwrite,
        "MSET" | "MSETNX" => Effect::OverwriteAll,
        "INCR" | "INCRBY" | "INCRBYFLOAT" | "DECR" | "DECRBY" | "APPEND" | "SETRANGE"
        | "SETBIT" | "BITFIELD" | "HSET" | "HMSET" | "HSETNX" | "HINCRBY" | "HINCRBYFLOAT"
        | "LPUSH" | "RPUSH" | "SADD" | "ZADD" | "ZINCRBY" | "XADD" | "PFADD" | "PFMERGE"
        | "GEOADD" => Effect::Create,
        "DEL" | "UNLINK" | "GETDEL" => Effect::Delete,
        "FLUSHALL" | "FLUSHDB" => Effect::DeleteEverything,
        "EVAL" | "EVALSHA" | "FCALL" | "RENAME" | "RENAMENX" | "COPY" | "MOVE" | "SMOVE"
        | "LMOVE" | "BLMOVE" | "RPOPLPUSH" | "BRPOPLPUSH" | "SORT" | "LPOP" | "RPOP" | "BLPOP"
        | "BRPOP" | "LMPOP" | "BLMPOP" | "LREM" | "LTRIM" | "SREM" | "SPOP" | "ZREM"
        | "ZPOPMIN" | "ZPOPMAX" | "BZPOPMIN" | "BZPOPMAX" | "ZMPOP" | "BZMPOP"
        | "ZREMRANGEBYLEX" | "ZREMRANGEBYRANK" | "ZREMRANGEBYSCORE" | "HDEL" => Effect::Unclear,
        _ => Effect::Read,
    }
}

/// How a command came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// By this answer.
    Answered(Answer),
    /// As a part of a transaction that was carried out; its own answer is not seen.
    Done,
    /// Not told: it may have been carried out.
    Open,
}

struct Follower<'a> {
    commands: Vec<&'a Sent>,
    keys: HashMap<&'a [u8], State>,
    found: BTreeMap<(String, &'a str), WithoutExpiry>,
}

/// The keys without an expiry of all instances together: they share the store.
pub(super) fn gaps(instances: &[Seen]) -> Vec<WithoutExpiry> {
    let each = instances.iter().enumerate();
    let mut all: Vec<(usize, &Sent)> = each
        .flat_map(|(instance, seen)| seen.commands.iter().map(move |sent| (instance, sent)))
        .filter(|(_, sent)| sent.store == StoreName::Redis)
        .collect();
    all.sort_by_key(|(_, sent)| sent.at_us);
    let mut follower = Follower {
        commands: all.iter().map(|(_, sent)| *sent).collect(),
        keys: HashMap::new(),
        found: BTreeMap::new(),
    };
    let mut queued: BTreeMap<(usize, u64), Vec<usize>> = BTreeMap::new();
    for (place, (instance, sent)) in all.iter().enumerate() {
        let of_connection = (*instance, sent.connection);
        if sent.in_transaction {
            queued.entry(of_connection).or_default().push(place);
        } else if sent.name == "EXEC" {
            let members = queued.remove(&of_connection).unwrap_or_default();
            match sent.answer {
                Some((_, Answer::Aggregate)) => follower.step(&members, Outcome::Done, place),
                Some(_) => {}
                None => follower.step(&members, Outcome::Open, place),
            }
        } else {
            if sent.name == "DISCARD" {
                queued.remove(&of_connection);
            }
            let outcome = match sent.answer {
                Some((_, answer)) => Outcome::Answered(answer),
                None => Outcome::Open,
            };
            follower.step(&[place], outcome, place);
        }
    }
    let mut found: Vec<WithoutExpiry> = follower.found.into_values().collect();
    found.truncate(FINDINGS_MAX);
    found
}

impl<'a> Follower<'a> {
    /// Commands that take effect at one instant: when the one at `answered` is answered.
    fn step(&mut self, places: &[usize], outcome: Outcome, answered: usize) {
        for &place in places {
            self.take(place, outcome, answered);
        }
        for &place in places {
            let sent = self.commands[place];
            for key in &sent.keys {
                self.note(key);
            }
        }
    }

    fn state(&self, key: &[u8]) -> State {
        self.keys.get(key).copied().unwrap_or(State::Absent)
    }

    /// A key that is without an expiry now is put into the record, if it is not there.
    fn note(&mut self, key: &'a [u8]) {
        let State::Eternal {
            by,
            is_noted: false,
        } = self.state(key)
        else {
            return;
        };
        let is_noted = true;
        self.keys.insert(key, State::Eternal { by, is_noted });
        self.entry(key, by).times += 1;
    }

    fn entry(&mut self, key: &[u8], by: usize) -> &mut WithoutExpiry {
        let command = self.commands[by].name.as_ref();
        let pattern = pattern::of_key(key);
        let entry = self.found.entry((pattern.clone(), command));
        entry.or_insert_with(|| WithoutExpiry {
            pattern,
            command: command.to_owned(),
            times: 0,
            given_later: 0,
            longest_gap_us: None,
        })
    }

    /// An expiry came for a key; if it was in the record, the gap is over.
    fn expires(&mut self, key: &'a [u8], now: usize) {
        if let State::Eternal { by, is_noted: true } = self.state(key) {
            let since = self.commands[by].answer.map(|(at_us, _)| at_us);
            let until = self.commands[now].answer.map(|(at_us, _)| at_us);
            let entry = self.entry(key, by);
            entry.given_later += 1;
            if let (Some(since), Some(until)) = (since, until) {
                let gap_us = until.saturating_sub(since);
                entry.longest_gap_us = entry.longest_gap_us.max(Some(gap_us));
            }
        }
        self.keys.insert(key, State::Expiring);
    }

    fn take(&mut self, place: usize, outcome: Outcome, answered: usize) {
        let sent = self.commands[place];
        let effect = effect(&sent.name);
        match outcome {
            Outcome::Answered(Answer::Error) => return,
            Outcome::Open if effect == Effect::Read && sent.expiry.is_none() => return,
            Outcome::Open => return self.forget(sent),
            Outcome::Answered(_) | Outcome::Done => {}
        }
        let eternal = State::Eternal {
            by: place,
            is_noted: false,
        };
        let first = sent.keys.first().map(|key| &**key);
        match (effect, first) {
            (Effect::DeleteEverything, _) => self.keys.clear(),
            (_, None) => {}
            (Effect::Overwrite, Some(key)) => self.overwrite(key, sent, outcome, eternal),
            (Effect::OverwriteAll, Some(_)) if outcome != Outcome::Answered(Answer::Integer(0)) => {
                for key in &sent.keys {
                    self.keys.insert(key, eternal);
                }
            }
            (Effect::Create, Some(key)) => self.create(key, sent, outcome, eternal),
            (Effect::Delete, Some(_)) => {
                for key in &sent.keys {
                    self.keys.remove(&**key);
                }
            }
            (Effect::Unclear, Some(_)) => self.forget(sent),
            (Effect::Read, Some(key)) => self.read(key, sent, outcome, answered, eternal),
            (Effect::OverwriteAll, Some(_)) => {}
        }
    }

    fn forget(&mut self, sent: &'a Sent) {
        for key in &sent.keys {
            self.keys.insert(key, State::Unknown);
        }
    }

    fn overwrite(&mut self, key: &'a [u8], sent: &Sent, outcome: Outcome, eternal: State) {
        // A SET that asks for the old value as well is answered by nothing, too, where there was none: that one
        // is overlooked.
        let refused = [Answer::Nil, Answer::Integer(0)].map(Outcome::Answered);
        if refused.contains(&outcome) && sent.name != "GETSET" {
            return;
        }
        match sent.expiry {
            Some(Expiry::WithValue) => {
                // A new value with its own expiry is no late one for the old value.
                self.keys.insert(key, State::Expiring);
            }
            Some(Expiry::Kept) if self.state(key) == State::Absent => {
                self.keys.insert(key, eternal);
            }
            Some(Expiry::Kept) => {}
            _ => {
                self.keys.insert(key, eternal);
            }
        }
    }

    fn create(&mut self, key: &'a [u8], sent: &Sent, outcome: Outcome, eternal: State) {
        let is_counter = matches!(&*sent.name, "INCR" | "DECR");
        let state = match (self.state(key), outcome) {
            (State::Eternal { .. }, _) => return,
            // It counts from nothing: whatever was there has expired.
            (_, Outcome::Answered(Answer::Integer(1 | -1))) if is_counter => eternal,
            (State::Absent, Outcome::Answered(_)) if is_counter => State::Unknown,
            (State::Absent, _) => eternal,
            (State::Unknown | State::Expiring, _) => return,
        };
        self.keys.insert(key, state);
    }

    fn read(
        &mut self,
        key: &'a [u8],
        sent: &Sent,
        outcome: Outcome,
        answered: usize,
        eternal: State,
    ) {
        let answer = match outcome {
            Outcome::Answered(answer) => Some(answer),
            Outcome::Done | Outcome::Open => None,
        };
        let refused = matches!(answer, Some(Answer::Nil | Answer::Integer(0)));
        match (sent.expiry, &*sent.name, answer) {
            (Some(Expiry::Alone), ..) if !refused => self.expires(key, answered),
            (Some(Expiry::Removed), ..) if !refused => {
                self.keys.insert(key, eternal);
            }
            (_, "GET", Some(Answer::Nil))
            | (_, "TTL" | "PTTL", Some(Answer::Integer(-2)))
            | (_, "EXISTS", Some(Answer::Integer(0))) => {
                self.keys.remove(key);
            }
            (_, "TTL" | "PTTL", Some(Answer::Integer(0..))) => {
                self.keys.insert(key, State::Expiring);
            }
            _ => {}
        }
    }
}
