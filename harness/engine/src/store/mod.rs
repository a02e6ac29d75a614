//! The stores: real Redis and Postgres servers, from either provider, with the same faults.

pub mod docker;
mod error;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod redis;
mod spec;
mod template;
pub mod tools;

pub use error::StoreError;
pub use process::store_user;
pub use provider::Provider;
pub use spec::{ServerSpec, ServerState, ServerTls, StoreKind};
pub use template::SUPERUSER;
pub(crate) use template::half_made;

use crate::poll::{Look, poll_until};
use crate::scope::RunScope;
use ::redis::aio::MultiplexedConnection;
use provider::Server;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_postgres::Client;

/// How long a store may take until it serves. Generous: a container on a busy machine.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// How many lines of a server's log go into an error.
const LOG_TAIL_LINES: usize = 8;

/// One store of one environment. Shared by the scenario and the guards of its faults.
#[derive(Debug)]
pub struct Store {
    spec: ServerSpec,
    server: Mutex<Option<Server>>,
    ready_poll: Duration,
}

impl Store {
    /// Starts the server and waits until a real client is served.
    pub async fn launch(
        spec: ServerSpec,
        provider: &Provider,
        scope: &RunScope,
    ) -> Result<Self, StoreError> {
        let server = provider.launch(&spec, scope).await?;
        let template_password = server.template_password();
        let ready_poll = server.ready_poll();
        let store = Self {
            spec,
            server: Mutex::new(Some(server)),
            ready_poll,
        };
        let ready = store.wait_ready_with(template_password).await;
        if let Err(error) = ready {
            store.remove().await?;
            return Err(error);
        }
        Ok(store)
    }

    /// Which kind it is.
    pub fn kind(&self) -> StoreKind {
        self.spec.kind
    }

    /// Credentials and names.
    pub fn spec(&self) -> &ServerSpec {
        &self.spec
    }

    /// Where the server itself listens; `None` while it does not run. The subject never learns it.
    pub async fn address(&self) -> Option<SocketAddr> {
        self.server.lock().await.as_ref().and_then(Server::address)
    }

    /// Where the server itself listens for TLS; `None` while it does not, or does not run.
    pub async fn tls_address(&self) -> Option<SocketAddr> {
        self.server
            .lock()
            .await
            .as_ref()
            .and_then(Server::tls_address)
    }

    /// Waits until a real client is served.
    pub async fn wait_ready(&self) -> Result<(), StoreError> {
        self.wait_ready_with(None).await
    }

    /// A second, direct client on Redis, in the given database.
    pub async fn redis(&self, database: i64) -> Result<MultiplexedConnection, StoreError> {
        redis::connect(self.require_address().await?, &self.spec.password, database).await
    }

    /// The same as another user of Redis: name and password.
    pub async fn redis_as(&self, user: (&str, &str)) -> Result<MultiplexedConnection, StoreError> {
        redis::connect_as(self.require_address().await?, user, 0).await
    }

    /// A second, direct client on Postgres.
    pub async fn postgres(&self) -> Result<Client, StoreError> {
        let ServerSpec {
            user,
            password,
            database,
            ..
        } = &self.spec;
        postgres::connect(self.require_address().await?, user, password, database).await
    }

    /// The server's version, as the server tells it.
    pub async fn version(&self) -> Result<String, StoreError> {
        match self.kind() {
            StoreKind::Redis => redis::version(&mut self.redis(0).await?).await,
            StoreKind::Postgres => postgres::version(&self.postgres().await?).await,
        }
    }

    /// Ends the server politely and waits until it is gone: SIGTERM for Redis, SIGINT for Postgres.
    pub async fn stop(&self) -> Result<(), StoreError> {
        self.require_server().await?.stop().await
    }

    /// Kills the server with all its processes.
    pub async fn kill(&self) -> Result<(), StoreError> {
        self.require_server().await?.kill().await
    }

    /// Starts the server again on the same data. Returns when it has been started, not when it is
    /// ready: a subject may connect that early, too.
    pub async fn start(&self) -> Result<(), StoreError> {
        self.require_server().await?.start().await
    }

    /// Stops every process of the server in its tracks. The kernel goes on accepting connections.
    pub async fn freeze(&self) -> Result<(), StoreError> {
        self.require_server().await?.freeze().await
    }

    /// Lets a frozen server go on.
    pub async fn thaw(&self) -> Result<(), StoreError> {
        self.require_server().await?.thaw().await
    }

    /// The server's state, read back from the kernel or the container engine.
    pub async fn state(&self) -> Result<ServerState, StoreError> {
        match self.server.lock().await.as_ref() {
            Some(server) => server.state().await,
            None => Ok(ServerState::Gone),
        }
    }

    /// The first of its processes, as this machine numbers them; `None` while it does not run, or where that
    /// cannot be told.
    pub(crate) async fn root_pid(&self) -> Option<i32> {
        self.server.lock().await.as_ref()?.root_pid().await
    }

    /// Everything that the server has logged.
    pub async fn logs(&self) -> Result<String, StoreError> {
        self.require_server().await?.logs().await
    }

    /// Ends the server in whatever state it is, and removes its data. A second call does nothing.
    pub async fn remove(&self) -> Result<(), StoreError> {
        match self.server.lock().await.take() {
            Some(server) => server.remove().await,
            None => Ok(()),
        }
    }

    /// Gives the server up as it runs: it outlives us, and only [`crate::sweep`] ends it. A second call does nothing.
    pub(crate) async fn leave(&self) {
        if let Some(server) = self.server.lock().await.take() {
            server.leave();
        }
    }

    async fn require_server(&self) -> Result<ServerGuard<'_>, StoreError> {
        let guard = self.server.lock().await;
        tokio::sync::MutexGuard::try_map(guard, Option::as_mut)
            .map_err(|_| StoreError::NotRunning(self.spec.kind))
    }

    async fn require_address(&self) -> Result<SocketAddr, StoreError> {
        self.address()
            .await
            .ok_or(StoreError::NotRunning(self.spec.kind))
    }

    async fn wait_ready_with(&self, template_password: Option<&str>) -> Result<(), StoreError> {
        let what = format!("{} to serve", self.spec.kind);
        let ready = poll_until(&what, READY_DEADLINE, self.ready_poll, || async {
            // A server that has ended will not become ready; its log says why, so stop waiting.
            if matches!(self.state().await, Ok(ServerState::Gone)) {
                return Look::Ready(Err("it ended".to_owned()));
            }
            match self.look_ready(template_password).await {
                Ok(()) => Look::Ready(Ok(())),
                Err(error) => Look::NotYet(crate::error_chain(&error)),
            }
        });
        let timeout = match ready.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(last_seen)) => crate::poll::TimedOut {
                what,
                waited: Duration::ZERO,
                last_seen,
            },
            Err(timeout) => timeout,
        };
        let log = self.logs().await.unwrap_or_default();
        Err(StoreError::NotReady {
            kind: self.spec.kind,
            timeout,
            log_tail: tail(&log),
        })
    }

    async fn look_ready(&self, template_password: Option<&str>) -> Result<(), StoreError> {
        let address = self.require_address().await?;
        match (self.spec.kind, template_password) {
            (StoreKind::Redis, _) => redis::is_ready(address, &self.spec.password).await,
            (StoreKind::Postgres, None) => postgres::is_ready(address, &self.spec).await,
            (StoreKind::Postgres, Some(password)) => {
                postgres::personalise(address, &self.spec, password).await
            }
        }
    }
}

type ServerGuard<'a> = tokio::sync::MappedMutexGuard<'a, Server>;

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
