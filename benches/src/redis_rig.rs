//! Redis with a proxy in front: the same client on both ways to it.

use crate::{BenchError, Session, tell};
use redis::aio::MultiplexedConnection;
use tokio::runtime::Runtime;
use touchstone_core::Seed;
use touchstone_engine::error_chain;
use touchstone_engine::proxy::{Protocol, Proxy, ProxyConfig, ProxyThread};
use touchstone_engine::store::redis::connect;
use touchstone_engine::store::{ServerSpec, Store, StoreError, StoreKind};

/// A way to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Straight to the server.
    Direct,
    /// Through the proxy.
    Proxied,
}

impl Route {
    /// Both.
    pub const ALL: [Route; 2] = [Route::Direct, Route::Proxied];

    /// The name in a benchmark's id.
    pub fn name(self) -> &'static str {
        match self {
            Route::Direct => "direct",
            Route::Proxied => "proxied",
        }
    }
}

/// A Redis of its own, a proxy on a thread of its own, and a connection on each way. Dropping it removes all.
#[derive(Debug)]
pub struct RedisRig {
    direct: MultiplexedConnection,
    proxied: MultiplexedConnection,
    // Before its thread: a proxy closes on that thread.
    proxy: Proxy,
    _proxies: ProxyThread,
    store: Store,
    session: Session,
}

impl RedisRig {
    /// Starts everything.
    pub fn start() -> Result<Self, BenchError> {
        let session = Session::open("redis")?;
        let spec = spec(session.scope.run_id());
        let launched = Store::launch(spec, &session.provider, &session.scope);
        let store = session.runtime.block_on(launched)?;
        match session.runtime.block_on(open(&store, &session)) {
            Ok((direct, proxied, proxy, proxies)) => Ok(Self {
                direct,
                proxied,
                proxy,
                _proxies: proxies,
                store,
                session,
            }),
            Err(error) => {
                remove(&session.runtime, &store);
                Err(error)
            }
        }
    }

    /// Where the benchmark's futures run.
    pub fn runtime(&self) -> &Runtime {
        &self.session.runtime
    }

    /// The run.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The standing connection on a way.
    pub fn connection(&self, route: Route) -> MultiplexedConnection {
        match route {
            Route::Direct => self.direct.clone(),
            Route::Proxied => self.proxied.clone(),
        }
    }

    /// A new connection on a way: TCP, handshake, authentication.
    pub async fn connect(&self, route: Route) -> Result<MultiplexedConnection, BenchError> {
        let address = match route {
            Route::Direct => self.store.address().await,
            Route::Proxied => Some(self.proxy.address()),
        };
        let address = address.ok_or(StoreError::NotRunning(StoreKind::Redis))?;
        Ok(connect(address, &self.store.spec().password, 0).await?)
    }

    /// Ends the measurement and leaves its note.
    pub fn finish(self) -> Result<(), BenchError> {
        self.session.save_note()
    }
}

impl Drop for RedisRig {
    fn drop(&mut self) {
        remove(&self.session.runtime, &self.store);
    }
}

type Ways = (
    MultiplexedConnection,
    MultiplexedConnection,
    Proxy,
    ProxyThread,
);

async fn open(store: &Store, session: &Session) -> Result<Ways, BenchError> {
    session.note_version("redis", store.version().await?);
    let proxies = ProxyThread::spawn("proxy bench")?;
    let config = ProxyConfig {
        name: "redis".to_owned(),
        seed: Seed(0), // Nothing here is left to chance: no fault is ever in force.
        protocol: Protocol::Redis,
        listen: None,
    };
    let proxy = proxies.open(config).await?;
    proxy.set_upstream(store.address().await).await?;
    let password = &store.spec().password;
    let direct = store.redis(0).await?;
    let proxied = connect(proxy.address(), password, 0).await?;
    Ok((direct, proxied, proxy, proxies))
}

fn spec(run_id: &str) -> ServerSpec {
    ServerSpec {
        kind: StoreKind::Redis,
        run_id: run_id.to_owned(),
        name: "bench-redis".to_owned(),
        password: "benchmark".to_owned(), // On loopback, for two minutes, with nothing in it.
        user: "default".to_owned(),
        database: String::new(),
        extra_args: Vec::new(),
        tls: None,
    }
}

fn remove(runtime: &Runtime, store: &Store) {
    if let Err(error) = runtime.block_on(store.remove()) {
        tell(&format!("cannot remove Redis: {}", error_chain(&error)));
    }
}
