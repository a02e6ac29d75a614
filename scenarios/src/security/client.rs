//! Persons: what the subject keeps of them, and the entries that it is cached in.

use crate::store_view::StoreView;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use touchstone_engine::environment::Environment;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Stop, expect};
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::Template;
use touchstone_engine::subject::{Answer, HttpClient, OperationName};

/// An entry that is not there by then will not come.
const CACHED_DEADLINE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(5);
/// Where the manifest knows tenants, whose a person is unless a scenario says otherwise.
pub(crate) const TENANT: &str = "first";

/// Someone whose data the subject keeps.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) tenant: String,
    /// What was last written and acknowledged.
    pub(crate) value: String,
}

impl Person {
    /// The same one of another tenant.
    pub(crate) fn of_tenant(&self, tenant: &str) -> Self {
        let tenant = tenant.to_owned();
        Self {
            tenant,
            ..self.clone()
        }
    }
}

/// Text that nobody else writes, and that no encoding changes: letters and digits.
pub(crate) fn canary() -> String {
    format!("canary{:032x}", rand::random::<u128>())
}

/// The operations on persons, and the store behind them.
#[derive(Debug)]
pub(crate) struct Persons {
    pub(crate) store: StoreView,
    key: Template,
    creates_entities: bool,
    next_id: AtomicU64,
}

impl Persons {
    /// Skips the scenario if the manifest lacks what it needs.
    pub(crate) fn required(context: &Context) -> Result<(), Stop> {
        context.require(&[OperationName::PersonalWrite, OperationName::PersonalRead])?;
        let key = context.manifest().keys.personal.as_ref();
        context.section("keys.personal", key).map(|_| ())
    }

    pub(crate) async fn open(context: &Context, environment: &Environment) -> Result<Self, Stop> {
        Self::required(context)?;
        let manifest = context.manifest();
        let key = context.section("keys.personal", manifest.keys.personal.as_ref())?;
        let create = OperationName::EntityCreate;
        Ok(Self {
            store: StoreView::open(environment).await?,
            key: key.clone(),
            creates_entities: manifest.operations.contains_key(&create),
            next_id: AtomicU64::new(1),
        })
    }

    /// Someone of whom nothing is kept yet.
    pub(crate) async fn new_person(&self, http: &HttpClient) -> Result<Person, Stop> {
        let number = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut id = number.to_string();
        if self.creates_entities {
            let name = format!("person {number}");
            let values: &[(&str, &[u8])] = &[("value", name.as_bytes())];
            let answer = http.call(OperationName::EntityCreate, values).await?;
            let created = answer.text().filter(|_| answer.kind() == AnswerKind::Ok);
            id = created.ok_or_else(|| Stop::fail("a new entity's id", answer.describe()))?;
        }
        Ok(Person {
            id,
            tenant: TENANT.to_owned(),
            value: String::new(),
        })
    }

    /// Someone with data that are a canary.
    pub(crate) async fn planted(&self, http: &HttpClient) -> Result<Person, Stop> {
        let mut person = self.new_person(http).await?;
        self.write(http, &mut person, canary()).await?;
        Ok(person)
    }

    /// Writes and expects it to work.
    pub(crate) async fn write(
        &self,
        http: &HttpClient,
        person: &mut Person,
        value: String,
    ) -> Result<(), Stop> {
        let values: &[(&str, &[u8])] = &[
            ("id", person.id.as_bytes()),
            ("tenant", person.tenant.as_bytes()),
            ("value", value.as_bytes()),
        ];
        let answer = http.call(OperationName::PersonalWrite, values).await?;
        expect(
            answer.kind() == AnswerKind::Ok,
            "`personal_write` to succeed with both stores up",
            answer.describe(),
        )?;
        person.value = value;
        Ok(())
    }

    /// Reads, whatever the answer.
    pub(crate) async fn ask(&self, http: &HttpClient, person: &Person) -> Result<Answer, Stop> {
        let values: &[(&str, &[u8])] = &[
            ("id", person.id.as_bytes()),
            ("tenant", person.tenant.as_bytes()),
        ];
        Ok(http.call(OperationName::PersonalRead, values).await?)
    }

    /// Reads, and expects what was written.
    pub(crate) async fn read(&self, http: &HttpClient, person: &Person) -> Result<(), Stop> {
        let answer = self.ask(http, person).await?;
        expect(
            answer.kind() == AnswerKind::Ok && answer.text().as_ref() == Some(&person.value),
            format!("`{}`, which was written", person.value),
            answer.describe(),
        )
    }

    /// The key of its entry.
    pub(crate) fn key(&self, person: &Person) -> String {
        self.key.fill(|name| match name {
            "id" => Some(person.id.clone()),
            "tenant" => Some(person.tenant.clone()),
            _ => None,
        })
    }

    /// Its entry, as it lies in the store.
    pub(crate) async fn stored(&self, person: &Person) -> Result<Option<Vec<u8>>, Stop> {
        self.store.get(&self.key(person)).await
    }

    /// Reads until the entry lies in the store, and gives it. A subject that caches nothing has nothing to encrypt.
    pub(crate) async fn cached(&self, http: &HttpClient, person: &Person) -> Result<Vec<u8>, Stop> {
        let key = self.key(person);
        let what = "the entry in the store";
        let cached = poll_until(what, CACHED_DEADLINE, POLL, || async {
            let looked = async {
                self.read(http, person).await?;
                self.store.get(&key).await
            };
            match looked.await {
                Ok(Some(entry)) => Look::Ready(Ok(entry)),
                Ok(None) => Look::NotYet(format!("no key `{key}` after a read")),
                Err(stop) => Look::Ready(Err(stop)),
            }
        });
        cached.await.or_fail(format!(
            "an entry `{key}` after a read, as `keys.personal` says"
        ))?
    }

    /// The same where there may be none: with an expiry of a minute.
    pub(crate) async fn plant(&self, person: &Person, bytes: &[u8]) -> Result<(), Stop> {
        let mut set = redis::cmd("SET");
        set.arg(self.key(person)).arg(bytes).arg("EX").arg(60);
        Ok(set.exec_async(&mut self.store.connection()).await?)
    }
}
