//! The Redis dialogue, seen from outside.

mod commands;
mod connection;
mod exchange;
mod properties;
mod pubsub;
mod remarks;
mod replies;
mod samples;
mod second_opinion;
