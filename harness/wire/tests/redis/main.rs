//! The Redis dialogue, seen from outside.

mod commands;
mod connection;
mod exchange;
mod pubsub;
mod replies;
