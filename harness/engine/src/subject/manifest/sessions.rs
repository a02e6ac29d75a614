//! `[sessions]`: what a subject promises of its sessions.

use super::error::{ManifestError, Source};
use super::operation::JsonPointer;
use super::template::Template;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `[sessions]`: what the subject promises of its sessions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsSection {
    /// The name of the cookie that carries the id.
    pub cookie: String,
    /// A pattern, as Redis knows them, that matches the key of every session and no other key.
    pub key_pattern: String,
    /// How long a session lives from its login, or from its last touch.
    pub ttl_seconds: u64,
    /// How long it lives from its login at most, however often it is touched.
    pub lifetime_max_seconds: Option<u64>,
    /// Whether a read is a touch.
    #[serde(default)]
    pub read_prolongs: bool,
    /// Whether the store holds no id in clear, neither in a key nor in a value.
    #[serde(default)]
    pub ids_hashed: bool,
    /// Environment that switches the production mode on.
    #[serde(default)]
    pub production: BTreeMap<String, String>,
    /// Environment by which a run shortens both times: `{ttl_seconds}`, `{lifetime_max_seconds}`.
    #[serde(default)]
    pub shorten: BTreeMap<String, Template>,
    /// How the list of a user's devices is read.
    pub list: Option<SessionList>,
}

/// `[sessions.list]`: where things are in the answer of `session_list`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionList {
    /// The array.
    pub entries: JsonPointer,
    /// In an entry: what `session_revoke` calls the session. Text.
    pub id: JsonPointer,
    /// In an entry: the name of the device. Text.
    pub device: JsonPointer,
}

impl SessionsSection {
    /// The environment that gives sessions other times; `None` if the manifest declares no way.
    pub fn shortened(
        &self,
        ttl_seconds: u64,
        lifetime_max_seconds: u64,
    ) -> Option<BTreeMap<String, String>> {
        let value = |name: &str| match name {
            "ttl_seconds" => Some(ttl_seconds.to_string()),
            "lifetime_max_seconds" => Some(lifetime_max_seconds.to_string()),
            _ => None,
        };
        let fill = |(name, template): (&String, &Template)| (name.clone(), template.fill(value));
        (!self.shorten.is_empty()).then(|| self.shorten.iter().map(fill).collect())
    }

    pub(super) fn validate(&self, source: &Source<'_>) -> Result<(), ManifestError> {
        let error = |key: &str, problem: &str| Err(source.error_at(key, problem));
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if self.cookie.is_empty() || !self.cookie.bytes().all(token) {
            return error(
                "sessions.cookie",
                "expected the name of a cookie, for instance `sid`",
            );
        }
        if self.key_pattern.trim_matches('*').is_empty() {
            let problem = "matches every key; expected for instance `session:*`";
            return error("sessions.key_pattern", problem);
        }
        if self.ttl_seconds == 0 {
            return error("sessions.ttl_seconds", "expected at least 1");
        }
        let too_short = |longest: &u64| *longest < self.ttl_seconds;
        if self.lifetime_max_seconds.as_ref().is_some_and(too_short) {
            return error(
                "sessions.lifetime_max_seconds",
                "expected at least `ttl_seconds`",
            );
        }
        let known = ["ttl_seconds", "lifetime_max_seconds"];
        let mut used = self.shorten.values().flat_map(Template::placeholders);
        match used.find(|used| !known.contains(used)) {
            None => Ok(()),
            Some(unknown) => {
                let problem = format!(
                    "unknown placeholder {{{unknown}}}; expected {{ttl_seconds}} or {{lifetime_max_seconds}}"
                );
                error("sessions.shorten", &problem)
            }
        }
    }
}
