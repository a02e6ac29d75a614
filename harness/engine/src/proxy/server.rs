//! One proxy as its thread sees it: the port, who is connected, what is in force.

use super::connection::{Closing, Connection};
use super::error::ProxyError;
use super::fault::{Claims, Evidence, Fault, FlowRule, Gate, Heal, Site};
use super::handle::{Protocol, ProxyConfig};
use super::record::{ConnectionRecord, CounterCell, Ending};
use super::socket;
use super::tap::{Lookout, Tap};
use super::thread::Hub;
use super::tls::{End, Tls, Upstream};
use socket2::Socket;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use touchstone_core::Seed;

/// A subject that reconnects in a tight loop for a whole scenario stays below it; 3 MB.
const KEPT_RECORDS: usize = 16 * 1024;

/// Without descriptors, trying at once would only burn the processor.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(10);

type SharedConnection = Rc<RefCell<Connection>>;

struct InForce {
    id: u64,
    name: &'static str,
    claims: Claims,
    heal: Heal,
}

/// What a successful injection gives back.
pub(crate) struct Injected {
    pub(crate) id: u64,
    pub(crate) evidence: Arc<dyn Evidence>,
    pub(crate) is_over: bool,
}

/// One proxy.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) seed: Seed,
    pub(crate) counters: Rc<CounterCell>,
    /// What a new connection meets.
    pub(crate) gate: RefCell<Gate>,
    /// What new connections are shaped by.
    pub(crate) flow_rules: RefCell<Vec<Box<dyn FlowRule>>>,
    pub(crate) protocol: Protocol,
    pub(crate) lookout: Rc<Lookout>,
    upstream: Cell<Option<SocketAddr>>,
    /// What new connections do about TLS.
    tls: RefCell<Tls>,
    listener: RefCell<Option<TcpListener>>,
    accept_waker: RefCell<Option<Waker>>,
    /// Connections stay in the kernel's accept queue.
    accepts_nothing: Cell<bool>,
    closed: Cell<bool>,
    live: RefCell<BTreeMap<u64, SharedConnection>>,
    history: RefCell<VecDeque<ConnectionRecord>>,
    in_force: RefCell<Vec<InForce>>,
    next_connection: Cell<u64>,
    next_fault: Cell<u64>,
    /// Keeps the port until the proxy is closed.
    holder: RefCell<Option<Socket>>,
}

impl Server {
    pub(crate) fn open(config: ProxyConfig, hub: &Rc<Hub>) -> Result<Rc<Self>, ProxyError> {
        let listen_error = |source| ProxyError::Listen {
            proxy: config.name.clone(),
            source,
        };
        let (holder, address) = socket::bind_holder(config.listen).map_err(listen_error)?;
        let listener = socket::listen(address).map_err(listen_error)?;
        let server = Rc::new(Self {
            name: config.name,
            address,
            seed: config.seed,
            counters: Rc::default(),
            gate: RefCell::new(Gate::Open),
            flow_rules: RefCell::default(),
            protocol: config.protocol,
            lookout: Rc::default(),
            upstream: Cell::new(None),
            tls: RefCell::default(),
            listener: RefCell::new(Some(listener)),
            accept_waker: RefCell::new(None),
            accepts_nothing: Cell::new(false),
            closed: Cell::new(false),
            live: RefCell::default(),
            history: RefCell::default(),
            in_force: RefCell::default(),
            next_connection: Cell::new(0),
            next_fault: Cell::new(0),
            holder: RefCell::new(Some(holder)),
        });
        tokio::task::spawn_local(accept_all(Rc::clone(&server), Rc::clone(hub)));
        Ok(server)
    }

    pub(crate) fn set_upstream(&self, upstream: Option<SocketAddr>) {
        self.upstream.set(upstream);
    }

    pub(crate) fn set_tls(&self, tls: Tls) {
        *self.tls.borrow_mut() = tls;
    }

    pub(crate) fn upstream(&self) -> Option<Upstream> {
        let address = self.upstream.get()?;
        let tls = self.tls.borrow().store.clone();
        Some(Upstream { address, tls })
    }

    /// Closes the listener (the holder keeps the port) and with it resets what it had not accepted.
    pub(crate) fn stop_listening(&self) {
        if let Some(listener) = self.listener.borrow_mut().take() {
            socket::end_listening(&listener);
        }
    }

    /// Listens again on the same port.
    pub(crate) fn listen_again(&self) -> Result<(), ProxyError> {
        if self.closed.get() {
            return Ok(());
        }
        let listener = socket::listen(self.address).map_err(|source| ProxyError::Listen {
            proxy: self.name.clone(),
            source,
        })?;
        *self.listener.borrow_mut() = Some(listener);
        self.wake_accept();
        Ok(())
    }

    /// Runs something on the listener, if there is one.
    pub(crate) fn with_listener<R>(&self, run: impl FnOnce(&TcpListener) -> R) -> Option<R> {
        self.listener.borrow().as_ref().map(run)
    }

    /// Admits what the kernel has accepted already, so that it counts as existing.
    pub(crate) fn admit_waiting(self: &Rc<Self>, hub: &Rc<Hub>) {
        self.admit_waiting_but(&[], hub);
    }

    /// Leaves connections in the kernel's accept queue, or takes them from it again.
    pub(crate) fn accept_nothing(&self, nothing: bool) {
        self.accepts_nothing.set(nothing);
        self.wake_accept();
    }

    /// Takes these connections of our own from the accept queue, and admits the others.
    pub(crate) fn admit_waiting_but(self: &Rc<Self>, own: &[SocketAddr], hub: &Rc<Hub>) {
        while let Some((stream, peer)) = self.with_listener(socket::accept_now).flatten() {
            if !own.contains(&peer) {
                self.admit(stream, peer, hub);
            }
        }
    }

