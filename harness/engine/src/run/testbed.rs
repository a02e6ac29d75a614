//! A scenario's context outside of a run, for property tests: they bring a runner of their own.

use super::events::EventSender;
use crate::clock::Clock;
use crate::environment::EnvironmentPlan;
use crate::scenario::Context;
use crate::scope::{RunScope, ScopeError};
use crate::store::tools::{MissingTools, Tools};
use crate::store::{Provider, StoreError};
use crate::subject::Manifest;
use crate::subject::manifest::ManifestError;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use touchstone_core::Seed;

/// Why there is no testbed.
#[derive(Debug, thiserror::Error)]
pub enum TestbedError {
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The programs of the stores are missing.
    #[error(transparent)]
    Tools(#[from] MissingTools),
    /// No private directory.
    #[error(transparent)]
    Scope(#[from] ScopeError),
}

/// Everything that a scenario has, with stores as child processes. Nobody watches, judges or reports.
///
/// [`Testbed::close`] ends what was started, politely; dropping it does so by force.
#[derive(Debug)]
pub struct Testbed {
    context: Context,
}

impl Testbed {
    /// Nothing is started yet: the context does that. `env` is set over the manifest's.
    pub fn new(
        name: &str,
        manifest: &Path,
        env: BTreeMap<String, String>,
    ) -> Result<Self, TestbedError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let run_id = format!("{name}-{}-{number}", std::process::id());
        let plan = EnvironmentPlan {
            name: name.to_owned(),
            scope: Arc::new(RunScope::create(&run_id, false)?),
            provider: Arc::new(Provider::Process(Tools::find()?)),
            manifest: Arc::new(Manifest::load(manifest)?),
            extra_env: env,
            // Choices are the test's; faults have few, and always the same.
            seed: Seed(0),
            clock: Clock::start(),
        };
        let events = EventSender::to_nobody(name);
        Ok(Self {
            context: Context::new(plan, events),
        })
    }

    /// What a scenario has in its hands.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Ends the instances, then the stores.
    pub async fn close(self) -> Result<(), StoreError> {
        let environment = self.context.environment.lock().await.take();
        match environment {
            Some(environment) => environment.tear_down().await,
            None => Ok(()),
        }
    }
}
