//! The real binary on real stores: what somebody at a shell sees.

mod audit;
mod bad_input;
mod env;
mod exit_codes;
mod explain;
mod faults;
mod interruption;
mod leaks;
mod mutants;
mod output;
mod proxy;
mod proxy_client;
mod proxy_rules;
mod proxy_tls;
mod support;
