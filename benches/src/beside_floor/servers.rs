//! What is asked: two stores, the floor and the backend, straight to the stores, all on one core.

use super::load::{Asked, KEY, RedisSeen, Tools, VALUE_BYTES};
use super::{Kind, Server, WORKER_ARGUMENT};
use crate::side_by_side::Cores;
use crate::side_by_side::pinning::{cpu_time, pin_process};
use crate::{BenchError, Session, backend_build, workspace_root};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use touchstone_engine::port::free_port;
use touchstone_engine::reaper::RUN_MARKER;
use touchstone_engine::store::{SUPERUSER, ServerSpec, Store, StoreError, StoreKind};
use touchstone_engine::subject::Manifest;

const MANIFEST: &str = "fixtures/subjects/reference.toml";
const READY_DEADLINE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_micros(200);

/// One started server. Dropping it ends it.
#[derive(Debug)]
struct Running {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has gone already, or goes now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Servers<'a> {
    tools: &'a Tools,
    run_id: String,
    cores: Cores,
    redis: Store,
    postgres: Store,
    program: PathBuf,
    parts: Parts,
}

/// What is started on the stores.
#[derive(Debug)]
struct Parts {
    scripts: PathBuf,
    redis_address: SocketAddr,
    env: BTreeMap<String, String>,
    floor: Running,
    ours: Running,
    /// An entity that lies in the cache.
    id: String,
}

impl<'a> Servers<'a> {
    pub(super) async fn start(
        session: &Session,
        cores: Cores,
        tools: &'a Tools,
    ) -> Result<Self, BenchError> {
        let manifest = Manifest::load(&workspace_root().join(MANIFEST))?;
        let (program, build) = backend_build::program(session.mode, &manifest)?;
        session.note_backend(build);
        let redis = launch(session, StoreKind::Redis).await?;
        let postgres = match launch(session, StoreKind::Postgres).await {
            Ok(postgres) => postgres,
            Err(error) => {
                redis.remove().await?;
                return Err(error);
            }
        };
        let stores = (&redis, &postgres);
        match Parts::start(session, cores, &manifest, stores, &program).await {
            Ok(parts) => Ok(Self {
                tools,
                run_id: session.scope.run_id().to_owned(),
                cores,
                redis,
                postgres,
                program,
                parts,
            }),
            Err(error) => {
                let (redis, postgres) = (redis.remove().await, postgres.remove().await);
                redis.and(postgres)?;
                Err(error)
            }
        }
    }

    /// Loads one server.
    pub(super) fn ask(
        &self,
        server: Server,
        kind: Kind,
        clients: usize,
        seconds: u64,
    ) -> Result<Asked, BenchError> {
        let running = match server {
            Server::Floor => &self.parts.floor,
            Server::Ours => &self.parts.ours,
        };
        let path = match kind {
            Kind::Get | Kind::Set => format!("/kv/{KEY}"),
            Kind::Hit => format!("/users/{}", self.parts.id),
        };
        let url = format!("http://127.0.0.1:{}{path}", running.port);
        let cpu = || cpu_time(running.child.id());
        self.tools
            .ask((&self.parts.scripts, kind), &url, (clients, seconds), cpu)
    }

    pub(super) fn ask_redis(&self, requests: u32) -> Result<Option<RedisSeen>, BenchError> {
        let password = &self.redis.spec().password;
        self.tools
            .ask_redis(self.parts.redis_address, password, requests)
    }

    /// A second instance, from its start to its first good answer.
    pub(super) fn ready_ms(&self) -> Result<f64, BenchError> {
        let began = Instant::now();
        let place = Place {
            run_id: &self.run_id,
            logs: &self.parts.scripts,
        };
        let second = spawn(&self.program, place, &self.parts.env, |_| Vec::new())?;
        pin_process(second.child.id(), self.cores.server)?;
        wait_for(&second, "/health")?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    }

