//! Redis refuses: it runs, it answers, and what it answers is an error. Provoked where the server really
//! does it, by its own settings.
//!
//! LOADING, MISCONF and NOAUTH on a connection that had been let in: no setting provokes them on a server of
//! ours, so the proxy answers in its stead ([`RefusalKind::answer`]), what the server itself would refuse then.

use crate::poll::{Look, poll_until};
use crate::proxy::{Action, ErrorReply, Rule, When};
use crate::store::redis::kill_foreign_clients;
use crate::store::{ServerState, Store, StoreError};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, cmd};
use serde::Deserialize;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The harness's own user, whose rights and password no refusal touches.
const ADMIN: &str = "touchstone-admin";
/// A key that only a refusal that does not bite would write.
const PROBE_KEY: &str = "touchstone:refusal-probe";

const DEADLINE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

/// Why Redis refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The user may run no command any more (NOPERM), on the connections that it has.
    Permission,
    /// The password was changed, and the subject's connections ended (WRONGPASS).
    Password,
    /// No client more is let in, and the subject's connections ended (max number of clients).
    Clients,
    /// The memory is used up: reads work, writes do not (OOM).
    Memory,
    /// Too few replicas: reads work, writes do not (NOREPLICAS).
    Replicas,
    /// A replica by now, as after a failover: reads work, writes do not (READONLY).
    ReadOnly,
    /// It reads its data after a start (LOADING).
    Loading,
    /// It no longer takes those that it had let in for authenticated (NOAUTH).
    Login,
    /// It cannot persist: reads work, writes and PING do not (MISCONF).
    Persistence,
}

impl RefusalKind {
    /// All of them.
    pub const ALL: [RefusalKind; 9] = [
        RefusalKind::Permission,
        RefusalKind::Password,
        RefusalKind::Clients,
        RefusalKind::Memory,
        RefusalKind::Replicas,
        RefusalKind::ReadOnly,
        RefusalKind::Loading,
        RefusalKind::Login,
        RefusalKind::Persistence,
    ];

    /// Its name in records and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            RefusalKind::Permission => "permission",
            RefusalKind::Password => "password",
            RefusalKind::Clients => "clients",
            RefusalKind::Memory => "memory",
            RefusalKind::Replicas => "replicas",
            RefusalKind::ReadOnly => "read_only",
            RefusalKind::Loading => "loading",
            RefusalKind::Login => "login",
            RefusalKind::Persistence => "persistence",
        }
    }

    /// The rule that refuses in the server's stead, for what no setting of a server brings about. What passes is what
    /// Redis 7.0 lets pass then (the flags of its commands, and `processCommand` in `src/server.c`).
    pub fn answer(self) -> Option<Rule> {
        const LET_IN: [&str; 4] = ["HELLO", "AUTH", "QUIT", "RESET"];
        const WHILE_LOADING: [&str; 4] = ["INFO", "SELECT", "CLIENT*", "COMMAND*"];
        const READS: [&str; 9] = [
            "GET", "MGET", "EXISTS", "TTL", "PTTL", "TYPE", "STRLEN", "SCAN", "ECHO",
        ];
        let (error, passing): (_, Vec<&str>) = match self {
            RefusalKind::Loading => (ErrorReply::Loading, WHILE_LOADING.to_vec()),
            RefusalKind::Login => (ErrorReply::NoAuth, Vec::new()),
            RefusalKind::Persistence => (
                ErrorReply::Misconf,
                WHILE_LOADING.iter().chain(&READS).copied().collect(),
            ),
            _ => return None,
        };
        let passing = LET_IN.into_iter().chain(passing);
        let when = passing.fold(When::any(), |when, name| when.without(name));
        Some(Rule::new(when, Action::Answer(error)))
    }

    /// Whether only writes are refused.
    pub fn spares_reads(self) -> bool {
        matches!(
            self,
            RefusalKind::Memory
                | RefusalKind::Replicas
                | RefusalKind::ReadOnly
                | RefusalKind::Persistence
        )
    }

    /// What the server's error must contain.
    fn says(self) -> &'static str {
        match self {
            RefusalKind::Permission => "NOPERM",
            RefusalKind::Password => "WRONGPASS",
            RefusalKind::Clients => "max number of clients",
            RefusalKind::Memory => "OOM",
            RefusalKind::Replicas => "NOREPLICAS",
            RefusalKind::ReadOnly => "READONLY",
            RefusalKind::Loading => "LOADING",
            RefusalKind::Login => "NOAUTH",
            RefusalKind::Persistence => "MISCONF",
        }
    }

    /// Connections that had been let in would notice nothing.
    fn ends_connections(self) -> bool {
        matches!(self, RefusalKind::Password | RefusalKind::Clients)
    }

    /// The settings that do it.
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            RefusalKind::Permission
            | RefusalKind::ReadOnly
            | RefusalKind::Loading
            | RefusalKind::Login
            | RefusalKind::Persistence => &[],
            RefusalKind::Password => &[("requirepass", "another-password")],
            // Ours stay: a server closes no connection over this limit.
            RefusalKind::Clients => &[("maxclients", "1")],
            RefusalKind::Memory => &[("maxmemory-policy", "noeviction"), ("maxmemory", "1")],
            RefusalKind::Replicas => &[("min-replicas-to-write", "1")],
        }
    }

    /// What does it besides, and what undoes that.
    fn commands(self) -> Option<(Cmd, Cmd)> {
        let acl = |rule: &str| {
            let mut acl = cmd("ACL");
            acl.arg(&["SETUSER", "default", rule]);
            acl
        };
        let replicaof = |host: &str, port: &str| {
            let mut replicaof = cmd("REPLICAOF");
            replicaof.arg(host).arg(port);
            replicaof
        };
        match self {
            RefusalKind::Permission => Some((acl("-@all"), acl("+@all"))),
            // Nobody listens there: it keeps its own data.
            RefusalKind::ReadOnly => Some((replicaof("127.0.0.1", "1"), replicaof("NO", "ONE"))),
            _ => None,
        }
    }
}

