//! The ways to one Redis: direct, through HAProxy, through our proxy with and without decoding.

use super::load::Target;
use super::pinning::{Cores, cpu_time, pin_process};
use super::worker::OwnProxy;
use crate::{BenchError, Session, tell};
use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use touchstone_core::Seed;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::port::free_port;
use touchstone_engine::reaper::RUN_MARKER;
use touchstone_engine::store::{ServerSpec, Store, StoreError, StoreKind};

/// Of all that is random here: the times of requests.
pub(super) const SEED: Seed = Seed(0);

const LISTENS_DEADLINE: Duration = Duration::from_secs(5);
const LISTENS_POLL: Duration = Duration::from_millis(5);

/// A way to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Straight to the server.
    Direct,
    /// HAProxy, one thread, `mode tcp`.
    Haproxy,
    /// Our proxy, bytes passed through.
    PassThrough,
    /// Our proxy, commands and replies decoded and kept in its trace.
    Decoding,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 4] = [Way::Direct, Way::Haproxy, Way::PassThrough, Way::Decoding];
}

/// All ways, open.
#[derive(Debug)]
pub(super) struct Ways {
    pub(super) own: OwnProxy,
    haproxy: Option<HaProxy>,
    direct: SocketAddr,
    store: Store,
}

impl Ways {
    /// Starts Redis and the proxies, all on the servers' core.
    pub(super) async fn open(session: &Session, cores: Cores) -> Result<Self, BenchError> {
        let spec = spec(session.scope.run_id());
        let store = Store::launch(spec, &session.provider, &session.scope).await?;
        match Self::open_before(&store, session, cores).await {
            Ok((direct, haproxy, own)) => Ok(Self {
                own,
                haproxy,
                direct,
                store,
            }),
            Err(error) => {
                store.remove().await?;
                Err(error)
            }
        }
    }

    async fn open_before(
        store: &Store,
        session: &Session,
        cores: Cores,
    ) -> Result<(SocketAddr, Option<HaProxy>, OwnProxy), BenchError> {
        session.note_version("redis", store.version().await?);
        let address = store.address().await;
        let direct = address.ok_or(StoreError::NotRunning(StoreKind::Redis))?;
        pin_process(process_of(store).await?, cores.server)?;
        let haproxy = HaProxy::start(session, direct, cores).await?;
        let own = OwnProxy::start(
            session.scope.run_id(),
            direct,
            &store.spec().password,
            cores,
        )?;
        Ok((direct, haproxy, own))
    }

    /// Where a way begins; `None` if it is not there.
    pub(super) fn target(&self, way: Way) -> Option<Target<'_>> {
        let address = match way {
            Way::Direct => self.direct,
            Way::Haproxy => self.haproxy.as_ref()?.address,
            Way::PassThrough => self.own.pass_through,
            Way::Decoding => self.own.decoding,
        };
        let password = &self.store.spec().password;
        Some(Target { address, password })
    }

    /// What its proxy has spent on a processor so far.
    pub(super) fn cpu_time(&self, way: Way) -> Option<Duration> {
        match way {
            Way::Direct => None,
            Way::Haproxy => cpu_time(self.haproxy.as_ref()?.child.id()),
            Way::PassThrough | Way::Decoding => cpu_time(self.own.process()),
        }
    }

    pub(super) async fn close(self) -> Result<(), BenchError> {
        drop((self.own, self.haproxy));
        Ok(self.store.remove().await?)
    }
}

/// The server's own process: it must be one of this machine's to be pinned.
async fn process_of(store: &Store) -> Result<u32, BenchError> {
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut store.redis(0).await?)
        .await?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("process_id:"));
    let process = line.and_then(|id| id.trim().parse().ok());
    let comm = process.and_then(|id: u32| std::fs::read_to_string(format!("/proc/{id}/comm")).ok());
    match process {
        Some(process) if comm.is_some_and(|comm| comm.contains("redis")) => Ok(process),
        _ => Err(BenchError::wrong(
            "a Redis that is a process of this machine (TOUCHSTONE_PROVIDER=process)",
            "one that cannot be pinned to a core",
        )),
    }
}

fn spec(run_id: &str) -> ServerSpec {
    ServerSpec {
        kind: StoreKind::Redis,
        run_id: run_id.to_owned(),
        name: "bench-redis".to_owned(),
        password: "benchmark".to_owned(), // On loopback, for some minutes, with nothing in it.
        user: "default".to_owned(),
        database: String::new(),
        extra_args: Vec::new(),
        tls: None,
    }
}

#[derive(Debug)]
struct HaProxy {
    child: Child,
    address: SocketAddr,
}

impl HaProxy {
    /// Starts it, if it is installed.
    async fn start(
        session: &Session,
        upstream: SocketAddr,
        cores: Cores,
    ) -> Result<Option<Self>, BenchError> {
        let Some(program) = program() else {
            tell(
                "haproxy is not installed; `make bench-proxy` installs it. Its column stays empty.",
            );
            return Ok(None);
        };
        let failed = |source| BenchError::Child {
            program: program.clone(),
            source,
        };
        let version = Command::new(&program).arg("-v").output().map_err(failed)?;
        let version = String::from_utf8_lossy(&version.stdout);
        let version = version.split_whitespace().nth(2).unwrap_or("unknown");
        session.note_version("haproxy", version.to_owned());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let file = session.scope.make_dir("haproxy")?.join("haproxy.cfg");
        std::fs::write(&file, configuration(address, upstream)).map_err(BenchError::file(&file))?;
        let child = Command::new(&program)
            .args(["-q", "-db", "-f"])
            .arg(&file)
            .env(RUN_MARKER, session.scope.run_id())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let haproxy = Self { child, address };
        haproxy.wait_until_it_listens().await?;
        pin_process(haproxy.child.id(), cores.server)?;
        Ok(Some(haproxy))
    }

    async fn wait_until_it_listens(&self) -> Result<(), BenchError> {
        let look = async || match tokio::net::TcpStream::connect(self.address).await {
            Ok(_) => Look::Ready(()),
            Err(error) => Look::NotYet(error.to_string()),
        };
        Ok(poll_until("haproxy to listen", LISTENS_DEADLINE, LISTENS_POLL, look).await?)
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        // It has gone already, or goes now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("TOUCHSTONE_HAPROXY").map(PathBuf::from);
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = named.into_iter().collect();
    places.extend(std::env::split_paths(&on_path).map(|dir| dir.join("haproxy")));
    // Debian puts it where only root looks.
    places.push(PathBuf::from("/usr/sbin/haproxy"));
    places.into_iter().find(|place| place.is_file())
}

/// All else as HAProxy has it by default: no splicing, 16 KiB buffers, no busy polling.
fn configuration(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "global\n    nbthread 1\n    maxconn 1000\n\
         defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 10m\n    timeout server 10m\n\
         listen redis\n    bind {listen}\n    server redis {upstream}\n"
    )
}
