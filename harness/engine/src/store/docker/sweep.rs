//! What our containers leave behind, and how it goes.

use super::engine::{self, Why, has_status};
use super::error::EngineSaid;
use super::{OWNER_LABEL, RUN_LABEL, memory};
use std::collections::HashMap;
use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error as ClientError;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};

const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

/// A container that carries our label, from any run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedContainer {
    /// The engine's id.
    pub id: String,
    /// The run that it belongs to.
    pub run_id: String,
    /// The owning process as `pid:start_ticks`.
    pub owner: String,
}

/// Every container that carries our label, running or not.
pub async fn list_owned() -> Result<Vec<OwnedContainer>, Why> {
    let docker = engine::require().await?;
    list(&docker, RUN_LABEL.to_owned())
        .await
        .map_err(|error| unlistable(&error))
}

/// Removes every container of a run with its volumes. The end of every run on Docker: it also removes
/// the container that holds the run's memory. Returns how many there were.
pub async fn remove_by_label(run_id: &str) -> Result<usize, Why> {
    memory::forget(run_id).await;
    let docker = engine::require().await?;
    let owned = list(&docker, format!("{RUN_LABEL}={run_id}"))
        .await
        .map_err(|error| unlistable(&error))?;
    let removals = owned
        .iter()
        .map(|container| remove_container(&docker, &container.id));
    for removed in futures::future::join_all(removals).await {
        removed.map_err(|error| {
            Why::new(
                format!(
                    "a container of run {run_id} cannot be removed ({})",
                    EngineSaid::new(&error, "")
                ),
                format!("docker rm -fv $(docker ps -aq --filter label={RUN_LABEL}={run_id})"),
            )
        })?;
    }
    Ok(owned.len())
}

/// By force, with volumes, by id or name. Gone already, or being removed by somebody else, is fine.
pub(super) async fn remove_container(docker: &Docker, id: &str) -> Result<(), ClientError> {
    let options = RemoveContainerOptionsBuilder::new()
        .force(true)
        .v(true)
        .build();
    match docker.remove_container(id, Some(options)).await {
        Err(error) if has_status(&error, &[NOT_FOUND, CONFLICT]) => Ok(()),
        other => other,
    }
}

/// Whether the engine still knows a container; yes if it does not say.
pub(super) async fn is_there(id: &str) -> bool {
    match engine::connect().await {
        Ok(docker) => !matches!(
            docker.inspect_container(id, None).await,
            Err(error) if has_status(&error, &[NOT_FOUND])
        ),
        Err(_) => true,
    }
}

async fn list(docker: &Docker, label: String) -> Result<Vec<OwnedContainer>, ClientError> {
    let filters = HashMap::from([("label".to_owned(), vec![label])]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    let found = docker.list_containers(Some(options)).await?;
    Ok(found
        .into_iter()
        .filter_map(|container| {
            let mut labels = container.labels.unwrap_or_default();
            Some(OwnedContainer {
                id: container.id?,
                run_id: labels.remove(RUN_LABEL)?,
                owner: labels.remove(OWNER_LABEL).unwrap_or_default(),
            })
        })
        .collect())
}

fn unlistable(error: &ClientError) -> Why {
    Why::new(
        format!(
            "the Docker engine does not list its containers ({})",
            EngineSaid::new(error, "")
        ),
        format!("look for them with `docker ps -a --filter label={RUN_LABEL}`"),
    )
}
