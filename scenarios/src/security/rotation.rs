//! SEC-4: the life of a key: made, used, replaced, removed.

use super::client::{Person, Persons};
use super::keys::Keys;
use crate::store_view::StoreView;
use futures::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::fault::Refuse;
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::{BytesAt, LogPattern};

/// How long it may take until an instance knows what has changed about the keys.
const NOTICE_DEADLINE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
/// A moved expiry, to be told from the one that a new entry gets.
const REMAINING_MS: u64 = 200_000;

/// SEC-4.
pub(super) const READABLE: Scenario = Scenario {
    criterion: Criterion {
        id: "SEC-4",
        statement: "Key rotation: old values stay readable, are rewritten with the new key on read, and a removed key makes its values unreadable, with a clear error",
        profile: Profile::Release,
    },
    expected: Duration::from_secs(4),
    run: |context| readable(context).boxed(),
};

struct Rotation<'a> {
    context: &'a Context,
    environment: Arc<Environment>,
    instance: Arc<Instance>,
    persons: Persons,
    keys: Keys<'a>,
    version: BytesAt,
}

async fn readable(context: &Context) -> Result<(), Stop> {
    Persons::required(context)?;
    let manifest = Arc::clone(context.manifest());
    let encryption = context.section("encryption", manifest.encryption.as_ref())?;
    let version = encryption.key_version.as_ref();
    let version = *context.section("encryption.key_version", version)?;
    let failed = encryption.log.decryption_failed.as_ref();
    let failed = context.section("encryption.log.decryption_failed", failed)?;
    let environment = context.stores().await?;
    let keys = Keys::of(context, &environment, encryption);
    context.step("start the subject");
    let instance = environment.start_instance(&keys.look_often()).await?;
    let rotation = Rotation {
        context,
        persons: Persons::open(context, &environment).await?,
        environment,
        instance,
        keys,
        version,
    };
    let (old, unread) = rotation.by_hand().await?;
    rotation.all_at_once(&unread).await?;
    rotation.removed(&old, failed).await?;
    rotation.by_policy().await
}

