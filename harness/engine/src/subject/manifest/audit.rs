//! `[audit]`: what the list of forbidden commands is for this subject.

use serde::Deserialize;
use std::collections::BTreeMap;
use touchstone_core::audit::forbidden::Policy;

/// `[audit]`: commands that the report tells of, since a service should not send them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditSection {
    /// Commands that this subject may send although they are on the list, each with the reason.
    #[serde(default)]
    pub allowed: BTreeMap<String, String>,
    /// Commands that it should not send beside those on the list, each with the reason: `SMEMBERS`, `DROP`.
    #[serde(default)]
    pub forbidden: BTreeMap<String, String>,
}

impl AuditSection {
    /// As the audit asks for it. Case is ignored.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let capitals = |map: &BTreeMap<String, String>| {
            let each = map.iter();
            each.map(|(name, reason)| (name.to_ascii_uppercase(), reason.clone()))
                .collect()
        };
        Policy {
            allowed: capitals(&self.allowed),
            forbidden: capitals(&self.forbidden),
        }
    }
}
