//! `[encryption]` and `[[data_classes]]`: what the subject promises of what it stores in Redis.

use super::error::{ManifestError, Source};
use super::operation_name::{OperationName, Operations};
use super::promises::with_groups;
use super::sections::LogPattern;
use super::template::Template;
use regex::Regex;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// `[encryption]`: how values of sensitive classes are encrypted, and how their keys are looked after.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionSection {
    /// Where the nonce lies in a stored value.
    pub nonce: Option<BytesAt>,
    /// Where the version of the key lies in it.
    pub key_version: Option<BytesAt>,
    /// A command that makes a new key; it gets the environment of an instance.
    #[serde(default)]
    pub rotate: Vec<Template>,
    /// A command that encrypts all values with the newest key; it gets the environment of an instance.
    #[serde(default)]
    pub rewrap: Vec<Template>,
    /// SQL that removes every key but the newest.
    pub remove_old_keys: Option<String>,
    /// SQL that makes every key older: `{days}`.
    pub age_keys: Option<Template>,
    /// The age of a key that must be told as too old.
    #[serde(default = "ninety_days")]
    pub max_age_days: u64,
    /// Environment by which an instance looks for new and removed keys more often: `{interval_ms}`.
    #[serde(default)]
    pub shorten: BTreeMap<String, Template>,
    /// Environment under which a key that is too old is told, and not replaced.
    #[serde(default)]
    pub only_warn: BTreeMap<String, String>,
    /// The metric with the age of the key that encrypts, in seconds.
    pub key_age_metric: Option<String>,
    /// The path of the metrics.
    pub metrics_path: Option<String>,
    /// Audit events.
    #[serde(default)]
    pub log: AuditLog,
}

fn ninety_days() -> u64 {
    90
}

/// A place in a stored value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BytesAt {
    /// Where it begins.
    pub offset: usize,
    /// How long it is.
    pub length: usize,
}

impl BytesAt {
    /// What lies there, if the value is long enough.
    pub fn of<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        value.get(self.offset..self.offset + self.length)
    }
}

/// `[encryption.log]`: how audit events are recognised. Regular expressions, matched against one line each.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditLog {
    /// A key was used; the groups `key_id`, `key_version`, `operation` say which for what, `count`, if there is one, how
    /// often.
    pub key_used: Option<UsePattern>,
    /// A stored value could not be decrypted.
    pub decryption_failed: Option<LogPattern>,
    /// Credentials were refused.
    pub credentials_refused: Option<LogPattern>,
    /// A key is too old; the group `key_version` says which.
    pub key_too_old: Option<KeyPattern>,
}

/// A regular expression with the groups `key_id`, `key_version` and `operation`.
#[derive(Debug, Clone)]
pub struct UsePattern(pub Regex);

impl<'de> Deserialize<'de> for UsePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let example = r"key (?P<key_id>\w+):(?P<key_version>\d+) used to (?P<operation>\w+)";
        with_groups(
            deserializer,
            &["key_id", "key_version", "operation"],
            example,
        )
        .map(Self)
    }
}

/// A regular expression with a group `key_version`.
#[derive(Debug, Clone)]
pub struct KeyPattern(pub Regex);

impl<'de> Deserialize<'de> for KeyPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let example = r"key (?P<key_version>\d+) is too old";
        with_groups(deserializer, &["key_version"], example).map(Self)
    }
}

/// `[[data_classes]]`: what is stored in Redis, by class.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataClassSection {
    /// Its name, for reports.
    pub name: String,
    /// Patterns, as Redis knows them, that match its keys, and no others.
    pub keys: Vec<String>,
    /// The shortest lifetime of a value just written, in seconds.
    #[serde(default)]
    pub ttl_min_seconds: u64,
    /// The longest.
    pub ttl_max_seconds: u64,
    /// Whether its values are encrypted.
    #[serde(default)]
    pub encrypted: bool,
    /// Operations that, one after the other, leave at least one value of it.
    pub made_by: Vec<OperationName>,
}

impl EncryptionSection {
    /// The environment that makes an instance look for keys as often as this; `None` if the manifest declares none.
    pub fn shortened(&self, interval_ms: u64) -> Option<BTreeMap<String, String>> {
        let value = |name: &str| (name == "interval_ms").then(|| interval_ms.to_string());
        let fill = |(name, template): (&String, &Template)| (name.clone(), template.fill(value));
        (!self.shorten.is_empty()).then(|| self.shorten.iter().map(fill).collect())
    }

