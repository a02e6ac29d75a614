//! One proxy, with its toxics and rules.

use crate::address::resolve;
use crate::error::ApiError;
use crate::rule::{RemoteRule, RuleView};
use crate::toxic::Toxic;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use touchstone_core::Seed;
use touchstone_engine::proxy::{
    Cut, CutMode, NetworkFault, Protocol, Proxy, ProxyConfig, ProxyThread, Refuse, Tls,
};

/// What the bytes of a proxy mean, as it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WireProtocol {
    /// RESP, version 2 or 3.
    Redis,
    /// Postgres, protocol 3.
    Postgres,
    /// Nothing is decoded.
    #[default]
    Tcp,
}

impl From<WireProtocol> for Protocol {
    fn from(protocol: WireProtocol) -> Self {
        match protocol {
            WireProtocol::Redis => Protocol::Redis,
            WireProtocol::Postgres => Protocol::Postgres,
            WireProtocol::Tcp => Protocol::Opaque,
        }
    }
}

/// What makes a proxy, and what a change of it may name.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) listen: SocketAddr,
    pub(crate) upstream: String,
    pub(crate) enabled: bool,
    pub(crate) protocol: WireProtocol,
    pub(crate) tls: Tls,
}

/// A toxic in force.
pub(crate) struct RemoteToxic {
    pub(crate) toxic: Toxic,
    pub(crate) guard: NetworkFault,
}

/// A proxy as clients see it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProxyView {
    pub(crate) name: String,
    pub(crate) listen: String,
    pub(crate) upstream: String,
    pub(crate) enabled: bool,
    /// Ours: clients of Toxiproxy do not look at it.
    pub(crate) protocol: WireProtocol,
    pub(crate) toxics: Vec<Toxic>,
}

/// One proxy.
pub(crate) struct RemoteProxy {
    pub(crate) name: String,
    upstream: String,
    protocol: WireProtocol,
    tls: Tls,
    seed: Seed,
    /// While it is not enabled: nothing listens, and the port stays ours.
    refused: Option<NetworkFault>,
    toxics: Vec<RemoteToxic>,
    pub(crate) rules: Vec<RemoteRule>,
    next_rule: u64,
    // Dropped after the guards, whose heal needs it.
    pub(crate) proxy: Proxy,
}

impl RemoteProxy {
    pub(crate) async fn open(
        thread: &ProxyThread,
        seed: Seed,
        wanted: Wanted,
    ) -> Result<Self, ApiError> {
        let upstream = resolve(&wanted.upstream).await?;
        let seed = seed.derive(&format!("proxy {}", wanted.name));
        let proxy = open(thread, &wanted, seed).await?;
        proxy.set_upstream(Some(upstream)).await?;
        proxy.set_tls(wanted.tls.clone()).await?;
        let mut opened = Self {
            name: wanted.name,
            upstream: wanted.upstream,
            protocol: wanted.protocol,
            tls: wanted.tls,
            seed,
            refused: None,
            toxics: Vec::new(),
            rules: Vec::new(),
            next_rule: 0,
            proxy,
        };
        opened.enable(wanted.enabled).await?;
        Ok(opened)
    }

    pub(crate) fn view(&self) -> ProxyView {
        ProxyView {
            name: self.name.clone(),
            listen: self.proxy.address().to_string(),
            upstream: self.upstream.clone(),
            enabled: self.is_enabled(),
            protocol: self.protocol,
            toxics: self.toxics().map(|held| held.toxic.clone()).collect(),
        }
    }

    /// In Toxiproxy's order: those of the way up first.
    pub(crate) fn toxics(&self) -> impl Iterator<Item = &RemoteToxic> {
        let is_up = |held: &&RemoteToxic| held.toxic.is_upstream();
        let down = self.toxics.iter().filter(move |held| !is_up(held));
        self.toxics.iter().filter(is_up).chain(down)
    }

    pub(crate) fn toxic(&self, name: &str) -> Result<&RemoteToxic, ApiError> {
        let mut toxics = self.toxics.iter();
        toxics
            .find(|held| held.toxic.name == name)
            .ok_or_else(ApiError::no_toxic)
    }

    fn is_enabled(&self) -> bool {
        self.refused.is_none()
    }

    /// Whether it is told to lead from another place or to another one.
    pub(crate) fn differs(&self, wanted: &Wanted) -> bool {
        self.proxy.address() != wanted.listen || self.upstream != wanted.upstream
    }

    /// Nothing listens and no connection is left, or it listens again.
    pub(crate) async fn enable(&mut self, enabled: bool) -> Result<(), ApiError> {
        match (&mut self.refused, enabled) {
            (Some(guard), true) => {
                guard.heal().await?;
                self.refused = None;
            }
            (None, false) => self.refused = Some(self.proxy.inject(Refuse).await?),
            _ => {}
        }
        Ok(())
    }

