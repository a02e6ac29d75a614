//! Audits: of a scenario that only looks, of one that works, and of one that is out to break a report.

use std::collections::BTreeMap;
use touchstone_core::audit::StoreName::{self, Postgres, Redis};
use touchstone_core::record::{
    AuditRecord, ClientRecord, CommandCount, ForbiddenCommand, RepeatedCommands, RequestCount,
    UndecodedRecord, WithoutExpiry,
};

pub(super) fn healthy() -> AuditRecord {
    AuditRecord {
        commands: vec![count(Redis, "PING", 12), count(Postgres, "SELECT", 12)],
        per_request: vec![requests("GET /health", Redis, (12, 1, 1))],
        left_without_expiry: Some(BTreeMap::new()),
        clients: vec![client(2)],
        ..AuditRecord::default()
    }
}

pub(super) fn busy() -> AuditRecord {
    AuditRecord {
        commands: vec![
            count(Redis, "GET", 3_000),
            count(Redis, "KEYS", 3),
            count(Redis, "SET", 2_986),
            count(Postgres, "SELECT", 2_986),
            count(Postgres, "UPDATE", 3_000),
        ],
        per_request: vec![
            requests("entity_read", Redis, (2_900, 1, 2)),
            requests("entity_read", Postgres, (2_900, 0, 11)),
        ],
        forbidden: vec![ForbiddenCommand {
            store: Redis,
            name: "KEYS".to_owned(),
            count: 3,
            reason: "looks at every key while all others wait; SCAN does it in steps".to_owned(),
        }],
        repeated: vec![RepeatedCommands {
            operation: "entity_read".to_owned(),
            store: Postgres,
            command: "SELECT".to_owned(),
            pattern: "SELECT name FROM tags WHERE id = $1".to_owned(),
            requests: 40,
            longest: 10,
        }],
        without_expiry: vec![WithoutExpiry {
            pattern: "user:*".to_owned(),
            command: "SET".to_owned(),
            times: 2_986,
            given_later: 2_980,
            longest_gap_us: Some(412),
        }],
        left_without_expiry: Some(BTreeMap::from([("user:*".to_owned(), 6)])),
        clients: vec![client(4)],
        undecoded: vec![UndecodedRecord {
            store: Postgres,
            reason: "encrypted".to_owned(),
            connections: 1,
        }],
        unseen_commands: 0,
    }
}

/// Every text of it is this one.
pub(super) fn of_text(text: &str) -> AuditRecord {
    let mut audit = busy();
    let own = || text.to_owned();
    for command in &mut audit.commands {
        command.name = own();
    }
    for forbidden in &mut audit.forbidden {
        (forbidden.name, forbidden.reason) = (own(), own());
    }
    for requests in &mut audit.per_request {
        requests.operation = own();
    }
    for repeated in &mut audit.repeated {
        (repeated.operation, repeated.command, repeated.pattern) = (own(), own(), own());
    }
    for gap in &mut audit.without_expiry {
        (gap.pattern, gap.command) = (own(), own());
    }
    for client in &mut audit.clients {
        (client.library, client.version, client.name) = (Some(own()), Some(own()), Some(own()));
    }
    for lost in &mut audit.undecoded {
        lost.reason = own();
    }
    audit.left_without_expiry = Some(BTreeMap::from([(own(), 1)]));
    audit
}

fn count(store: StoreName, name: &str, count: u64) -> CommandCount {
    CommandCount {
        store,
        name: name.to_owned(),
        count,
        errors: count / 1_000,
        unanswered: 0,
        sent_bytes: 40 * count,
        received_bytes: 25 * count,
        slowest_us: Some(1_400 + count),
    }
}

fn requests(
    operation: &str,
    store: StoreName,
    (requests, least, most): (u64, u64, u64),
) -> RequestCount {
    RequestCount {
        operation: operation.to_owned(),
        store,
        requests,
        least,
        median: 1,
        most,
    }
}

fn client(connections: u64) -> ClientRecord {
    ClientRecord {
        library: Some("redis-rs".to_owned()),
        version: Some("1.8.1".to_owned()),
        name: None,
        connections,
    }
}
