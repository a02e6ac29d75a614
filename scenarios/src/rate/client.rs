//! The rate-limited operation of the subject, and its counters in the store.

use crate::store_view::StoreView;
use std::collections::BTreeMap;
use std::fmt;
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

/// A limiter of the subject that counts by user and endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limiter<'a> {
    operation: OperationName,
    key_name: &'static str,
    key: Option<&'a Template>,
    pub(crate) section: &'a LimiterSection,
}

/// Every such limiter, the fixed one first; skips what has none.
pub(crate) fn limiters(context: &Context) -> Result<Vec<Limiter<'_>>, Stop> {
    context.require(&[OperationName::Limited])?;
    let manifest: &Manifest = context.manifest();
    let section = context.section("limiter", manifest.limiter.as_ref())?;
    let limiter = |(operation, key_name, section)| {
        context.require(&[operation])?;
        let key = match operation {
            OperationName::LimitedSliding => manifest.keys.limiter_sliding.as_ref(),
            _ => manifest.keys.limiter.as_ref(),
        };
        Ok(Limiter {
            operation,
            key_name,
            key,
            section,
        })
    };
    section.all().map(limiter).collect()
}

impl<'a> Limiter<'a> {
    pub(crate) fn is_fixed(&self) -> bool {
        self.section.kind == WindowKind::Fixed
    }

    pub(crate) fn promise(&self) -> Promise {
        Promise {
            limit: self.section.limit,
            window_ms: self.section.window_ms,
        }
    }

    /// The key of a counter, if the manifest tells it.
    pub(crate) fn known_key(&self) -> Option<&'a Template> {
        self.key
    }

    /// The key of a counter; skips the scenario if the manifest does not tell it.
    pub(crate) fn key(&self, context: &Context) -> Result<&'a Template, Stop> {
        context.section(&format!("keys.{}", self.key_name), self.key)
    }

    /// One request; the answer says whether it was admitted.
    pub(crate) async fn request(
        &self,
        http: &HttpClient,
        caller: Caller<'_>,
    ) -> Result<Answer, CallError> {
        call(http, self.operation, caller).await
    }
}

impl fmt::Display for Limiter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_fixed() { "fixed" } else { "sliding" };
        write!(f, "`{}` ({kind} window)", self.operation.key())
    }
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
    filled(&section.shorten, promise)
}

/// The same of any section that has `shorten`.
pub(crate) fn filled(
    shorten: &BTreeMap<String, Template>,
    promise: Promise,
) -> Option<BTreeMap<String, String>> {
    let value = |name: &str| match name {
        "limit" => Some(promise.limit.to_string()),
        "window_ms" => Some(promise.window_ms.to_string()),
        _ => None,
    };
    let fill = |(name, template): (&String, &Template)| (name.clone(), template.fill(value));
    (!shorten.is_empty()).then(|| shorten.iter().map(fill).collect())
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
    call(http, OperationName::Limited, caller).await
}

async fn call(
    http: &HttpClient,
    operation: OperationName,
    caller: Caller<'_>,
) -> Result<Answer, CallError> {
    let Caller { user, endpoint } = caller;
    let values: &[(&str, &[u8])] = &[("user", user.as_bytes()), ("endpoint", endpoint.as_bytes())];
    http.call(operation, values).await
}

/// Yes, no, or neither.
pub(crate) fn admitted(answer: &Answer) -> Option<bool> {
    match answer.kind() {
        AnswerKind::Ok => Some(true),
        AnswerKind::Denied => Some(false),
        AnswerKind::Absent | AnswerKind::Other => None,
    }
}
