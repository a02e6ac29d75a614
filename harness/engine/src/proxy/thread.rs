//! The thread that serves proxies: its runtime, its calls, its stall monitor.

use super::error::ProxyError;
use super::handle::{Proxy, ProxyConfig};
use super::server::Server;
use super::stall::{Stall, StallLog};
use super::timer::PreciseTimer;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{mpsc, oneshot};

/// One for all connections of the thread: what is read is written before the next read.
const SCRATCH_BYTES: usize = 256 * 1024;

/// Short enough to see a stall of some milliseconds, long enough to cost nothing.
const TICK: Duration = Duration::from_millis(5);

/// The runtime's defaults (61 polls before it looks at sockets, 31 before it looks at calls) are for
/// tasks that do little; one poll of ours may move half a megabyte, and a fault must be in force
/// within a millisecond.
const POLLS_BETWEEN_EVENTS: u32 = 16;
const POLLS_BETWEEN_CALLS: u32 = 4;

/// A drop may not hang: a thread that has not answered by then is stuck, which its stall log shows.
const DROP_DEADLINE: Duration = Duration::from_secs(2);

type Call = Box<dyn FnOnce(&Rc<Hub>) + Send>;

/// What all proxies of one thread share. Lives and is touched on that thread only.
pub(crate) struct Hub {
    pub(crate) timer: Rc<PreciseTimer>,
    pub(crate) scratch: RefCell<Box<[u8]>>,
    servers: RefCell<HashMap<u64, Rc<Server>>>,
    next_server: Cell<u64>,
    stopping: Cell<bool>,
}

impl Hub {
    pub(crate) fn server(&self, id: u64) -> Option<Rc<Server>> {
        self.servers.borrow().get(&id).cloned()
    }

    pub(crate) fn remove(&self, id: u64) -> Option<Rc<Server>> {
        self.servers.borrow_mut().remove(&id)
    }

    fn add(&self, server: Rc<Server>) -> u64 {
        let id = self.next_server.get();
        self.next_server.set(id + 1);
        self.servers.borrow_mut().insert(id, server);
        id
    }

    fn stop(&self) {
        self.stopping.set(true);
        for (_, server) in self.servers.borrow_mut().drain() {
            server.close();
        }
    }
}

/// How other threads reach the hub. Calls run one after the other, between two polls.
#[derive(Debug, Clone)]
pub(crate) struct Link(mpsc::UnboundedSender<Call>);

impl Link {
    pub(crate) fn send(
        &self,
        call: impl FnOnce(&Rc<Hub>) + Send + 'static,
    ) -> Result<(), ProxyError> {
        self.0.send(Box::new(call)).map_err(|_| ProxyError::Gone)
    }

    /// Runs the call on the thread and returns when it has run.
    pub(crate) async fn call<R: Send + 'static>(
        &self,
        call: impl FnOnce(&Rc<Hub>) -> R + Send + 'static,
    ) -> Result<R, ProxyError> {
        let (reply, answer) = oneshot::channel();
        self.send(move |hub| {
            let _ = reply.send(call(hub));
        })?;
        answer.await.map_err(|_| ProxyError::Gone)
    }

    /// The same for `Drop`, which cannot await. Blocks for as long as the thread needs to take the
    /// call, which is microseconds, so that it may be used inside a runtime.
    pub(crate) fn call_blocking(&self, call: impl FnOnce(&Rc<Hub>) + Send + 'static) {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        let sent = self.send(move |hub| {
            call(hub);
            let _ = reply.send(());
        });
        if sent.is_ok() && answer.recv_timeout(DROP_DEADLINE).is_err() {
            tracing::warn!("the proxy thread did not answer in {DROP_DEADLINE:?}");
        }
    }
}

/// One OS thread that serves any number of proxies. Stops and joins on drop.
///
/// Proxies and guards may outlive it; their calls then return [`ProxyError::Gone`].
#[derive(Debug)]
pub struct ProxyThread {
    link: Link,
    stalls: StallLog,
    thread: Option<JoinHandle<()>>,
}

impl ProxyThread {
    /// Starts the thread; returns when it serves.
    pub fn spawn(name: &str) -> Result<Self, ProxyError> {
        let start_error = |source| ProxyError::Start {
            name: name.to_owned(),
            source,
        };
        let (calls, inbox) = mpsc::unbounded_channel();
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let stalls = StallLog::default();
        let log = stalls.clone();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || match prepare() {
                Ok((runtime, hub)) => {
                    let _ = started.send(Ok(()));
                    runtime.block_on(serve(hub, inbox, log));
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            })
            .map_err(start_error)?;
        let outcome = start
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")));
        outcome.map_err(start_error)?;
        Ok(Self {
            link: Link(calls),
            stalls,
            thread: Some(thread),
        })
    }

    /// Opens a proxy on this thread, without an upstream.
    pub async fn open(&self, config: ProxyConfig) -> Result<Proxy, ProxyError> {
        let name = config.name.clone();
        let opened = self.link.call(move |hub| {
            let server = Server::open(config, hub)?;
            let address = server.address;
            Ok((hub.add(server), address))
        });
        let (id, address) = opened.await??;
        Ok(Proxy::new(self.link.clone(), id, name, address))
    }

    /// The thread's worst lateness since then: a verdict whose margin is smaller is worth nothing.
    #[must_use]
    pub fn worst_stall_since(&self, since: Instant) -> Option<Stall> {
        self.stalls.worst_since(since)
    }

    /// The log behind [`ProxyThread::worst_stall_since`], to be kept by others.
    #[must_use]
    pub fn stalls(&self) -> StallLog {
        self.stalls.clone()
    }
}

impl Drop for ProxyThread {
    fn drop(&mut self) {
        let _ = self.link.send(|hub| hub.stop());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; a second one here would abort.
            let _ = thread.join();
        }
    }
}

fn prepare() -> io::Result<(LocalRuntime, Rc<Hub>)> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .event_interval(POLLS_BETWEEN_EVENTS)
        .global_queue_interval(POLLS_BETWEEN_CALLS)
        .build_local(LocalOptions::default())?;
    let timer = runtime.block_on(async { PreciseTimer::new() })?;
    let hub = Hub {
        timer: Rc::new(timer),
        scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
        servers: RefCell::default(),
        next_server: Cell::new(0),
        stopping: Cell::new(false),
    };
    Ok((runtime, Rc::new(hub)))
}

async fn serve(hub: Rc<Hub>, mut inbox: mpsc::UnboundedReceiver<Call>, stalls: StallLog) {
    let timer = Rc::clone(&hub.timer);
    tokio::task::spawn_local(async move { timer.run().await });
    tokio::task::spawn_local(tick(Rc::clone(&hub.timer), stalls));
    while let Some(call) = inbox.recv().await {
        call(&hub);
        if hub.stopping.get() {
            return;
        }
    }
}

async fn tick(timer: Rc<PreciseTimer>, stalls: StallLog) {
    let mut due = Instant::now();
    loop {
        timer.sleep_until(due).await;
        let now = Instant::now();
        stalls.tick(due, now, now + TICK);
        due = now + TICK;
    }
}
