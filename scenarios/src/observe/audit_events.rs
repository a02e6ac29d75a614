//! OBS-5: who looks after secrets is told what matters, and no secret.

use crate::secrets::forms;
use crate::security::client::{Person, Persons};
use crate::security::keys::Keys;
use futures::FutureExt;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::{Environment, Overrides};
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::EncryptionSection;

/// How long an event may take into the log.
const LOG_DEADLINE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(10);
const WRONG_PASSWORD: &str = "wrong-password-canary";
const DAY_S: f64 = 24.0 * 3600.0;
/// Operations on persons whose keys must be told.
const PERSONS: usize = 5;

/// OBS-5.
pub(super) const AUDITED: Scenario = Scenario {
    criterion: Criterion {
        id: "OBS-5",
        statement: "Refused credentials, decryption failures and key use (id, version, operation, never the value) leave an audit event; a data key over 90 days old raises a warning and a metric",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(3),
    run: |context| audited(context).boxed(),
};

struct Audit<'a> {
    context: &'a Context,
    environment: Arc<Environment>,
    instance: Arc<Instance>,
    persons: Persons,
    encryption: &'a EncryptionSection,
}

async fn audited(context: &Context) -> Result<(), Stop> {
    Persons::required(context)?;
    let manifest = Arc::clone(context.manifest());
    let encryption = context.section("encryption", manifest.encryption.as_ref())?;
    let environment = context.stores().await?;
    let keys = Keys::of(context, &environment, encryption);
    context.step("start the subject");
    let mut env = keys.look_often();
    env.extend(encryption.only_warn.clone());
    let instance = environment.start_instance(&env).await?;
    let audit = Audit {
        context,
        persons: Persons::open(context, &environment).await?,
        environment,
        instance,
        encryption,
    };
    let planted = audit.key_use().await?;
    audit.decryption_failure(&planted).await?;
    audit.young_key().await?;
    audit.old_key(&keys).await?;
    audit.refused_login().await?;
    audit.refused_credentials().await?;
    audit.no_value(&planted)
}

