//! The key-value operations of the subject, and the same keys seen in the store.

use crate::store_view::StoreView;
use std::sync::Arc;
use touchstone_engine::environment::Environment;
use touchstone_engine::scenario::{Context, Stop};
use touchstone_engine::subject::client::{AnswerKind, Value};
use touchstone_engine::subject::manifest::{ResultAt, Template};
use touchstone_engine::subject::{Answer, HttpClient, OperationName};

/// One instance and the store behind it.
#[derive(Debug, Clone)]
pub(super) struct KvClient {
    pub(super) environment: Arc<Environment>,
    pub(super) http: HttpClient,
    pub(super) store: StoreView,
    key: Template,
    carries_bytes: bool,
}

impl KvClient {
    /// Starts an environment with one instance, unless the manifest lacks one of the operations.
    pub(super) async fn open(
        context: &Context,
        operations: &[OperationName],
    ) -> Result<Self, Stop> {
        context.require(operations)?;
        let manifest = context.manifest();
        let key = context
            .section("keys.kv", manifest.keys.kv.as_ref())?
            .clone();
        let raw_in = |name| {
            let template = manifest.operations.get(&name);
            template.is_some_and(|t| t.body.as_ref().is_some_and(|body| body.is_only("value")))
        };
        let raw_out = manifest
            .operations
            .get(&OperationName::KvGet)
            .is_some_and(|template| template.result == ResultAt::Body);
        let (environment, instance) = context.start().await?;
        Ok(Self {
            http: instance.http.clone(),
            store: StoreView::open(&environment).await?,
            environment,
            key,
            carries_bytes: raw_in(OperationName::KvSet) && raw_out,
        })
    }

    /// Whether values travel as raw bytes. Where they travel as JSON, only text can be asked for.
    pub(super) fn carries_bytes(&self) -> bool {
        self.carries_bytes
    }

    /// The key as it lies in the store.
    pub(super) fn stored_key(&self, key: &str) -> String {
        self.key
            .fill(|name| (name == "key").then(|| key.to_owned()))
    }

    pub(super) async fn set(&self, key: &str, value: &[u8]) -> Result<Answer, Stop> {
        let values: &[Value<'_>] = &[("key", key.as_bytes()), ("value", value)];
        self.done(OperationName::KvSet, values).await
    }

    pub(super) async fn set_ex(&self, key: &str, value: &[u8], ttl_s: u64) -> Result<Answer, Stop> {
        let seconds = ttl_s.to_string();
        let values: &[Value<'_>] = &[
            ("key", key.as_bytes()),
            ("value", value),
            ("seconds", seconds.as_bytes()),
        ];
        self.done(OperationName::KvSetEx, values).await
    }

    /// The value, or that there is none.
    pub(super) async fn get(&self, key: &str) -> Result<(Option<Vec<u8>>, Answer), Stop> {
        let name = OperationName::KvGet;
        let answer = self.http.call(name, &[("key", key.as_bytes())]).await?;
        match answer.kind() {
            AnswerKind::Ok => Ok((answer.bytes().map(Into::into), answer)),
            AnswerKind::Absent => Ok((None, answer)),
            AnswerKind::Denied | AnswerKind::Other => Err(Stop::fail(
                "the value, or that it does not exist",
                answer.describe(),
            )),
        }
    }

    /// An operation on one key whose result is a number.
    pub(super) async fn number(
        &self,
        name: OperationName,
        key: &str,
    ) -> Result<(i64, Answer), Stop> {
        self.number_with(name, &[("key", key.as_bytes())]).await
    }

    pub(super) async fn expire(&self, key: &str, ttl_s: u64) -> Result<(i64, Answer), Stop> {
        let seconds = ttl_s.to_string();
        let values: &[Value<'_>] = &[("key", key.as_bytes()), ("seconds", seconds.as_bytes())];
        self.number_with(OperationName::KvExpire, values).await
    }

    /// An operation whose result is a number, strictly: `true` and `"1"` are none.
    pub(super) async fn number_with(
        &self,
        name: OperationName,
        values: &[Value<'_>],
    ) -> Result<(i64, Answer), Stop> {
        let answer = self.done(name, values).await?;
        let number = answer.number();
        let number = number.ok_or_else(|| {
            Stop::fail(
                format!("a number as the result of `{}`", name.key()),
                answer.describe(),
            )
        })?;
        Ok((number, answer))
    }

    async fn done(&self, name: OperationName, values: &[Value<'_>]) -> Result<Answer, Stop> {
        let answer = self.http.call(name, values).await?;
        match answer.kind() {
            AnswerKind::Ok => Ok(answer),
            _ => Err(Stop::fail(
                format!("`{}` to succeed with both stores up", name.key()),
                answer.describe(),
            )),
        }
    }
}
