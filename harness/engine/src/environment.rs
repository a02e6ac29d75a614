//! The environment of one scenario: its own stores, proxies and instances. Nothing is shared with
//! another scenario, so that any number of them may run side by side.

mod error;
mod plan;
mod stores;
mod tls;

pub use error::EnvironmentError;
pub use plan::{EnvironmentPlan, Overrides, Topology};
pub(crate) use stores::{apply_schema, launch_stores};
pub use tls::RedisLine;

use crate::clock::Clock;
use crate::fault::Ledger;
use crate::instance::{Instance, Wiring};
use crate::kept::{Keeper, KeptError};
use crate::listener;
use crate::port::{free_port, is_free};
use crate::process_tree;
use crate::proxy::{Protocol, Proxy, ProxyConfig, ProxyThread, StallLog};
use crate::reaper::{ENVIRONMENT_MARKER, RUN_MARKER};
use crate::run::EventSender;
use crate::store::{ServerSpec, ServerTls, Store, StoreError, StoreKind};
use crate::subject::SubjectError;
use crate::subject::manifest::Manifest;
use crate::subject::process::LaunchPlan;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use touchstone_core::redact::Redactor;

/// Stores, proxies and instances of one scenario.
#[derive(Debug)]
pub struct Environment {
    plan: EnvironmentPlan,
    redis: Arc<Store>,
    postgres: Arc<Store>,
    /// Beside those two, of another version.
    second_redis: tokio::sync::Mutex<Option<Arc<Store>>>,
    proxies: ProxyThread,
    wirings: Mutex<Vec<Arc<Wiring>>>,
    instances: Mutex<Vec<Arc<Instance>>>,
    /// Beside the passwords of the stores.
    secrets: Mutex<Vec<String>>,
    pub(crate) ledger: Arc<Ledger>,
}

impl Environment {
    /// The same outside of a run, for a benchmark: nobody is told of what happens in it.
    pub async fn start_unwatched(plan: EnvironmentPlan) -> Result<Self, EnvironmentError> {
        let ledger = Arc::new(Ledger::new(plan.clock, EventSender::to_nobody(&plan.name)));
        Self::start(plan, Topology::Plain, ledger).await
    }

    /// Starts both stores, side by side, and the proxy thread. No instance yet.
    pub(crate) async fn start(
        plan: EnvironmentPlan,
        topology: Topology,
        ledger: Arc<Ledger>,
    ) -> Result<Self, EnvironmentError> {
        let tls = match topology {
            Topology::Plain => None,
            Topology::Tls {
                demands_client_certificate,
            } => Some(ServerTls {
                authority: plan.scope.authority()?,
                demands_client_certificate,
            }),
        };
        let stores = launch_stores(&plan.name, &plan.scope, &plan.provider, tls).await?;
        let [redis, postgres] = stores.map(Arc::new);
        let proxies = ProxyThread::spawn(&format!("proxy {}", plan.name))?;
        let (wirings, instances, secrets) = Default::default();
        let environment = Self {
            plan,
            redis,
            postgres,
            second_redis: tokio::sync::Mutex::default(),
            proxies,
            wirings,
            instances,
            secrets,
            ledger,
        };
        let manifest = &environment.plan.manifest;
        if let Err(error) = apply_schema(manifest, &environment.postgres).await {
            environment.tear_down().await?;
            return Err(error);
        }
        Ok(environment)
    }

    /// A store.
    pub fn store(&self, kind: StoreKind) -> &Arc<Store> {
        match kind {
            StoreKind::Redis => &self.redis,
            StoreKind::Postgres => &self.postgres,
        }
    }

    /// A Redis of another version, with the same user and password; `None` if no second one was named.
    /// Nothing leads to it but what a scenario leads there.
    pub async fn second_redis(&self) -> Result<Option<Arc<Store>>, EnvironmentError> {
        let mut slot = self.second_redis.lock().await;
        if let (None, Some(provider)) = (&*slot, self.plan.provider.second_redis()) {
            // With the password of the first: the subject's environment holds, and redaction knows it.
            let spec = ServerSpec {
                name: format!("{}-2", self.redis.spec().name),
                ..self.redis.spec().clone()
            };
            let store = Store::launch(spec, &provider, &self.plan.scope).await?;
            *slot = Some(Arc::new(store));
        }
        Ok(slot.clone())
    }