impl Audit<'_> {
    /// Every encryption and decryption is told, by itself or in a sum.
    async fn key_use(&self) -> Result<Vec<Person>, Stop> {
        let pattern = self.encryption.log.key_used.as_ref();
        let pattern = &self.context.section("encryption.log.key_used", pattern)?.0;
        self.context
            .step(format!("{PERSONS} values encrypted and decrypted"));
        let before = Uses::of(&self.instance, pattern);
        let mut planted = Vec::new();
        for _ in 0..PERSONS {
            let person = self.persons.planted(&self.instance.http).await?;
            self.persons.cached(&self.instance.http, &person).await?;
            self.persons.read(&self.instance.http, &person).await?;
            planted.push(person);
        }
        let expected = format!(
            "at least {PERSONS} uses of a key told for each of two operations, with its id and version"
        );
        let told = poll_until(expected.as_str(), LOG_DEADLINE, POLL, || async {
            let uses = Uses::of(&self.instance, pattern).since(&before);
            let enough = uses
                .by_operation
                .values()
                .filter(|count| **count >= PERSONS as u64);
            if enough.count() >= 2 {
                return Look::Ready(uses);
            }
            Look::NotYet(uses.describe())
        });
        let told = told.await;
        // One that tells a value is worse than one that is missing.
        self.no_value(&planted)?;
        self.context
            .observe(told.or_fail(expected.clone())?.describe());
        Ok(planted)
    }

    async fn decryption_failure(&self, planted: &[Person]) -> Result<(), Stop> {
        let pattern = self.encryption.log.decryption_failed.as_ref();
        let pattern = self
            .context
            .section("encryption.log.decryption_failed", pattern)?;
        self.context.step("a changed value, and one that is none");
        let person = &planted[0];
        let mut changed = self.persons.cached(&self.instance.http, person).await?;
        if let Some(last) = changed.last_mut() {
            *last ^= 1;
        }
        for (count, bytes) in [changed.as_slice(), b"no value of the subject's"]
            .into_iter()
            .enumerate()
        {
            self.persons.plant(person, bytes).await?;
            self.persons.ask(&self.instance.http, person).await?;
            let (what, count) = ("an audit event of a value that does not decrypt", count + 1);
            let log = &self.instance.log;
            let lines = log.wait_for(what, &pattern.0, count, LOG_DEADLINE).await;
            let lines = lines.or_fail(what)?;
            self.context.observe(lines[lines.len() - 1].clone());
        }
        Ok(())
    }

    /// A key that is new raises nothing, and its age is small.
    async fn young_key(&self) -> Result<(), Stop> {
        let Some(pattern) = &self.encryption.log.key_too_old else {
            return Ok(());
        };
        let lines = self.instance.log.matching(&pattern.0);
        expect(
            lines.is_empty(),
            "no warning of a key that is new",
            lines.join("\n"),
        )?;
        if let Some(metric) = self.age_metric().await? {
            let days = metric / DAY_S;
            expect(
                (0.0..1.0).contains(&days),
                "a key that was just made to be less than a day old in the metrics",
                format!("{days:.2} days"),
            )?;
        }
        Ok(())
    }

    async fn old_key(&self, keys: &Keys<'_>) -> Result<(), Stop> {
        let pattern = self.encryption.log.key_too_old.as_ref();
        let pattern = &self
            .context
            .section("encryption.log.key_too_old", pattern)?
            .0;
        let days = self.encryption.max_age_days + 1;
        self.context.step(format!("every key is {days} days older"));
        keys.age(days).await?;
        let what = "a warning of a key that is too old";
        let log = &self.instance.log;
        let lines = log
            .wait_for(what, pattern, 1, LOG_DEADLINE)
            .await
            .or_fail(what)?;
        self.context.observe(lines[0].clone());
        if self.encryption.key_age_metric.is_none() {
            self.context
                .observe("no `encryption.key_age_metric`: not looked at");
            return Ok(());
        }
        let least_s = self.encryption.max_age_days as f64 * DAY_S;
        let what = "the age of the key in the metrics";
        let grown = poll_until(what, LOG_DEADLINE, POLL, || async {
            match self.age_metric().await {
                Ok(Some(age_s)) if age_s >= least_s => Look::Ready(Ok(())),
                Ok(age_s) => Look::NotYet(format!("{age_s:?} s")),
                Err(stop) => Look::Ready(Err(stop)),
            }
        });
        grown
            .await
            .or_fail(format!("{what}: at least {least_s} s"))?
    }

    /// The greatest of the metric's values; `None` if the manifest names no metric.
    async fn age_metric(&self) -> Result<Option<f64>, Stop> {
        let encryption = self.encryption;
        let Some((metric, path)) = encryption
            .key_age_metric
            .as_ref()
            .zip(encryption.metrics_path.as_ref())
        else {
            return Ok(None);
        };
        let answer = self.instance.http.get(path).await?;
        let text = String::from_utf8_lossy(&answer.body);
        let values = text.lines().filter_map(|line| value_of(line, metric));
        let greatest = values.reduce(f64::max);
        greatest
            .map(Some)
            .ok_or_else(|| Stop::fail(format!("`{metric}` at {path}"), answer.describe()))
    }

    /// Ours by a store: an instance that is given a wrong password.
    async fn refused_credentials(&self) -> Result<(), Stop> {
        let pattern = self.encryption.log.credentials_refused.as_ref();
        let pattern = &self
            .context
            .section("encryption.log.credentials_refused", pattern)?
            .0;
        for placeholder in ["redis.password", "postgres.password"] {
            let mut templates = self.context.manifest().subject.env.values();
            if !templates.any(|template| template.placeholders().any(|name| name == placeholder)) {
                self.context
                    .observe(format!("no {{{placeholder}}} in the manifest"));
                continue;
            }
            self.context.step(format!("a wrong {placeholder}"));
            let overrides = Overrides {
                placeholders: BTreeMap::from([(placeholder.to_owned(), WRONG_PASSWORD.to_owned())]),
                ..Overrides::default()
            };
            let wiring = self.environment.wire().await?;
            let refused = self.environment.launch(wiring, &overrides)?;
            let what = format!("an audit event of a refused {placeholder}");
            let lines = refused.log.wait_for(&what, pattern, 1, LOG_DEADLINE).await;
            let lines = lines.or_fail(what.clone())?;
            expect(
                !refused.log.text().contains(WRONG_PASSWORD),
                "no password in the output",
                "the wrong one",
            )?;
            self.context.observe(lines[0].clone());
            refused.kill();
        }
        Ok(())
    }

    /// A client's by the subject: a login with a wrong password.
    async fn refused_login(&self) -> Result<(), Stop> {
        let pattern = self.encryption.log.credentials_refused.as_ref();
        let pattern = &self
            .context
            .section("encryption.log.credentials_refused", pattern)?
            .0;
        let (make, login) = (OperationName::AccountCreate, OperationName::SessionCreate);
        let operations = &self.context.manifest().operations;
        if ![make, login]
            .iter()
            .all(|name| operations.contains_key(name))
        {
            self.context
                .observe("no logins: a client's password was not tried");
            return Ok(());
        }
        self.context.step("a login with a wrong password");
        let http = &self.instance.http;
        let values: &[(&str, &[u8])] = &[
            ("user", b"audited"),
            ("password", b"correct horse battery staple"),
            ("device", b"audited"),
        ];
        let made = http.call(make, values).await?;
        expect(
            made.kind() == AnswerKind::Ok,
            "`account_create` to succeed with both stores up",
            made.describe(),
        )?;
        let before = self.instance.log.matching(pattern).len();
        let mut wrong = values.to_vec();
        wrong[1].1 = WRONG_PASSWORD.as_bytes();
        let answer = http.call(login, &wrong).await?;
        expect(
            answer.kind() != AnswerKind::Ok,
            "a login with a wrong password to be refused",
            answer.describe(),
        )?;
        let what = "an audit event of a refused login";
        let log = &self.instance.log;
        let lines = log.wait_for(what, pattern, before + 1, LOG_DEADLINE).await;
        let lines = lines.or_fail(what)?;
        expect(
            !log.text().contains(WRONG_PASSWORD),
            "no password in the log",
            "the wrong one",
        )?;
        self.context.observe(lines[lines.len() - 1].clone());
        Ok(())
    }

    fn no_value(&self, planted: &[Person]) -> Result<(), Stop> {
        let text = self.instance.log.text();
        let told = planted.iter().find_map(|person| {
            let mut shapes = forms(&person.value).into_iter();
            shapes.find(|(_, bytes)| crate::secrets::contains(text.as_bytes(), bytes))
        });
        expect(
            told.is_none(),
            "no value in any line of the log",
            format!("a canary {}", told.map_or("", |(shape, _)| shape)),
        )
    }
}

