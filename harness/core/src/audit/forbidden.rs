//! Commands that a service has no business to send to a store in production.

use crate::record::{CommandCount, ForbiddenCommand};
use std::collections::BTreeMap;

/// What is forbidden unless the manifest allows it, each with its reason.
pub const FORBIDDEN: &[(&str, &str)] = &[
    ("ACL DELUSER", "changes who may use the server"),
    ("ACL SETUSER", "changes who may use the server"),
    ("CLIENT PAUSE", "stops every client of the server"),
    ("CLUSTER RESET", "takes the server out of its cluster"),
    (
        "CONFIG REWRITE",
        "changes the server for everybody, for good",
    ),
    ("CONFIG SET", "changes the server for everybody"),
    ("DEBUG", "can freeze or crash the server"),
    ("FLUSHALL", "deletes everything, also what is not its own"),
    ("FLUSHDB", "deletes everything, also what is not its own"),
    ("FUNCTION FLUSH", "deletes functions that others call"),
    (
        "KEYS",
        "looks at every key while all others wait; SCAN does it in steps",
    ),
    ("MODULE LOAD", "runs foreign code in the server"),
    (
        "MONITOR",
        "shows what every client sends, and slows the server down",
    ),
    ("REPLICAOF", "makes the server throw its data away"),
    (
        "SAVE",
        "writes all data to disk while all others wait; BGSAVE does not",
    ),
    ("SCRIPT FLUSH", "deletes scripts that others call"),
    ("SHUTDOWN", "ends the server"),
    ("SLAVEOF", "makes the server throw its data away"),
    ("SWAPDB", "changes what every client sees"),
];

/// What is forbidden to a subject: the list above as its manifest changes it. Names in capitals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Allowed in spite of the list, each with the reason.
    pub allowed: BTreeMap<String, String>,
    /// Forbidden beside the list, each with the reason.
    pub forbidden: BTreeMap<String, String>,
}

impl Policy {
    /// Why a command is forbidden, if it is.
    pub fn reason(&self, name: &str) -> Option<&str> {
        if self.allowed.contains_key(name) {
            return None;
        }
        let listed = || {
            let found = FORBIDDEN.iter().find(|(listed, _)| *listed == name);
            found.map(|(_, reason)| *reason)
        };
        let own = self.forbidden.get(name).map(String::as_str);
        own.or_else(listed)
    }

    /// Those that were sent all the same.
    pub fn forbidden(&self, counts: &[CommandCount]) -> Vec<ForbiddenCommand> {
        let found = counts.iter().filter_map(|count| {
            Some(ForbiddenCommand {
                store: count.store,
                name: count.name.clone(),
                count: count.count,
                reason: self.reason(&count.name)?.to_owned(),
            })
        });
        found.collect()
    }
}
