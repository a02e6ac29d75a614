//! Makes it happen: stores, proxies, faults, the subject, probes, and the runner that puts them
//! together. What happened is told in the terms of `touchstone_core`, which also judges it.

mod audit;
pub mod clock;
pub mod environment;
pub mod fault;
pub mod instance;
pub mod kept;
pub mod listener;
pub mod machine;
pub mod poll;
pub mod port;
pub mod prober;
pub mod process_tree;
pub mod proxy;
pub mod reaper;
pub mod run;
pub mod scenario;
pub mod schedule;
pub mod scope;
mod starvation;
pub mod store;
pub mod subject;
pub mod sweep;
pub mod tls;

pub mod witness;

/// An error with its causes, in one line. Errors carry their cause in `source()`, not in their text.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
