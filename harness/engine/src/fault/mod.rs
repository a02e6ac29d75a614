//! Faults of a scenario: guards that heal on drop, and the ledger that remembers whether they bit.
//!
//! Network faults act in the proxy and live beside it, in [`crate::proxy::fault`]; faults of a whole
//! server, or of an instance, live here. Both come to a scenario as one [`FaultGuard`].

mod guard;
mod instance;
mod ledger;
mod refusal;
mod server;

pub use guard::FaultGuard;
pub use ledger::Ledger;
pub use refusal::RefusalKind;
pub use server::ServerFaultKind;
