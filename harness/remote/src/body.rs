//! Bodies of requests. Serde would take a list for a struct, field by field; our clients' server does not.

use crate::error::ApiError;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Reads a JSON object.
pub(crate) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    fields(serde_json::from_slice(body).map_err(ApiError::bad_body)?)
}

/// Reads a list of JSON objects.
pub(crate) fn objects<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, ApiError> {
    let list: Vec<Map<String, Value>> = serde_json::from_slice(body).map_err(ApiError::bad_body)?;
    list.into_iter().map(fields).collect()
}

/// Reads what is an object already.
pub(crate) fn fields<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, ApiError> {
    serde_json::from_value(Value::Object(fields)).map_err(ApiError::bad_body)
}
