//! A store as a container, through testcontainers and its modules.
//!
//! Readiness by log text, which the modules bring, is left out: the harness asks with a real client.

mod engine;
mod error;
mod image;
mod memory;
mod request;
mod sweep;

pub use engine::{Why, engine_answers};
pub use error::DockerError;
pub use image::{
    ImageOverrides, ImageRef, Images, OFFICIAL_POSTGRES, OFFICIAL_REDIS, OURS_POSTGRES, OURS_REDIS,
    choose_images, image_here,
};
pub use sweep::{OwnedContainer, list_owned, remove_by_label};

use super::spec::{ServerSpec, ServerState, StoreKind};
use crate::poll::{Look, poll_until};
use engine::Engine;
use request::Container;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// The label that names the run.
pub const RUN_LABEL: &str = "touchstone.run";
/// The label that names the owning process as `pid:start_ticks`.
pub const OWNER_LABEL: &str = "touchstone.owner";

/// How long a server may take to end after the signal that asks it to.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// After this long the signal is sent again.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(300);
/// How long the engine may take to show what it has acknowledged.
const SETTLE_DEADLINE: Duration = Duration::from_secs(5);
/// Each look is a request to the engine, which has other work.
const SETTLE_POLL: Duration = Duration::from_millis(10);

/// One server in a container of its own. Dropping it removes the container, inside a Tokio runtime.
#[derive(Debug)]
pub struct DockerServer {
    kind: StoreKind,
    name: String,
    run_id: String,
    engine: Engine,
    container: Container,
    container_name: String,
    address: Option<SocketAddr>,
    has_tls: bool,
    tls_address: Option<SocketAddr>,
}

impl DockerServer {
    /// Creates and starts it, and waits until its port is published. Readiness is the caller's to
    /// wait for. What fails to start is removed. `owner` stands in the label of that name.
    pub async fn launch(
        spec: &ServerSpec,
        image: &ImageRef,
        owner: &str,
    ) -> Result<Self, DockerError> {
        let engine = Engine::for_spec(spec).await?;
        let container_name = request::container_name(spec);
        let container = request::start(spec, image, &container_name, owner, &engine).await?;
        let mut server = Self {
            kind: spec.kind,
            name: spec.name.clone(),
            run_id: spec.run_id.clone(),
            engine,
            container,
            container_name,
            address: None,
            has_tls: spec.tls.is_some(),
            tls_address: None,
        };
        match server.find_address().await {
            Ok(()) => Ok(server),
            Err(error) => {
                server.remove().await?;
                Err(error)
            }
        }
    }

    /// Which store it is.
    pub fn kind(&self) -> StoreKind {
        self.kind
    }

    /// Where it is published on loopback; `None` while it does not run. The engine gives another port
    /// on every start.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where it is published for TLS; `None` if it has none, and while it does not run.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// Starts it again on the same data, and asks where it is published now.
    pub async fn start(&mut self) -> Result<(), DockerError> {
        self.engine.start(&self.name, self.container.id()).await?;
        self.find_address().await
    }

    /// The polite end: SIGTERM for Redis, SIGINT (a fast shutdown) for Postgres, whose SIGTERM would
    /// wait for its clients. A frozen server is thawed first, or it could not hear.
    ///
    /// Not the engine's own stop, which signals once: until the entrypoint, a shell, has made way for
    /// the server, process 1 is deaf to that, and ten seconds pass.
    pub async fn stop(&mut self) -> Result<(), DockerError> {
        let signal = match self.kind {
            StoreKind::Redis => "SIGTERM",
            StoreKind::Postgres => "SIGINT",
        };
        self.thaw().await?;
        self.forget_address();
        let started = Instant::now();
        while started.elapsed() < STOP_DEADLINE {
            self.engine
                .signal(signal, &self.name, self.container.id())
                .await?;
            if self
                .engine
                .has_ended(self.container.id(), SIGNAL_INTERVAL)
                .await
            {
                break;
            }
        }
        self.wait_state(ServerState::Gone).await
    }

    /// SIGKILL for every process of it; returns when it is gone. Frozen or not makes no difference.
    pub async fn kill(&mut self) -> Result<(), DockerError> {
        self.forget_address();
        self.engine
            .signal("SIGKILL", &self.name, self.container.id())
            .await?;
        self.wait_state(ServerState::Gone).await
    }

    /// Stops every process of it in its tracks. The kernel goes on accepting connections.
    pub async fn freeze(&mut self) -> Result<(), DockerError> {
        if self.state().await? == ServerState::Running {
            self.engine.pause(&self.name, self.container.id()).await?;
        }
        self.wait_state(ServerState::Frozen).await
    }

    /// Lets a frozen server go on; does nothing to one that is not.
    pub async fn thaw(&mut self) -> Result<(), DockerError> {
        if self.state().await? != ServerState::Frozen {
            return Ok(());
        }
        self.engine.unpause(&self.name, self.container.id()).await?;
        self.wait_state(ServerState::Running).await
    }

    /// Its first process, as the engine numbers it; `None` while it does not run.
    pub(super) async fn root_pid(&self) -> Option<i32> {
        self.engine.root_pid(self.container.id()).await
    }

    /// Its state, read back from the engine.
    pub async fn state(&self) -> Result<ServerState, DockerError> {
        self.engine.state(&self.name, self.container.id()).await
    }

    /// Everything that it has logged, over all its starts.
    pub async fn logs(&self) -> Result<String, DockerError> {
        self.engine.logs(&self.name, self.container.id()).await
    }

    /// Removes the container with its volumes, in whatever state it is; fine when it is gone already.
    pub async fn remove(self) -> Result<(), DockerError> {
        let Self {
            name,
            run_id,
            engine,
            container,
            container_name,
            kind,
            ..
        } = self;
        let removed = container.remove().await;
        if kind == StoreKind::Postgres {
            memory::give_back(&run_id, &container_name, &engine).await;
        }
        removed.map_err(|error| engine.failed("remove", &name, &error))
    }

    fn forget_address(&mut self) {
        self.address = None;
        self.tls_address = None;
    }

    /// Gives it up as it runs. What removes a container when it is dropped must not be.
    pub fn leave(self) {
        std::mem::forget(self.container);
    }

    async fn find_address(&mut self) -> Result<(), DockerError> {
        if self.has_tls {
            self.tls_address = Some(self.published(request::REDIS_TLS_PORT).await?);
        }
        self.address = Some(self.published(request::port_of(self.kind)).await?);
        Ok(())
    }

    async fn published(&self, port: u16) -> Result<SocketAddr, DockerError> {
        let what = format!("the engine to publish port {port} of {}", self.name);
        let published = poll_until(&what, SETTLE_DEADLINE, SETTLE_POLL, || async {
            match self.engine.published(self.container.id(), port).await {
                Ok(Some(port)) => Look::Ready(port),
                Ok(None) => Look::NotYet("no published port".to_owned()),
                Err(error) => Look::NotYet(error.to_string()),
            }
        });
        let port = published.await?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// The engine answers when it has sent a signal; what it shows may follow a little later.
    async fn wait_state(&self, wanted: ServerState) -> Result<(), DockerError> {
        let what = format!("{} to be {wanted}", self.name);
        poll_until(&what, SETTLE_DEADLINE, SETTLE_POLL, || async {
            match self.state().await {
                Ok(seen) if seen == wanted => Look::Ready(()),
                Ok(seen) => Look::NotYet(seen.to_string()),
                Err(error) => Look::NotYet(crate::error_chain(&error)),
            }
        })
        .await
        .map_err(DockerError::from)
    }
}