    /// Runs something on each live connection, in the order of their ids.
    pub(crate) fn for_each_live(&self, mut run: impl FnMut(&mut Connection)) {
        for connection in self.live.borrow().values() {
            run(&mut connection.borrow_mut());
        }
    }

    /// Ends all live connections for a fault; how many there were.
    pub(crate) fn cut_all(&self, how: Closing, hub: &Hub) -> u64 {
        let mut cut = 0;
        let mut scratch = hub.scratch.borrow_mut();
        self.for_each_live(|connection| cut += u64::from(connection.cut(how, &mut scratch)));
        cut
    }

    pub(crate) fn inject(
        self: &Rc<Self>,
        hub: &Rc<Hub>,
        fault: impl Fault,
    ) -> Result<Injected, ProxyError> {
        let (name, claims) = (fault.name(), fault.claims());
        for other in self.in_force.borrow().iter() {
            if fault.conflicts_with(other.name, other.claims) {
                return Err(ProxyError::Conflict {
                    wanted: name,
                    in_force: other.name,
                });
            }
        }
        let id = self.next_fault.get();
        self.next_fault.set(id + 1);
        let installed = fault.install(&Site {
            server: self,
            hub,
            fault_id: id,
        })?;
        let is_over = installed.heal.is_none();
        if let Some(heal) = installed.heal {
            self.in_force.borrow_mut().push(InForce {
                id,
                name,
                claims,
                heal,
            });
        }
        Ok(Injected {
            id,
            evidence: installed.evidence,
            is_over,
        })
    }

    /// Heals a fault; nothing if it is healed already.
    pub(crate) fn heal(self: &Rc<Self>, hub: &Rc<Hub>, id: u64) -> Result<(), ProxyError> {
        let found = self
            .in_force
            .borrow()
            .iter()
            .position(|fault| fault.id == id);
        let Some(index) = found else { return Ok(()) };
        let fault = self.in_force.borrow_mut().remove(index);
        (fault.heal)(&Site {
            server: self,
            hub,
            fault_id: id,
        })
    }

    /// All records, oldest first.
    pub(crate) fn records(&self) -> Vec<ConnectionRecord> {
        let mut records: Vec<_> = self.history.borrow().iter().cloned().collect();
        self.for_each_live(|connection| records.push(connection.snapshot()));
        records.sort_by_key(|record| record.id);
        records
    }

    /// Closes the port and every connection, for good.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.stop_listening();
        // Here and not with the last task that knows of us: the port is free when the call returns.
        self.holder.borrow_mut().take();
        self.for_each_live(|connection| {
            if !connection.is_closed() {
                connection.end(Ending::ProxyClosed, Closing::Fin);
            }
        });
        self.wake_accept();
    }

    fn admit(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr, hub: &Rc<Hub>) {
        let id = self.next_connection.get();
        self.next_connection.set(id + 1);
        self.counters.update(|counters| counters.accepted += 1);
        let tap = Tap::new(self.protocol, id, &self.lookout);
        let stream = End::of_subject(stream, &self.tls.borrow());
        let mut connection = Connection::new(id, stream, peer, tap, Rc::clone(&self.counters));
        for rule in self.flow_rules.borrow().iter() {
            rule.apply(&mut connection);
        }
        self.gate.borrow().meet(&mut connection, self);
        if connection.is_closed() {
            return self.keep(connection.snapshot());
        }
        let connection = Rc::new(RefCell::new(connection));
        self.live.borrow_mut().insert(id, Rc::clone(&connection));
        tokio::task::spawn_local(serve(Rc::clone(self), Rc::clone(hub), id, connection));
    }

    fn keep(&self, record: ConnectionRecord) {
        let mut history = self.history.borrow_mut();
        if history.len() == KEPT_RECORDS {
            history.pop_front();
            self.counters
                .update(|counters| counters.records_dropped += 1);
        }
        history.push_back(record);
    }

    fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<(TcpStream, SocketAddr)>>> {
        if self.closed.get() {
            return Poll::Ready(None);
        }
        *self.accept_waker.borrow_mut() = Some(cx.waker().clone());
        match &*self.listener.borrow() {
            Some(listener) if !self.accepts_nothing.get() => {
                Poll::Ready(Some(ready!(listener.poll_accept(cx))))
            }
            _ => Poll::Pending,
        }
    }

    fn wake_accept(&self) {
        if let Some(waker) = self.accept_waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

async fn accept_all(server: Rc<Server>, hub: Rc<Hub>) {
    while let Some(accepted) = poll_fn(|cx| server.poll_accept(cx)).await {
        match accepted {
            Ok((stream, peer)) => server.admit(stream, peer, &hub),
            Err(error) => {
                tracing::warn!(proxy = %server.name, %error, "could not accept");
                server
                    .counters
                    .update(|counters| counters.accept_errors += 1);
                hub.timer
                    .sleep_until(Instant::now() + ACCEPT_ERROR_PAUSE)
                    .await;
            }
        }
    }
}

async fn serve(server: Rc<Server>, hub: Rc<Hub>, id: u64, connection: SharedConnection) {
    let served = Served {
        server,
        id,
        connection,
    };
    poll_fn(|cx| served.connection.borrow_mut().poll(cx, &hub)).await;
}

/// Files a connection when its task ends, also by a panic: a subject may never hang on our bug.
struct Served {
    server: Rc<Server>,
    id: u64,
    connection: SharedConnection,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.live.borrow_mut().remove(&self.id);
        let mut connection = self.connection.borrow_mut();
        if !connection.is_closed() {
            connection.end(Ending::ProxyClosed, Closing::Fin);
        }
        self.server.keep(connection.snapshot());
    }
}
