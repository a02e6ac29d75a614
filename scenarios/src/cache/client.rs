//! One cached entity, read and updated through several instances, with a record of it all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use touchstone_core::Verdict;
use touchstone_core::check::Check;
use touchstone_core::check::no_stale_read::{EntityCall, EntityHistory, NoStaleRead};
use touchstone_core::history::{Operation, Outcome};
use touchstone_engine::clock::Clock;
use touchstone_engine::scenario::Stop;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::{Answer, CallError, HttpClient, OperationName};

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

    /// Notes a call whatever came of it. No fault is in force here, so each has to succeed.
    fn note(
        &self,
        client: u32,
        called_us: u64,
        input: EntityCall,
        answered: Result<Answer, CallError>,
        result: impl Fn(&Answer) -> Option<String>,
    ) -> Result<String, Stop> {
        let expected = format!("{input:?} of `{}` to succeed with both stores up", self.id);
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
