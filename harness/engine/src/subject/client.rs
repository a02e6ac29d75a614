//! Talking to the subject in the terms of the criteria: an operation and its values in, an answer out.

use super::manifest::{Manifest, OperationName, OperationTemplate, ResultAt, Template};
use super::requests::RequestLog;
use crate::clock::Clock;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::HeaderMap;
use reqwest::{Client, Request, Url};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What RFC 3986 calls unreserved stays as it is in a path; everything else is encoded.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A client without a proxy, redirects or a timeout of its own; callers set the last per request.
pub fn plain_client() -> Client {
    client_at(None)
}

fn client_at(address: Option<IpAddr>) -> Client {
    let builder = Client::builder()
        .no_proxy()
        .local_address(address)
        .redirect(reqwest::redirect::Policy::none());
    builder
        .build()
        .expect("a client without TLS needs nothing that could be missing")
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The manifest does not map the operation.
    #[error("the manifest maps no operation `{}`", .0.key())]
    NotMapped(OperationName),
    /// The request that the template gives is no valid request.
    #[error("the manifest's operation `{}` gives no valid request: {problem}", .operation.key())]
    BadRequest {
        /// Which operation.
        operation: OperationName,
        /// What is wrong with it.
        problem: String,
    },
    /// No complete answer in time: it may have been carried out, or may be yet.
    #[error("{operation} was not answered within {} ms", .deadline.as_millis())]
    TimedOut {
        /// The request line.
        operation: String,
        /// How long was waited.
        deadline: Duration,
    },
    /// The connection was refused: it was not carried out.
    #[error("{operation}: nobody listens")]
    Refused {
        /// The request line.
        operation: String,
    },
    /// The connection broke: it may have been carried out.
    #[error("{operation}: the connection broke ({problem})")]
    Broken {
        /// The request line.
        operation: String,
        /// How.
        problem: String,
    },
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The request line, for evidence.
    pub request: String,
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// When the request was sent, on the scenario's clock.
    pub called_us: u64,
    /// When the answer was complete.
    pub returned_us: u64,
    kind: AnswerKind,
    result_at: ResultAt,
}

/// What the status of an answer says, in the manifest's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerKind {
    /// Done.
    Ok,
    /// The thing does not exist.
    Absent,
    /// A limit was reached.
    Denied,
    /// Any other status.
    Other,
}

/// A client of one instance.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: Client,
    address: SocketAddr,
    manifest: Arc<Manifest>,
    clock: Clock,
    deadline: Duration,
    requests: RequestLog,
}

/// A value for a placeholder.
pub type Value<'a> = (&'a str, &'a [u8]);

impl HttpClient {
    /// A client of the instance at this address. Each answer may take the manifest's `answer_ms`.
    pub fn new(address: SocketAddr, manifest: Arc<Manifest>, clock: Clock) -> Self {
        let deadline = Duration::from_millis(manifest.deadlines.answer_ms);
        Self {
            client: plain_client(),
            address,
            manifest,
            clock,
            deadline,
            requests: RequestLog::default(),
        }
    }

