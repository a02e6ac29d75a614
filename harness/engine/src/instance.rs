//! One instance of the subject with what stands around it: its wiring, its client, its log.

use crate::clock::Clock;
use crate::listener::{self, Listener};
use crate::poll::{Look, TimedOut, poll_until};
use crate::process_tree;
use crate::proxy::{Proxy, ProxyError};
use crate::store::{Store, StoreKind};
use crate::subject::log::Log;
use crate::subject::manifest::Manifest;
use crate::subject::process::LaunchPlan;
use crate::subject::{ExitSeen, HttpClient, Subject, SubjectError};
use nix::sys::signal::Signal;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(2);

/// The place of one instance: the two proxies that it will find the stores behind. It is there before
/// the instance is, so that the network can be broken before the subject starts.
#[derive(Debug)]
pub struct Wiring {
    /// Counts from 0 within the environment.
    pub index: usize,
    redis: Proxy,
    postgres: Proxy,
    /// Whether the Redis proxy leads to the port with TLS.
    to_tls_port: AtomicBool,
}

impl Wiring {
    pub(crate) fn new(index: usize, redis: Proxy, postgres: Proxy) -> Self {
        Self {
            index,
            redis,
            postgres,
            to_tls_port: AtomicBool::new(false),
        }
    }

    /// Leads the proxy to where the store listens now.
    pub(crate) async fn lead_to(&self, store: &Store) -> Result<(), ProxyError> {
        let with_tls = store.kind() == StoreKind::Redis && self.to_tls_port.load(Ordering::Relaxed);
        let upstream = if with_tls {
            store.tls_address().await
        } else {
            store.address().await
        };
        self.proxy(store.kind()).set_upstream(upstream).await
    }

    /// The same, from now on to the port with TLS or to the plain one.
    pub(crate) async fn lead_to_tls(
        &self,
        store: &Store,
        with_tls: bool,
    ) -> Result<(), ProxyError> {
        self.to_tls_port.store(with_tls, Ordering::Relaxed);
        self.lead_to(store).await
    }

    /// The proxy to a store.
    pub fn proxy(&self, kind: StoreKind) -> &Proxy {
        match kind {
            StoreKind::Redis => &self.redis,
            StoreKind::Postgres => &self.postgres,
        }
    }
}

/// One started instance. Each has its own proxies, so that the network can break for one alone.
#[derive(Debug)]
pub struct Instance {
    /// Its place.
    pub wiring: Arc<Wiring>,
    /// Talks to it.
    pub http: HttpClient,
    /// What it has logged.
    pub log: Log,
    address: SocketAddr,
    manifest: Arc<Manifest>,
    subject: Mutex<Subject>,
}

impl Instance {
    /// Starts the process; see [`Instance::wait_ready`].
    pub(crate) fn start(
        wiring: Arc<Wiring>,
        manifest: Arc<Manifest>,
        plan: &LaunchPlan,
        clock: Clock,
    ) -> Result<Self, SubjectError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, plan.http_port));
        let subject = Mutex::new(Subject::start(&manifest, plan)?);
        let http = HttpClient::new(address, Arc::clone(&manifest), clock);
        let log = Log::new(plan.log_path.clone());
        Ok(Self {
            wiring,
            http,
            log,
            address,
            manifest,
            subject,
        })
    }

    /// The proxy between this instance and a store.
    pub fn proxy(&self, kind: StoreKind) -> &Proxy {
        self.wiring.proxy(kind)
    }

    /// Where it serves HTTP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.subject().pid()
    }

    /// Its process and all descendants, each with the time of its start: a worker that was replaced
    /// behind a master that stayed is another process.
    pub fn processes(&self) -> Vec<(i32, u64)> {
        let tree = process_tree::tree(self.pid());
        tree.iter()
            .map(|process| (process.pid, process.start_ticks))
            .collect()
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.subject().started()
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<ExitSeen> {
        self.subject().exit()
    }

    /// Sends a signal to the process, as an orchestrator would.
    pub fn signal(&self, which: Signal) -> Result<(), SubjectError> {
        self.subject().signal(which)
    }

    /// Ends it at once, with all its children.
    pub fn kill(&self) {
        self.subject().kill();
    }

    /// Whether its HTTP port can be connected to, now.
    pub async fn accepts_connections(&self) -> bool {
        tokio::net::TcpStream::connect(self.address).await.is_ok()
    }

    /// How many bytes of requests the kernel holds for it, which it has not read: what was sent to it while it stood
    /// still, for instance.
    pub fn unread_bytes(&self) -> u64 {
        listener::unread_bytes(self.address.port())
    }

    /// Waits until its ready path answers 200; returns the time since its start.
    pub async fn wait_ready(&self) -> Result<Duration, SubjectError> {
        let deadline = Duration::from_millis(self.manifest.deadlines.ready_ms);
        let path = &self.manifest.subject.ready_path;
        let ready = poll_until("the subject to become ready", deadline, POLL, || async {
            match (self.exit(), self.http.get(path).await) {
                (Some(exit), _) => Look::Ready(Err(exit)),
                (None, Ok(answer)) if answer.status == 200 => Look::Ready(Ok(())),
                (None, Ok(answer)) => Look::NotYet(answer.describe()),
                (None, Err(error)) => Look::NotYet(error.to_string()),
            }
        });
        let ready = ready.await;
        let took = self.started().elapsed();
        // The one that answered, or because of which the subject ended, may be somebody else.
        if let (Ok(_), Some(listener)) = (&ready, self.stranger()) {
            let port = self.address.port();
            return Err(SubjectError::PortTaken { port, listener });
        }
        match ready {
            Ok(Ok(())) => Ok(took),
            Ok(Err(exit)) => Err(SubjectError::Ended {
                exit,
                log_tail: self.log.tail(),
            }),
            Err(timeout) => Err(SubjectError::NotReady {
                timeout,
                log_tail: self.log.tail(),
            }),
        }
    }

    /// Waits until the process has ended.
    pub async fn wait_exit(&self, deadline: Duration) -> Result<ExitSeen, TimedOut> {
        poll_until("the subject to end", deadline, POLL, || async {
            self.exit()
                .map_or_else(|| Look::NotYet("it still runs".to_owned()), Look::Ready)
        })
        .await
    }

    fn stranger(&self) -> Option<Listener> {
        let (pid, start_ticks) = (self.pid(), self.subject().start_ticks());
        listener::stranger(self.address.port(), (pid, start_ticks))
    }

    fn subject(&self) -> MutexGuard<'_, Subject> {
        // Nothing under this lock can be left half done by a panic.
        self.subject.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
