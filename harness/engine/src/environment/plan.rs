//! What an environment and its instances are made from.

use crate::clock::Clock;
use crate::scope::RunScope;
use crate::store::Provider;
use crate::subject::manifest::{Manifest, Template};
use std::collections::BTreeMap;
use std::sync::Arc;
use touchstone_core::Seed;

/// What an environment is made from.
#[derive(Debug, Clone)]
pub struct EnvironmentPlan {
    /// A name that is unique in the run, for instance `HLTH-2-1`.
    pub name: String,
    /// The run.
    pub scope: Arc<RunScope>,
    /// Where the stores come from.
    pub provider: Arc<Provider>,
    /// The subject's manifest.
    pub manifest: Arc<Manifest>,
    /// Environment that the command line adds to the subject's.
    pub extra_env: BTreeMap<String, String>,
    /// What random choices of faults follow from.
    pub seed: Seed,
    /// The scenario's clock.
    pub clock: Clock,
}

/// What the stores of an environment are like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Topology {
    /// One of each, without TLS.
    #[default]
    Plain,
    /// The same, but Redis speaks TLS, too, on a second port.
    Tls {
        /// Whether it demands a certificate of its clients.
        demands_client_certificate: bool,
    },
}

/// What one instance is started with instead of what the manifest says.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Environment, by variable.
    pub env: BTreeMap<String, String>,
    /// The same with the placeholders of the manifest's `subject.env`.
    pub templates: BTreeMap<String, Template>,
    /// Variables of the manifest that are not set at all.
    pub unset: Vec<String>,
    /// Another command of the subject, instead of the one that serves.
    pub command: Option<Vec<Template>>,
    /// Values of placeholders, for instance `redis.password`.
    pub placeholders: BTreeMap<String, String>,
}
