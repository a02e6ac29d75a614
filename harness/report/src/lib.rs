//! What a run says about itself: one record in, one format out, and the sinks that follow it live.
//!
//! Nothing here runs or judges anything. A stored [`touchstone_core::RunRecord`] gives the same
//! reports as the run that wrote it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod atomic;
pub mod faults;
pub mod json;
pub mod junit;
pub mod markdown;
mod partial;
pub mod sample;
pub mod schema;
mod sent;
pub mod terminal;
mod text;
mod view;
pub mod writer;

pub use terminal::{ColorChoice, Terminal, TerminalOptions};
pub use writer::RunFolder;
