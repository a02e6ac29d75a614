//! The decoder of Postgres, seen from outside.

#![allow(clippy::unwrap_used)]

mod conversation;
mod copy;
mod cycles;
mod failures;
mod properties;
mod start_up;
mod statements;
mod support;
