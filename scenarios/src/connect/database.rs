//! CONN-6: what the environment says of Redis is what the service does.

use super::encrypted::topology;
use crate::store_view::StoreView;
use futures::FutureExt;
use std::collections::BTreeMap;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::environment::{Environment, Overrides, RedisLine};
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::TlsSeen;
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::store::redis::kill_foreign_clients;
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::client::{AnswerKind, Value};
use touchstone_engine::subject::manifest::Template;
use touchstone_engine::tls::Shown;

/// The database that the placeholder names; not the one that a service takes without a word.
const DATABASE: i64 = 3;
const POLL: Duration = Duration::from_millis(20);

/// CONN-6.
pub(super) const HONOURED: Scenario = Scenario {
    criterion: Criterion {
        id: "CONN-6",
        statement: "REDIS_URL, REDIS_PASSWORD, REDIS_DB and REDIS_TLS are honoured: with database 3 the keys are in database 3 and in no other, also after a reconnect; where two of them disagree, the one that the manifest declares wins; where TLS is asked for, every command comes through it",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| honoured(context).boxed(),
};

/// One way to configure the subject, and the database that it leads to.
struct Case {
    told: String,
    overrides: Overrides,
    database: i64,
    /// Whether it asks for TLS, which the proxy then ends.
    is_encrypted: bool,
}

async fn honoured(context: &Context) -> Result<(), Stop> {
    context.require(&[OperationName::KvSet, OperationName::KvGet])?;
    let manifest = context.manifest();
    let key = context.section("keys.kv", manifest.keys.kv.as_ref())?;
    let cases = cases(context);
    context.section(
        "subject.env with {redis.database}, or good_configuration",
        cases.first(),
    )?;
    let environment = context.stores_like(topology(manifest)).await?;
    let mut all = cases;
    all.extend(encrypted_cases(context, &environment)?);
    for (number, case) in all.iter().enumerate() {
        context.step(format!("start with {}", case.told));
        let wiring = environment.wire().await?;
        if case.is_encrypted {
            let line = RedisLine::Ended(Shown::Good);
            environment.set_redis_line(&wiring, line).await?;
        }
        let instance = environment.launch(wiring, &case.overrides)?;
        match instance.wait_ready().await.map_err(Stop::from) {
            // The subject does start, only not like this.
            Err(Stop::Fail(finding)) if number > 0 => {
                let expected = format!("a start with {}", case.told);
                let mut finding = Finding {
                    expected,
                    ..finding
                };
                finding.evidence.extend(refused_tls(&instance).await?);
                return Err(Stop::Fail(finding));
            }
            ready => ready?,
        };
        let configured = Configured {
            environment: &environment,
            instance: &instance,
            case,
            key,
            store: StoreView::open_database(&environment, case.database).await?,
        };
        configured.story(context).await?;
        instance.kill();
    }
    Ok(())
}

fn cases(context: &Context) -> Vec<Case> {
    let manifest = context.manifest();
    let mut templates = manifest.subject.env.values();
    let by_placeholder = templates.any(|t| t.placeholders().any(|name| name == "redis.database"));
    let placeholder = by_placeholder.then(|| Case {
        told: format!("redis.database = {DATABASE}"),
        overrides: Overrides {
            placeholders: BTreeMap::from([("redis.database".to_owned(), DATABASE.to_string())]),
            ..Overrides::default()
        },
        database: DATABASE,
        is_encrypted: false,
    });
    let declared = manifest.good_configuration.iter().map(|case| {
        let set = case
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let unset = case.unset.iter().map(|name| format!("no {name}"));
        Case {
            told: set.chain(unset).collect::<Vec<_>>().join(" "),
            overrides: Overrides {
                templates: case.env.clone(),
                unset: case.unset.clone(),
                ..Overrides::default()
            },
            database: case.redis_database,
            is_encrypted: false,
        }
    });
    placeholder.into_iter().chain(declared).collect()
}

/// The same database as with the placeholder, whichever way TLS is asked for.
fn encrypted_cases(context: &Context, environment: &Environment) -> Result<Vec<Case>, Stop> {
    let manifest = context.manifest();
    let mut cases = Vec::new();
    for way in &manifest.tls {
        let mut overrides = environment.told_of_tls(way)?;
        let name = "redis.database";
        let mut told = manifest.subject.env.values().chain(way.env.values());
        let by_placeholder = told.any(|t| t.placeholders().any(|used| used == name));
        let database = if by_placeholder {
            DATABASE
        } else {
            manifest.stores.redis_database
        };
        overrides
            .placeholders
            .insert(name.to_owned(), database.to_string());
        cases.push(Case {
            told: way.told(),
            overrides,
            database,
            is_encrypted: true,
        });
    }
    Ok(cases)
}

/// What the proxy has heard instead of TLS.
async fn refused_tls(instance: &Instance) -> Result<Vec<String>, Stop> {
    let connections = instance.proxy(StoreKind::Redis).connections().await?;
    let refused = connections
        .into_iter()
        .filter_map(|connection| match connection.tls {
            Some(TlsSeen::NotBySubject(why)) => {
                Some(format!("connection {}: no TLS: {why}", connection.id))
            }
            _ => None,
        });
    Ok(refused.take(3).collect())
}

/// An instance that runs as a case says.
struct Configured<'a> {
    environment: &'a Environment,
    instance: &'a Instance,
    case: &'a Case,
    key: &'a Template,
    store: StoreView,
}