    /// Leads elsewhere, from elsewhere. As with Toxiproxy the connections are closed where it does.
    pub(crate) async fn update(
        &mut self,
        thread: &ProxyThread,
        wanted: Wanted,
    ) -> Result<(), ApiError> {
        let upstream = resolve(&wanted.upstream).await?;
        if self.proxy.address() != wanted.listen {
            self.listen_elsewhere(thread, &wanted).await?;
        }
        if self.upstream != wanted.upstream {
            let mode = CutMode::Close;
            drop(self.proxy.inject(Cut { mode }).await?);
            self.upstream = wanted.upstream;
        }
        self.proxy.set_upstream(Some(upstream)).await?;
        self.enable(wanted.enabled).await
    }

    /// A proxy never changes its address: another one takes the place of this one, with its toxics. Rules, which
    /// count what they have seen, would begin anew.
    async fn listen_elsewhere(
        &mut self,
        thread: &ProxyThread,
        wanted: &Wanted,
    ) -> Result<(), ApiError> {
        if !self.rules.is_empty() {
            return Err(ApiError::refused(
                "a proxy with rules cannot listen elsewhere; delete the rules first",
            ));
        }
        let proxy = open(thread, wanted, self.seed).await?;
        proxy.set_tls(self.tls.clone()).await?;
        let mut toxics = Vec::new();
        for held in &self.toxics {
            let toxic = held.toxic.clone();
            let guard = toxic.inject(&proxy).await?;
            toxics.push(RemoteToxic { toxic, guard });
        }
        self.toxics = toxics;
        self.refused = None;
        self.proxy = proxy;
        Ok(())
    }

    pub(crate) async fn add_toxic(&mut self, body: &[u8]) -> Result<Toxic, ApiError> {
        let toxic = Toxic::read(body)?;
        if self.toxic(&toxic.name).is_ok() {
            return Err(ApiError::toxic_exists());
        }
        let guard = toxic.inject(&self.proxy).await?;
        self.toxics.push(RemoteToxic {
            toxic: toxic.clone(),
            guard,
        });
        Ok(toxic)
    }

    /// The new one is in force before the old one heals, so that nothing slips through in between.
    pub(crate) async fn change_toxic(
        &mut self,
        name: &str,
        body: &[u8],
    ) -> Result<Toxic, ApiError> {
        let toxic = self.toxic(name)?.toxic.changed(body)?;
        let guard = toxic.inject(&self.proxy).await?;
        let found = self.toxics.iter_mut().find(|held| held.toxic.name == name);
        let held = found.ok_or_else(ApiError::no_toxic)?;
        let mut before = std::mem::replace(&mut held.guard, guard);
        held.toxic = toxic.clone();
        before.heal().await?;
        Ok(toxic)
    }

    pub(crate) async fn remove_toxic(&mut self, name: &str) -> Result<(), ApiError> {
        let mut toxics = self.toxics.iter();
        let index = toxics
            .position(|held| held.toxic.name == name)
            .ok_or_else(ApiError::no_toxic)?;
        Ok(self.toxics.remove(index).guard.heal().await?)
    }

    pub(crate) async fn add_rule(&mut self, body: &[u8]) -> Result<RuleView, ApiError> {
        let rule = RemoteRule::inject(self.next_rule, body, &self.proxy).await?;
        self.next_rule += 1;
        let view = rule.view();
        self.rules.push(rule);
        Ok(view)
    }

    pub(crate) fn rule(&self, id: u64) -> Result<&RemoteRule, ApiError> {
        let mut rules = self.rules.iter();
        rules
            .find(|rule| rule.id == id)
            .ok_or_else(ApiError::no_rule)
    }

    pub(crate) async fn remove_rule(&mut self, id: u64) -> Result<(), ApiError> {
        let mut rules = self.rules.iter();
        let index = rules
            .position(|rule| rule.id == id)
            .ok_or_else(ApiError::no_rule)?;
        Ok(self.rules.remove(index).guard.heal().await?)
    }

    /// Heals everything, and lets it listen.
    pub(crate) async fn reset(&mut self) -> Result<(), ApiError> {
        self.enable(true).await?;
        for mut held in self.toxics.drain(..) {
            held.guard.heal().await?;
        }
        for mut rule in self.rules.drain(..) {
            rule.guard.heal().await?;
        }
        Ok(())
    }
}

async fn open(thread: &ProxyThread, wanted: &Wanted, seed: Seed) -> Result<Proxy, ApiError> {
    let config = ProxyConfig {
        name: wanted.name.clone(),
        seed,
        protocol: wanted.protocol.into(),
        listen: Some(wanted.listen),
    };
    let opened = thread.open(config).await;
    opened.map_err(|error| ApiError::listen(&wanted.listen.to_string(), &error))
}
