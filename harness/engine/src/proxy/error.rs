//! What can go wrong with a proxy, one variant for each thing a person would do about it.

use std::io;

/// An error of the proxy itself; never one of the subject or the store, which are recorded instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The machine gives no more threads, descriptors or timers: raise the limits.
    #[error("the proxy thread `{name}` could not be started")]
    Start {
        /// The thread's name.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The port is taken or none could be had, or the one that is held could not be listened on again.
    #[error("proxy `{proxy}` could not listen")]
    Listen {
        /// The proxy's name.
        proxy: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The proxy was closed or its thread has ended: keep both alive for as long as they are used.
    #[error("the proxy is gone")]
    Gone,
    /// Two faults that would hide each other: heal the first one before.
    #[error("`{wanted}` cannot be combined with `{in_force}`, which is in force on the same proxy")]
    Conflict {
        /// What was asked for.
        wanted: &'static str,
        /// What stands in its way.
        in_force: &'static str,
    },
    /// The kernel does not do what this fault needs, so that it could not be shown to bite.
    #[error("the fault `{fault}` needs {needs}, which this kernel or sandbox refuses")]
    Unsupported {
        /// The fault's name.
        fault: &'static str,
        /// What is missing.
        needs: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A rule about commands on a proxy that does not decode them, or not in a way that the rule needs.
    #[error("proxy `{proxy}` does not decode what this rule is about: {rule}")]
    NotDecoded {
        /// The proxy's name.
        proxy: String,
        /// The rule.
        rule: String,
    },
    /// A fault was put in force and was then seen not to be: do not trust the run.
    #[error("the fault `{fault}` is not in force: {seen}")]
    NotInForce {
        /// The fault's name.
        fault: &'static str,
        /// What was seen instead.
        seen: String,
    },
}
