//! What a container of ours is made of: the module's image, our name and labels, loopback ports.

use super::engine::Engine;
use super::error::DockerError;
use super::image::ImageRef;
use super::{OWNER_LABEL, RUN_LABEL, memory, sweep};
use crate::store::spec::{ServerSpec, ServerTls, StoreKind};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use testcontainers::bollard::models::{HostConfig, PortBinding};
use testcontainers::core::{IntoContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{
    ContainerAsync, ContainerRequest, CopyTargetOptions, Image, ImageExt, TestcontainersError,
};
use testcontainers_modules::postgres::Postgres;
use testcontainers_modules::redis::{REDIS_PORT, Redis};

const POSTGRES_PORT: u16 = 5432;
/// Where a Redis with TLS listens for it inside its container.
pub(super) const REDIS_TLS_PORT: u16 = 6380;
/// Where its certificates lie in there.
const TLS_DIR: &str = "/touchstone-tls";
/// Creating and starting, without readiness. Generous: the engine has one queue for everybody.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Its configuration comes on standard input, since every user of the machine can read the command
/// line of a process, in a container, too. `-` must stand last.
const REDIS_SCRIPT: &str = r#"exec docker-entrypoint.sh redis-server --appendonly yes --appendfsync no --save '' --protected-mode no "$@" - <<CONFIG
requirepass $TOUCHSTONE_PASSWORD
CONFIG
"#;

/// As the process provider has it: durability against power loss is off, and nothing happens by itself.
const POSTGRES_SETTINGS: [&str; 4] = [
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=16MB",
    "autovacuum=off",
];

/// The port that a kind of store listens on inside its container.
pub(super) fn port_of(kind: StoreKind) -> u16 {
    match kind {
        StoreKind::Redis => REDIS_PORT,
        StoreKind::Postgres => POSTGRES_PORT,
    }
}

/// A started container of either module.
#[derive(Debug)]
pub(super) enum Container {
    Redis(Box<ContainerAsync<Redis>>),
    Postgres(Box<ContainerAsync<Postgres>>),
}

impl Container {
    pub(super) fn id(&self) -> &str {
        match self {
            Container::Redis(container) => container.id(),
            Container::Postgres(container) => container.id(),
        }
    }

    /// By force and with volumes; gone already is fine.
    pub(super) async fn remove(self) -> Result<(), TestcontainersError> {
        let id = self.id().to_owned();
        let removed = match self {
            Container::Redis(container) => container.rm().await,
            Container::Postgres(container) => container.rm().await,
        };
        match removed {
            Err(error) if !sweep::is_there(&id).await => {
                tracing::debug!(%error, "the container was gone already");
                Ok(())
            }
            other => other,
        }
    }
}

/// Creates and starts a container. One that was created and would not start is removed:
/// testcontainers leaves it behind.
pub(super) async fn start(
    spec: &ServerSpec,
    image: &ImageRef,
    name: &str,
    owner: &str,
    engine: &Engine,
) -> Result<Container, DockerError> {
    let started = match spec.kind {
        StoreKind::Redis => {
            let request = common(redis(spec), spec, image, (name, owner), None);
            request.start().await.map(Box::new).map(Container::Redis)
        }
        StoreKind::Postgres => {
            let keeper = memory::keeper(&spec.run_id, image, owner, engine).await;
            let request = common(
                postgres(spec, name, keeper.is_some()),
                spec,
                image,
                (name, owner),
                keeper,
            );
            request.start().await.map(Box::new).map(Container::Postgres)
        }
    };
    match started {
        Ok(container) => Ok(container),
        Err(error) => {
            // Never created is fine; what cannot be removed now is found by its label.
            let _ = sweep::remove_container(engine.docker(), name).await;
            Err(engine.failed("start", &spec.name, &error))
        }
    }
}

fn redis(spec: &ServerSpec) -> ContainerRequest<Redis> {
    let script = ["sh", "-c", REDIS_SCRIPT, "redis-server"].map(str::to_owned);
    let tls = spec.tls.iter();
    let settings = tls
        .clone()
        .flat_map(|tls| tls.settings(REDIS_TLS_PORT, in_container))
        .flat_map(|(setting, value)| [format!("--{setting}"), value]);
    let request = Redis::default()
        .with_cmd(
            script
                .into_iter()
                .chain(settings)
                .chain(spec.extra_args.iter().cloned()),
        )
        .with_env_var("TOUCHSTONE_PASSWORD", &spec.password);
    // The server is another user in there, and the container is the run's alone.
    let readable = |path| CopyTargetOptions::new(in_container(path)).with_mode(0o644);
    // The engine publishes only what it was told of as exposed, and the module exposes but its own port. Where it
    // is published to is said below, for every port.
    let request = tls.clone().fold(request, |request, _| {
        request.with_mapped_port(0, REDIS_TLS_PORT.tcp())
    });
    tls.flat_map(ServerTls::files)
        .fold(request, |request, (path, text)| {
            request.with_copy_to(readable(path), text.as_bytes().to_vec())
        })
}

fn in_container(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    format!("{TLS_DIR}/{}", name.display())
}

fn postgres(spec: &ServerSpec, name: &str, in_memory: bool) -> ContainerRequest<Postgres> {
    let settings = POSTGRES_SETTINGS
        .into_iter()
        .flat_map(|setting| ["-c", setting])
        .map(str::to_owned);
    let request = Postgres::default()
        .with_db_name(&spec.database)
        .with_user(&spec.user)
        .with_password(&spec.password)
        .with_cmd(settings.chain(spec.extra_args.iter().cloned()));
    if in_memory {
        request.with_env_var("PGDATA", memory::data_dir(name))
    } else {
        request
    }
}

fn common<I: Image>(
    request: ContainerRequest<I>,
    spec: &ServerSpec,
    image: &ImageRef,
    (name, owner): (&str, &str),
    volumes_from: Option<String>,
) -> ContainerRequest<I> {
    let ports: Vec<u16> = std::iter::once(port_of(spec.kind))
        .chain(spec.tls.is_some().then_some(REDIS_TLS_PORT))
        .collect();
    request
        .with_name(&image.name)
        .with_tag(&image.tag)
        .with_container_name(name)
        .with_labels([
            (RUN_LABEL, spec.run_id.clone()),
            (OWNER_LABEL, owner.to_owned()),
        ])
        // None: the caller asks with a real client, which is sooner and surer than log text.
        .with_ready_conditions(Vec::<WaitFor>::new())
        .with_startup_timeout(START_DEADLINE)
        .with_host_config_modifier(move |config: &mut HostConfig| {
            config.publish_all_ports = Some(false);
            let published = ports
                .iter()
                .map(|port| (format!("{port}/tcp"), on_loopback()));
            config.port_bindings = Some(published.collect::<HashMap<_, _>>());
            config.volumes_from = volumes_from.clone().map(|id| vec![id]);
        })
}

fn on_loopback() -> Option<Vec<PortBinding>> {
    Some(vec![PortBinding {
        host_ip: Some("127.0.0.1".to_owned()),
        host_port: None,
    }])
}

/// Unique, so that what a failed start leaves behind can be removed by name, and so that a scenario
/// that is repeated does not find the data of its first run.
pub(super) fn container_name(spec: &ServerSpec) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    let raw = format!("touchstone-{}-{}-{pid}-{number}", spec.run_id, spec.name);
    raw.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-' => c,
            _ => '_',
        })
        .collect()
}
