//! The rate-limited operation of the subject, and its counters in the store.

use crate::store_view::StoreView;
use std::collections::BTreeMap;
use touchstone_engine::environment::Environment;
use touchstone_engine::scenario::{Context, Stop};
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::{LimiterSection, Manifest, Template, WindowKind};
use touchstone_engine::subject::{Answer, CallError, HttpClient, OperationName};

/// What a limiter promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) limit: u64,
    pub(crate) window_ms: u64,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Caller<'a> {
    pub(crate) user: &'a str,
    pub(crate) endpoint: &'a str,
}

/// The manifest's word on the limiter; skips what has none, or one whose windows are not fixed.
pub(crate) fn fixed_limiter(context: &Context) -> Result<(&LimiterSection, &Template), Stop> {
    context.require(&[OperationName::Limited])?;
    let manifest: &Manifest = context.manifest();
    let section = context.section("limiter", manifest.limiter.as_ref())?;
    let key = context.section("keys.limiter", manifest.keys.limiter.as_ref())?;
    match section.kind {
        WindowKind::Fixed => Ok((section, key)),
        WindowKind::Sliding => Err(Stop::Skip {
            reason: "time is moved by the expiry of a counter, which only a fixed window has"
                .to_owned(),
            declared: false,
        }),
    }
}

/// The environment that gives the limiter another promise; `None` if the manifest declares no way.
pub(crate) fn shortened(
    section: &LimiterSection,
    promise: Promise,
) -> Option<BTreeMap<String, String>> {
    let value = |name: &str| match name {
        "limit" => Some(promise.limit.to_string()),
        "window_ms" => Some(promise.window_ms.to_string()),
        _ => None,
    };
    let fill = |(name, template): (&String, &Template)| (name.clone(), template.fill(value));
    (!section.shorten.is_empty()).then(|| section.shorten.iter().map(fill).collect())
}

/// The counters, as they lie in the store.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    store: StoreView,
    key: Template,
}

impl Counters {
    pub(crate) async fn open(environment: &Environment, key: &Template) -> Result<Self, Stop> {
        let store = StoreView::open(environment).await?;
        Ok(Self {
            store,
            key: key.clone(),
        })
    }

    pub(crate) fn store(&self) -> &StoreView {
        &self.store
    }

    pub(crate) fn template(&self) -> &Template {
        &self.key
    }

    pub(crate) fn key(&self, caller: Caller<'_>) -> String {
        self.key.fill(|name| match name {
            "user" => Some(caller.user.to_owned()),
            "endpoint" => Some(caller.endpoint.to_owned()),
            _ => None,
        })
    }

    /// What the counter's window has left; -1 without an end, -2 without a counter.
    pub(crate) async fn left_ms(&self, caller: Caller<'_>) -> Result<i64, Stop> {
        self.store.pttl_ms(&self.key(caller)).await
    }

    pub(crate) async fn move_end(&self, caller: Caller<'_>, left_ms: u64) -> Result<(), Stop> {
        self.store.move_expiry(&self.key(caller), left_ms).await
    }

    pub(crate) async fn end_window(&self, caller: Caller<'_>) -> Result<(), Stop> {
        self.store.expire_now(&self.key(caller)).await
    }
}

/// One request; the answer says whether it was admitted.
pub(crate) async fn request(http: &HttpClient, caller: Caller<'_>) -> Result<Answer, CallError> {
    let Caller { user, endpoint } = caller;
    let values: &[(&str, &[u8])] = &[("user", user.as_bytes()), ("endpoint", endpoint.as_bytes())];
    http.call(OperationName::Limited, values).await
}

/// Yes, no, or neither.
pub(crate) fn admitted(answer: &Answer) -> Option<bool> {
    match answer.kind() {
        AnswerKind::Ok => Some(true),
        AnswerKind::Denied => Some(false),
        AnswerKind::Absent | AnswerKind::Other => None,
    }
}
