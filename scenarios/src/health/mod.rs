//! HLTH: what the health endpoint says, and how fast.

pub(crate) mod stopped;
mod story;
