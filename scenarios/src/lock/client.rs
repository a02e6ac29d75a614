//! The subject's lock and what it protects, used through its instances and seen in the store.

use crate::store_view::StoreView;
use std::sync::Arc;
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::proxy::When;
use touchstone_engine::scenario::{Context, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::{LockSection, ResultAt};
use touchstone_engine::subject::{Answer, HttpClient, OperationName};

/// What one is given with a lock.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Greater than every one before it.
    pub(super) fencing_token: i64,
    /// Proves that one is the holder.
    pub(super) holder: String,
}

/// Two instances that share a lock.
pub(super) struct Locks<'a> {
    pub(super) context: &'a Context,
    pub(super) environment: Arc<Environment>,
    pub(super) store: StoreView,
    pub(super) one: Arc<Instance>,
    pub(super) other: Arc<Instance>,
    section: &'a LockSection,
}

impl<'a> Locks<'a> {
    /// Starts two instances, unless the manifest lacks something.
    pub(super) async fn start(context: &'a Context) -> Result<Self, Stop> {
        use OperationName::{GuardedRead, GuardedWrite, LockAcquire, LockRelease};
        context.require(&[LockAcquire, LockRelease, GuardedWrite, GuardedRead])?;
        let section = context.section("lock", context.manifest().lock.as_ref())?;
        let acquire = &context.manifest().operations[&LockAcquire];
        let token = (acquire.result != ResultAt::Nowhere).then_some(&acquire.result);
        context.section("operations.lock_acquire.result", token)?;
        let (environment, one) = context.start().await?;
        context.step("start a second instance");
        let other = environment.start_instance(&Default::default()).await?;
        Ok(Self {
            context,
            store: StoreView::open(&environment).await?,
            environment,
            one,
            other,
            section,
        })
    }

    pub(super) fn key(&self, name: &str) -> String {
        let filled = |part: &str| (part == "name").then(|| name.to_owned());
        self.section.key.fill(filled)
    }

    /// Tries to take a lock; `None` if it is held by somebody else.
    pub(super) async fn try_acquire(
        &self,
        http: &HttpClient,
        name: &str,
    ) -> Result<Option<Held>, Stop> {
        let ttl_ms = self.section.ttl_ms.to_string();
        let values: &[(&str, &[u8])] = &[("name", name.as_bytes()), ("ttl_ms", ttl_ms.as_bytes())];
        let answer = http.call(OperationName::LockAcquire, values).await?;
        match answer.kind() {
            AnswerKind::Ok => self.held(&answer).map(Some),
            AnswerKind::Denied => Ok(None),
            _ => Err(Stop::fail(
                format!("lock `{name}`, or that it is held"),
                answer.describe(),
            )),
        }
    }

    /// Takes a lock that is free.
    pub(super) async fn acquire(
        &self,
        http: &HttpClient,
        name: &str,
        what: &str,
    ) -> Result<Held, Stop> {
        let held = self.try_acquire(http, name).await?;
        held.ok_or_else(|| Stop::fail(format!("lock `{name}` to be free: {what}"), "it is held"))
    }

    fn held(&self, answer: &Answer) -> Result<Held, Stop> {
        let holder = answer.json().and_then(|json| {
            let holder = self.section.holder.get(&json)?;
            let text = holder.as_str().map(str::to_owned);
            text.or_else(|| holder.as_i64().map(|number| number.to_string()))
        });
        let found = answer.number().zip(holder);
        let (fencing_token, holder) = found.ok_or_else(|| {
            let expected = format!(
                "a fencing token that is a number, and the holder at `{}`",
                self.section.holder.as_str()
            );
            Stop::fail(expected, answer.describe())
        })?;
        Ok(Held {
            fencing_token,
            holder,
        })
    }

    /// Whether the lock was given back.
    pub(super) async fn release(
        &self,
        http: &HttpClient,
        name: &str,
        holder: &str,
    ) -> Result<bool, Stop> {
        let values: &[(&str, &[u8])] = &[("name", name.as_bytes()), ("holder", holder.as_bytes())];
        let answer = http.call(OperationName::LockRelease, values).await?;
        yes_or_no(&answer, "a lock to be given back, or that it is not held")
    }

    /// Whether the value was written.
    pub(super) async fn write(
        &self,
        http: &HttpClient,
        name: &str,
        value: &str,
        by: &Held,
    ) -> Result<bool, Stop> {
        let token = by.fencing_token.to_string();
        let values: &[(&str, &[u8])] = &[
            ("name", name.as_bytes()),
            ("value", value.as_bytes()),
            ("fencing_token", token.as_bytes()),
        ];
        let answer = http.call(OperationName::GuardedWrite, values).await?;
        yes_or_no(&answer, "a guarded write, or that its token is too old")
    }

    /// What the lock protects is as the last holder has written it, on both instances.
    pub(super) async fn reads(&self, name: &str, value: &str, after: &str) -> Result<(), Stop> {
        for instance in [&self.one, &self.other] {
            let values: &[(&str, &[u8])] = &[("name", name.as_bytes())];
            let answer = instance
                .http
                .call(OperationName::GuardedRead, values)
                .await?;
            expect(
                answer.text().as_deref() == Some(value),
                format!("`{name}` to read `{value}` after {after}"),
                answer.describe(),
            )?;
        }
        Ok(())
    }

    /// A lock ends by itself, within the declared time. Answers whether there is one at all.
    pub(super) async fn has_an_end(&self, name: &str, when: &str) -> Result<bool, Stop> {
        let left_ms = self.store.pttl_ms(&self.key(name)).await?;
        let most_ms = i64::try_from(self.section.ttl_ms).unwrap_or(i64::MAX);
        expect(
            left_ms != -1 && left_ms <= most_ms,
            format!(
                "`{}` with an expiry of at most {most_ms} ms {when}",
                self.key(name)
            ),
            match left_ms {
                -1 => "no expiry: it is held for ever when its holder dies".to_owned(),
                left_ms => format!("PTTL {left_ms}"),
            },
        )?;
        Ok(left_ms >= 0)
    }

    /// Its time is over.
    pub(super) async fn expire(&self, name: &str) -> Result<(), Stop> {
        self.store.expire_now(&self.key(name)).await
    }

    /// What a request about a lock, or about what it protects, sends.
    pub(super) fn about(&self, name: &str) -> [(StoreKind, When); 2] {
        [
            (StoreKind::Redis, When::any().key(&format!("*{name}*"))),
            (StoreKind::Postgres, When::any()),
        ]
    }
}

fn yes_or_no(answer: &Answer, expected: &str) -> Result<bool, Stop> {
    match answer.kind() {
        AnswerKind::Ok => Ok(true),
        AnswerKind::Denied => Ok(false),
        _ => Err(Stop::fail(expected, answer.describe())),
    }
}
