//! The subject manifest: everything that the harness knows about the service under test.
//!
//! A TOML file. Each section is one struct here, with the meaning of each key beside it; the annotated
//! example is `fixtures/subjects/reference.toml`.

mod audit;
mod cache;
mod deadline;
mod degraded;
mod encryption;
mod error;
mod limiter;
mod lock;
mod observe;
mod operation;
mod operation_name;
mod overlay;
mod promises;
mod reconnect;
mod sections;
mod sessions;
mod template;
mod tokens;
mod validate;

pub use audit::AuditSection;
pub use cache::CacheSection;
pub use degraded::DegradedSection;
pub use encryption::{
    AuditLog, BytesAt, DataClassSection, EncryptionSection, KeyPattern, UsePattern,
};
pub use error::ManifestError;
pub use limiter::*;
pub use lock::LockSection;
pub use observe::*;
pub use operation::{JsonPointer, OperationTemplate, RequestLine, ResultAt};
pub use operation_name::{OperationName, Operations};
pub use overlay::{Overlay, POSTGRES_PASSWORD_FILE, REDIS_PASSWORD_FILE};
pub use promises::*;
pub use reconnect::{BackoffSection, JitterRange, ScriptsSection};
pub use sections::*;
pub use sessions::{SessionList, SessionsSection};
pub use template::Template;
pub use tokens::{CodeKind, CodeSection, TokensSection};

use crate::fault::RefusalKind;
use error::Source;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A manifest, read and validated.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// How the subject is started.
    pub subject: SubjectSection,
    /// What the stores hold before the subject starts.
    #[serde(default)]
    pub stores: StoresSection,
    /// How log lines are recognised.
    #[serde(default)]
    pub logs: LogsSection,
    /// The exit codes that the subject promises.
    #[serde(default)]
    pub exit_codes: ExitCodesSection,
    /// The health document.
    pub health: Option<HealthSection>,
    /// Deadlines, where they differ from the criteria's defaults.
    #[serde(default)]
    pub deadlines: Deadlines,
    /// What the merge profile accepts by name.
    #[serde(default)]
    pub policy: PolicySection,
    /// Environment values that the subject must refuse.
    #[serde(default)]
    pub bad_configuration: Vec<BadConfiguration>,
    /// Other ways to configure the subject, and the Redis database that each leads to.
    #[serde(default)]
    pub good_configuration: Vec<GoodConfiguration>,
    /// Ways to make the subject use TLS to Redis.
    #[serde(default)]
    pub tls: Vec<Overlay>,
    /// Ways to give the subject a source of a store's password that it reads again.
    #[serde(default)]
    pub credentials: Vec<Overlay>,
    /// How many connections the subject keeps.
    pub connections: Option<ConnectionsSection>,
    /// How health shows Redis while that answers with errors, by their cause.
    #[serde(default)]
    pub refusals: BTreeMap<RefusalKind, ShownAs>,
    /// Requests, by operation.
    #[serde(default)]
    pub operations: Operations,
    /// Operations that the subject does not have, each with the reason: their criteria are skipped.
    #[serde(default)]
    pub absent: BTreeMap<OperationName, String>,
    /// Under which keys values lie in the store.
    #[serde(default)]
    pub keys: KeysSection,
    /// Input limits of the key-value operations.
    pub kv: Option<KvSection>,
    /// The cache's promises.
    pub cache: Option<CacheSection>,
    /// The rate limiter's promises.
    pub limiter: Option<LimiterSection>,
    /// How the subject encrypts what it stores in Redis.
    pub encryption: Option<EncryptionSection>,
    /// How long the subject keeps what in Redis.
    #[serde(default)]
    pub data_classes: Vec<DataClassSection>,
    /// The promises of its sessions.
    pub sessions: Option<SessionsSection>,
    /// How many logins may be tried.
    pub login: Option<LoginSection>,
    /// What the subject promises of one-time codes.
    pub tokens: Option<TokensSection>,
    /// What it promises of its locks.
    pub lock: Option<LockSection>,
    /// When the subject tries to reconnect to Redis.
    pub backoff: Option<BackoffSection>,
    /// What the subject runs as scripts in Redis.
    pub scripts: Option<ScriptsSection>,
    /// What works while a store is away.
    pub degraded: Option<DegradedSection>,
    /// What the subject shows to Prometheus.
    pub metrics: Option<MetricsSection>,
    /// How a request is followed.
    pub trace: Option<TraceSection>,
    /// Which commands the report tells of.
    #[serde(default)]
    pub audit: AuditSection,
    /// Known defects that can be switched on, to prove that the criteria catch them.
    pub mutants: Option<MutantsSection>,
    /// Where the file lies; not a key of it.
    #[serde(skip)]
    pub path: PathBuf,
}

