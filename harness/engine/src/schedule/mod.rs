//! Schedules: forced orders of what several requests do in the stores, and crashes at every command of one.
//!
//! - [`Hold`]: one thing waits until something else has happened. Reads like the sentence: hold A's second
//!   command until B's first reply has passed.
//! - [`Stepped`] and [`run_order`]: every command of some requests is held, and let go in a given order; with
//!   [`touchstone_core::interleaving::Orders`] that is every order there is.
//! - [`CrashPoint`]: the trace of one request, and a way to stop at each command of it, after the server applied it
//!   and before its reply has passed.
//!
//! Requests whose commands are put into an order come through different instances: on one connection a held
//! command holds all behind it. A hold must be shorter than the subject's response timeout, or the subject gives
//! up and does something else; one that ended by itself was not kept, and makes the verdict unknown.

mod crash;
mod hold;
mod order;

pub use crash::{CrashPoint, TraceBegin, Traced};
pub use hold::Hold;
pub use order::{Driven, Stepped, run_order};
