//! How an operation of a criterion is asked of the subject over HTTP, and where its result is.

use super::template::Template;
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;

/// One operation's request, and how to read the answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationTemplate {
    /// `METHOD /path`, with placeholders; they are percent-encoded when filled.
    pub request: RequestLine,
    /// Query parameters; a value may be a list for a parameter that repeats.
    #[serde(default)]
    pub query: BTreeMap<String, OneOrMore>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// The body as text or, if it is one placeholder only, as raw bytes.
    pub body: Option<Template>,
    /// The body as JSON; placeholders stand inside its strings.
    pub json: Option<toml::Value>,
    /// The status of a success.
    #[serde(default = "default_ok")]
    pub ok: u16,
    /// The status that says that the thing does not exist, if there is one.
    pub absent: Option<u16>,
    /// The status that says that a limit was reached, if there is one.
    pub denied: Option<u16>,
    /// Where the result is in the answer of a success.
    #[serde(default)]
    pub result: ResultAt,
}

/// The value of a query parameter, or the values of one that repeats.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One value.
    One(Template),
    /// Several.
    More(Vec<Template>),
}

impl OneOrMore {
    /// Each value.
    pub fn values(&self) -> &[Template] {
        match self {
            OneOrMore::One(value) => std::slice::from_ref(value),
            OneOrMore::More(values) => values,
        }
    }
}

fn default_ok() -> u16 {
    200
}

/// Method and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// The HTTP method.
    pub method: reqwest::Method,
    /// The path.
    pub path: Template,
}

impl<'de> Deserialize<'de> for RequestLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = || {
            de::Error::custom(format!(
                "`{text}` is no request; expected for instance `GET /kv/{{key}}`"
            ))
        };
        let (method, path) = text.split_once(' ').ok_or_else(expected)?;
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].contains(&method);
        if !known || !path.starts_with('/') {
            return Err(expected());
        }
        let method = method.parse().map_err(|_| expected())?;
        Ok(Self {
            method,
            path: Template::parse(path).map_err(de::Error::custom)?,
        })
    }
}

/// Where the result of an operation is in the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ResultAt {
    /// Nowhere: the status says it all.
    #[default]
    Nowhere,
    /// The raw bytes of the body.
    Body,
    /// At a JSON pointer (RFC 6901) in the body.
    Pointer(JsonPointer),
}

impl<'de> Deserialize<'de> for ResultAt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "body" => Ok(ResultAt::Body),
            _ => JsonPointer::parse(&text)
                .map(ResultAt::Pointer)
                .map_err(|problem| {
                    de::Error::custom(format!("{problem}, or `body` for the raw body"))
                }),
        }
    }
}

/// A JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPointer(String);

impl JsonPointer {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.starts_with('/') {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "`{text}` is no JSON pointer; expected for instance `/services/redis`"
            ))
        }
    }

    /// The value at the pointer.
    pub fn get<'a>(&self, document: &'a serde_json::Value) -> Option<&'a serde_json::Value> {
        document.pointer(&self.0)
    }

    /// The pointer as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for JsonPointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        JsonPointer::parse(&text).map_err(de::Error::custom)
    }
}

impl OperationTemplate {
    /// Every placeholder that it uses.
    pub fn placeholders(&self) -> Vec<String> {
        let in_json = self.json.as_ref().map(json_templates).unwrap_or_default();
        std::iter::once(&self.request.path)
            .chain(self.query.values().flat_map(OneOrMore::values))
            .chain(self.headers.values())
            .chain(&self.body)
            .chain(&in_json)
            .flat_map(|template| {
                template
                    .placeholders()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

fn json_templates(value: &toml::Value) -> Vec<Template> {
    match value {
        toml::Value::String(text) => Template::parse(text).into_iter().collect(),
        toml::Value::Array(items) => items.iter().flat_map(json_templates).collect(),
        toml::Value::Table(table) => table.values().flat_map(json_templates).collect(),
        _ => Vec::new(),
    }
}
