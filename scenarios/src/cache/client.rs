//! One cached entity, read and updated through several instances, with a record of it all.

use crate::store_view::StoreView;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use touchstone_core::Verdict;
use touchstone_core::check::Check;
use touchstone_core::check::no_stale_read::{EntityCall, EntityHistory, NoStaleRead};
use touchstone_core::history::{Operation, Outcome};
use touchstone_engine::clock::Clock;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{OrFail, Stop};
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::Template;
use touchstone_engine::subject::{Answer, CallError, HttpClient, OperationName};

/// How long the cache may take to hold what is read again and again.
const PRIME_DEADLINE: Duration = Duration::from_secs(5);
const FILL_DEADLINE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(1);

/// The key under which an entity is cached.
pub(super) fn key_of(template: &Template, id: &str) -> String {
    template.fill(|name| (name == "id").then(|| id.to_owned()))
}

/// What remains of an entry in milliseconds, once it is there: a service may answer before it fills.
pub(super) async fn filled(store: &StoreView, key: &str) -> Result<i64, Stop> {
    let filled = poll_until("an entry", FILL_DEADLINE, POLL, || async {
        match store.pttl_ms(key).await {
            Ok(-2) => Look::NotYet(format!("no key `{key}`")),
            Ok(left_ms) => Look::Ready(Ok(left_ms)),
            Err(stop) => Look::Ready(Err(stop)),
        }
    });
    filled.await.or_fail("a miss to fill the cache")?
}

/// An entity and what has been done to it so far. Clones share the record.
#[derive(Debug, Clone)]
pub(super) struct Entity {
    pub(super) id: String,
    initial: String,
    clock: Clock,
    history: Arc<Mutex<EntityHistory>>,
}

impl Entity {
    /// Creates it through an instance.
    pub(super) async fn create(http: &HttpClient, clock: Clock, value: &str) -> Result<Self, Stop> {
        let name = OperationName::EntityCreate;
        let answer = http.call(name, &[("value", value.as_bytes())]).await?;
        let id = answer.text().filter(|_| answer.kind() == AnswerKind::Ok);
        let id = id.ok_or_else(|| Stop::fail("a new entity's id", answer.describe()))?;
        Ok(Self {
            id,
            initial: value.to_owned(),
            clock,
            history: Arc::default(),
        })
    }

    /// Reads it through an instance, and notes what was read.
    pub(super) async fn read(&self, http: &HttpClient, client: u32) -> Result<String, Stop> {
        let called_us = self.clock.now_us();
        let values: &[(&str, &[u8])] = &[("id", self.id.as_bytes())];
        let answered = http.call(OperationName::EntityRead, values).await;
        let value = |answer: &Answer| answer.text();
        self.note(client, called_us, EntityCall::Read, answered, value)
    }

    /// Updates it through an instance, and notes whether that was acknowledged.
    pub(super) async fn update(
        &self,
        http: &HttpClient,
        client: u32,
        value: &str,
    ) -> Result<String, Stop> {
        let called_us = self.clock.now_us();
        let values: &[(&str, &[u8])] = &[("id", self.id.as_bytes()), ("value", value.as_bytes())];
        let answered = http.call(OperationName::EntityUpdate, values).await;
        let written = |_: &Answer| Some(value.to_owned());
        let call = EntityCall::Update(value.to_owned());
        self.note(client, called_us, call, answered, written)
    }

    /// Updates it where that may be refused with this status and a JSON error. Whether it was
    /// acknowledged.
    pub(super) async fn update_or_refusal(
        &self,
        http: &HttpClient,
        client: u32,
        value: &str,
        refusal_status: u16,
    ) -> Result<bool, Stop> {
        let called_us = self.clock.now_us();
        let values: &[(&str, &[u8])] = &[("id", self.id.as_bytes()), ("value", value.as_bytes())];
        let answered = http.call(OperationName::EntityUpdate, values).await;
        let refused = answered
            .as_ref()
            .is_ok_and(|answer| answer.status == refusal_status && answer.json().is_some());
        let written = |_: &Answer| Some(value.to_owned());
        let call = EntityCall::Update(value.to_owned());
        match self.note(client, called_us, call, answered, written) {
            Ok(_) => Ok(true),
            Err(_) if refused => Ok(false),
            Err(Stop::Fail(finding)) => {
                let expected = format!("an update to work, or to be refused with {refusal_status}");
                Err(Stop::fail(expected, finding.seen))
            }
            Err(stop) => Err(stop),
        }
    }

