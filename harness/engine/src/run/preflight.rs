//! One start of everything before the first scenario.
//!
//! It tells an environment that cannot be had from a subject that does not start, once instead of
//! once a scenario; it fills the template cache before several scenarios ask for it at the same time;
//! and it reads the versions for the record.

use super::events::EventSender;
use super::executor::keep_logs;
use super::plan::RunError;
use crate::environment::{Environment, EnvironmentError, EnvironmentPlan};
use crate::fault::Ledger;
use crate::store::StoreKind;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
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

pub(super) async fn preflight(
    plan: EnvironmentPlan,
    report_dir: &Path,
    events: EventSender,
) -> Result<Preflight, RunError> {
    let ledger = Arc::new(Ledger::new(plan.clock, events));
    let environment = Environment::start(plan, ledger)
        .await
        .map_err(RunError::Environment)?;
    let found = look(&environment).await;
    let mut logs = Vec::new();
    if !matches!(
        &found,
        Ok(Preflight {
            subject_broken: None,
            ..
        })
    ) {
        logs = keep_logs(&environment, &report_dir.join("preflight"), report_dir).await;
    }
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
