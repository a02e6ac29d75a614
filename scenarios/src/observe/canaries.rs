//! Secrets planted through every operation that the manifest maps, and the search for them in what was logged.

use crate::secrets::{contains, forms};
use crate::session::client::SetCookie;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use touchstone_core::{Finding, Seed};
use touchstone_engine::scenario::{Context, Stop};
use touchstone_engine::subject::manifest::{JsonPointer, Manifest};
use touchstone_engine::subject::{Answer, CallError, HttpClient, OperationName};

/// What is in every canary, for conditions that are to meet all of them.
pub(super) const MARK: &str = "canary";
/// A shorter secret may stand somewhere by chance: a time has six digits. Two hardly do.
const LONG_CHARS: usize = 16;
const SHORT_FOUND_MIN: usize = 2;
const EVIDENCE_MAX: usize = 10;

/// Every secret so far.
pub(super) struct Canaries<'a> {
    context: &'a Context,
    planted: Mutex<Vec<Canary>>,
}

#[derive(Debug, Clone)]
struct Canary {
    /// How it came there.
    what: String,
    text: String,
}

/// What placeholders are filled with in one round of calls.
pub(super) type Values = BTreeMap<&'static str, String>;

impl<'a> Canaries<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self {
            context,
            planted: Mutex::default(),
        }
    }

    /// A new secret. Letters and digits, so that no encoding of a line changes its looks; from the seed, as it may become a
    /// part of a fault.
    pub(super) fn plant(&self, what: &str) -> String {
        let mut planted = self.planted();
        let seed: Seed = self.context.seed();
        let half = |part: &str| seed.derive(&format!("{part} {}", planted.len())).0;
        let text = format!("{MARK}{:016x}{:016x}", half("one"), half("other"));
        planted.push(Canary {
            what: what.to_owned(),
            text: text.clone(),
        });
        text
    }

    /// The same secret each time.
    fn once(&self, what: &str) -> String {
        let planted = self.planted().clone();
        let before = planted.into_iter().find(|canary| canary.what == what);
        before.map_or_else(|| self.plant(what), |canary| canary.text)
    }

    /// A secret of the subject's own making.
    pub(super) fn take(&self, what: &str, text: &str) {
        self.planted().push(Canary {
            what: what.to_owned(),
            text: text.to_owned(),
        });
    }

    /// Calls every mapped operation once, in an order in which what one makes is there for the next. What they answer is
    /// not judged: it is the log that counts.
    pub(super) async fn call_all(&self, http: &HttpClient, round: &str) -> Result<Values, Stop> {
        // One for the account and for every login.
        let password = self.plant("a password");
        let mut values = Values::from([("password", password)]);
        for name in self.mapped() {
            if let Some(answer) = self.call(http, name, round, &values).await? {
                self.note(name, &answer, &mut values);
            }
        }
        Ok(values)
    }

    /// Logs in again, where there are sessions: every operation has been called, also those that end them.
    pub(super) async fn log_in(
        &self,
        http: &HttpClient,
        round: &str,
        made: &mut Values,
    ) -> Result<(), Stop> {
        let login = OperationName::SessionCreate;
        if self.mapped().any(|name| name == login)
            && let Some(answer) = self.call(http, login, round, made).await?
        {
            self.note(login, &answer, made);
        }
        Ok(())
    }

    /// The same at once, with what an earlier round has made: for a fault that makes each call slow.
    pub(super) async fn call_all_at_once(
        &self,
        http: &HttpClient,
        round: &str,
        values: &Values,
    ) -> Result<(), Stop> {
        let calls = self
            .mapped()
            .map(|name| self.call(http, name, round, values));
        let called: Result<Vec<_>, Stop> =
            futures::future::join_all(calls).await.into_iter().collect();
        // A code that is answered in an outage is one, too.
        for (name, answer) in self.mapped().zip(called?) {
            if let Some(answer) = answer {
                self.note(name, &answer, &mut Values::new());
            }
        }
        Ok(())
    }

    pub(super) fn mapped(&self) -> impl Iterator<Item = OperationName> + Clone {
        let operations = &self.context.manifest().operations;
        let all = OperationName::ALL.iter().copied();
        all.filter(|name| operations.contains_key(name))
    }

    /// No answer is as good as any.
    pub(super) async fn call(
        &self,
        http: &HttpClient,
        name: OperationName,
        round: &str,
        made: &Values,
    ) -> Result<Option<Answer>, Stop> {
        let values = self.values_of(name, round, made);
        let values: Vec<(&str, &[u8])> = values
            .iter()
            .map(|(placeholder, value)| (*placeholder, value.as_bytes()))
            .collect();
        match http.call(name, &values).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error @ (CallError::NotMapped(_) | CallError::BadRequest { .. })) => {
                Err(error.into())
            }
            Err(_) => Ok(None),
        }
    }

    /// What names a thing is a plain word, what counts is a number; all else is a secret, unless it was made before.
    pub(super) fn values_of(&self, name: OperationName, round: &str, made: &Values) -> Values {
        let mut values = Values::new();
        for placeholder in name
            .placeholders()
            .iter()
            .chain(name.optional_placeholders())
        {
            let value = match *placeholder {
                "key" | "key2" | "user" | "endpoint" | "name" | "device" | "tenant" => {
                    format!("observed-{round}")
                }
                // The login takes the one that the account was made with.
                "password" => self.once(&format!("the password of `observed-{round}`")),
                "pattern" => "none:*".to_owned(),
                "seconds" => "60".to_owned(),
                "ttl_ms" => "30000".to_owned(),
                "id" | "fencing_token" => made.get(placeholder).cloned().unwrap_or("1".to_owned()),
                _ => made
                    .get(placeholder)
                    .cloned()
                    .unwrap_or_else(|| self.plant(&format!("`{placeholder}` of `{}`", name.key()))),
            };
            values.insert(*placeholder, value);
        }
        values
    }

    /// Keeps what an answer gives to later calls, and what of it is secret.
    fn note(&self, name: OperationName, answer: &Answer, values: &mut Values) {
        let result = answer.text();
        match (name, result) {
            (OperationName::EntityCreate, Some(id)) => {
                values.insert("id", id);
            }
            (
                OperationName::PasswordResetIssue
                | OperationName::EmailVerificationIssue
                | OperationName::OtpIssue,
                Some(code),
            ) => {
                self.take(&format!("the code of `{}`", name.key()), &code);
                values.insert("code", code);
            }
            (
                OperationName::PasswordResetConsume
                | OperationName::EmailVerificationConsume
                | OperationName::OtpConsume,
                _,
            ) => {
                values.remove("code");
            }
            (OperationName::SessionCreate, _) => {
                let sessions = self.context.manifest().sessions.as_ref();
                let set = |name: &str| SetCookie::all_of(answer, name).into_iter().next();
                if let Some(set) = sessions.and_then(|section| set(&section.cookie)) {
                    self.take("the id of a session", &set.value);
                    values.insert("session", set.value);
                }
            }
            (OperationName::LockAcquire, Some(token)) => {
                values.insert("fencing_token", token);
                let manifest: &Manifest = self.context.manifest();
                let holder = manifest.lock.as_ref().map(|lock| &lock.holder);
                if let Some(holder) = holder.and_then(|at| text_at(answer, at)) {
                    self.take("the holder of a lock", &holder);
                    values.insert("holder", holder);
                }
            }
            _ => {}
        }
    }

    /// Fails if a secret stands in one of these texts. The evidence tells the line, with the secret taken out.
    pub(super) async fn search(&self, logs: &[(String, String)]) -> Result<(), Stop> {
        let planted = self.planted().clone();
        let (mut found, mut short) = (Vec::new(), Vec::new());
        for canary in &planted {
            if canary.text.chars().count() >= LONG_CHARS {
                found.extend(find(canary, logs));
            } else {
                short.extend(find_word(canary, logs));
            }
            // Long work, which must not look like a stall.
            tokio::task::yield_now().await;
        }
        if short.len() >= SHORT_FOUND_MIN {
            found.extend(short);
        }
        let Some(first) = found.first() else {
            return Ok(());
        };
        let expected = "no password, token, session id or value in any line of the log";
        let seen = format!("{} found, the first: {first}", found.len());
        let mut finding = Finding::new(expected, seen);
        finding.evidence = found.into_iter().take(EVIDENCE_MAX).collect();
        Err(Stop::Fail(finding))
    }

    pub(super) fn count(&self) -> usize {
        self.planted().len()
    }

    fn planted(&self) -> MutexGuard<'_, Vec<Canary>> {
        // Nothing under this lock can be left half done by a panic.
        self.planted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value of a cookie that the answer sets.
