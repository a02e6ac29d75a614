//! Makes it happen: stores, the proxy, faults, the subject, load, and the runner.

pub mod proxy;
