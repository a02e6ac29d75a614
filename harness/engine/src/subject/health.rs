//! Reading a health document through the manifest.

use super::client::{Answer, CallError};
use super::manifest::{HealthSection, JsonPointer};
use touchstone_core::timeline::{HealthSeen, ProbeAnswer};

/// What a prober reads.
#[derive(Debug, Clone)]
pub enum Watched {
    /// The health document.
    Document(Box<HealthSection>),
    /// A path that says with its status alone whether all is well.
    Status {
        /// The path.
        path: String,
        /// The status when all is well.
        ok: u16,
        /// The status when it is not.
        not_ok: u16,
    },
}

impl Watched {
    /// Its path.
    pub fn path(&self) -> &str {
        match self {
            Watched::Document(health) => &health.path,
            Watched::Status { path, .. } => path,
        }
    }

    /// An answer in the harness's own terms. A status alone speaks for both stores.
    pub fn read(&self, answer: &Result<Answer, CallError>) -> ProbeAnswer {
        let (answer, ok, not_ok) = match (self, answer) {
            (Watched::Status { ok, not_ok, .. }, Ok(answer)) => (answer, *ok, *not_ok),
            (Watched::Status { .. }, Err(error)) => return no_answer(error),
            (Watched::Document(health), answer) => return health.read(answer),
        };
        if answer.status != ok && answer.status != not_ok {
            return ProbeAnswer::Unreadable {
                status: answer.status,
                problem: format!("neither {ok} nor {not_ok} ({})", answer.describe()),
            };
        }
        let all_well = answer.status == ok;
        ProbeAnswer::Health(HealthSeen {
            status: answer.status,
            overall_ok: all_well,
            redis_connected: all_well,
            postgres_connected: all_well,
        })
    }
}

fn no_answer(error: &CallError) -> ProbeAnswer {
    match error {
        CallError::TimedOut { .. } => ProbeAnswer::TimedOut,
        error => ProbeAnswer::Broken(error.to_string()),
    }
}

impl HealthSection {
    /// A probe's answer in the harness's own terms.
    pub fn read(&self, answer: &Result<Answer, CallError>) -> ProbeAnswer {
        match answer {
            Ok(answer) => self.read_document(answer),
            Err(error) => no_answer(error),
        }
    }

    fn read_document(&self, answer: &Answer) -> ProbeAnswer {
        let seen = answer
            .json()
            .ok_or_else(|| "no JSON document".to_owned())
            .and_then(|document| {
                let overall_ok = one_of(&document, &self.state, &self.ok, &self.degraded)?;
                let store = |at| one_of(&document, at, &self.connected, &self.disconnected);
                let status = answer.status;
                let expected = if overall_ok {
                    self.ok_status
                } else {
                    self.degraded_status
                };
                if status != expected {
                    return Err(format!(
                        "status {status} with a document that says {expected}"
                    ));
                }
                let (redis_connected, postgres_connected) =
                    (store(&self.redis)?, store(&self.postgres)?);
                Ok(HealthSeen {
                    status,
                    overall_ok,
                    redis_connected,
                    postgres_connected,
                })
            });
        match seen {
            Ok(seen) => ProbeAnswer::Health(seen),
            Err(problem) => ProbeAnswer::Unreadable {
                status: answer.status,
                problem: format!("{problem} ({})", answer.describe()),
            },
        }
    }
}

/// Whether the text at the pointer is the one word (true) or the other (false).
fn one_of(
    document: &serde_json::Value,
    at: &JsonPointer,
    yes: &str,
    no: &str,
) -> Result<bool, String> {
    match at.get(document).and_then(serde_json::Value::as_str) {
        Some(word) if word == yes => Ok(true),
        Some(word) if word == no => Ok(false),
        Some(word) => Err(format!(
            "`{}` is `{word}`, neither `{yes}` nor `{no}`",
            at.as_str()
        )),
        None => Err(format!("no text at `{}`", at.as_str())),
    }
}