fn text_at(answer: &Answer, pointer: &JsonPointer) -> Option<String> {
    Some(pointer.get(&answer.json()?)?.as_str()?.to_owned())
}

/// Where a secret stands, in whatever shape.
fn find(canary: &Canary, logs: &[(String, String)]) -> Option<String> {
    let shapes = forms(&canary.text);
    logs.iter().find_map(|(log, text)| {
        let shape = shapes
            .iter()
            .find(|(_, bytes)| contains(text.as_bytes(), bytes));
        let (form, bytes) = shape?;
        let line = text
            .lines()
            .find(|line| contains(line.as_bytes(), bytes))
            .unwrap_or_default();
        Some(told(
            canary,
            form,
            log,
            line,
            &String::from_utf8_lossy(bytes),
        ))
    })
}

/// Where a short secret stands as a word of its own.
fn find_word(canary: &Canary, logs: &[(String, String)]) -> Option<String> {
    let is_word = |line: &str| {
        line.match_indices(&canary.text).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + canary.text.len()..].chars().next();
            let joins = |next: Option<char>| next.is_some_and(|next| next.is_alphanumeric());
            !joins(before) && !joins(after)
        })
    };
    logs.iter().find_map(|(log, text)| {
        let line = text.lines().find(|line| is_word(line))?;
        Some(told(canary, "in clear", log, line, &canary.text))
    })
}

fn told(canary: &Canary, form: &str, log: &str, line: &str, secret: &str) -> String {
    let line = line.replace(secret, "[the secret]");
    format!("{} {form} in {log}: {line}", canary.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary(text: &str) -> Canary {
        Canary {
            what: "a code".to_owned(),
            text: text.to_owned(),
        }
    }

    fn log(text: &str) -> Vec<(String, String)> {
        vec![("a log".to_owned(), text.to_owned())]
    }

    #[test]
    fn a_secret_is_told_with_its_line_and_without_itself() {
        let found = find(
            &canary("canary0123456789"),
            &log("one\ntwo canary0123456789 x\n"),
        );
        let found = found.expect("it is there");
        assert!(found.ends_with("two [the secret] x"), "{found}");
        assert!(!found.contains("canary0"), "{found}");
    }

    #[test]
    fn digits_within_a_number_are_no_code() {
        let is_found = |line: &str| find_word(&canary("123456"), &log(line)).is_some();
        assert!(is_found("code 123456 issued"));
        assert!(is_found("\"code\":\"123456\""));
        assert!(!is_found("took 1123456 us"));
        assert!(!is_found("2026-01-01T00:00:00.123456Z"));
    }
}
