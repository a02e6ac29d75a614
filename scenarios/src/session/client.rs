//! Logging in and out, as a browser does it, and the sessions in the store.
//!
//! Whoever has an id is the user, so no id is ever part of a finding.

use crate::store_view::StoreView;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use touchstone_engine::environment::Environment;
use touchstone_engine::scenario::{Context, Stop, expect};
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::SessionsSection;
use touchstone_engine::subject::{Answer, HttpClient, OperationName};

/// Long enough for any rule about passwords.
const PASSWORD: &str = "correct horse 7 Battery staple";

/// A cookie, as the answer sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetCookie {
    pub(crate) value: String,
    /// By lower-case name. One without a value has an empty one.
    pub(crate) attributes: BTreeMap<String, String>,
}

impl SetCookie {
    /// The cookies of this name that the answer sets.
    pub(crate) fn all_of(answer: &Answer, name: &str) -> Vec<Self> {
        let lines = answer.headers.get_all("set-cookie").iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        lines.filter_map(|line| Self::parse(line, name)).collect()
    }

    fn parse(line: &str, name: &str) -> Option<Self> {
        let mut parts = line.split(';').map(str::trim);
        let value = parts.next()?.strip_prefix(name)?.trim().strip_prefix('=')?;
        let attribute = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (name.trim().to_ascii_lowercase(), value.trim().to_owned())
        };
        Some(Self {
            value: value.trim().to_owned(),
            attributes: parts.map(attribute).collect(),
        })
    }
}

/// A session that the harness has logged in to.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// What the browser has: the value of the cookie.
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) device: String,
    /// The answer to the login.
    pub(crate) answer: Answer,
}

/// The subject's sessions.
pub(crate) struct SessionClient<'a> {
    pub(crate) section: &'a SessionsSection,
    pub(crate) store: StoreView,
}

impl<'a> SessionClient<'a> {
    /// Skips the scenario unless the manifest declares sessions and all these operations, beside those that are
    /// needed to log in and to see who is.
    pub(crate) fn declared(
        context: &'a Context,
        operations: &[OperationName],
    ) -> Result<&'a SessionsSection, Stop> {
        use OperationName::{AccountCreate, SessionCreate, SessionRead};
        context.require(&[AccountCreate, SessionCreate, SessionRead])?;
        context.require(operations)?;
        context.section("sessions", context.manifest().sessions.as_ref())
    }

    pub(crate) async fn open(
        environment: &Environment,
        section: &'a SessionsSection,
    ) -> Result<Self, Stop> {
        let store = StoreView::open(environment).await?;
        Ok(Self { section, store })
    }

    /// Makes an account.
    pub(crate) async fn account(&self, http: &HttpClient, user: &str) -> Result<(), Stop> {
        let values: &[(&str, &[u8])] =
            &[("user", user.as_bytes()), ("password", PASSWORD.as_bytes())];
        let answer = http.call(OperationName::AccountCreate, values).await?;
        let made = answer.kind() == AnswerKind::Ok;
        expect(made, "a new account", answer.describe())
    }

    /// Logs in with a browser that has no cookie yet.
    pub(crate) async fn login(
        &self,
        http: &HttpClient,
        user: &str,
        device: &str,
    ) -> Result<Held, Stop> {
        let answer = self.try_login(http, user, PASSWORD, device, None).await?;
        self.held(answer, user, device)
    }

    /// Logs in with a browser that has this cookie.
    pub(crate) async fn login_with(
        &self,
        http: &HttpClient,
        user: &str,
        device: &str,
        presented: &str,
    ) -> Result<Held, Stop> {
        let presented = Some(presented);
        let answer = self
            .try_login(http, user, PASSWORD, device, presented)
            .await?;
        self.held(answer, user, device)
    }

    /// Tries to log in, whatever comes of it.
    pub(crate) async fn try_login(
        &self,
        http: &HttpClient,
        user: &str,
        password: &str,
        device: &str,
        presented: Option<&str>,
    ) -> Result<Answer, Stop> {
        let values: &[(&str, &[u8])] = &[
            ("user", user.as_bytes()),
            ("password", password.as_bytes()),
            ("device", device.as_bytes()),
        ];
        let cookie = presented.map(|id| format!("{}={id}", self.section.cookie));
        let headers: Vec<(&str, &str)> =
            cookie.iter().map(|cookie| ("cookie", &**cookie)).collect();
        let name = OperationName::SessionCreate;
        Ok(http.call_with(name, values, &headers).await?)
    }

    /// The right password, for whoever tries to log in.
    pub(crate) fn password(&self) -> &'static str {
        PASSWORD
    }

    fn held(&self, answer: Answer, user: &str, device: &str) -> Result<Held, Stop> {
        let logged_in = answer.kind() == AnswerKind::Ok;
        expect(logged_in, "a login to work", answer.describe())?;
        let cookie = &self.section.cookie;
        match &SetCookie::all_of(&answer, cookie)[..] {
            [set] if !set.value.is_empty() => Ok(Held {
                id: set.value.clone(),
                user: user.to_owned(),
                device: device.to_owned(),
                answer,
            }),
            others => Err(Stop::fail(
                format!("a login to set one cookie `{cookie}`"),
                format!("{} of them", others.len()),
            )),
        }
    }

    /// An operation of whoever has this id.
    pub(crate) async fn call(
        &self,
        http: &HttpClient,
        name: OperationName,
        id: &str,
    ) -> Result<Answer, Stop> {
        Ok(http.call(name, &[("session", id.as_bytes())]).await?)
    }

    /// Ends another session of the user, by its name in the list.
    pub(crate) async fn revoke(
        &self,
        http: &HttpClient,
        id: &str,
        listed: &str,
    ) -> Result<Answer, Stop> {
        let values: &[(&str, &[u8])] = &[("session", id.as_bytes()), ("id", listed.as_bytes())];
        Ok(http.call(OperationName::SessionRevoke, values).await?)
    }

    /// Whether the session is known; who it is must be right.
    pub(crate) async fn is_known(
        &self,
        http: &HttpClient,
        held: &Held,
    ) -> Result<(bool, Answer), Stop> {
        let answer = self
            .call(http, OperationName::SessionRead, &held.id)
            .await?;
        let known = match answer.kind() {
            AnswerKind::Denied => false,
            AnswerKind::Ok if answer.text().as_deref() == Some(&held.user) => true,
            _ => {
                let expected = format!("`{}`, or a refusal", held.user);
                return Err(Stop::fail(expected, answer.describe()));
            }
        };
        Ok((known, answer))
    }

    /// The session is known.
    pub(crate) async fn known(
        &self,
        http: &HttpClient,
        held: &Held,
        when: &str,
    ) -> Result<(), Stop> {
        let (known, answer) = self.is_known(http, held).await?;
        let expected = format!("`{}` known on `{}` {when}", held.user, held.device);
        expect(known, expected, answer.describe())
    }

    /// The session is refused, as one that has ended.
    pub(crate) async fn refused(
        &self,
        http: &HttpClient,
        held: &Held,
        when: &str,
    ) -> Result<(), Stop> {
        let (known, answer) = self.is_known(http, held).await?;
        let expected = format!("the session on `{}` refused {when}", held.device);
        expect(!known, expected, answer.describe())
    }

    /// Every session of the store, by its key.
    pub(crate) async fn keys(&self) -> Result<BTreeSet<Vec<u8>>, Stop> {
        let keys = self.store.keys(&self.section.key_pattern).await?;
        Ok(keys.into_iter().collect())
    }

    /// Logs in, and finds under which key the session lies: the only one that is new.
    pub(crate) async fn login_and_find(
        &self,
        http: &HttpClient,
        user: &str,
        device: &str,
    ) -> Result<(Held, String), Stop> {
        let before = self.keys().await?;
        let held = self.login(http, user, device).await?;
        let after = self.keys().await?;
        let new: Vec<&Vec<u8>> = after.difference(&before).collect();
        let pattern = &self.section.key_pattern;
        match &new[..] {
            [key] => match String::from_utf8((*key).clone()) {
                Ok(key) => Ok((held, key)),
                Err(_) => Err(Stop::unknown("the key of a session is no text")),
            },
            others => Err(Stop::fail(
                format!("one new key by `{pattern}` after a login"),
                format!("{} new keys", others.len()),
            )),
        }
    }

    /// What a session has left must be the promised time, from a moment between these two.
    pub(crate) async fn has_whole_ttl(
        &self,
        key: &str,
        when: &str,
        answer: &Answer,
        now_us: impl Fn() -> u64,
    ) -> Result<(), Stop> {
        let left_ms = self.store.pttl_ms(key).await?;
        let whole_ms = i64::try_from(self.section.ttl_seconds * 1000).unwrap_or(i64::MAX);
        let since_ms = i64::try_from((now_us() - answer.called_us) / 1000).unwrap_or(i64::MAX);
        // A service that counts in seconds may cut one short.
        let least_ms = whole_ms - since_ms - 1000;
        expect(
            (least_ms..=whole_ms).contains(&left_ms),
            format!("{least_ms} to {whole_ms} ms left of the session in the store {when}"),
            format!("PTTL {left_ms}"),
        )
    }
}

