//! `[limiter]` and `[login]`: what is limited, by what, and what becomes of it without Redis.

use super::error::{ManifestError, Source};
use super::operation_name::OperationName;
use super::template::Template;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Kinds of rate window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// Begins with the first request and ends a window's length later.
    Fixed,
    /// Trails every request.
    Sliding,
}

/// `[limiter]`: the promises of the limiter by user and endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimiterSection {
    /// Requests that a window admits.
    pub limit: u64,
    /// The window's length in milliseconds.
    pub window_ms: u64,
    /// The window's kind.
    pub kind: WindowKind,
    /// Environment by which a run shortens both: `{limit}`, `{window_ms}`.
    #[serde(default)]
    pub shorten: BTreeMap<String, Template>,
    /// What happens while Redis is away.
    pub without_redis: Option<WithoutRedisSection>,
    /// The header with the limit.
    pub limit_header: Option<String>,
    /// The header with what remains.
    pub remaining_header: Option<String>,
    /// The header with the seconds until the window has more room.
    pub reset_header: Option<String>,
    /// A second limiter of the same kind of caller, with a sliding window, on other routes.
    pub sliding: Option<Box<LimiterSection>>,
    /// What is limited by client address.
    pub address: Option<AddressLimitSection>,
    /// What is limited by session.
    pub session: Option<SessionLimitSection>,
}

/// `[limiter.without_redis]`: what limited endpoints do while nobody can be counted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithoutRedisSection {
    /// Endpoints that admit everybody.
    #[serde(default)]
    pub open: Vec<String>,
    /// Endpoints that refuse everybody.
    #[serde(default)]
    pub closed: Vec<String>,
    /// The status of that refusal.
    pub closed_status: u16,
}

/// `[limiter.address]`: the promises of the limiter by client address and endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressLimitSection {
    /// Requests that a window admits.
    pub limit: u64,
    /// The window's length in milliseconds.
    pub window_ms: u64,
    /// Environment by which a run shortens both: `{limit}`, `{window_ms}`.
    #[serde(default)]
    pub shorten: BTreeMap<String, Template>,
    /// The header in which a proxy says whose request it passes on: a list, the nearest last.
    pub forwarded_header: Option<String>,
    /// Environment that declares a proxy whose word is taken: `{proxy}`, its address. Nobody's is, without it.
    #[serde(default)]
    pub trust: BTreeMap<String, Template>,
    /// What happens while Redis is away.
    pub without_redis: Option<WithoutRedisSection>,
}

/// `[limiter.session]`: the promises of the limiter by session and endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionLimitSection {
    /// Requests that a window admits.
    pub limit: u64,
    /// The window's length in milliseconds.
    pub window_ms: u64,
    /// Environment by which a run shortens both: `{limit}`, `{window_ms}`.
    #[serde(default)]
    pub shorten: BTreeMap<String, Template>,
    /// Whether all sessions of a user share a counter.
    #[serde(default)]
    pub shared_by_devices: bool,
    /// A pattern that matches every counter in Redis, and nothing else: they end with their session.
    pub counter_pattern: Option<String>,
}

/// `[login]`: how many logins may be tried.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginSection {
    /// On one account, from wherever.
    pub account_limit: u64,
    /// From one address, on whichever account.
    pub address_limit: u64,
    /// In which time, in milliseconds.
    pub window_ms: u64,
    /// Environment by which a run changes them: `{account_limit}`, `{address_limit}`, `{window_ms}`.
    #[serde(default)]
    pub shorten: BTreeMap<String, Template>,
    /// The status of a login that was not looked at.
    pub limited_status: u16,
    /// The Redis key of an account's counter: `{user}`.
    pub account_key: Option<Template>,
}

