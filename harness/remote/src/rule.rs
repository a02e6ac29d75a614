//! Our own rules: what is done to the nth command of a kind, as JSON.

use crate::body;
use crate::error::ApiError;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use touchstone_engine::proxy::{
    Action, Delay, Distribution, ErrorReply, NetworkFault, Proxy, Rule, RuleWatch, Seen, Then, When,
};

/// What a client sends to make one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRule {
    #[serde(default)]
    when: WhenJson,
    r#do: ActionJson,
}

/// All conditions must hold; without any, every command is meant.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WhenJson {
    command: Option<String>,
    without: Vec<String>,
    key: Option<String>,
    connection: Option<u64>,
    nth: Option<u64>,
    from_nth: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ActionJson {
    Note,
    Hold(HoldJson),
    HoldReply(HoldJson),
    Delay(DelayJson),
    DelayReply(DelayJson),
    Answer(String),
    Swallow,
    CutBefore(ThenJson),
    CutAfter(ThenJson),
    CutReply(CutReplyJson),
    ReplaceReply(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldJson {
    longest_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DelayJson {
    base_ms: u64,
    #[serde(default)]
    jitter_ms: u64,
    distribution: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CutReplyJson {
    after_bytes: u64,
    then: ThenJson,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ThenJson {
    Silence,
    Close,
    Reset,
}

impl From<ThenJson> for Then {
    fn from(then: ThenJson) -> Self {
        match then {
            ThenJson::Silence => Then::Silence,
            ThenJson::Close => Then::Close,
            ThenJson::Reset => Then::Reset,
        }
    }
}

impl WhenJson {
    fn read(self) -> Result<When, ApiError> {
        let mut when = self
            .command
            .as_deref()
            .map_or_else(When::any, When::command);
        for name in &self.without {
            when = when.without(name);
        }
        if let Some(key) = &self.key {
            when = when.key(key);
        }
        if let Some(connection) = self.connection {
            when = when.connection(connection);
        }
        match (self.nth, self.from_nth) {
            (None, None) => Ok(when),
            (Some(nth @ 1..), None) => Ok(when.nth(nth)),
            (None, Some(nth @ 1..)) => Ok(when.from_nth(nth)),
            (Some(_), Some(_)) => Err(ApiError::bad_body("nth and from_nth exclude each other")),
            _ => Err(ApiError::bad_body("nth and from_nth count from 1")),
        }
    }
}

impl DelayJson {
    fn read(&self) -> Result<Delay, ApiError> {
        let name = self.distribution.as_deref().unwrap_or("uniform");
        Ok(Delay {
            base: Duration::from_millis(self.base_ms),
            jitter: Duration::from_millis(self.jitter_ms),
            distribution: distribution(name)?,
        })
    }
}

/// A distribution by its name.
pub(crate) fn distribution(name: &str) -> Result<Distribution, ApiError> {
    let known = Distribution::ALL;
    let found = known.into_iter().find(|known| known.name() == name);
    found.ok_or_else(|| {
        let names = known.map(Distribution::name).join(", ");
        ApiError::bad_body(format!("distribution `{name}`: expected one of {names}"))
    })
}

/// One of the errors with fixed words, by its code, or a whole error.
fn error_reply(text: String) -> Result<ErrorReply, ApiError> {
    if text == "MAXCLIENTS" {
        return Ok(ErrorReply::MaxClients);
    }
    let code = |error: &ErrorReply| error.text().split(' ').next() == Some(text.as_str());
    let mut fixed = ErrorReply::FIXED.into_iter();
    match fixed.find(|error| *error != ErrorReply::MaxClients && code(error)) {
        Some(error) => Ok(error),
        None if text.contains(' ') => Ok(ErrorReply::Other(text)),
        None => Err(ApiError::bad_body(format!(
            "answer `{text}`: expected READONLY, LOADING, OOM, NOAUTH, NOSCRIPT, BUSY, MAXCLIENTS, MISCONF, or an error in full, as `ERR no such thing`"
        ))),
    }
}

impl ActionJson {
    fn read(self) -> Result<Action, ApiError> {
        let longest = |hold: &HoldJson| Duration::from_millis(hold.longest_ms);
        Ok(match self {
            ActionJson::Note => Action::Note,
            ActionJson::Hold(hold) => Action::Hold {
                longest: longest(&hold),
            },
            ActionJson::HoldReply(hold) => Action::HoldReply {
                longest: longest(&hold),
            },
            ActionJson::Delay(delay) => Action::Delay(delay.read()?),
            ActionJson::DelayReply(delay) => Action::DelayReply(delay.read()?),
            ActionJson::Answer(text) => Action::Answer(error_reply(text)?),
            ActionJson::Swallow => Action::Swallow,
            ActionJson::CutBefore(then) => Action::CutBefore(then.into()),
            ActionJson::CutAfter(then) => Action::CutAfter(then.into()),
            ActionJson::CutReply(CutReplyJson { after_bytes, then }) => Action::CutReply {
                after_bytes,
                then: then.into(),
            },
            ActionJson::ReplaceReply(text) => Action::ReplaceReply(text.into_bytes()),
        })
    }
}

/// A rule in force.
pub(crate) struct RemoteRule {
    pub(crate) id: u64,
    pub(crate) guard: NetworkFault,
    watch: RuleWatch,
}

/// A rule as clients see it.
#[derive(Debug, Serialize)]
pub(crate) struct RuleView {
    id: u64,
    when: String,
    r#do: String,
    bite: Option<String>,
    matched: u64,
    acted: u64,
    held: Vec<SeenView>,
    released: u64,
    overdue: u64,
    replied: u64,
    last: Option<SeenView>,
}

#[derive(Debug, Serialize)]
struct SeenView {
    connection: u64,
    command: u64,
    name: String,
    key: Option<String>,
}

impl From<Seen> for SeenView {
    fn from(seen: Seen) -> Self {
        Self {
            connection: seen.connection,
            command: seen.command,
            name: seen.name,
            key: seen.key,
        }
    }
}

impl RemoteRule {
    /// Reads what a client sent, and puts it in force.
    pub(crate) async fn inject(id: u64, bytes: &[u8], proxy: &Proxy) -> Result<Self, ApiError> {
        let new: NewRule = body::object(bytes)?;
        let rule = Rule::new(new.when.read()?, new.r#do.read()?);
        let watch = rule.watch();
        let guard = proxy.inject(rule).await?;
        Ok(Self { id, guard, watch })
    }

    pub(crate) fn view(&self) -> RuleView {
        let progress = self.watch.now();
        let parameter = |name: &str| self.guard.parameters().get(name).cloned();
        RuleView {
            id: self.id,
            when: parameter("when").unwrap_or_default(),
            r#do: parameter("do").unwrap_or_default(),
            bite: self.guard.bite(),
            matched: progress.matched,
            acted: progress.acted,
            held: progress.held.into_iter().map(SeenView::from).collect(),
            released: progress.released,
            overdue: progress.overdue,
            replied: progress.replied,
            last: progress.last.map(SeenView::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(body: &Value) -> Result<String, ApiError> {
        let new: NewRule = serde_json::from_value(body.clone()).map_err(ApiError::bad_body)?;
        Ok(Rule::new(new.when.read()?, new.r#do.read()?).to_string())
    }

    #[test]
    fn every_action_is_read() {
        for (action, said) in [
            (json!("note"), "note it and its reply"),
            (
                json!({"hold": {"longest_ms": 300}}),
                "hold it, 300 ms at most",
            ),
            (
                json!({"hold_reply": {"longest_ms": 300}}),
                "hold its reply, 300 ms at most",
            ),
            (json!({"delay": {"base_ms": 5}}), "delay it by 5000 us"),
            (
                json!({"delay_reply": {"base_ms": 5, "jitter_ms": 2, "distribution": "pareto"}}),
                "delay its reply by 5000 us and 2000 us of pareto jitter",
            ),
            (json!({"answer": "READONLY"}), "READONLY You can't write"),
            (json!({"answer": "MAXCLIENTS"}), "max number of clients"),
            (
                json!({"answer": "MOVED 7 127.0.0.1:1"}),
                "MOVED 7 127.0.0.1:1",
            ),
            (json!("swallow"), "swallow it and what follows"),
            (json!({"cut_before": "reset"}), "reset before it"),
            (json!({"cut_after": "close"}), "close after it"),
            (
                json!({"cut_reply": {"after_bytes": 3, "then": "silence"}}),
                "fall silent after 3 bytes of its reply",
            ),
            (
                json!({"replace_reply": "+OK\r\n"}),
                r"answer `+OK\r\n` instead",
            ),
        ] {
            let rule = read(&json!({"when": {"command": "GET", "nth": 2}, "do": action}));
            let rule = rule.unwrap_or_else(|error| panic!("{action}: {error}"));
            assert!(rule.contains("number 2 of GET"), "{rule}");
            assert!(rule.contains(said), "{rule}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (body, said) in [
            (json!({}), "missing field `do`"),
            (json!({"do": "explode"}), "unknown variant `explode`"),
            (
                json!({"do": {"hold": {"longest": 3}}}),
                "unknown field `longest`",
            ),
            (
                json!({"do": "note", "when": {"comand": "GET"}}),
                "unknown field `comand`",
            ),
            (json!({"do": "note", "when": {"nth": 0}}), "count from 1"),
            (
                json!({"do": "note", "when": {"nth": 1, "from_nth": 2}}),
                "exclude each other",
            ),
            (json!({"do": {"answer": "READNOLY"}}), "expected READONLY"),
        ] {
            let error = read(&body).expect_err("refused");
            assert!(error.message.contains(said), "{error}");
        }
    }
}