/// Uses of keys that a log tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Uses {
    by_operation: BTreeMap<String, u64>,
    keys: BTreeSet<String>,
}

impl Uses {
    fn of(instance: &Instance, pattern: &Regex) -> Self {
        Self::in_text(&instance.log.text(), pattern)
    }

    fn in_text(text: &str, pattern: &Regex) -> Self {
        let mut uses = Self::default();
        for line in text.lines() {
            let Some(found) = pattern.captures(line) else {
                continue;
            };
            let group = |name: &str| found.name(name).map(|group| group.as_str().to_owned());
            let count = group("count")
                .and_then(|count| count.parse().ok())
                .unwrap_or(1);
            *uses
                .by_operation
                .entry(group("operation").unwrap_or_default())
                .or_default() += count;
            let (id, version) = (group("key_id"), group("key_version"));
            uses.keys.insert(format!(
                "{}:{}",
                id.unwrap_or_default(),
                version.unwrap_or_default()
            ));
        }
        uses
    }

    fn since(mut self, before: &Self) -> Self {
        for (operation, count) in &mut self.by_operation {
            *count -= before
                .by_operation
                .get(operation)
                .copied()
                .unwrap_or_default();
        }
        self.by_operation.retain(|_, count| *count > 0);
        self
    }

    fn describe(&self) -> String {
        format!(
            "uses told: {:?}, of the keys {:?}",
            self.by_operation, self.keys
        )
    }
}

/// The value of a metric in one line of a text exposition, with or without labels.
fn value_of(line: &str, metric: &str) -> Option<f64> {
    let rest = line.strip_prefix(metric)?;
    let rest = match rest.strip_prefix('{') {
        Some(labels) => labels.split_once('}')?.1,
        None => rest,
    };
    rest.strip_prefix(' ')?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_summed_by_operation_and_with_their_counts() {
        let pattern = Regex::new(
            r"key (?P<key_id>\w+):(?P<key_version>\d+) (?P<operation>\w+)( x(?P<count>\d+))?",
        )
        .expect("a pattern");
        let before = Uses::in_text("key a:1 seal\n", &pattern);
        let uses = Uses::in_text(
            "key a:1 seal\nkey a:1 seal x3\nkey a:2 open\nother\n",
            &pattern,
        );
        let uses = uses.since(&before);
        assert_eq!(
            uses.by_operation,
            BTreeMap::from([("open".into(), 1), ("seal".into(), 3)])
        );
        assert_eq!(uses.keys.len(), 2);
    }

    #[test]
    fn a_metric_is_read_with_and_without_labels() {
        assert_eq!(value_of("age_seconds 7.5", "age_seconds"), Some(7.5));
        assert_eq!(
            value_of("age_seconds{key=\"a\"} 8 123", "age_seconds"),
            Some(8.0)
        );
        assert_eq!(value_of("age_seconds_sum 7", "age_seconds"), None);
        assert_eq!(value_of("# HELP age_seconds x", "age_seconds"), None);
    }
}
