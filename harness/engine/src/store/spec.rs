//! What a store is: its kind, its credentials, and the states that it can be in.

use crate::tls::{Authority, Shown};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The kinds of store that a subject can depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// Redis, or a server that speaks its protocol.
    Redis,
    /// Postgres.
    Postgres,
}

impl StoreKind {
    /// Both, in the order in which reports name them.
    pub const ALL: [StoreKind; 2] = [StoreKind::Redis, StoreKind::Postgres];
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoreKind::Redis => "redis",
            StoreKind::Postgres => "postgres",
        })
    }
}

/// What to start.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    /// Which kind.
    pub kind: StoreKind,
    /// The run that it belongs to.
    pub run_id: String,
    /// A name that is unique in the run, for instance `HLTH-2-1-redis`.
    pub name: String,
    /// The password that clients must give.
    pub password: String,
    /// The Postgres superuser; unused by Redis.
    pub user: String,
    /// The Postgres database; unused by Redis.
    pub database: String,
    /// Further arguments for the server.
    pub extra_args: Vec<String>,
    /// A second port with TLS, beside the plain one; Redis only.
    pub tls: Option<ServerTls>,
}

/// What a server needs to speak TLS.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// Who signs.
    pub authority: Arc<Authority>,
    /// Whether clients must show a certificate of the same authority.
    pub demands_client_certificate: bool,
}

impl ServerTls {
    /// The server's settings and their values: of its port, and of files that lie where `place` says.
    pub(super) fn settings(
        &self,
        port: u16,
        place: impl Fn(&Path) -> String,
    ) -> [(&'static str, String); 5] {
        let own = self.authority.server(Shown::Good);
        let demands = ["no", "yes"][usize::from(self.demands_client_certificate)];
        [
            ("tls-port", port.to_string()),
            ("tls-cert-file", place(&own.certificate_file)),
            ("tls-key-file", place(&own.key_file)),
            ("tls-ca-cert-file", place(&self.authority.ca_file)),
            ("tls-auth-clients", demands.to_owned()),
        ]
    }

    /// The files that those settings name, with what is in them.
    pub(super) fn files(&self) -> [(&Path, &str); 3] {
        let own = self.authority.server(Shown::Good);
        [
            (&own.certificate_file, &own.certificate_pem),
            (&own.key_file, &own.key_pem),
            (&self.authority.ca_file, &self.authority.ca_pem),
        ]
    }
}

/// A server's state, read back from the kernel or the container engine: the proof that a fault bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// It runs.
    Running,
    /// Every process of it is stopped by a signal or a pause.
    Frozen,
    /// It does not run.
    Gone,
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ServerState::Running => "running",
            ServerState::Frozen => "frozen",
            ServerState::Gone => "gone",
        })
    }
}