impl LimiterSection {
    /// Whatever is limited by user and endpoint: the operation, the key in `[keys]` that is about it, the promises.
    pub fn all(&self) -> impl Iterator<Item = (OperationName, &'static str, &LimiterSection)> {
        let sliding = self.sliding.as_deref();
        let sliding = sliding.map(|of| (OperationName::LimitedSliding, "limiter_sliding", of));
        [(OperationName::Limited, "limiter", self)]
            .into_iter()
            .chain(sliding)
    }

    pub(super) fn validate(&self, source: &Source<'_>) -> Result<(), ManifestError> {
        let quota = |key: &str, limit, window_ms, shorten| {
            at_least_one(&[("limit", limit), ("window_ms", window_ms)], key, source)?;
            only_known(
                shorten,
                &["limit", "window_ms"],
                &format!("{key}.shorten"),
                source,
            )
        };
        quota("limiter", self.limit, self.window_ms, &self.shorten)?;
        if let Some(sliding) = &self.sliding {
            let key = "limiter.sliding";
            quota(key, sliding.limit, sliding.window_ms, &sliding.shorten)?;
            if sliding.kind != WindowKind::Sliding {
                let problem =
                    "expected \"sliding\"; a limiter with a fixed window is [limiter] itself";
                return Err(source.error_at("limiter.sliding.kind", problem));
            }
            let nested = [
                sliding.sliding.is_some().then_some("sliding"),
                sliding.address.is_some().then_some("address"),
                sliding.session.is_some().then_some("session"),
            ];
            if let Some(part) = nested.into_iter().flatten().next() {
                let problem = format!("expected in [limiter]: [limiter.{part}]");
                return Err(source.error_at(&format!("{key}.{part}"), problem));
            }
        }
        if let Some(address) = &self.address {
            let key = "limiter.address";
            quota(key, address.limit, address.window_ms, &address.shorten)?;
            only_known(&address.trust, &["proxy"], "limiter.address.trust", source)?;
            if !address.trust.is_empty() && address.forwarded_header.is_none() {
                let problem =
                    "needs `forwarded_header`: the header that a trusted proxy is believed";
                return Err(source.error_at("limiter.address.trust", problem));
            }
        }
        match &self.session {
            None => Ok(()),
            Some(session) => quota(
                "limiter.session",
                session.limit,
                session.window_ms,
                &session.shorten,
            ),
        }
    }
}

impl LoginSection {
    pub(super) fn validate(&self, source: &Source<'_>) -> Result<(), ManifestError> {
        let numbers = [
            ("account_limit", self.account_limit),
            ("address_limit", self.address_limit),
            ("window_ms", self.window_ms),
        ];
        at_least_one(&numbers, "login", source)?;
        only_known(
            &self.shorten,
            &numbers.map(|(name, _)| name),
            "login.shorten",
            source,
        )?;
        let mut key = self.account_key.iter().flat_map(Template::placeholders);
        match key.find(|name| *name != "user") {
            None => Ok(()),
            Some(unknown) => {
                let problem = format!("unknown placeholder {{{unknown}}}; expected {{user}}");
                Err(source.error_at("login.account_key", problem))
            }
        }
    }
}

fn at_least_one(
    numbers: &[(&str, u64)],
    section: &str,
    source: &Source<'_>,
) -> Result<(), ManifestError> {
    match numbers.iter().find(|(_, number)| *number == 0) {
        None => Ok(()),
        Some((name, _)) => {
            Err(source.error_at(&format!("{section}.{name}"), "expected at least 1"))
        }
    }
}

fn only_known(
    env: &BTreeMap<String, Template>,
    known: &[&str],
    key: &str,
    source: &Source<'_>,
) -> Result<(), ManifestError> {
    let mut used = env.values().flat_map(Template::placeholders);
    match used.find(|used| !known.contains(used)) {
        None => Ok(()),
        Some(unknown) => {
            let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
            let known = known.join(", ");
            let problem = format!("unknown placeholder {{{unknown}}}; expected one of {known}");
            Err(source.error_at(key, problem))
        }
    }
}
