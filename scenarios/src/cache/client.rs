//! One cached entity, read and updated through several instances, with a record of it all.

use std::sync::{Arc, Mutex, PoisonError};
use touchstone_core::check::no_stale_read::{EntityCall, EntityHistory};
use touchstone_core::history::{Operation, Outcome};
use touchstone_engine::clock::Clock;
use touchstone_engine::scenario::Stop;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::{Answer, HttpClient, OperationName};

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

    /// The value that it was created with.
    pub(super) fn initial(&self) -> &str {
        &self.initial
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

    /// What has been done to it, in the order of completion.
    pub(super) fn history(&self) -> EntityHistory {
        self.history
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// No fault is in force here, so every call has to succeed; the record is for the check.
    fn note(
        &self,
        client: u32,
        called_us: u64,
        input: EntityCall,
        answered: Result<Answer, touchstone_engine::subject::CallError>,
        result: impl Fn(&Answer) -> Option<String>,
    ) -> Result<String, Stop> {
        let answer = answered?;
        let value = result(&answer).filter(|_| answer.kind() == AnswerKind::Ok);
        let expected = format!("{input:?} of `{}` to succeed with both stores up", self.id);
        let value = value.ok_or_else(|| Stop::fail(expected, answer.describe()))?;
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.push(Operation {
            client,
            input,
            called_us: called_us.max(answer.called_us),
            returned_us: answer.returned_us,
            outcome: Outcome::Ok(value.clone()),
        });
        Ok(value)
    }
}

/// The last operations of a record, for evidence.
pub(super) fn told(history: &EntityHistory) -> Vec<String> {
    const TOLD: usize = 40;
    let mut ordered = history.clone();
    ordered.sort_by_key(|operation| operation.called_us);
    let skipped = ordered.len().saturating_sub(TOLD);
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
    ordered[skipped..].iter().map(line).collect()
}
