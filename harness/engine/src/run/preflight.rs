//! One start of everything before the first scenario.
//!
//! It tells an environment that cannot be had from a subject that does not start, once instead of
//! once a scenario; it fills the template cache before several scenarios ask for it at the same time;
//! and it reads the versions for the record.

use super::events::EventSender;
use super::executor::{START_GRACE, keep_logs};
use super::plan::RunError;
use crate::environment::{Environment, EnvironmentError, EnvironmentPlan, Topology};
use crate::fault::Ledger;
use crate::store::StoreKind;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use touchstone_core::Finding;

/// What the preflight found.
#[derive(Default)]
pub(super) struct Preflight {
    /// The stores' versions.
    pub(super) versions: BTreeMap<String, String>,
    /// Why the subject does not start, if it does not.
    pub(super) subject_broken: Option<Finding>,
    /// Its logs then, relative to the report folder.
    pub(super) logs: Vec<String>,
}

/// Ends early when `cancelled` holds a signal's name; what was started is torn down then, too.
pub(super) async fn preflight(
    plan: EnvironmentPlan,
    report_dir: &Path,
    events: EventSender,
    mut cancelled: watch::Receiver<Option<String>>,
) -> Result<Preflight, RunError> {
    let ledger = Arc::new(Ledger::new(plan.clock, events));
    let mut start = Box::pin(Environment::start(plan, Topology::Plain, ledger));
    let started = tokio::select! {
        started = &mut start => started,
        // Dropped in the middle it would leave the container that the engine goes on to create.
        _ = cancelled.wait_for(Option::is_some) => {
            match tokio::time::timeout(START_GRACE, start).await {
                Ok(started) => started,
                Err(_) => return Ok(Preflight::default()),
            }
        }
    };
    let environment = started.map_err(RunError::Environment)?;
    let found = tokio::select! {
        found = look(&environment) => found,
        _ = cancelled.wait_for(Option::is_some) => Ok(Preflight::default()),
    };
    let is_good = |found: &Preflight| found.subject_broken.is_none();
    let logs = match &found {
        Ok(found) if is_good(found) => Vec::new(),
        _ => keep_logs(&environment, &report_dir.join("preflight"), report_dir).await,
    };
    let redactor = environment.redactor();
    let torn_down = environment.tear_down().await;
    let mut preflight = found.map_err(RunError::Environment)?;
    torn_down.map_err(|error| RunError::Environment(error.into()))?;
    preflight.logs = logs;
    if let Some(finding) = &mut preflight.subject_broken {
        finding.seen = redactor.redact(&finding.seen);
        for line in &mut finding.evidence {
            *line = redactor.redact(line);
        }
    }
    Ok(preflight)
}

async fn look(environment: &Environment) -> Result<Preflight, EnvironmentError> {
    let mut versions = BTreeMap::new();
    for kind in StoreKind::ALL {
        versions.insert(kind.to_string(), environment.store(kind).version().await?);
    }
    let subject_broken = match environment.start_instance(&BTreeMap::new()).await {
        Ok(_) => None,
        Err(EnvironmentError::Subject(error)) if error.is_of_subject() => Some(error.finding()),
        Err(error) => return Err(error),
    };
    Ok(Preflight {
        versions,
        subject_broken,
        logs: Vec::new(),
    })
}