    /// The same client with another deadline.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self {
            deadline,
            ..self.clone()
        }
    }

    /// The same client with a connection of its own.
    #[must_use]
    pub fn with_new_connection(&self) -> Self {
        Self {
            client: plain_client(),
            ..self.clone()
        }
    }

    /// The same client, with connections of its own that come from this address of this machine.
    #[must_use]
    pub fn from_address(&self, address: IpAddr) -> Self {
        Self {
            client: client_at(Some(address)),
            ..self.clone()
        }
    }

    /// Every request so far, of all clients that were made from this one.
    pub fn requests(&self) -> &RequestLog {
        &self.requests
    }

    /// Carries out an operation and waits for the complete answer.
    pub async fn call(
        &self,
        name: OperationName,
        values: &[Value<'_>],
    ) -> Result<Answer, CallError> {
        self.call_with(name, values, &[]).await
    }

    /// The same with headers beside those of the manifest.
    pub async fn call_with(
        &self,
        name: OperationName,
        values: &[Value<'_>],
        headers: &[(&str, &str)],
    ) -> Result<Answer, CallError> {
        let template = self
            .manifest
            .operations
            .get(&name)
            .ok_or(CallError::NotMapped(name))?;
        let request = self.request(name, template, values, headers)?;
        let mut answer = self.send(name.key().into(), request).await?;
        answer.kind = template.kind_of(answer.status);
        answer.result_at = template.result.clone();
        Ok(answer)
    }

    /// Reads a path that is no operation, such as the health document.
    pub async fn get(&self, path: &str) -> Result<Answer, CallError> {
        let url = format!("http://{}{path}", self.address);
        let url = Url::parse(&url).map_err(|error| CallError::Broken {
            operation: format!("GET {path}"),
            problem: error.to_string(),
        })?;
        let what = format!("GET {path}").into();
        self.send(what, Request::new(reqwest::Method::GET, url))
            .await
    }

    fn request(
        &self,
        name: OperationName,
        template: &OperationTemplate,
        values: &[Value<'_>],
        headers: &[(&str, &str)],
    ) -> Result<Request, CallError> {
        let fill = |template: &Template| template.fill(|placeholder| text_of(values, placeholder));
        let path = template.request.path.fill(|placeholder| {
            text_of(values, placeholder).map(|text| utf8_percent_encode(&text, IN_PATH).to_string())
        });
        let url = format!("http://{}{path}", self.address);
        let mut builder = self.client.request(template.request.method.clone(), url);
        for (key, value) in &template.query {
            for value in value.values() {
                builder = builder.query(&[(key, fill(value))]);
            }
        }
        for (header, value) in &template.headers {
            builder = builder.header(header, fill(value));
        }
        for (header, value) in headers {
            builder = builder.header(*header, *value);
        }
        if let Some(body) = &template.body {
            builder = builder.body(body_bytes(body, values));
        }
        if let Some(json) = &template.json {
            builder = builder.json(&fill_json(json, &fill));
        }
        builder.build().map_err(|error| CallError::BadRequest {
            operation: name,
            problem: crate::error_chain(&error),
        })
    }

    async fn send(&self, what: Cow<'static, str>, request: Request) -> Result<Answer, CallError> {
        let operation = format!("{} {}", request.method(), request.url().path());
        let called_us = self.clock.now_us();
        let mut under_way = self.requests.begin(what, self.clock);
        let exchange = async {
            let response = self.client.execute(request).await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Ok((status, headers, response.bytes().await?))
        };
        let answered = tokio::time::timeout(self.deadline, exchange).await;
        let returned_us = self.clock.now_us();
        if matches!(answered, Ok(Ok(_))) {
            under_way.answered();
        }
        drop(under_way);
        match answered {
            Err(_) => Err(CallError::TimedOut {
                operation,
                deadline: self.deadline,
            }),
            Ok(Err(error)) => Err(transport_error(operation, &error)),
            Ok(Ok((status, headers, body))) => Ok(Answer {
                request: operation,
                status,
                headers,
                body,
                called_us,
                returned_us,
                kind: AnswerKind::Other,
                result_at: ResultAt::Nowhere,
            }),
        }
    }
}

fn transport_error(operation: String, error: &reqwest::Error) -> CallError {
    if error.is_connect() {
        return CallError::Refused { operation };
    }
    CallError::Broken {
        operation,
        problem: crate::error_chain(error),
    }
}

fn text_of(values: &[Value<'_>], placeholder: &str) -> Option<String> {
    let (_, bytes) = values.iter().find(|(name, _)| *name == placeholder)?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// A body that is one placeholder only takes the value's bytes as they are.
fn body_bytes(template: &Template, values: &[Value<'_>]) -> Vec<u8> {
    match values.iter().find(|(name, _)| template.is_only(name)) {
        Some((_, bytes)) => bytes.to_vec(),
        None => template
            .fill(|placeholder| text_of(values, placeholder))
            .into_bytes(),
    }
}

/// Values are filled into strings after parsing, so that none can break out of its string.
fn fill_json(value: &toml::Value, fill: &impl Fn(&Template) -> String) -> serde_json::Value {
    match value {
        toml::Value::String(text) => match Template::parse(text) {
            Ok(template) => fill(&template).into(),
            Err(_) => text.clone().into(),
        },
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.iter().map(|item| fill_json(item, fill)).collect(),
        toml::Value::Table(table) => table
            .iter()
            .map(|(key, item)| (key.clone(), fill_json(item, fill)))
            .collect(),
    }
}

impl OperationTemplate {
    fn kind_of(&self, status: u16) -> AnswerKind {
        match status {
            _ if status == self.ok => AnswerKind::Ok,
            _ if Some(status) == self.absent => AnswerKind::Absent,
            _ if Some(status) == self.denied => AnswerKind::Denied,
            _ => AnswerKind::Other,
        }
    }
}

impl Answer {
    /// What the status says.
    pub fn kind(&self) -> AnswerKind {
        self.kind
    }

    /// The result as bytes: the raw body, or a JSON string at the pointer.
    pub fn bytes(&self) -> Option<Bytes> {
        match (&self.result_at, self.kind) {
            (ResultAt::Body, AnswerKind::Ok) => Some(self.body.clone()),
            _ => self.text().map(|text| Bytes::from(text.into_bytes())),
        }
    }

    /// The result as a number, strictly: `true` or `"1"` is none.
    pub fn number(&self) -> Option<i64> {
        self.value()?.as_i64()
    }

    /// The result as text: a string, or a number's digits.
    pub fn text(&self) -> Option<String> {
        match self.value()? {
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Request, status and the beginning of the body, for evidence.
    pub fn describe(&self) -> String {
        const SHOWN_CHARS: usize = 200;
        let body: String = String::from_utf8_lossy(&self.body)
            .chars()
            .take(SHOWN_CHARS)
            .collect();
        let took_ms = (self.returned_us - self.called_us) / 1000;
        format!(
            "{} -> {} {body:?} (after {took_ms} ms)",
            self.request, self.status
        )
    }

    fn value(&self) -> Option<serde_json::Value> {
        match (&self.result_at, self.kind) {
            (ResultAt::Pointer(pointer), AnswerKind::Ok) => pointer.get(&self.json()?).cloned(),
            _ => None,
        }
    }
}