/// A refusal in force.
#[derive(Debug)]
pub(super) struct Refusal {
    kind: RefusalKind,
    store: Arc<Store>,
    admin: MultiplexedConnection,
    undo: Vec<Cmd>,
    bite: String,
}

impl Refusal {
    /// Does it, and sees a direct client refused.
    pub(super) async fn inject(kind: RefusalKind, store: Arc<Store>) -> Result<Self, StoreError> {
        let admin = admin(&store).await?;
        let mut refusal = Self {
            kind,
            store,
            admin,
            undo: Vec::new(),
            bite: String::new(),
        };
        match refusal.bring_about().await {
            Ok(()) => Ok(refusal),
            Err(error) => {
                refusal.heal().await?;
                Err(error)
            }
        }
    }

    pub(super) fn bite(&self) -> String {
        self.bite.clone()
    }

    /// Undoes it, and sees a direct client served.
    pub(super) async fn heal(mut self) -> Result<(), StoreError> {
        match self.undo().await {
            // With the server went the refusal.
            Err(_) if matches!(self.store.state().await, Ok(ServerState::Gone)) => {
                Err(StoreError::NotRunning(self.store.kind()))
            }
            undone => undone,
        }
    }

    async fn undo(&mut self) -> Result<(), StoreError> {
        for undo in self.undo.iter().rev() {
            undo.exec_async(&mut self.admin).await?;
        }
        self.see("a direct client to be served", |said| said.is_none())
            .await?;
        Ok(())
    }

    async fn bring_about(&mut self) -> Result<(), StoreError> {
        for (name, value) in self.kind.settings() {
            let mut get = cmd("CONFIG");
            get.arg("GET").arg(name);
            let (_, before): (String, String) = get.query_async(&mut self.admin).await?;
            self.undo.push(config_set(name, &before));
            config_set(name, value).exec_async(&mut self.admin).await?;
        }
        if let Some((act, undo)) = self.kind.commands() {
            self.undo.push(undo);
            act.exec_async(&mut self.admin).await?;
        }
        let (kind, what) = (self.kind, "a direct client to be refused");
        let said = self
            .see(what, |said| {
                said.is_some_and(|said| said.contains(kind.says()))
            })
            .await?;
        let mut ended = String::new();
        if kind.ends_connections() {
            let count = kill_foreign_clients(&mut self.admin).await?;
            ended = format!(", and {count} connections of the subject were ended");
        }
        self.bite = format!(
            "a direct client was told `{}`{ended}",
            said.unwrap_or_default()
        );
        Ok(())
    }

    /// Tries as a client would until the outcome is as wanted; returns the error, if there was one.
    async fn see(
        &self,
        what: &str,
        wanted: impl Fn(Option<&String>) -> bool,
    ) -> Result<Option<String>, StoreError> {
        let seen = poll_until(what, DEADLINE, POLL, || async {
            match self.refused_with().await {
                Ok(said) if wanted(said.as_ref()) => Look::Ready(said),
                Ok(said) => Look::NotYet(said.unwrap_or_else(|| "it was served".to_owned())),
                Err(error) => Look::NotYet(error.to_string()),
            }
        });
        let kind = self.store.kind();
        seen.await.map_err(|timeout| StoreError::NotReady {
            kind,
            timeout,
            log_tail: String::new(),
        })
    }

    /// What the server says to a new client that logs in, writes and deletes; `None` if all is done. In
    /// the server's own words, which client libraries replace by theirs.
    async fn refused_with(&self) -> io::Result<Option<String>> {
        let address = self.store.address().await;
        let stream = TcpStream::connect(address.ok_or(io::ErrorKind::NotConnected)?).await?;
        let mut stream = BufReader::new(stream);
        let password = &self.store.spec().password;
        for command in [
            format!("AUTH {password}"),
            format!("SET {PROBE_KEY} x"),
            format!("DEL {PROBE_KEY}"),
        ] {
            // One that was turned away at the door is told before it asks.
            let _ = stream.write_all(format!("{command}\r\n").as_bytes()).await;
            let mut reply = String::new();
            stream.read_line(&mut reply).await?;
            match reply.strip_prefix('-') {
                Some(error) => return Ok(Some(error.trim_end().to_owned())),
                None if reply.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                None => {}
            }
        }
        Ok(None)
    }
}

fn config_set(name: &str, value: &str) -> Cmd {
    let mut set = cmd("CONFIG");
    set.arg("SET").arg(name).arg(value);
    set
}

/// A connection that stays whatever happens to the default user.
async fn admin(store: &Store) -> Result<MultiplexedConnection, StoreError> {
    let password = format!("pw{:032x}", rand::random::<u128>());
    let (new, mut create) = (format!(">{password}"), cmd("ACL"));
    create.arg(&["SETUSER", ADMIN, "on", "resetpass", &new, "~*", "+@all"]);
    create.exec_async(&mut store.redis(0).await?).await?;
    store.redis_as((ADMIN, &password)).await
}