impl Manifest {
    /// Reads and validates a manifest.
    pub fn load(path: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(path).map_err(|source| ManifestError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ManifestError> {
        let source = Source { path, text };
        let mut manifest: Manifest =
            toml::from_str(text).map_err(|error| source.parse_error(&error))?;
        manifest.path = path.to_owned();
        validate::validate(&manifest, &source)?;
        Ok(manifest)
    }

    /// A path of the manifest, which is relative to the manifest's own directory.
    pub fn resolve(&self, relative: &Path) -> PathBuf {
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        dir.unwrap_or(Path::new(".")).join(relative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "[subject]\nname = \"x\"\ncommand = [\"true\"]\nport = 8080\n";

    fn error(text: &str) -> String {
        Manifest::parse(Path::new("m.toml"), text)
            .expect_err("it is wrong")
            .to_string()
    }

    #[test]
    fn the_least_manifest_names_a_command() {
        assert!(Manifest::parse(Path::new("m.toml"), LEAST).is_ok());
        assert!(error("[subject]\nname = \"x\"\n").contains("command"));
    }

    #[test]
    fn a_subject_is_told_its_port_or_has_one_and_never_both() {
        let subject = "[subject]\nname = \"x\"\ncommand = [\"true\"]\n";
        let told = "[subject.env]\nPORT = \"{http.port}\"\n";
        assert!(Manifest::parse(Path::new("m.toml"), &format!("{subject}{told}")).is_ok());
        let neither = error(subject);
        assert!(neither.starts_with("m.toml:1: `subject.env`"), "{neither}");
        assert!(neither.contains("{http.port}") && neither.contains("subject.port"));
        let both = error(&format!("{LEAST}{told}"));
        assert!(both.starts_with("m.toml:4: `subject.port`"), "{both}");
        assert!(error(&format!("{subject}port = 0\n")).contains("subject.port"));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_what_was_expected() {
        let text = error(&format!("{LEAST}[deadlines]\nhealth_notise_ms = 5\n"));
        assert!(text.starts_with("m.toml:6: `deadlines"), "{text}");
        assert!(
            text.contains("health_notise_ms") && text.contains("health_notice_ms"),
            "{text}"
        );
    }

    #[test]
    fn a_value_of_the_wrong_form_is_named_with_its_line_and_an_example() {
        let bad_request = "[operations.kv_get]\nrequest = \"FETCH /kv\"\n";
        let text = error(&format!("{LEAST}{bad_request}"));
        assert!(
            text.starts_with("m.toml:6: `operations.kv_get.request`"),
            "{text}"
        );
        assert!(text.contains("GET /kv/{key}"), "{text}");
        let bad_pattern = "[logs]\nconnected = \"(\"\n";
        assert!(error(&format!("{LEAST}{bad_pattern}")).starts_with("m.toml:6: `logs.connected`"));
    }

    #[test]
    fn a_placeholder_that_an_operation_does_not_know_is_named_with_those_that_it_does() {
        let text = error(&format!(
            "{LEAST}[operations.kv_get]\nrequest = \"GET /kv/{{name}}\"\n"
        ));
        assert!(text.starts_with("m.toml:5: `operations.kv_get"), "{text}");
        assert!(text.contains("{name}") && text.contains("{key}"), "{text}");
        let text = error(&format!("{LEAST}[subject.env]\nA = \"{{redis.prot}}\"\n"));
        assert!(
            text.contains("redis.prot") && text.contains("{redis.port}"),
            "{text}"
        );
    }

    #[test]
    fn a_slow_pattern_without_one_of_its_groups_is_named_with_an_example() {
        let pattern = "[logs]\nslow_command = '(?P<command>.) (?P<key>.)'\n";
        let text = error(&format!("{LEAST}{pattern}"));
        assert!(text.starts_with("m.toml:6: `logs.slow_command`"), "{text}");
        assert!(text.contains("no group `duration_ms`"), "{text}");
    }

    #[test]
    fn another_configuration_has_known_placeholders_and_a_database_that_exists() {
        let case = |url: &str, database: u32| {
            let env = format!("env = {{ A = \"{url}\" }}");
            format!("{LEAST}[[good_configuration]]\n{env}\nredis_database = {database}\n")
        };
        assert!(error(&case("{redis.prot}", 0)).contains("{redis.port}"));
        assert!(error(&case("{redis.port}", 16)).contains("0 to 15"));
        assert!(Manifest::parse(Path::new("m.toml"), &case("{redis.port}", 15)).is_ok());
    }

    #[test]
    fn only_a_way_to_tell_of_tls_or_of_a_password_file_knows_their_placeholders() {
        let way = |section: &str, value: &str| {
            format!("{LEAST}[[{section}]]\nenv = {{ A = \"{value}\" }}\n")
        };
        let is_good = |text: &str| Manifest::parse(Path::new("m.toml"), text).is_ok();
        assert!(is_good(&way("tls", "{redis.host} {tls.ca_file}")));
        assert!(error(&way("tls", "{tls.ca_fil}")).contains("{tls.ca_file}"));
        assert!(is_good(&way("credentials", "cat {redis.password_file}")));
        assert!(error(&way("credentials", "x")).contains("must use {redis.password_file} or"));
        assert!(error(&way("tls", "{redis.password_file}")).contains("unknown placeholder"));
        let env = "[subject.env]\nA = \"{tls.ca_file}\"\n";
        assert!(error(&format!("{LEAST}{env}")).contains("unknown placeholder"));
    }

    #[test]
    fn a_backoff_that_cannot_be_is_named_with_what_was_expected() {
        let backoff = |rest: &str| format!("{LEAST}[backoff]\nbase_ms = 50\n{rest}\n");
        let capped = "cap_ms = 10\njitter = { low = 0.5, high = 1.0 }";
        assert!(error(&backoff(capped)).starts_with("m.toml:7: `backoff.cap_ms`"));
        let swapped = "cap_ms = 100\njitter = { low = 1.5, high = 1.0 }";
        assert!(error(&backoff(swapped)).starts_with("m.toml:8: `backoff.jitter`"));
        let unknown =
            "cap_ms = 100\njitter = { low = 0.5, high = 1.0 }\nshorten = { A = \"{limit}\" }";
        assert!(error(&backoff(unknown)).contains("{cap_ms}"));
    }

    #[test]
    fn sessions_that_cannot_be_are_named_with_what_was_expected() {
        let sessions = |rest: &str| format!("{LEAST}[sessions]\ncookie = \"sid\"\n{rest}\n");
        let whole = "key_pattern = \"s:*\"\nttl_seconds = 60";
        assert!(Manifest::parse(Path::new("m.toml"), &sessions(whole)).is_ok());
        let all_keys = "key_pattern = \"*\"\nttl_seconds = 60";
        assert!(error(&sessions(all_keys)).starts_with("m.toml:7: `sessions.key_pattern`"));
        let shorter = format!("{whole}\nlifetime_max_seconds = 59");
        assert!(error(&sessions(&shorter)).contains("at least `ttl_seconds`"));
        let unknown = format!("{whole}\nshorten = {{ A = \"{{limit}}\" }}");
        assert!(error(&sessions(&unknown)).contains("{ttl_seconds}"));
    }

    #[test]
    fn a_limiter_that_cannot_be_is_named_with_what_was_expected() {
        let limiter = |rest: &str| {
            let least = "limit = 5\nwindow_ms = 1000\nkind = \"fixed\"";
            format!("{LEAST}[limiter]\n{least}\n{rest}\n")
        };
        let sliding = |kind: &str, limit: u32| {
            limiter(&format!(
                "[limiter.sliding]\nlimit = {limit}\nwindow_ms = 1000\nkind = \"{kind}\""
            ))
        };
        assert!(Manifest::parse(Path::new("m.toml"), &sliding("sliding", 5)).is_ok());
        assert!(error(&sliding("fixed", 5)).starts_with("m.toml:12: `limiter.sliding.kind`"));
        assert!(
            error(&sliding("sliding", 0)).contains("`limiter.sliding.limit`: expected at least 1")
        );
        let unknown = error(&limiter("shorten = { A = \"{windows}\" }"));
        assert!(
            unknown.starts_with("m.toml:9: `limiter.shorten`"),
            "{unknown}"
        );
        assert!(unknown.contains("{window_ms}"), "{unknown}");
        let address = "[limiter.address]\nlimit = 5\nwindow_ms = 10\ntrust = { A = \"{proxy}\" }";
        assert!(error(&limiter(address)).contains("needs `forwarded_header`"));
    }

    #[test]
    fn a_limit_of_logins_has_numbers_and_known_placeholders() {
        let login = |rest: &str| {
            let least = "address_limit = 9\nwindow_ms = 1000\nlimited_status = 429";
            format!("{LEAST}[login]\n{least}\n{rest}\n")
        };
        assert!(Manifest::parse(Path::new("m.toml"), &login("account_limit = 3")).is_ok());
        assert!(error(&login("account_limit = 0")).contains("`login.account_limit`"));
        let key = error(&login(
            "account_limit = 3\naccount_key = \"login:{account}\"",
        ));
        assert!(key.contains("{account}") && key.contains("{user}"), "{key}");
    }

    #[test]
    fn a_warm_up_that_names_no_ids_it_knows_is_told_what_it_may_name() {
        let warm_up = |value: &str| {
            format!("{LEAST}[cache]\npattern = \"x\"\nwarm_up = {{ A = \"{value}\" }}\n")
        };
        let text = error(&warm_up("{keys}"));
        assert!(text.starts_with("m.toml:7: `cache.warm_up`"), "{text}");
        assert!(text.contains("{ids}"), "{text}");
        assert!(Manifest::parse(Path::new("m.toml"), &warm_up("{ids}")).is_ok());
    }

    #[test]
    fn an_operation_that_is_said_to_work_without_a_store_must_be_mapped() {
        let rest = "[degraded]\nrefusal_status = 503\nworks_without_postgres = [\"kv_get\"]\n";
        let text = error(&format!("{LEAST}{rest}"));
        assert!(
            text.starts_with("m.toml:7: `degraded.works_without_postgres`"),
            "{text}"
        );
        assert!(text.contains("`kv_get`"), "{text}");
    }

    #[test]
    fn a_file_that_is_no_toml_says_where() {
        assert!(
            error("[subject\nname = 1").starts_with("m.toml:1: "),
            "{}",
            error("[subject\n")
        );
    }
}
