//! The proxy, seen from both of its sides over real sockets.
#![allow(
    clippy::unwrap_used,
    reason = "a test says what it expected by failing"
)]

mod faults;
mod heard;
mod line_faults;
mod pass_through;
mod records;
mod redis_client;
mod rules;
mod support;
mod tls;