impl Configured<'_> {
    async fn story(&self, context: &Context) -> Result<(), Stop> {
        self.store.flush_all().await?;
        self.write(context, "first").await?;
        self.lies_in_no_other("first").await?;
        self.reads_from_no_other().await?;
        if self.case.database != 0 {
            self.survives_a_reconnect(context).await?;
        }
        let proxy = self.instance.proxy(StoreKind::Redis);
        let connections = proxy.connections().await?;
        expect(
            !connections.is_empty(),
            format!("{}: connections to the address given", self.case.told),
            "none",
        )?;
        if !self.case.is_encrypted {
            return Ok(());
        }
        let plain = connections.iter().find(|c| c.tls != Some(TlsSeen::Done));
        let (heard, undecoded) = (proxy.heard().await?, proxy.undecoded().await?);
        let writes = heard.names.iter().find(|of| of.name == "SET");
        expect(
            plain.is_none() && undecoded.is_empty() && writes.is_some(),
            format!("{}: every command through TLS, and decoded", self.case.told),
            format!("without TLS: {plain:?}; not decoded: {undecoded:?}; SET: {writes:?}"),
        )
    }

    /// Everything that the subject writes into Redis.
    async fn write(&self, context: &Context, name: &str) -> Result<(), Stop> {
        self.call(OperationName::KvSet, name).await?;
        let maps = |name: &OperationName| context.manifest().operations.contains_key(name);
        for other in [OperationName::KvSetEx, OperationName::Limited] {
            if maps(&other) {
                self.call(other, name).await?;
            }
        }
        if maps(&OperationName::EntityCreate) && maps(&OperationName::EntityRead) {
            let created = self.call(OperationName::EntityCreate, name).await?;
            let id = created.unwrap_or_default();
            self.call(OperationName::EntityRead, &id).await?;
        }
        Ok(())
    }

    /// Carries it out, and returns the result as text.
    async fn call(&self, name: OperationName, word: &str) -> Result<Option<String>, Stop> {
        let values: &[Value<'_>] = &[
            ("key", word.as_bytes()),
            ("value", b"subject"),
            ("seconds", b"60"),
            ("id", word.as_bytes()),
            ("user", word.as_bytes()),
            ("endpoint", b"database"),
        ];
        let answer = self.instance.http.call(name, values).await?;
        expect(
            answer.kind() == AnswerKind::Ok,
            format!("{}: `{}` succeeds", self.case.told, name.key()),
            answer.describe(),
        )?;
        Ok(answer.text())
    }

    async fn lies_in_no_other(&self, name: &str) -> Result<(), Stop> {
        let database = self.case.database;
        let stored = self.stored_key(name);
        let value = self.store.get(&stored).await?;
        let databases = self.store.databases().await?;
        let only = format!("db{database}:");
        expect(
            value.is_some() && databases.iter().all(|other| other.starts_with(&only)),
            format!(
                "{}: `{stored}` in database {database}, and every other empty",
                self.case.told
            ),
            format!(
                "{} there; not empty: {}",
                if value.is_some() {
                    "it is"
                } else {
                    "it is not"
                },
                databases.join(", ")
            ),
        )
    }

    /// The same key with another value in every other database.
    async fn reads_from_no_other(&self) -> Result<(), Stop> {
        let stored = self.stored_key("read");
        for database in 0..=15 {
            let other = StoreView::open_database(self.environment, database).await?;
            other
                .set(&stored, format!("of {database}").as_bytes())
                .await?;
        }
        let answer = self
            .instance
            .http
            .call(OperationName::KvGet, &[("key", b"read")])
            .await?;
        let expected = format!("of {}", self.case.database);
        expect(
            answer
                .bytes()
                .is_some_and(|value| value == expected.as_bytes()),
            format!("{}: the value `{expected}`", self.case.told),
            answer.describe(),
        )
    }

    /// A new connection has to select the database again.
    async fn survives_a_reconnect(&self, context: &Context) -> Result<(), Stop> {
        context.step("end its connections, and write again");
        self.store.flush_all().await?;
        let killed = kill_foreign_clients(&mut self.store.connection()).await?;
        if killed == 0 {
            return Err(Stop::unknown("the store knew no connection of the subject"));
        }
        let deadline = context.deadline(|d| d.recover_ms);
        let what = "a write to succeed on a new connection";
        poll_until(what, deadline, POLL, || async {
            match self.call(OperationName::KvSet, "again").await {
                Ok(_) => Look::Ready(()),
                Err(stop) => Look::NotYet(format!("{stop:?}")),
            }
        })
        .await
        .or_fail(what)?;
        self.lies_in_no_other("again").await
    }

    fn stored_key(&self, key: &str) -> String {
        self.key
            .fill(|name| (name == "key").then(|| key.to_owned()))
    }
}