/// The entries of a user's list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    pub(crate) device: String,
    pub(crate) id: String,
}

impl SessionClient<'_> {
    /// The user's devices, by their names.
    pub(crate) async fn list(
        &self,
        context: &Context,
        http: &HttpClient,
        held: &Held,
    ) -> Result<(Vec<Listed>, Answer), Stop> {
        let places = context.section("sessions.list", self.section.list.as_ref())?;
        let answer = self
            .call(http, OperationName::SessionList, &held.id)
            .await?;
        let expected = "a list of devices, each with its id and its name";
        let no_list = || Stop::fail(expected, answer.describe());
        let json = answer.json().filter(|_| answer.kind() == AnswerKind::Ok);
        let json = json.ok_or_else(no_list)?;
        let entries = places.entries.get(&json).and_then(|list| list.as_array());
        let entry = |entry: &serde_json::Value| {
            let text = |value: Option<&serde_json::Value>| Some(value?.as_str()?.to_owned());
            Some(Listed {
                device: text(places.device.get(entry))?,
                id: text(places.id.get(entry))?,
            })
        };
        let listed: Option<Vec<Listed>> = entries.ok_or_else(no_list)?.iter().map(entry).collect();
        let mut listed = listed.ok_or_else(no_list)?;
        listed.sort();
        Ok((listed, answer))
    }
}

/// How long a service may still be about its answer after a fault: its own deadline.
pub(crate) fn impatient(context: &Context, http: &HttpClient) -> HttpClient {
    let deadline: Duration = context.deadline(|d| d.degraded_answer_ms);
    http.with_deadline(deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_with_its_attributes_in_any_case() {
        let line = "sid=a=b; httponly; Path=/; SAMESITE = Lax; Max-Age=5";
        let set = SetCookie::parse(line, "sid").expect("a cookie");
        assert_eq!(set.value, "a=b");
        assert_eq!(set.attributes["httponly"], "");
        assert_eq!(set.attributes["samesite"], "Lax");
        assert_eq!(set.attributes["max-age"], "5");
        assert_eq!(SetCookie::parse("sid2=x", "sid"), None);
    }
}