impl Rotation<'_> {
    /// Answers the old entry of one that was rewritten, and someone whose entry has been left alone.
    async fn by_hand(&self) -> Result<((Person, Vec<u8>), Person), Stop> {
        let (persons, http) = (&self.persons, &self.instance.http);
        self.context
            .step("two values under the first key, and a new key");
        let read = persons.planted(http).await?;
        let unread = persons.planted(http).await?;
        let old_entry = persons.cached(http, &read).await?;
        persons.cached(http, &unread).await?;
        let (old, key) = (self.version_of(&old_entry)?, persons.key(&read));
        persons.store.move_expiry(&key, REMAINING_MS).await?;
        persons
            .store
            .move_expiry(&persons.key(&unread), REMAINING_MS)
            .await?;
        self.keys.rotate().await?;
        let new = self.until_new_key(&old).await?;
        self.context.step(
            "the old value is read while Postgres cannot be reached, and rewritten with the new key",
        );
        // Whoever could not decrypt it would have nowhere else to take it from.
        let refused = self
            .environment
            .network_fault(&self.instance.wiring, StoreKind::Postgres, Refuse)
            .await?;
        persons.read(http, &read).await?;
        refused.heal().await?;
        let rewritten = self.rewritten(&read, &old).await?;
        expect(
            rewritten == new,
            format!("the value under the new key {}", shown(&new)),
            format!("it is under {}", shown(&rewritten)),
        )?;
        self.keeps_expiry(&read).await?;
        persons.read(http, &read).await?;
        Ok(((read, old_entry), unread))
    }

    async fn all_at_once(&self, unread: &Person) -> Result<(), Stop> {
        self.context
            .step("the batch command rewrites a value that nobody has read");
        let before = self.entry(unread).await?;
        let old = self.version_of(&before)?;
        self.keys.rewrap().await?;
        let new = self.version_of(&self.entry(unread).await?)?;
        expect(
            new != old,
            format!("another key than {} after the batch command", shown(&old)),
            format!("the value is under {}", shown(&new)),
        )?;
        self.keeps_expiry(unread).await?;
        self.persons.read(&self.instance.http, unread).await
    }

    /// The value is put back as it was under the removed key, and must be no value any more.
    async fn removed(&self, old: &(Person, Vec<u8>), failed: &LogPattern) -> Result<(), Stop> {
        let (persons, http) = (&self.persons, &self.instance.http);
        let (person, entry) = old;
        self.context
            .step("the old key is removed, and a value under it put back");
        self.keys.remove_old().await?;
        let expected = "a value under a removed key to be refused, with an error in the log";
        let before = self.instance.log.matching(&failed.0).len();
        let refused = poll_until(expected, NOTICE_DEADLINE, POLL, || async {
            let looked = async {
                persons.plant(person, entry).await?;
                let answer = persons.ask(http, person).await?;
                let lines = self.instance.log.matching(&failed.0);
                let told = lines.last().filter(|_| lines.len() > before).cloned();
                Ok::<_, Stop>((answer, told))
            };
            match looked.await {
                Ok((answer, Some(line))) => Look::Ready(Ok((answer, line))),
                Ok((answer, None)) => Look::NotYet(format!("{}, no line", answer.describe())),
                Err(stop) => Look::Ready(Err(stop)),
            }
        });
        let (answer, line) = refused.await.or_fail(expected)??;
        let right =
            answer.kind() == AnswerKind::Ok && answer.text().as_ref() == Some(&person.value);
        expect(
            right || (answer.status >= 400 && answer.json().is_some()),
            "what was written, read from elsewhere, or a refusal",
            answer.describe(),
        )?;
        self.context.observe(line);
        self.not_from_the_store(person, entry).await
    }

    /// Without Postgres there is no other place to take it from.
    async fn not_from_the_store(&self, person: &Person, entry: &[u8]) -> Result<(), Stop> {
        self.persons.plant(person, entry).await?;
        let refused = self
            .environment
            .network_fault(&self.instance.wiring, StoreKind::Postgres, Refuse)
            .await?;
        let answer = self.persons.ask(&self.instance.http, person).await?;
        refused.heal().await?;
        expect(
            answer.kind() != AnswerKind::Ok,
            "no answer from a value under a removed key while Postgres cannot be reached",
            answer.describe(),
        )
    }

    /// A key that has grown too old is replaced without anybody's hand.
    async fn by_policy(&self) -> Result<(), Stop> {
        let encryption = self.keys.encryption;
        if encryption.age_keys.is_none() {
            self.context
                .observe("no `encryption.age_keys`: rotation by policy was not tried");
            return Ok(());
        }
        let days = encryption.max_age_days + 1;
        self.context
            .step(format!("every key is {days} days older: a new one is made"));
        let person = self.persons.planted(&self.instance.http).await?;
        let entry = self.persons.cached(&self.instance.http, &person).await?;
        let old = self.version_of(&entry)?;
        self.keys.age(days).await?;
        self.until_new_key(&old).await.map(|_| ())
    }

    /// Someone new after the other, until one is encrypted with another key.
    async fn until_new_key(&self, old: &[u8]) -> Result<Vec<u8>, Stop> {
        let (persons, http) = (&self.persons, &self.instance.http);
        let what = "a value under another key";
        let found = poll_until(what, NOTICE_DEADLINE, POLL, || async {
            let looked = async {
                let person = persons.planted(http).await?;
                let entry = persons.cached(http, &person).await?;
                self.version_of(&entry)
            };
            match looked.await {
                Ok(version) if version != old => Look::Ready(Ok(version)),
                Ok(version) => Look::NotYet(format!("new values are under {}", shown(&version))),
                Err(stop) => Look::Ready(Err(stop)),
            }
        });
        found.await.or_fail("new values under the new key")?
    }

    /// The version under which a value that was read lies, once that is another one than before.
    async fn rewritten(&self, person: &Person, old: &[u8]) -> Result<Vec<u8>, Stop> {
        let what = "the value that was read, under the new key";
        let found = poll_until(what, Duration::from_secs(2), POLL, || async {
            let looked = async { self.version_of(&self.entry(person).await?) };
            match looked.await {
                Ok(version) if version != old => Look::Ready(Ok(version)),
                Ok(version) => Look::NotYet(format!("it is under {}", shown(&version))),
                Err(stop) => Look::Ready(Err(stop)),
            }
        });
        found.await.or_fail(what)?
    }

    async fn keeps_expiry(&self, person: &Person) -> Result<(), Stop> {
        let store: &StoreView = &self.persons.store;
        let left_ms = store.pttl_ms(&self.persons.key(person)).await?;
        expect(
            (1..=REMAINING_MS as i64).contains(&left_ms),
            format!("the expiry as it was, {REMAINING_MS} ms at most"),
            format!("PTTL {left_ms}"),
        )
    }

    async fn entry(&self, person: &Person) -> Result<Vec<u8>, Stop> {
        let entry = self.persons.stored(person).await?;
        entry.ok_or_else(|| Stop::fail("the entry in the store", "it is gone"))
    }

    fn version_of(&self, entry: &[u8]) -> Result<Vec<u8>, Stop> {
        let version = self.version.of(entry).map(<[u8]>::to_vec);
        version.ok_or_else(|| {
            let seen = format!("an entry of {} bytes", entry.len());
            Stop::fail("a value with the version of its key", seen)
        })
    }
}

fn shown(version: &[u8]) -> String {
    version.iter().map(|byte| format!("{byte:02x}")).collect()
}