    /// What our process has in memory.
    pub(super) fn rss_mib(&self) -> f64 {
        let path = format!("/proc/{}/status", self.parts.ours.child.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or_default() / 1024.0
    }

    pub(super) async fn close(self) -> Result<(), BenchError> {
        drop(self.parts);
        let (redis, postgres) = (self.redis.remove().await, self.postgres.remove().await);
        Ok(redis.and(postgres)?)
    }
}

impl Parts {
    async fn start(
        session: &Session,
        cores: Cores,
        manifest: &Manifest,
        (redis, postgres): (&Store, &Store),
        program: &Path,
    ) -> Result<Self, BenchError> {
        for store in [redis, postgres] {
            let version = store.version().await?;
            session.note_version(&store.kind().to_string(), version);
        }
        let scripts = session.scope.make_dir("wrk")?;
        Tools::write_scripts(&scripts)?;
        let id = seed(manifest, redis, postgres).await?;
        let private_dir = session.scope.make_dir("private")?;
        let env = environment(manifest, (redis, postgres), &private_dir).await?;
        let run_id = session.scope.run_id();
        let redis_address = address(redis).await?;
        let url = format!("redis://:{}@{redis_address}", redis.spec().password);
        let this = std::env::current_exe().unwrap_or_default();
        let arguments = |port: u16| vec![WORKER_ARGUMENT.to_owned(), url, port.to_string()];
        let place = Place {
            run_id,
            logs: &scripts,
        };
        let floor = spawn(&this, place, &BTreeMap::new(), arguments)?;
        let ours = spawn(program, place, &env, |_| Vec::new())?;
        wait_for(&floor, &format!("/kv/{KEY}"))?;
        wait_for(&ours, "/health")?;
        for process in [floor.child.id(), ours.child.id()] {
            pin_process(process, cores.server)?;
        }
        // A hit from the first request on: ours fills what the floor reads.
        for server in [&ours, &floor] {
            wait_for(server, &format!("/users/{id}"))?;
        }
        Ok(Self {
            scripts,
            redis_address,
            env,
            floor,
            ours,
            id,
        })
    }
}

async fn launch(session: &Session, kind: StoreKind) -> Result<Store, BenchError> {
    let spec = ServerSpec {
        kind,
        run_id: session.scope.run_id().to_owned(),
        name: format!("bench-{kind}"),
        password: "benchmark".to_owned(), // On loopback, for some minutes, with nothing in it.
        user: match kind {
            StoreKind::Redis => "default".to_owned(),
            StoreKind::Postgres => SUPERUSER.to_owned(),
        },
        database: "postgres".to_owned(),
        extra_args: Vec::new(),
        tls: None,
    };
    Ok(Store::launch(spec, &session.provider, &session.scope).await?)
}

async fn address(store: &Store) -> Result<SocketAddr, BenchError> {
    let address = store.address().await;
    Ok(address.ok_or(StoreError::NotRunning(store.kind()))?)
}

/// The schema, a row and a value; the row's id.
async fn seed(manifest: &Manifest, redis: &Store, postgres: &Store) -> Result<String, BenchError> {
    let client = postgres.postgres().await?;
    if let Some(schema) = &manifest.stores.postgres_schema {
        let path = manifest.resolve(schema);
        let sql = std::fs::read_to_string(&path).map_err(BenchError::file(&path))?;
        client.batch_execute(&sql).await.map_err(StoreError::from)?;
    }
    let row = client
        .query_one(
            "INSERT INTO users (name, email) VALUES ('Ann', 'ann@example.com') RETURNING id",
            &[],
        )
        .await
        .map_err(StoreError::from)?;
    let mut connection = redis.redis(manifest.stores.redis_database).await?;
    redis::cmd("SET")
        .arg(format!("kv:{KEY}"))
        .arg("x".repeat(VALUE_BYTES))
        .exec_async(&mut connection)
        .await?;
    Ok(row.get::<_, i64>(0).to_string())
}

/// That of the manifest, with the stores' own addresses: no proxy stands between.
async fn environment(
    manifest: &Manifest,
    (redis, postgres): (&Store, &Store),
    private_dir: &Path,
) -> Result<BTreeMap<String, String>, BenchError> {
    let private_dir = private_dir.display().to_string();
    let mut values = BTreeMap::from([
        ("instance".to_owned(), "0".to_owned()),
        ("private.dir".to_owned(), private_dir),
    ]);
    for store in [redis, postgres] {
        let (kind, spec, address) = (store.kind(), store.spec(), address(store).await?);
        let database = match kind {
            StoreKind::Redis => manifest.stores.redis_database.to_string(),
            StoreKind::Postgres => spec.database.clone(),
        };
        for (field, value) in [
            ("host", address.ip().to_string()),
            ("port", address.port().to_string()),
            ("user", spec.user.clone()),
            ("password", spec.password.clone()),
            ("database", database),
        ] {
            values.insert(format!("{kind}.{field}"), value);
        }
    }
    let fill = |(name, template): (&String, &touchstone_engine::subject::manifest::Template)| {
        (name.clone(), template.fill(|key| values.get(key).cloned()))
    };
    Ok(manifest.subject.env.iter().map(fill).collect())
}

/// Whose a process is, and where its log goes.
#[derive(Clone, Copy)]
struct Place<'a> {
    run_id: &'a str,
    logs: &'a Path,
}

fn spawn(
    program: &Path,
    place: Place<'_>,
    env: &BTreeMap<String, String>,
    arguments: impl FnOnce(u16) -> Vec<String>,
) -> Result<Running, BenchError> {
    let port = free_port()?;
    let log = place.logs.join(format!("{port}.log"));
    let file = File::create(&log).map_err(BenchError::file(&log))?;
    let child = Command::new(program)
        .args(arguments(port))
        .envs(env)
        // The one placeholder that is each server's own.
        .env("PORT", port.to_string())
        .env(RUN_MARKER, place.run_id)
        .current_dir(workspace_root())
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(file)
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|source| BenchError::Child {
            program: program.to_owned(),
            source,
        })?;
    Ok(Running { child, port, log })
}

/// Asks, again and again, until the answer is good.
fn wait_for(server: &Running, path: &str) -> Result<(), BenchError> {
    let began = Instant::now();
    loop {
        let seen = match status(server.port, path) {
            Ok(line) if line.contains(" 200 ") => return Ok(()),
            Ok(line) => line,
            Err(error) => error.to_string(),
        };
        if began.elapsed() > READY_DEADLINE {
            let log = std::fs::read_to_string(&server.log).unwrap_or_default();
            let last = log.lines().last().unwrap_or_default();
            let seen = format!("{seen}; its log ends with `{last}`");
            return Err(BenchError::wrong(format!("200 at `{path}`"), seen));
        }
        std::thread::sleep(POLL);
    }
}

fn status(port: u16, path: &str) -> std::io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(READY_DEADLINE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
