//! The system under test: its manifest, its process, its logs, and how it is talked to.

pub mod client;
pub mod health;
pub mod log;
pub mod manifest;
pub mod process;
pub mod requests;

pub use client::{Answer, CallError, HttpClient};
pub use manifest::{Manifest, OperationName};
pub use process::{ExitSeen, Subject, SubjectError};
pub use requests::RequestLog;
