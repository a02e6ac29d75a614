//! Data directories in memory that survive stop and start.
//!
//! A container's own tmpfs is emptied when it stops, and an anonymous volume lies on disk, where each
//! Postgres makes a thousand files and deletes them: on ext4, which is slow to take inodes that were
//! deleted a moment ago, every start is slower than the one before (measured: from 70 to 500 ms for
//! the unpacking alone). So one small container per run, the keeper, does nothing but hold an
//! anonymous tmpfs volume, and each Postgres of the run mounts that volume and has a directory in it.
//! The volume is anonymous on purpose: it goes with the last container that is removed with its
//! volumes, whoever removes it.

use super::engine::Engine;
use super::image::ImageRef;
use super::{OWNER_LABEL, RUN_LABEL, sweep};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error as ClientError;
use testcontainers::bollard::exec::{CreateExecOptions, StartExecOptions};
use testcontainers::bollard::models::{
    ContainerCreateBody, HostConfig, Mount, MountTypeEnum, MountVolumeOptions,
    MountVolumeOptionsDriverConfig,
};
use tokio::sync::{Mutex, OnceCell};

/// Where the image has a volume of its own, which is then not made.
const MOUNT_POINT: &str = "/var/lib/postgresql/data";
/// Directories of removed servers are deleted so many at once: each deletion costs 75 ms of process
/// start, each directory 40 MB of memory.
const GIVE_BACK_AT: usize = 8;

#[derive(Debug, Default)]
struct Memory {
    keeper: OnceCell<Option<String>>,
    unused: Mutex<Vec<String>>,
}

/// By run. Process-wide, since a run's servers are launched from many threads that share nothing else.
static MEMORIES: LazyLock<Mutex<HashMap<String, Arc<Memory>>>> = LazyLock::new(Mutex::default);

/// The data directory of a container.
pub(super) fn data_dir(container_name: &str) -> String {
    format!("{MOUNT_POINT}/{container_name}")
}

/// The id of the run's keeper, which is started if need be. `None` where the engine does not let us;
/// then the data lies in an anonymous volume, on disk.
pub(super) async fn keeper(
    run_id: &str,
    image: &ImageRef,
    owner: &str,
    engine: &Engine,
) -> Option<String> {
    let memory = MEMORIES
        .lock()
        .await
        .entry(run_id.to_owned())
        .or_default()
        .clone();
    let started = memory.keeper.get_or_init(|| async {
        match start(run_id, image, owner, engine.docker()).await {
            Ok(id) => Some(id),
            Err(error) => {
                tracing::warn!(%error, "no memory for Postgres' data, it goes to disk");
                None
            }
        }
    });
    started.await.clone()
}

/// Says that a container's directory is not needed any more.
pub(super) async fn give_back(run_id: &str, container_name: &str, engine: &Engine) {
    let Some(memory) = MEMORIES.lock().await.get(run_id).cloned() else {
        return;
    };
    let Some(Some(keeper)) = memory.keeper.get() else {
        return;
    };
    let batch = {
        let mut unused = memory.unused.lock().await;
        unused.push(data_dir(container_name));
        if unused.len() < GIVE_BACK_AT {
            return;
        }
        std::mem::take(&mut *unused)
    };
    if let Err(error) = delete(engine.docker(), keeper, batch).await {
        // Memory is wasted until the run ends, nothing else.
        tracing::debug!(%error, "directories of removed servers stay in memory");
    }
}

/// The run is over, its keeper is being removed.
pub(super) async fn forget(run_id: &str) {
    MEMORIES.lock().await.remove(run_id);
}

async fn start(
    run_id: &str,
    image: &ImageRef,
    owner: &str,
    docker: &Docker,
) -> Result<String, ClientError> {
    let body = ContainerCreateBody {
        image: Some(image.to_string()),
        entrypoint: Some(vec!["sleep".to_owned()]),
        cmd: Some(vec!["infinity".to_owned()]),
        labels: Some(HashMap::from([
            (RUN_LABEL.to_owned(), run_id.to_owned()),
            (OWNER_LABEL.to_owned(), owner.to_owned()),
        ])),
        network_disabled: Some(true),
        host_config: Some(HostConfig {
            mounts: Some(vec![tmpfs_volume()]),
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let id = docker.create_container(None, body).await?.id;
    match docker.start_container(&id, None).await {
        Ok(()) => Ok(id),
        Err(error) => {
            let _ = sweep::remove_container(docker, &id).await;
            Err(error)
        }
    }
}

fn tmpfs_volume() -> Mount {
    let options = [("type", "tmpfs"), ("device", "tmpfs")];
    let driver = MountVolumeOptionsDriverConfig {
        name: Some("local".to_owned()),
        options: Some(options.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
    };
    Mount {
        target: Some(MOUNT_POINT.to_owned()),
        typ: Some(MountTypeEnum::VOLUME),
        volume_options: Some(MountVolumeOptions {
            driver_config: Some(driver),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }
}

async fn delete(docker: &Docker, keeper: &str, dirs: Vec<String>) -> Result<(), ClientError> {
    let words = ["rm", "-rf", "--"].map(str::to_owned);
    let options = CreateExecOptions {
        cmd: Some(words.into_iter().chain(dirs).collect()),
        ..CreateExecOptions::default()
    };
    let id = docker.create_exec(keeper, options).await?.id;
    let detached = StartExecOptions {
        detach: true,
        ..StartExecOptions::default()
    };
    docker.start_exec(&id, Some(detached)).await.map(|_| ())
}
