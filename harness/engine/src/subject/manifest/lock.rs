//! `[lock]`: what a subject promises of its locks.

use super::error::{ManifestError, Source};
use super::operation::JsonPointer;
use super::template::Template;
use serde::Deserialize;

/// `[lock]`: a lock that instances share. The result of `lock_acquire` is the fencing token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockSection {
    /// The Redis key whose expiry ends a lock: `{name}`.
    pub key: Template,
    /// How long a lock lives, in milliseconds: what `lock_acquire` is asked for, or what it has anyway.
    pub ttl_ms: u64,
    /// Where the answer of `lock_acquire` says what proves that one is the holder.
    pub holder: JsonPointer,
}

impl LockSection {
    pub(super) fn validate(&self, source: &Source<'_>) -> Result<(), ManifestError> {
        if self.key.placeholders().collect::<Vec<_>>() != ["name"] {
            let problem = "expected {name} once, for instance `lock:{name}`";
            return Err(source.error_at("lock.key", problem));
        }
        // It must not end by itself while a scenario looks at it.
        if self.ttl_ms < 10_000 {
            return Err(source.error_at("lock.ttl_ms", "expected at least 10000"));
        }
        Ok(())
    }
}
