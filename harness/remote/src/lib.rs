//! The proxy over HTTP: what Toxiproxy's clients drive, and our own rules beside it.
//!
//! A front of the engine, and a crate of its own because it is one: nothing in the engine, and nothing that gates a
//! service, needs HTTP routes or the words of somebody else's interface. It holds [`Proxies`], each with its toxics and
//! rules, which are faults of the engine held by their guards; [`serve`] answers requests about them.
//!
//! The contract is that of Toxiproxy 2.12 (its `api.go`): paths, shapes, status codes and error bodies. Where it
//! differs, `docs/PROXY.md` says so.

mod address;
mod api;
mod body;
mod error;
mod metrics;
mod proxies;
mod proxy;
mod rule;
mod toxic;

pub use address::Reach;
pub use api::serve;
pub use error::ApiError;
pub use proxies::{Proxies, ProxySpec};
pub use proxy::WireProtocol;
