//! Errors as Toxiproxy's clients know them: a status and `{"error": .., "status": ..}`.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::error::Error;
use touchstone_engine::proxy::ProxyError;

/// What a request is answered with when it cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{message}")]
pub struct ApiError {
    /// In words that clients know, and then ours.
    #[serde(rename = "error")]
    pub message: String,
    /// The HTTP status.
    pub status: u16,
    /// Whether the port was taken: not the fault of whoever asked.
    #[serde(skip)]
    pub is_port_taken: bool,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: status.as_u16(),
            is_port_taken: false,
        }
    }

    pub(crate) fn bad_body(why: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("bad request body: {why}"))
    }

    pub(crate) fn missing(field: impl std::fmt::Display) -> Self {
        let message = format!("missing required field: {field}");
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    pub(crate) fn no_proxy() -> Self {
        Self::new(StatusCode::NOT_FOUND, "proxy not found")
    }

    pub(crate) fn proxy_exists() -> Self {
        Self::new(StatusCode::CONFLICT, "proxy already exists")
    }

    pub(crate) fn no_toxic() -> Self {
        Self::new(StatusCode::NOT_FOUND, "toxic not found")
    }

    pub(crate) fn toxic_exists() -> Self {
        Self::new(StatusCode::CONFLICT, "toxic already exists")
    }

    pub(crate) fn no_rule() -> Self {
        Self::new(StatusCode::NOT_FOUND, "rule not found")
    }

    /// That a proxy could not listen, in the words of Go, which clients may know.
    pub(crate) fn listen(address: &str, error: &ProxyError) -> Self {
        let cause = error
            .source()
            .and_then(|cause| cause.downcast_ref::<std::io::Error>());
        let is_port_taken =
            cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::AddrInUse);
        let message = match cause {
            Some(_) if is_port_taken => {
                format!("listen tcp {address}: bind: address already in use")
            }
            Some(cause) => format!("listen tcp {address}: bind: {cause}"),
            None => error.to_string(),
        };
        Self {
            is_port_taken,
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
    }
}

impl From<ProxyError> for ApiError {
    fn from(error: ProxyError) -> Self {
        let status = match error {
            ProxyError::Conflict { .. } => StatusCode::CONFLICT,
            ProxyError::NotDecoded { .. } => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        let causes: String = causes.map(|cause| format!(": {cause}")).collect();
        Self::new(status, format!("{error}{causes}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, axum::Json(self)).into_response()
    }
}
