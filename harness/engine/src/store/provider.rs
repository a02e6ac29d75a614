//! Where servers come from. Both providers offer the same operations with the same meaning.

use super::docker::{self, DockerError, DockerServer, Images};
use super::error::StoreError;
use super::process::{ProcessError, ProcessServer};
use super::spec::{ServerSpec, ServerState, StoreKind};
use super::template::TEMPLATE_PASSWORD;
use super::tools::Tools;
use crate::scope::RunScope;
use std::net::SocketAddr;
use std::time::Duration;

/// A source of servers.
#[derive(Debug, Clone)]
pub enum Provider {
    /// Child processes of the harness.
    Process(Tools),
    /// Containers of the local Docker engine.
    Docker(Images),
}

impl Provider {
    /// The provider's name on the command line and in the record.
    pub fn name(&self) -> &'static str {
        match self {
            Provider::Process(_) => "process",
            Provider::Docker(_) => "docker",
        }
    }

    /// The same, but that Redis is of another version; `None` if no second one was named.
    pub(crate) fn second_redis(&self) -> Option<Self> {
        let Provider::Process(tools) = self else {
            return None;
        };
        let redis_server = tools.second_redis_server.clone()?;
        Some(Provider::Process(Tools {
            redis_server,
            second_redis_server: None,
            ..tools.clone()
        }))
    }

    /// Removes what the servers of a run shared. Call it once, when the last server is gone.
    pub async fn close(&self, run_id: &str) -> Result<(), docker::Why> {
        match self {
            Provider::Process(_) => Ok(()),
            Provider::Docker(_) => docker::remove_by_label(run_id).await.map(drop),
        }
    }

    /// Creates and starts a server.
    pub(super) async fn launch(
        &self,
        spec: &ServerSpec,
        scope: &RunScope,
    ) -> Result<Server, StoreError> {
        match self {
            Provider::Process(tools) => {
                // Copying a data directory blocks for a tenth of a second; the scenario's own thread
                // has nothing else to do meanwhile.
                let launched = ProcessServer::launch(spec, tools, scope);
                launched.map(Server::Process).map_err(in_process(spec.kind))
            }
            Provider::Docker(images) => {
                let launched =
                    DockerServer::launch(spec, images.of(spec.kind), scope.owner()).await;
                launched.map(Server::Docker).map_err(in_docker(spec.kind))
            }
        }
    }
}

/// One server of either provider.
#[derive(Debug)]
pub(super) enum Server {
    Process(ProcessServer),
    Docker(DockerServer),
}

fn in_process(kind: StoreKind) -> impl FnOnce(ProcessError) -> StoreError {
    move |source| StoreError::Process { kind, source }
}

fn in_docker(kind: StoreKind) -> impl FnOnce(DockerError) -> StoreError {
    move |source| StoreError::Docker { kind, source }
}

impl Server {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Server::Process(server) => server.address(),
            Server::Docker(server) => server.address(),
        }
    }

    pub(super) fn tls_address(&self) -> Option<SocketAddr> {
        match self {
            Server::Process(server) => server.tls_address(),
            Server::Docker(server) => server.tls_address(),
        }
    }

    /// The password that a fresh server still has from its template, if it has one.
    pub(super) fn template_password(&self) -> Option<&'static str> {
        match self {
            Server::Process(_) => Some(TEMPLATE_PASSWORD),
            Server::Docker(_) => None,
        }
    }

    /// How often it is worth looking whether it serves: a look at a container is a request to an
    /// engine that is busy starting others.
    pub(super) fn ready_poll(&self) -> Duration {
        match self {
            Server::Process(_) => Duration::from_millis(3),
            Server::Docker(_) => Duration::from_millis(20),
        }
    }

    pub(super) async fn start(&mut self) -> Result<(), StoreError> {
        match self {
            Server::Process(server) => server.start().map_err(in_process(server.kind())),
            Server::Docker(server) => server.start().await.map_err(in_docker(server.kind())),
        }
    }

    pub(super) async fn stop(&mut self) -> Result<(), StoreError> {
        match self {
            Server::Process(server) => server.stop().await.map_err(in_process(server.kind())),
            Server::Docker(server) => server.stop().await.map_err(in_docker(server.kind())),
        }
    }

    pub(super) async fn kill(&mut self) -> Result<(), StoreError> {
        match self {
            Server::Process(server) => server.kill().await.map_err(in_process(server.kind())),
            Server::Docker(server) => server.kill().await.map_err(in_docker(server.kind())),
        }
    }

    pub(super) async fn freeze(&mut self) -> Result<(), StoreError> {
        match self {
            Server::Process(server) => server.freeze().await.map_err(in_process(server.kind())),
            Server::Docker(server) => server.freeze().await.map_err(in_docker(server.kind())),
        }
    }

    pub(super) async fn thaw(&mut self) -> Result<(), StoreError> {
        match self {
            Server::Process(server) => server.thaw().await.map_err(in_process(server.kind())),
            Server::Docker(server) => server.thaw().await.map_err(in_docker(server.kind())),
        }
    }

    pub(super) async fn state(&self) -> Result<ServerState, StoreError> {
        match self {
            Server::Process(server) => Ok(server.state()),
            Server::Docker(server) => server.state().await.map_err(in_docker(server.kind())),
        }
    }

    pub(super) async fn root_pid(&self) -> Option<i32> {
        match self {
            Server::Process(server) => server.pid(),
            Server::Docker(server) => server.root_pid().await,
        }
    }

    pub(super) async fn logs(&self) -> Result<String, StoreError> {
        match self {
            Server::Process(server) => server.logs().map_err(in_process(server.kind())),
            Server::Docker(server) => server.logs().await.map_err(in_docker(server.kind())),
        }
    }

    /// Gives it up as it runs.
    pub(super) fn leave(self) {
        match self {
            Server::Process(server) => server.leave(),
            Server::Docker(server) => server.leave(),
        }
    }

    pub(super) async fn remove(self) -> Result<(), StoreError> {
        match self {
            Server::Process(server) => {
                let kind = server.kind();
                server.remove().await.map_err(in_process(kind))
            }
            Server::Docker(server) => {
                let kind = server.kind();
                server.remove().await.map_err(in_docker(kind))
            }
        }
    }
}
