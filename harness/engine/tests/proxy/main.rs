//! The proxy, seen from both of its sides over real sockets.
#![allow(
    clippy::unwrap_used,
    reason = "a test says what it expected by failing"
)]

mod pass_through;

mod support;
