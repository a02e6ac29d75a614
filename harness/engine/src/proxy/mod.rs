//! The proxy: the stable address in front of a store, and the place where the network breaks.
//!
//! A [`ProxyThread`] is one OS thread with a current-thread runtime; every [`Proxy`] opened on it is
//! served there and nowhere else. That is what makes the data path cheap (no lock, no atomic, no
//! channel, no task hop: what was read is written in the same poll) and a fault exact (a call is a
//! closure run between two polls, so that its acknowledgement means *in force*).
//!
//! The address of a proxy never changes. A *holder* socket, bound with `SO_REUSEPORT` and never
//! listening, keeps the port while the listener is closed for [`fault::Refuse`]; what stands behind
//! it is set with [`Proxy::set_upstream`] as often as the store comes back on another port.
//!
//! Limits: IPv4, Linux; loopback unless another address is asked for. Latency acts on bytes, not on the handshake: the kernel accepts a
//! connection before the proxy hears of it.

mod connection;
mod delay;
mod error;
pub mod fault;
mod flow;
mod handle;
mod queue;
mod record;
pub mod rule;
mod server;
mod sock_diag;
mod socket;
mod stall;
mod tap;
mod thread;
mod timer;
mod tls;

pub use delay::{Delay, Distribution};
pub use error::ProxyError;
pub use fault::{
    Admit, Bandwidth, Blackhole, Cut, CutMode, Direction, Latency, LimitData, NetworkFault, Only,
    Partly, Refuse, Reject, ResetPeer, Scope, Silence, Slicer, SlowClose, Timeout,
};
pub use handle::{Protocol, Proxy, ProxyConfig};
pub use record::{ConnectionRecord, Counters, Ending, FlowRecord, TlsSeen};
pub use rule::{Action, ErrorReply, Nth, Progress, Rule, RuleWatch, Seen, Then, When};
pub use stall::{Stall, StallLog, watch_own_thread};
pub use touchstone_wire::{Expiry, ReplyKind};

pub use tap::{CommandRecord, Heard, NameTally, ReplyRecord, Trace};
pub use thread::ProxyThread;
pub use tls::{PemIdentity, Tls, TlsClient, TlsConfigError, TlsServer};
