//! All proxies, by name.

use crate::address::Reach;
use crate::body;
use crate::error::ApiError;
use crate::proxy::{ProxyView, RemoteProxy, Wanted, WireProtocol};
use serde::Deserialize;
use std::collections::BTreeMap;
use touchstone_core::Seed;
use touchstone_engine::proxy::{ProxyError, ProxyThread, Tls};

/// A proxy as it is written in a request or a file: Toxiproxy's fields, and the protocol.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ProxySpec {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Where it listens; a free port of loopback if empty.
    #[serde(default)]
    pub listen: String,
    /// Where it leads, as `host:port`. The name is looked up once.
    #[serde(default)]
    pub upstream: String,
    /// Whether it listens. `None`: yes.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// What its bytes mean.
    #[serde(default)]
    pub protocol: WireProtocol,
    /// Whether TLS ends here. Not over HTTP: whoever may break the line need not learn or choose a key.
    #[serde(skip)]
    pub tls: Tls,
}

/// What a change of a proxy may name.
#[derive(Debug, Deserialize)]
struct ProxyChange {
    listen: Option<String>,
    upstream: Option<String>,
    enabled: Option<bool>,
}

/// All proxies, on one thread of their own.
pub struct Proxies {
    reach: Reach,
    seed: Seed,
    pub(crate) by_name: BTreeMap<String, RemoteProxy>,
    // Dropped after the proxies, which live on it.
    thread: ProxyThread,
}

impl Proxies {
    /// None yet.
    ///
    /// # Errors
    /// The machine gives no more threads.
    pub fn start(reach: Reach, seed: Seed) -> Result<Self, ProxyError> {
        Ok(Self {
            reach,
            seed,
            by_name: BTreeMap::new(),
            thread: ProxyThread::spawn("proxies")?,
        })
    }

    /// Reads a list of proxies, as `/populate` takes it and a configuration file holds it.
    ///
    /// # Errors
    /// It is no such list, or one of them has no name or no upstream.
    pub fn read_list(bytes: &[u8]) -> Result<Vec<ProxySpec>, ApiError> {
        let specs: Vec<ProxySpec> = body::objects(bytes)?;
        for (index, spec) in specs.iter().enumerate() {
            spec.check(&format!(" at proxy {}", index + 1))?;
        }
        Ok(specs)
    }

    /// Opens a proxy; returns where it listens.
    ///
    /// # Errors
    /// There is one of that name, or it cannot listen.
    pub async fn create(&mut self, spec: ProxySpec) -> Result<String, ApiError> {
        self.add(spec).await.map(|view| view.listen)
    }

    pub(crate) async fn create_from(&mut self, bytes: &[u8]) -> Result<ProxyView, ApiError> {
        let spec: ProxySpec = body::object(bytes)?;
        self.add(spec).await
    }

    async fn add(&mut self, spec: ProxySpec) -> Result<ProxyView, ApiError> {
        spec.check("")?;
        if self.by_name.contains_key(&spec.name) {
            return Err(ApiError::proxy_exists());
        }
        let wanted = self.wanted(spec).await?;
        self.open(wanted).await
    }

    async fn open(&mut self, wanted: Wanted) -> Result<ProxyView, ApiError> {
        let proxy = RemoteProxy::open(&self.thread, self.seed, wanted).await?;
        let view = proxy.view();
        self.by_name.insert(view.name.clone(), proxy);
        Ok(view)
    }

    async fn wanted(&self, spec: ProxySpec) -> Result<Wanted, ApiError> {
        Ok(Wanted {
            listen: self.reach.listen_address(&spec.listen).await?,
            name: spec.name,
            upstream: spec.upstream,
            enabled: spec.enabled.unwrap_or(true),
            protocol: spec.protocol,
            tls: spec.tls,
        })
    }

    /// Opens each, in the place of one of that name that listens or leads elsewhere. With an error come the proxies
    /// that had been opened before it.
    pub(crate) async fn populate(
        &mut self,
        specs: Vec<ProxySpec>,
    ) -> (Vec<ProxyView>, Result<(), ApiError>) {
        let mut views = Vec::new();
        for spec in specs {
            match self.add_or_replace(spec).await {
                Ok(view) => views.push(view),
                Err(error) => return (views, Err(error)),
            }
        }
        (views, Ok(()))
    }

    async fn add_or_replace(&mut self, spec: ProxySpec) -> Result<ProxyView, ApiError> {
        let wanted = self.wanted(spec).await?;
        if let Some(existing) = self.by_name.get(&wanted.name) {
            if !existing.differs(&wanted) {
                return Ok(existing.view());
            }
            // First, as the new one may want its port.
            self.by_name.remove(&wanted.name);
        }
        self.open(wanted).await
    }

    pub(crate) async fn update(&mut self, name: &str, bytes: &[u8]) -> Result<ProxyView, ApiError> {
        let before = self.get(name)?.view();
        let change: ProxyChange = body::object(bytes)?;
        let spec = ProxySpec {
            name: before.name,
            listen: change.listen.unwrap_or(before.listen),
            upstream: change.upstream.unwrap_or(before.upstream),
            enabled: Some(change.enabled.unwrap_or(before.enabled)),
            protocol: before.protocol,
            // It keeps what it was opened with.
            tls: Tls::default(),
        };
        let wanted = self.wanted(spec).await?;
        let Self {
            by_name, thread, ..
        } = self;
        let proxy = by_name.get_mut(name).ok_or_else(ApiError::no_proxy)?;
        proxy.update(thread, wanted).await?;
        Ok(proxy.view())
    }

    pub(crate) fn get(&self, name: &str) -> Result<&RemoteProxy, ApiError> {
        self.by_name.get(name).ok_or_else(ApiError::no_proxy)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Result<&mut RemoteProxy, ApiError> {
        self.by_name.get_mut(name).ok_or_else(ApiError::no_proxy)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), ApiError> {
        let removed = self.by_name.remove(name);
        removed.map(drop).ok_or_else(ApiError::no_proxy)
    }

    pub(crate) async fn reset(&mut self) -> Result<(), ApiError> {
        for proxy in self.by_name.values_mut() {
            proxy.reset().await?;
        }
        Ok(())
    }
}

impl ProxySpec {
    fn check(&self, place: &str) -> Result<(), ApiError> {
        let fields = [("name", &self.name), ("upstream", &self.upstream)];
        match fields.iter().find(|(_, value)| value.is_empty()) {
            Some((field, _)) => Err(ApiError::missing(format!("{field}{place}"))),
            None => Ok(()),
        }
    }
}
