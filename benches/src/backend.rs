//! The reference backend with its own stores and proxies, asked by the operations of its manifest.

use crate::{BenchError, Session, backend_build, tell, workspace_root};
use redis::aio::MultiplexedConnection;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;
use touchstone_core::Seed;
use touchstone_engine::clock::Clock;
use touchstone_engine::environment::{Environment, EnvironmentError, EnvironmentPlan};
use touchstone_engine::error_chain;
use touchstone_engine::instance::Instance;
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::{AnswerKind, Value};
use touchstone_engine::subject::manifest::{LimiterSection, Template};
use touchstone_engine::subject::{Answer, Manifest, OperationName};

const MANIFEST: &str = "fixtures/subjects/reference.toml";

/// More requests than any measurement makes in a window.
const LIMIT_OUT_OF_REACH: u64 = 1_000_000_000;

/// One instance of the backend, ready. Dropping it removes everything.
#[derive(Debug)]
pub struct BackendRig {
    /// A direct look into the backend's Redis, for what an answer does not tell.
    redis: MultiplexedConnection,
    /// An entity that is there.
    id: String,
    instance: Arc<Instance>,
    environment: Environment,
    session: Session,
}

impl BackendRig {
    /// Starts everything.
    pub fn start() -> Result<Self, BenchError> {
        let session = Session::open("backend")?;
        let mut manifest = Manifest::load(&workspace_root().join(MANIFEST))?;
        let (program, build) = backend_build::program(session.mode, &manifest)?;
        manifest.subject.command[0] = literal(&program)?;
        session.note_backend(build);
        let plan = EnvironmentPlan {
            name: "bench".to_owned(),
            scope: Arc::clone(&session.scope),
            provider: Arc::clone(&session.provider),
            manifest: Arc::new(manifest),
            extra_env: BTreeMap::new(),
            seed: Seed(0), // Nothing here is left to chance: no fault is ever in force.
            clock: Clock::start(),
        };
        let started = Environment::start_unwatched(plan);
        let environment = session.runtime.block_on(started)?;
        match session.runtime.block_on(prepare(&environment, &session)) {
            Ok((instance, redis, id)) => Ok(Self {
                redis,
                id,
                instance,
                environment,
                session,
            }),
            Err(error) => {
                remove(&session.runtime, &environment);
                Err(error)
            }
        }
    }

    /// Where the benchmark's futures run.
    pub fn runtime(&self) -> &Runtime {
        &self.session.runtime
    }

    /// Asks for the health document.
    pub async fn health(&self) -> Result<(), BenchError> {
        let section = self.environment.manifest().health.as_ref();
        let (path, ok_status) = section.map_or(("/health", 200), |health| {
            (health.path.as_str(), health.ok_status)
        });
        let answer = self.instance.http.get(path).await?;
        if answer.status == ok_status {
            return Ok(());
        }
        Err(BenchError::wrong("a healthy backend", answer.describe()))
    }

    /// Carries out an operation, which has to succeed.
    pub async fn call(
        &self,
        name: OperationName,
        values: &[Value<'_>],
    ) -> Result<Answer, BenchError> {
        call(&self.instance, name, values).await
    }

    /// The same for an operation on the entity that is there.
    pub async fn call_entity(&self, name: OperationName) -> Result<Answer, BenchError> {
        self.call(name, &[("id", self.id.as_bytes())]).await
    }

    /// Looks into Redis, past the backend, whether the entity is cached as it should be: a hit that is
    /// none, or a miss, would still be answered, only in another time.
    pub async fn demand_cached(&self, expected: bool) -> Result<(), BenchError> {
        let Some(template) = &self.environment.manifest().keys.entity else {
            return Ok(());
        };
        let key = template.fill(|name| (name == "id").then(|| self.id.clone()));
        let seen: bool = redis::cmd("EXISTS")
            .arg(&key)
            .query_async(&mut self.redis.clone())
            .await?;
        if seen == expected {
            return Ok(());
        }
        let word = |cached: bool| if cached { "there" } else { "not there" };
        Err(BenchError::wrong(
            format!("the cache entry `{key}` {}", word(expected)),
            word(seen),
        ))
    }

    /// Ends the measurement and leaves its note.
    pub fn finish(self) -> Result<(), BenchError> {
        self.session.save_note()
    }
}

impl Drop for BackendRig {
    fn drop(&mut self) {
        remove(&self.session.runtime, &self.environment);
    }
}

async fn prepare(
    environment: &Environment,
    session: &Session,
) -> Result<(Arc<Instance>, MultiplexedConnection, String), BenchError> {
    for kind in StoreKind::ALL {
        let version = environment.store(kind).version().await;
        session.note_version(&kind.to_string(), version?);
    }
    let manifest = environment.manifest();
    let raised = manifest.limiter.as_ref().map(out_of_reach);
    let instance = environment
        .start_instance(&raised.unwrap_or_default())
        .await?;
    let redis = environment.store(StoreKind::Redis);
    let redis = redis.redis(manifest.stores.redis_database).await?;
    let created = call(&instance, OperationName::EntityCreate, &[("value", b"Ann")]).await?;
    let no_id = || BenchError::wrong("the id of a new entity", created.describe());
    let id = created.text().ok_or_else(no_id)?;
    Ok((instance, redis, id))
}

async fn call(
    instance: &Instance,
    name: OperationName,
    values: &[Value<'_>],
) -> Result<Answer, BenchError> {
    let answer = instance.http.call(name, values).await?;
    if answer.kind() == AnswerKind::Ok {
        return Ok(answer);
    }
    Err(BenchError::wrong(
        format!("`{}` to succeed", name.key()),
        answer.describe(),
    ))
}

/// The environment that raises the limit so far that only the limiter's work is measured, no refusal.
fn out_of_reach(limiter: &LimiterSection) -> BTreeMap<String, String> {
    let value = |placeholder: &str| match placeholder {
        "limit" => Some(LIMIT_OUT_OF_REACH.to_string()),
        "window_ms" => Some(limiter.window_ms.to_string()),
        _ => None,
    };
    let fill = |(name, template): (&String, &Template)| (name.clone(), template.fill(value));
    limiter.shorten.iter().map(fill).collect()
}

fn literal(program: &Path) -> Result<Template, BenchError> {
    let text = program.display().to_string();
    let escaped = text.replace('{', "{{").replace('}', "}}");
    Template::parse(&escaped).map_err(|problem| BenchError::Build {
        problem,
        command: text,
    })
}

fn remove(runtime: &Runtime, environment: &Environment) {
    if let Err(error) = runtime.block_on(environment.tear_down()) {
        let error = error_chain(&EnvironmentError::from(error));
        tell(&format!("cannot remove the stores: {error}"));
    }
}
