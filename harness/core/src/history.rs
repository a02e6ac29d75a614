//! What clients did and what they were answered: the only input of the checks over operations.

use serde::{Deserialize, Serialize};

/// One call of one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation<I, O> {
    /// Which client; a client has at most one operation in flight.
    pub client: u32,
    /// What was asked.
    pub input: I,
    /// When it was sent, in microseconds since the scenario began.
    pub called_us: u64,
    /// When the answer was complete, or when the client gave up.
    pub returned_us: u64,
    /// What came of it.
    pub outcome: Outcome<O>,
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Outcome<O> {
    /// Acknowledged, with this result.
    Ok(O),
    /// Refused for sure: it has not happened and never will.
    Failed(String),
    /// Timed out, or the connection broke: it may have happened, may happen yet, or never.
    Indeterminate(String),
}

/// Operations in the order of their completion.
pub type History<I, O> = Vec<Operation<I, O>>;
