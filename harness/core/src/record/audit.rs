//! The audit's part of the record. Lists are sorted by what identifies their entries, and hold at most
//! [`crate::audit::FINDINGS_MAX`] of them; `commands`, `forbidden` and `undecoded` are complete.

use crate::audit::StoreName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the subject sent to its stores. Informs; no verdict depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// By store and name.
    pub commands: Vec<CommandCount>,
    /// Commands in one request of the harness, by operation and store.
    pub per_request: Vec<RequestCount>,
    /// What a service has no business to send.
    pub forbidden: Vec<ForbiddenCommand>,
    /// One thing after the other where one command would do ("N+1").
    pub repeated: Vec<RepeatedCommands>,
    /// Keys of Redis that were seen without an expiry at some instant.
    pub without_expiry: Vec<WithoutExpiry>,
    /// Keys that had none when the scenario was over, by pattern: seen by a look into Redis itself, so that those
    /// that a script has made, and those of the harness, are among them. `None` if Redis could not be looked at.
    pub left_without_expiry: Option<BTreeMap<String, u64>>,
    /// What clients said of themselves.
    pub clients: Vec<ClientRecord>,
    /// Connections that were not decoded to their end: what came after is in no number here.
    pub undecoded: Vec<UndecodedRecord>,
    /// Commands that are counted, but were too many to be looked at for all the rest.
    pub unseen_commands: u64,
}

/// All commands of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommandCount {
    /// Where they went.
    pub store: StoreName,
    /// The name in capitals, with its subcommand; on Postgres the statement's first word.
    pub name: String,
    /// How many.
    pub count: u64,
    /// How many were answered by an error.
    pub errors: u64,
    /// How many got no answer: under way at the end, cut off, or answered by a fault in the store's stead.
    pub unanswered: u64,
    /// Their size on the wire, in bytes.
    pub sent_bytes: u64,
    /// The size of their first replies, in bytes.
    pub received_bytes: u64,
    /// The longest time between a command's head and the end of its first reply at the proxy, in microseconds, of
    /// those that no rule acted on. Other faults, such as a frozen server, are in it. `None` without such a reply.
    pub slowest_us: Option<u64>,
}

/// Commands in requests of one kind that were under way alone; see [`crate::audit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestCount {
    /// The manifest's name of the operation, or method and path.
    pub operation: String,
    /// Where the commands went.
    pub store: StoreName,
    /// How many requests were measured.
    pub requests: u64,
    /// The fewest commands in one.
    pub least: u64,
    /// The median; of several attempts, the largest of their medians.
    pub median: u64,
    /// The most.
    pub most: u64,
}

/// A command that a service has no business to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForbiddenCommand {
    /// Where it went.
    pub store: StoreName,
    /// Its name.
    pub name: String,
    /// How often it was sent.
    pub count: u64,
    /// Why it is forbidden.
    pub reason: String,
}

/// Commands of one name on one key each, of one pattern, in a row within one request, each sent after the answer to the one
/// before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepeatedCommands {
    /// The request's operation.
    pub operation: String,
    /// Where they went.
    pub store: StoreName,
    /// Their name.
    pub command: String,
    /// The pattern of their keys, or their statement without its literals.
    pub pattern: String,
    /// In how many requests.
    pub requests: u64,
    /// The longest row.
    pub longest: u64,
}

/// Keys that a command left without an expiry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WithoutExpiry {
    /// The pattern of the keys.
    pub pattern: String,
    /// The command's name.
    pub command: String,
    /// How often it left a key so.
    pub times: u64,
    /// How often the key got an expiry after all, by a second command: a crash between the two leaves it for ever.
    pub given_later: u64,
    /// The longest time between the answers to the two, in microseconds.
    pub longest_gap_us: Option<u64>,
}

/// What a client said of itself, where it did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientRecord {
    /// The library.
    pub library: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The connection's name.
    pub name: Option<String>,
    /// On how many connections.
    pub connections: u64,
}

/// Connections that were not decoded to their end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UndecodedRecord {
    /// Where they led.
    pub store: StoreName,
    /// Why.
    pub reason: String,
    /// How many.
    pub connections: u64,
}
