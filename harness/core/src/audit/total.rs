//! The audits of a run as one.

use super::{FINDINGS_MAX, StoreName};
use crate::record::{
    AuditRecord, ClientRecord, CommandCount, ForbiddenCommand, RepeatedCommands, RequestCount,
    UndecodedRecord, WithoutExpiry,
};
use std::collections::BTreeMap;

/// Adds up what all attempts sent. Medians cannot be added up: the total has the largest of them.
pub fn total<'a>(audits: impl IntoIterator<Item = &'a AuditRecord>) -> AuditRecord {
    let audits: Vec<&AuditRecord> = audits.into_iter().collect();
    let each = || audits.iter();
    AuditRecord {
        commands: counts(each().flat_map(|audit| &audit.commands)),
        per_request: per_request(each().flat_map(|audit| &audit.per_request)),
        forbidden: forbidden(each().flat_map(|audit| &audit.forbidden)),
        repeated: repeated(each().flat_map(|audit| &audit.repeated)),
        without_expiry: without_expiry(each().flat_map(|audit| &audit.without_expiry)),
        left_without_expiry: left(each().filter_map(|audit| audit.left_without_expiry.as_ref())),
        clients: clients(each().flat_map(|audit| &audit.clients)),
        undecoded: undecoded(each().flat_map(|audit| &audit.undecoded)),
        unseen_commands: each().map(|audit| audit.unseen_commands).sum(),
    }
}

/// Adds up what has the same key.
fn merged<'a, T: Clone + 'a, K: Ord>(
    all: impl Iterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
    add: impl Fn(&mut T, &T),
) -> Vec<T> {
    let mut sums: BTreeMap<K, T> = BTreeMap::new();
    for one in all {
        match sums.entry(key(one)) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(one.clone());
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => add(entry.get_mut(), one),
        }
    }
    sums.into_values().collect()
}

fn limited<T>(mut all: Vec<T>) -> Vec<T> {
    all.truncate(FINDINGS_MAX);
    all
}

/// Adds up by store and name.
pub(super) fn counts<'a>(all: impl Iterator<Item = &'a CommandCount>) -> Vec<CommandCount> {
    merged(
        all,
        |count| (count.store, &*count.name),
        |sum, count| {
            sum.count += count.count;
            sum.errors += count.errors;
            sum.unanswered += count.unanswered;
            sum.sent_bytes += count.sent_bytes;
            sum.received_bytes += count.received_bytes;
            sum.slowest_us = sum.slowest_us.max(count.slowest_us);
        },
    )
}

fn per_request<'a>(all: impl Iterator<Item = &'a RequestCount>) -> Vec<RequestCount> {
    limited(merged(
        all,
        |count| (&*count.operation, count.store),
        |sum, count| {
            sum.requests += count.requests;
            sum.least = sum.least.min(count.least);
            sum.median = sum.median.max(count.median);
            sum.most = sum.most.max(count.most);
        },
    ))
}

fn forbidden<'a>(all: impl Iterator<Item = &'a ForbiddenCommand>) -> Vec<ForbiddenCommand> {
    let key = |found: &'a ForbiddenCommand| (found.store, &*found.name);
    merged(all, key, |sum, found| sum.count += found.count)
}

fn repeated<'a>(all: impl Iterator<Item = &'a RepeatedCommands>) -> Vec<RepeatedCommands> {
    type Key<'a> = (&'a str, StoreName, &'a str, &'a str);
    let key = |found: &'a RepeatedCommands| -> Key<'a> {
        (
            &found.operation,
            found.store,
            &found.command,
            &found.pattern,
        )
    };
    limited(merged(all, key, |sum, found| {
        sum.requests += found.requests;
        sum.longest = sum.longest.max(found.longest);
    }))
}

fn without_expiry<'a>(all: impl Iterator<Item = &'a WithoutExpiry>) -> Vec<WithoutExpiry> {
    let key = |found: &'a WithoutExpiry| (&*found.pattern, &*found.command);
    limited(merged(all, key, |sum, found| {
        sum.times += found.times;
        sum.given_later += found.given_later;
        sum.longest_gap_us = sum.longest_gap_us.max(found.longest_gap_us);
    }))
}

/// Nothing if no store could be looked at.
fn left<'a>(all: impl Iterator<Item = &'a BTreeMap<String, u64>>) -> Option<BTreeMap<String, u64>> {
    let mut keys: Option<BTreeMap<String, u64>> = None;
    for left in all {
        let keys = keys.get_or_insert_default();
        for (pattern, number) in left {
            *keys.entry(pattern.clone()).or_default() += number;
        }
    }
    keys.map(|keys| keys.into_iter().take(FINDINGS_MAX).collect())
}

fn clients<'a>(all: impl Iterator<Item = &'a ClientRecord>) -> Vec<ClientRecord> {
    let key = |client: &'a ClientRecord| (&client.library, &client.version, &client.name);
    limited(merged(all, key, |sum, client| {
        sum.connections += client.connections;
    }))
}

fn undecoded<'a>(all: impl Iterator<Item = &'a UndecodedRecord>) -> Vec<UndecodedRecord> {
    let key = |lost: &'a UndecodedRecord| (lost.store, &*lost.reason);
    limited(merged(all, key, |sum, lost| {
        sum.connections += lost.connections;
    }))
}