    /// Reads until the entry lies in the store, then once on each instance: hits.
    pub(super) async fn prime(
        &self,
        instances: &[Arc<Instance>],
        store: &StoreView,
        key: &Template,
    ) -> Result<(), Stop> {
        let key = key_of(key, &self.id);
        let what = "the entry in the cache";
        let primed = poll_until(what, PRIME_DEADLINE, POLL, || async {
            let looked = async {
                self.read(&instances[0].http, 0).await?;
                store.exists(&key).await
            };
            match looked.await {
                Ok(true) => Look::Ready(Ok(())),
                Ok(false) => Look::NotYet(format!("no key `{key}` after a read")),
                Err(stop) => Look::Ready(Err(stop)),
            }
        });
        // Without an entry nothing could be stale: no witness, no verdict.
        primed
            .await
            .map_err(|timeout| Stop::unknown(timeout.to_string()))??;
        for instance in instances {
            self.read(&instance.http, 0).await?;
        }
        Ok(())
    }

    /// How many operations have been recorded.
    pub(super) fn operations(&self) -> usize {
        self.history().len()
    }

    /// Judges the record so far. A failure carries the last operations as evidence, so judge often.
    pub(super) fn judge(&self) -> Verdict {
        let history = self.history();
        let initial = self.initial.clone();
        match (NoStaleRead { initial }).check(&history) {
            Verdict::Fail(mut finding) => {
                finding.evidence.extend(told(history));
                Verdict::Fail(finding)
            }
            verdict => verdict,
        }
    }

    fn history(&self) -> EntityHistory {
        lock(&self.history).clone()
    }

    /// Notes a call whatever came of it; an error unless it succeeded.
    fn note(
        &self,
        client: u32,
        called_us: u64,
        input: EntityCall,
        answered: Result<Answer, CallError>,
        result: impl Fn(&Answer) -> Option<String>,
    ) -> Result<String, Stop> {
        let expected = format!("{input:?} of `{}` to succeed", self.id);
        let value = match &answered {
            Ok(answer) if answer.kind() == AnswerKind::Ok => result(answer),
            _ => None,
        };
        let seen = match &answered {
            Ok(answer) => answer.describe(),
            Err(error) => error.to_string(),
        };
        let outcome = match &value {
            Some(value) => Outcome::Ok(value.clone()),
            // Even a refused update may have been carried out.
            None => Outcome::Indeterminate(seen.clone()),
        };
        let times = answered.map(|answer| (answer.called_us, answer.returned_us));
        let (called_us, returned_us) = times.unwrap_or((called_us, self.clock.now_us()));
        lock(&self.history).push(Operation {
            client,
            input,
            called_us,
            returned_us,
            outcome,
        });
        value.ok_or_else(|| Stop::fail(expected, seen))
    }
}

/// A panic under this lock cannot leave a record half made.
fn lock(history: &Mutex<EntityHistory>) -> MutexGuard<'_, EntityHistory> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last operations of a record, a line each.
fn told(mut history: EntityHistory) -> Vec<String> {
    const TOLD: usize = 24;
    history.sort_by_key(|operation| operation.called_us);
    let skipped = history.len().saturating_sub(TOLD);
    let line = |operation: &Operation<EntityCall, String>| {
        let what = match (&operation.input, &operation.outcome) {
            (EntityCall::Read, Outcome::Ok(value)) => format!("read `{value}`"),
            (EntityCall::Update(value), Outcome::Ok(_)) => format!("update to `{value}`"),
            (input, outcome) => format!("{input:?}: {outcome:?}"),
        };
        let Operation {
            client,
            called_us,
            returned_us,
            ..
        } = operation;
        format!("client {client}, {called_us} to {returned_us} us: {what}")
    };
    history[skipped..].iter().map(line).collect()
}
