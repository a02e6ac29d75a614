//! One-time codes of the subject: made, offered, and seen in the store.

use touchstone_engine::proxy::When;
use touchstone_engine::scenario::{Context, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::{CodeKind, CodeSection, Manifest};
use touchstone_engine::subject::{Answer, CallError, HttpClient};

/// The kinds that the manifest maps; those that it declares absent are told. Skips what has none.
pub(super) fn kinds(context: &Context) -> Result<Vec<Codes<'_>>, Stop> {
    let manifest: &Manifest = context.manifest();
    let (mut kinds, mut left_out) = (Vec::new(), None);
    for kind in CodeKind::ALL {
        match context.require(&[kind.issue(), kind.consume()]) {
            Ok(()) => {
                let tokens = context.section("tokens", manifest.tokens.as_ref())?;
                let name = format!("tokens.{}", kind.name());
                kinds.push(Codes {
                    kind,
                    section: context.section(&name, tokens.of(kind))?,
                    guesses: tokens.guesses,
                    are_bound: names_user(manifest, kind),
                });
            }
            Err(skip @ Stop::Skip { declared: true, .. }) => {
                context.observe(format!("no codes of kind {}, as declared", kind.name()));
                left_out = Some(skip);
            }
            // What is only missing in the manifest is not passed over.
            Err(stop) => return Err(stop),
        }
    }
    match left_out {
        Some(skip) if kinds.is_empty() => Err(skip),
        _ => Ok(kinds),
    }
}

fn names_user(manifest: &Manifest, kind: CodeKind) -> bool {
    let operation = manifest.operations.get(&kind.consume());
    operation.is_some_and(|operation| operation.placeholders().iter().any(|name| name == "user"))
}

/// Codes of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codes<'a> {
    pub(super) kind: CodeKind,
    pub(super) section: &'a CodeSection,
    /// Wrong ones until a code is void.
    pub(super) guesses: u32,
    /// Whether a code is offered together with its user.
    pub(super) are_bound: bool,
}

impl Codes<'_> {
    pub(super) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// The key whose expiry ends the code of a user.
    pub(super) fn key(&self, user: &str) -> String {
        self.section
            .key
            .fill(|name| (name == "user").then(|| user.to_owned()))
    }

    /// Makes a code for a user.
    pub(super) async fn issue(&self, http: &HttpClient, user: &str) -> Result<String, Stop> {
        let name = self.kind.issue();
        let answer = http.call(name, &[("user", user.as_bytes())]).await?;
        let code = answer.text().filter(|code| !code.is_empty());
        code.ok_or_else(|| {
            let expected = format!("`{}` to answer a code", name.key());
            // Not the answer itself, which may hold the code at another place.
            Stop::fail(expected, format!("status {}", answer.status))
        })
    }

    /// Offers a code, whatever comes of it.
    pub(super) async fn offer(
        &self,
        http: &HttpClient,
        user: &str,
        code: &str,
    ) -> Result<Answer, CallError> {
        let values: &[(&str, &[u8])] = &[("user", user.as_bytes()), ("code", code.as_bytes())];
        http.call(self.kind.consume(), values).await
    }

    /// Offers a code that must be accepted.
    pub(super) async fn accepted(
        &self,
        http: &HttpClient,
        user: &str,
        code: &str,
        what: &str,
    ) -> Result<Answer, Stop> {
        let answer = self.offer(http, user, code).await?;
        let expected = format!("{}: {what} to be accepted", self.name());
        expect(answer.kind() == AnswerKind::Ok, expected, answer.describe())?;
        Ok(answer)
    }

    /// Offers a code that must be refused.
    pub(super) async fn refused(
        &self,
        http: &HttpClient,
        user: &str,
        code: &str,
        what: &str,
    ) -> Result<Answer, Stop> {
        let answer = self.offer(http, user, code).await?;
        let expected = format!("{}: {what} to be refused", self.name());
        expect(
            answer.kind() == AnswerKind::Denied,
            expected,
            answer.describe(),
        )?;
        Ok(answer)
    }

    /// What belongs to a user's code, in both stores.
    pub(super) fn about(&self, user: &str) -> [(StoreKind, When); 2] {
        let key = self.key(user);
        [
            (StoreKind::Redis, When::any().key(&key)),
            (StoreKind::Postgres, When::any()),
        ]
    }
}

/// A code of the same length and alphabet that is not this one: its last character is the next one of its class.
pub(super) fn wrong(code: &str) -> String {
    wrong_number(code, 0)
}

/// Different wrong codes by number, from 0 to 7.
pub(super) fn wrong_number(code: &str, number: u8) -> String {
    let mut bytes = code.as_bytes().to_vec();
    if let Some(last) = bytes.last_mut() {
        let (first, size) = match *last {
            b'0'..=b'9' => (b'0', 10),
            b'A'..=b'Z' => (b'A', 26),
            _ => (b'a', 26),
        };
        // `-` and `_`, too, become a letter.
        let place = last.wrapping_sub(first) % size;
        *last = first + (place + 1 + number) % size;
    }
    String::from_utf8(bytes).unwrap_or_else(|_| format!("{code}0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_codes_look_like_the_right_one_and_are_all_different() {
        for code in ["000000", "999999", "xYzZ", "a-_", "Ab9", "k_"] {
            let mut all: Vec<String> = (0..8).map(|number| wrong_number(code, number)).collect();
            assert!(all.iter().all(|wrong| wrong.len() == code.len()));
            all.push(code.to_owned());
            all.sort();
            all.dedup();
            assert_eq!(all.len(), 9, "{code}");
        }
        assert!(wrong("123456").bytes().all(|byte| byte.is_ascii_digit()));
    }
}
