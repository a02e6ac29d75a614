//! `[cache]`: what a subject promises of its cache.

use super::error::{ManifestError, Source};
use super::sections::LogPattern;
use super::template::Template;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `[cache]`: the cache's promises.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSection {
    /// A pattern that matches every cached entity, for the operation `cache_invalidate`.
    pub pattern: String,
    /// How long an entity is cached; a tenth less is as good.
    pub ttl_seconds: Option<u64>,
    /// How long it is remembered, at most, that an entity does not exist; under the same key.
    pub absent_ttl_seconds: Option<u64>,
    /// A regular expression for the statements that read an entity from Postgres.
    pub read_statement: Option<LogPattern>,
    /// Environment by which an instance is told which entities are read most, to have them in its cache before it is
    /// ready: `{ids}`, with commas between them.
    #[serde(default)]
    pub warm_up: BTreeMap<String, Template>,
}

impl CacheSection {
    /// The environment that declares these entities as read most.
    #[must_use]
    pub fn warm_up_env(&self, ids: &[&str]) -> BTreeMap<String, String> {
        let ids = |name: &str| (name == "ids").then(|| ids.join(","));
        let fill = |(name, template): (&String, &Template)| (name.clone(), template.fill(ids));
        self.warm_up.iter().map(fill).collect()
    }

    pub(super) fn validate(&self, source: &Source<'_>) -> Result<(), ManifestError> {
        let mut used = self.warm_up.values().flat_map(Template::placeholders);
        match used.find(|name| *name != "ids") {
            Some(unknown) => {
                let problem = format!("unknown placeholder {{{unknown}}}; expected {{ids}}");
                Err(source.error_at("cache.warm_up", problem))
            }
            None => Ok(()),
        }
    }
}
