//! Other ways to tell a subject something: environment over that of `[subject]`.

use super::error::{ManifestError, Source};
use super::sections::environment_placeholders;
use super::template::Template;
use super::validate::only_known_placeholders;
use crate::environment::Overrides;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The placeholders that `[[tls]]` adds to those of `[subject.env]`.
const OF_TLS: [&str; 3] = ["tls.ca_file", "tls.cert_file", "tls.key_file"];
/// The placeholders that `[[credentials]]` adds: it must use one of them.
pub const REDIS_PASSWORD_FILE: &str = "redis.password_file";
/// The same for Postgres.
pub const POSTGRES_PASSWORD_FILE: &str = "postgres.password_file";

/// `[[tls]]`: a way to make the subject use TLS to Redis. `[[credentials]]`: a way to give it a source of a
/// store's password that it reads again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlay {
    /// What is set over the environment of `[subject]`, with the same placeholders and some more.
    pub env: BTreeMap<String, Template>,
    /// Variables of `[subject.env]` that are not set.
    #[serde(default)]
    pub unset: Vec<String>,
}

impl Overlay {
    /// Whether a placeholder stands anywhere in it.
    pub fn uses(&self, placeholder: &str) -> bool {
        let mut used = self.env.values().flat_map(Template::placeholders);
        used.any(|name| name == placeholder)
    }

    /// The variables that it sets and those that it unsets, for a person to read.
    pub fn told(&self) -> String {
        let set = self
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let unset = self.unset.iter().map(|name| format!("no {name}"));
        set.chain(unset).collect::<Vec<_>>().join(" ")
    }

    /// What an instance is started with that is configured like this.
    pub fn overrides(&self, placeholders: BTreeMap<String, String>) -> Overrides {
        Overrides {
            templates: self.env.clone(),
            unset: self.unset.clone(),
            placeholders,
            ..Overrides::default()
        }
    }
}

pub(super) fn validate_tls(ways: &[Overlay], source: &Source<'_>) -> Result<(), ManifestError> {
    ways.iter()
        .try_for_each(|way| only_known_placeholders(&way.env, "tls", &with(&OF_TLS), source))
}

pub(super) fn validate_credentials(
    ways: &[Overlay],
    source: &Source<'_>,
) -> Result<(), ManifestError> {
    for way in ways {
        let files = [REDIS_PASSWORD_FILE, POSTGRES_PASSWORD_FILE];
        only_known_placeholders(&way.env, "credentials", &with(&files), source)?;
        if files.iter().filter(|file| way.uses(file)).count() != 1 {
            let [redis, postgres] = files;
            let problem = format!(
                "must use {{{redis}}} or {{{postgres}}}, where the password lies, and not both"
            );
            return Err(source.error_at("credentials", problem));
        }
    }
    Ok(())
}

fn with(more: &[&str]) -> Vec<String> {
    let more = more.iter().map(|name| (*name).to_owned());
    environment_placeholders().into_iter().chain(more).collect()
}
