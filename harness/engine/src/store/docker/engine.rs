//! The Docker engine: the few requests that testcontainers does not make, and whether it answers.

use super::error::{DockerError, EngineSaid};
use crate::store::spec::{ServerSpec, ServerState};
use futures::StreamExt;
use std::fmt;
use std::time::Duration;
use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error as ClientError;
use testcontainers::bollard::models::{ContainerInspectResponse, PortBinding};
use testcontainers::bollard::query_parameters::{
    KillContainerOptionsBuilder, LogsOptionsBuilder, WaitContainerOptions,
};
use testcontainers::core::client::docker_client_instance;

/// An engine that does not answer by then is as good as none.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

const NOT_MODIFIED: u16 = 304;
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

/// Why containers cannot be had, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct Why {
    /// What is missing.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Why {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// The version of the engine, if one answers in time. Honours `DOCKER_HOST`.
pub async fn engine_answers() -> Result<String, Why> {
    if let Some(host) = docker_host().filter(|host| is_remote(host)) {
        return Err(Why::new(
            format!("the Docker engine at {host} is on another machine, where our loopback is not"),
            "use --provider process, or an engine on this machine",
        ));
    }
    let asked = tokio::time::timeout(ANSWER_DEADLINE, async { connect().await?.version().await });
    match asked.await {
        Ok(Ok(version)) => Ok(version.version.unwrap_or_else(|| "unknown".to_owned())),
        Ok(Err(error)) => Err(no_engine(&EngineSaid::new(&error, "").to_string())),
        Err(_) => Err(no_engine(&format!(
            "no answer within {} s",
            ANSWER_DEADLINE.as_secs()
        ))),
    }
}

/// A client on the engine.
pub(super) async fn connect() -> Result<Docker, ClientError> {
    docker_client_instance()
        .await
        .map_err(|error| ClientError::IOError {
            err: std::io::Error::other(EngineSaid::new(&error, "")),
        })
}

/// The same, in terms of what a person can do.
pub(super) async fn require() -> Result<Docker, Why> {
    connect()
        .await
        .map_err(|error| no_engine(&EngineSaid::new(&error, "").to_string()))
}

fn docker_host() -> Option<String> {
    std::env::var("DOCKER_HOST")
        .ok()
        .filter(|host| !host.is_empty())
}

fn is_remote(host: &str) -> bool {
    let Some((scheme, rest)) = host.split_once("://") else {
        return false;
    };
    let name = rest.split(['/', '?']).next().unwrap_or_default();
    let name = name.rsplit_once(':').map_or(name, |(name, _port)| name);
    !matches!(scheme, "unix" | "npipe")
        && !matches!(name, "localhost" | "[::1]")
        && !name.starts_with("127.")
}

fn no_engine(said: &str) -> Why {
    let host = docker_host().unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    let remedy = if said.to_lowercase().contains("permission denied") {
        "add this user to the `docker` group, or use --provider process"
    } else {
        "start it, point DOCKER_HOST at one that runs, or use --provider process"
    };
    Why::new(
        format!("no Docker engine answers at {host} ({said})"),
        remedy,
    )
}

/// The engine as one server sees it.
pub(super) struct Engine {
    docker: Docker,
    password: String,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    pub(super) async fn for_spec(spec: &ServerSpec) -> Result<Self, Why> {
        Ok(Self {
            docker: require().await?,
            password: spec.password.clone(),
        })
    }

    pub(super) fn docker(&self) -> &Docker {
        &self.docker
    }

    pub(super) fn failed(
        &self,
        action: &'static str,
        server: &str,
        error: &dyn std::error::Error,
    ) -> DockerError {
        DockerError::Refused {
            action,
            server: server.to_owned(),
            source: EngineSaid::new(error, &self.password),
        }
    }

    pub(super) async fn start(&self, server: &str, id: &str) -> Result<(), DockerError> {
        let answer = self.docker.start_container(id, None).await;
        except(answer, &[NOT_MODIFIED]).map_err(|e| self.failed("start", server, &e))
    }

    /// Sends a signal; a server that does not run needs none.
    pub(super) async fn signal(
        &self,
        signal: &str,
        server: &str,
        id: &str,
    ) -> Result<(), DockerError> {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        let answer = self.docker.kill_container(id, Some(options)).await;
        except(answer, &[CONFLICT]).map_err(|e| self.failed("signal", server, &e))
    }

