//! What a subject sent to its stores, judged by nobody: numbers and findings for whoever reads a report.
//!
//! Pure: the engine hands over what its proxies saw, and gets a record back. Keys are shown as patterns
//! ([`pattern`]), values never: they are not even in the input.

mod expiry;
pub mod forbidden;
pub mod pattern;
mod request;
mod total;

pub use request::REPEATED_MIN;
pub use total::total;

use crate::record::{AuditRecord, ClientRecord, CommandCount, UndecodedRecord};
use forbidden::Policy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Findings of one kind that a record keeps at most; the first by their order.
pub const FINDINGS_MAX: usize = 50;

/// Where a command went.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum StoreName {
    /// Redis.
    Redis,
    /// Postgres.
    Postgres,
}

impl std::fmt::Display for StoreName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            StoreName::Redis => "redis",
            StoreName::Postgres => "postgres",
        })
    }
}

/// What a command said of the expiry of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// It set a value and its expiry in one.
    WithValue,
    /// It set the expiry of a value that was there.
    Alone,
    /// It set a value and left the expiry as it was.
    Kept,
    /// It took the expiry away.
    Removed,
}

/// What a command was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// An error: nothing was done.
    Error,
    /// Nothing.
    Nil,
    /// A number.
    Integer(i64),
    /// Several values.
    Aggregate,
    /// Anything else.
    Other,
}

/// A command that a proxy saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Where it went.
    pub store: StoreName,
    /// The connection, by its number among those of its proxy.
    pub connection: u64,
    /// When it was seen, in microseconds on the scenario's clock.
    pub at_us: u64,
    /// What it is called.
    pub name: Cow<'static, str>,
    /// Its keys; on Postgres its statements.
    pub keys: Vec<Box<[u8]>>,
    /// What it said of expiry.
    pub expiry: Option<Expiry>,
    /// Whether it was sent inside a transaction.
    pub in_transaction: bool,
    /// What it was answered, and when that was seen.
    pub answer: Option<(u64, Answer)>,
}

/// A request of the harness to an instance, from its sending to its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// What was asked for: an operation of the manifest, or method and path.
    pub operation: Cow<'static, str>,
    /// When it was sent, in microseconds on the scenario's clock.
    pub from_us: u64,
    /// When its answer was complete, or waited for no more.
    pub to_us: u64,
    /// Whether it was answered.
    pub answered: bool,
}

/// What a client said of itself on one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The library.
    pub library: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The connection's name.
    pub name: Option<String>,
}

/// What the proxies of one instance saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Totals of all commands, also of those that are not in `commands` any more.
    pub counts: Vec<CommandCount>,
    /// The last commands, in any order.
    pub commands: Vec<Sent>,
    /// Commands that are not in `commands`, because more had come than are kept.
    pub dropped: u64,
    /// The harness's requests to the instance.
    pub spans: Vec<Span>,
    /// What clients said of themselves, a connection each.
    pub clients: Vec<Identity>,
    /// Connections that could not be decoded to their end: where they led, and why.
    pub undecoded: Vec<(StoreName, String)>,
}

/// The audit of one attempt: what all its instances sent.
pub fn audit(mut instances: Vec<Seen>, policy: &Policy) -> AuditRecord {
    for instance in &mut instances {
        instance.commands.sort_by_key(|sent| sent.at_us);
    }
    let mut record = AuditRecord {
        commands: counts(&instances),
        clients: clients(&instances),
        undecoded: undecoded(&instances),
        unseen_commands: instances.iter().map(|instance| instance.dropped).sum(),
        ..AuditRecord::default()
    };
    record.forbidden = policy.forbidden(&record.commands);
    record.without_expiry = expiry::gaps(&instances);
    (record.per_request, record.repeated) = request::measure(&instances);
    record
}

fn counts(instances: &[Seen]) -> Vec<CommandCount> {
    total::counts(instances.iter().flat_map(|instance| &instance.counts))
}

fn clients(instances: &[Seen]) -> Vec<ClientRecord> {
    let mut connections: BTreeMap<&Identity, u64> = BTreeMap::new();
    for identity in instances.iter().flat_map(|instance| &instance.clients) {
        *connections.entry(identity).or_default() += 1;
    }
    let records = connections
        .into_iter()
        .map(|(identity, connections)| ClientRecord {
            library: identity.library.clone(),
            version: identity.version.clone(),
            name: identity.name.clone(),
            connections,
        });
    records.take(FINDINGS_MAX).collect()
}

fn undecoded(instances: &[Seen]) -> Vec<UndecodedRecord> {
    let mut connections: BTreeMap<&(StoreName, String), u64> = BTreeMap::new();
    for lost in instances.iter().flat_map(|instance| &instance.undecoded) {
        *connections.entry(lost).or_default() += 1;
    }
    let records = connections
        .into_iter()
        .map(|((store, reason), connections)| UndecodedRecord {
            store: *store,
            reason: reason.clone(),
            connections,
        });
    records.collect()
}

#[cfg(test)]
mod tests;