    pub(super) fn validate(&self, source: &Source<'_>) -> Result<(), ManifestError> {
        for (key, place) in [
            ("encryption.nonce", self.nonce),
            ("encryption.key_version", self.key_version),
        ] {
            if place.is_some_and(|place| place.length == 0) {
                return Err(source.error_at(key, "expected a `length` of at least 1"));
            }
        }
        let only = |key: &str, known: &str, template: &Template| match template
            .placeholders()
            .find(|used| *used != known)
        {
            None => Ok(()),
            Some(unknown) => {
                let problem = format!("unknown placeholder {{{unknown}}}; expected {{{known}}}");
                Err(source.error_at(key, problem))
            }
        };
        if let Some(age_keys) = &self.age_keys {
            only("encryption.age_keys", "days", age_keys)?;
        }
        for template in self.shorten.values() {
            only("encryption.shorten", "interval_ms", template)?;
        }
        match (&self.key_age_metric, &self.metrics_path) {
            (Some(_), None) => Err(source.error_at(
                "encryption.key_age_metric",
                "needs `metrics_path`; expected for instance `/metrics`",
            )),
            _ => Ok(()),
        }
    }
}

impl DataClassSection {
    pub(super) fn validate(
        &self,
        operations: &Operations,
        source: &Source<'_>,
    ) -> Result<(), ManifestError> {
        let error = |problem: String| {
            let problem = format!("`{}`: {problem}", self.name);
            Err(source.error_at("data_classes", problem))
        };
        let too_wide = |pattern: &&String| pattern.trim_matches('*').is_empty();
        if self.keys.is_empty() || self.keys.iter().any(|pattern| too_wide(&pattern)) {
            return error("`keys`: expected patterns such as `session:*`".to_owned());
        }
        if self.ttl_max_seconds == 0 || self.ttl_min_seconds > self.ttl_max_seconds {
            return error(
                "`ttl_max_seconds`: expected at least 1 and `ttl_min_seconds`".to_owned(),
            );
        }
        let unmapped = self
            .made_by
            .iter()
            .find(|name| !operations.contains_key(name));
        match unmapped {
            Some(name) => error(format!(
                "`made_by`: `{}` is not in `operations`; expected a mapped one",
                name.key()
            )),
            None if self.made_by.is_empty() => {
                error("`made_by`: expected operations that leave a value".to_owned())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use super::*;
    use std::path::Path;

    const LEAST: &str = "[subject]\nname = \"x\"\ncommand = [\"true\"]\nport = 8080\n";

    fn error(text: &str) -> String {
        Manifest::parse(Path::new("m.toml"), &format!("{LEAST}{text}"))
            .expect_err("it is wrong")
            .to_string()
    }

    #[test]
    fn a_place_in_a_value_is_what_lies_there_or_nothing() {
        let place = BytesAt {
            offset: 1,
            length: 2,
        };
        assert_eq!(place.of(b"abcd"), Some(b"bc".as_slice()));
        assert_eq!(place.of(b"ab"), None);
    }

    #[test]
    fn what_cannot_be_of_encryption_is_named_with_what_was_expected() {
        let text = error("[encryption]\nage_keys = \"UPDATE k SET d = {hours}\"\n");
        assert!(
            text.contains("encryption.age_keys") && text.contains("{days}"),
            "{text}"
        );
        let text = error("[encryption]\nkey_age_metric = \"age\"\n");
        assert!(text.contains("metrics_path"), "{text}");
        let text = error("[encryption.log]\nkey_used = 'used (?P<key_id>.)'\n");
        assert!(text.contains("no group `key_version`"), "{text}");
    }

    #[test]
    fn a_class_has_keys_a_lifetime_and_operations_that_make_it() {
        let class = |rest: &str| error(&format!("[[data_classes]]\nname = \"otp\"\n{rest}\n"));
        let rest = "keys = [\"*\"]\nttl_max_seconds = 600\nmade_by = [\"kv_set\"]";
        assert!(class(rest).contains("session:*"));
        let rest = "keys = [\"otp:*\"]\nttl_max_seconds = 0\nmade_by = [\"kv_set\"]";
        assert!(class(rest).contains("ttl_max_seconds"));
        let rest = "keys = [\"otp:*\"]\nttl_max_seconds = 600\nmade_by = [\"kv_set\"]";
        assert!(class(rest).contains("`kv_set` is not in `operations`"));
    }
}