    /// The subject's manifest.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.plan.manifest
    }

    /// The scenario's clock.
    pub fn clock(&self) -> Clock {
        self.plan.clock
    }

    /// The instances so far, in the order of their start.
    pub fn instances(&self) -> Vec<Arc<Instance>> {
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The stall monitor of the proxy thread.
    pub fn stalls(&self) -> StallLog {
        self.proxies.stalls()
    }

    /// The places of instances so far, whether or not something was started there.
    pub fn wirings(&self) -> Vec<Arc<Wiring>> {
        self.wirings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Starts an instance and waits until it is ready. `env` is set over the manifest's environment.
    pub async fn start_instance(
        &self,
        env: &BTreeMap<String, String>,
    ) -> Result<Arc<Instance>, EnvironmentError> {
        let wiring = self.wire().await?;
        let instance = self.launch(
            wiring,
            &Overrides {
                env: env.clone(),
                ..Overrides::default()
            },
        )?;
        instance.wait_ready().await?;
        Ok(instance)
    }

    /// Makes a place for an instance: its own proxies, leading to the stores.
    pub async fn wire(&self) -> Result<Arc<Wiring>, EnvironmentError> {
        let index = self.wirings().len();
        let redis = self.open_proxy(StoreKind::Redis, index).await?;
        let postgres = self.open_proxy(StoreKind::Postgres, index).await?;
        let wiring = Arc::new(Wiring::new(index, redis, postgres));
        for kind in StoreKind::ALL {
            wiring.lead_to(self.store(kind)).await?;
        }
        self.wirings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&wiring));
        Ok(wiring)
    }

    /// Starts an instance at its place, and does not wait.
    pub fn launch(
        &self,
        wiring: Arc<Wiring>,
        overrides: &Overrides,
    ) -> Result<Arc<Instance>, EnvironmentError> {
        let http_port = self.http_port()?;
        let mut values = self.placeholder_values(http_port, &wiring);
        let private_dir = self
            .plan
            .scope
            .make_dir(&format!("{}-private", self.plan.name))?;
        let private_dir = private_dir.display().to_string();
        values.insert("private.dir".to_owned(), private_dir);
        values.extend(overrides.placeholders.clone());
        let mut environment: BTreeMap<String, String> = BTreeMap::new();
        for (name, template) in &self.plan.manifest.subject.env {
            environment.insert(name.clone(), template.fill(|key| values.get(key).cloned()));
        }
        for (name, template) in &overrides.templates {
            environment.insert(name.clone(), template.fill(|key| values.get(key).cloned()));
        }
        environment.retain(|name, _| !overrides.unset.contains(name));
        environment.extend(self.plan.extra_env.clone());
        environment.extend(overrides.env.clone());
        let log_dir = self
            .plan
            .scope
            .make_dir(&format!("{}-subject", self.plan.name))?;
        let launch = LaunchPlan {
            run_id: self.plan.scope.run_id().to_owned(),
            environment: self.plan.name.clone(),
            log_path: log_dir.join(format!("subject-{}.log", wiring.index)),
            http_port,
            env: environment,
        };
        let mut manifest = Arc::clone(&self.plan.manifest);
        if let Some(command) = &overrides.command {
            Arc::make_mut(&mut manifest)
                .subject
                .command
                .clone_from(command);
        }
        let instance = Arc::new(Instance::start(wiring, manifest, &launch, self.plan.clock)?);
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&instance));
        Ok(instance)
    }

    /// A directory of this scenario alone, for what a subject is told to read.
    pub fn private_dir(&self, name: &str) -> Result<PathBuf, EnvironmentError> {
        let name = format!("{}-{name}", self.plan.name);
        Ok(self.plan.scope.make_dir(&name)?)
    }

    /// Another secret that no artefact of this scenario must show, such as a password that it makes up.
    pub fn add_secret(&self, secret: &str) {
        self.secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(secret.to_owned());
    }

    /// Every secret that an artefact of this scenario must not show.
    pub fn redactor(&self) -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add(&self.redis.spec().password);
        redactor.add(&self.postgres.spec().password);
        for secret in &*self.secrets.lock().unwrap_or_else(PoisonError::into_inner) {
            redactor.add(secret);
        }
        for (name, template) in &self.plan.manifest.subject.env {
            // With a placeholder in it, its secret is one of the two above.
            if template.placeholders().next().is_none() {
                redactor.add_variable(name, &template.to_string());
            }
        }
        for (name, value) in &self.plan.extra_env {
            redactor.add_variable(name, value);
        }
        redactor
    }

    /// Ends the instances, then the stores, whatever state they are in. The first error is returned,
    /// after everything has been tried.
    pub async fn tear_down(&self) -> Result<(), StoreError> {
        self.end_instances();
        let second = async {
            match self.second_redis.lock().await.take() {
                Some(second) => second.remove().await,
                None => Ok(()),
            }
        };
        let (redis, postgres, second) =
            tokio::join!(self.redis.remove(), self.postgres.remove(), second);
        redis.and(postgres).and(second)
    }

    /// Ends the instances and gives both stores up as they are. `false`, and nothing is done to the stores, if
    /// enough of the run is kept already.
    pub(crate) async fn leave_stores(&self, keeper: &Keeper) -> Result<bool, KeptError> {
        self.end_instances();
        if let Some(second) = self.second_redis.lock().await.take() {
            second.remove().await?;
        }
        let stores = [&*self.redis, &*self.postgres];
        let redis_database = self.plan.manifest.stores.redis_database;
        keeper.keep(&self.plan.name, stores, redis_database).await
    }

    fn end_instances(&self) {
        for instance in self.instances() {
            instance.kill();
        }
        self.kill_orphans();
    }

    /// What a subject has started and left behind when it ended: no child of ours any more, but marked
    /// by the environment that it has inherited.
    fn kill_orphans(&self) {
        let markers = [
            format!("{RUN_MARKER}={}", self.plan.scope.run_id()),
            format!("{ENVIRONMENT_MARKER}={}", self.plan.name),
        ];
        for process in process_tree::with_environment(&markers) {
            // Gone already is fine; nothing else can be done about it.
            let _ = process_tree::signal(process.pid, Signal::SIGKILL);
        }
    }

    async fn open_proxy(&self, kind: StoreKind, index: usize) -> Result<Proxy, EnvironmentError> {
        let name = format!("{kind} of instance {index}");
        let seed = self.plan.seed.derive(&name);
        let protocol = match kind {
            StoreKind::Redis => Protocol::Redis,
            StoreKind::Postgres => Protocol::Postgres,
        };
        let config = ProxyConfig {
            name,
            seed,
            protocol,
            listen: None,
        };
        Ok(self.proxies.open(config).await?)
    }

    /// Where the next instance is to listen: anywhere free, or where the manifest says that it always does.
    fn http_port(&self) -> Result<u16, EnvironmentError> {
        let Some(fixed) = self.plan.manifest.subject.port else {
            return Ok(free_port()?);
        };
        let port = fixed.get();
        let lives = |instance: &Arc<Instance>| instance.exit().is_none();
        if self.instances().iter().any(lives) {
            return Err(EnvironmentError::FixedPort(port));
        }
        if is_free(port) {
            return Ok(port);
        }
        let by = listener::on(port).map(|listener| listener.to_string());
        let by = by.unwrap_or_else(|| "somebody".to_owned());
        Err(SubjectError::FixedPortTaken { port, by }.into())
    }

    fn placeholder_values(&self, http_port: u16, wiring: &Wiring) -> BTreeMap<String, String> {
        let mut values = BTreeMap::from([
            ("http.port".to_owned(), http_port.to_string()),
            ("instance".to_owned(), wiring.index.to_string()),
        ]);
        let redis_database = self.plan.manifest.stores.redis_database.to_string();
        for (store, database) in [
            (&self.redis, &redis_database),
            (&self.postgres, &self.postgres.spec().database),
        ] {
            let (kind, spec) = (store.kind(), store.spec());
            let address = wiring.proxy(kind).address();
            for (field, value) in [
                ("host", address.ip().to_string()),
                ("port", address.port().to_string()),
                ("user", spec.user.clone()),
                ("password", spec.password.clone()),
                ("database", database.clone()),
            ] {
                values.insert(format!("{kind}.{field}"), value);
            }
        }
        values
    }
}