    /// Waits until the container has ended, at most so long. The engine tells, without being asked
    /// again and again.
    pub(super) async fn has_ended(&self, id: &str, within: Duration) -> bool {
        let mut ends = self.docker.wait_container(id, None::<WaitContainerOptions>);
        // An error, too: an exit code other than 0 is one, and so is a container that is not there.
        tokio::time::timeout(within, ends.next()).await.is_ok()
    }

    pub(super) async fn pause(&self, server: &str, id: &str) -> Result<(), DockerError> {
        let answer = self.docker.pause_container(id).await;
        answer.map_err(|e| self.failed("freeze", server, &e))
    }

    pub(super) async fn unpause(&self, server: &str, id: &str) -> Result<(), DockerError> {
        let answer = self.docker.unpause_container(id).await;
        answer.map_err(|e| self.failed("thaw", server, &e))
    }

    pub(super) async fn state(&self, server: &str, id: &str) -> Result<ServerState, DockerError> {
        match self.docker.inspect_container(id, None).await {
            Ok(seen) => Ok(state_of(&seen)),
            Err(error) if has_status(&error, &[NOT_FOUND]) => Ok(ServerState::Gone),
            Err(error) => Err(self.failed("inspect", server, &error)),
        }
    }

    pub(super) async fn root_pid(&self, id: &str) -> Option<i32> {
        let seen = self.docker.inspect_container(id, None).await.ok()?;
        let pid = i32::try_from(seen.state?.pid?).ok()?;
        // The engine says 0 of a container that does not run.
        (pid > 0).then_some(pid)
    }

    pub(super) async fn published(&self, id: &str, port: u16) -> Result<Option<u16>, EngineSaid> {
        match self.docker.inspect_container(id, None).await {
            Ok(seen) => Ok(published_port(seen, port)),
            Err(error) => Err(EngineSaid::new(&error, &self.password)),
        }
    }

    pub(super) async fn logs(&self, server: &str, id: &str) -> Result<String, DockerError> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
        let mut frames = self.docker.logs(id, Some(options));
        let mut bytes = Vec::new();
        while let Some(frame) = frames.next().await {
            let frame = frame.map_err(|e| self.failed("read the logs of", server, &e))?;
            bytes.extend_from_slice(frame.as_ref());
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn state_of(seen: &ContainerInspectResponse) -> ServerState {
    let state = seen.state.as_ref();
    let is = |flag: fn(&testcontainers::bollard::models::ContainerState) -> Option<bool>| {
        state.and_then(flag).unwrap_or(false)
    };
    // A paused container is `running`, too.
    match (is(|s| s.paused), is(|s| s.running)) {
        (true, _) => ServerState::Frozen,
        (false, true) => ServerState::Running,
        (false, false) => ServerState::Gone,
    }
}

fn published_port(seen: ContainerInspectResponse, port: u16) -> Option<u16> {
    let mut ports = seen.network_settings?.ports?;
    let bindings: Vec<PortBinding> = ports.remove(&format!("{port}/tcp"))??;
    bindings
        .iter()
        .find_map(|binding| binding.host_port.as_ref()?.parse().ok())
}

/// Takes some refusals for success.
fn except(answer: Result<(), ClientError>, fine: &[u16]) -> Result<(), ClientError> {
    match answer {
        Err(error) if has_status(&error, fine) => Ok(()),
        other => other,
    }
}

/// Whether the engine refused with one of these codes.
pub(super) fn has_status(error: &ClientError, codes: &[u16]) -> bool {
    matches!(error, ClientError::DockerResponseServerError { status_code, .. } if codes.contains(status_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_engine_on_this_machine_shares_our_loopback() {
        for near in [
            "unix:///var/run/docker.sock",
            "tcp://127.0.0.1:2375",
            "tcp://localhost:2375",
            "tcp://[::1]:2375",
        ] {
            assert!(!is_remote(near), "{near}");
        }
        for far in [
            "tcp://docker:2375",
            "https://10.0.0.3:2376",
            "tcp://[2001:db8::1]:2375",
        ] {
            assert!(is_remote(far), "{far}");
        }
    }

    #[test]
    fn a_refused_socket_is_answered_with_the_group_to_join() {
        let why = no_engine("Permission denied (os error 13)");
        assert!(why.to_string().contains("`docker` group"), "{why}");
    }
}
