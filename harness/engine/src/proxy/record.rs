//! The tap: what the proxy saw, as data.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Instant;

/// How a connection came to its end: the first thing that ended it, not what followed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The subject closed its side cleanly.
    SubjectFin,
    /// The subject reset the connection.
    SubjectReset,
    /// The store closed its side cleanly.
    StoreFin,
    /// The store reset the connection.
    StoreReset,
    /// A fault ended it.
    CutByFault,
    /// A fault reset it before a byte could pass.
    RejectedByFault,
    /// There was no upstream, or it refused.
    UpstreamRefused,
    /// The proxy was closed.
    ProxyClosed,
    /// TLS that the proxy ends did not come about; [`ConnectionRecord::tls`] says why.
    NoTls,
}

/// How far TLS came that the proxy ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSeen {
    /// The subject has connected.
    Begun,
    /// The subject has accepted our certificate.
    Done,
    /// The subject has not: it ended the connection, said why, or spoke no TLS.
    NotBySubject(String),
    /// The store did not accept the proxy, or spoke no TLS.
    NotByStore(String),
}

/// One direction of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowRecord {
    /// Bytes read from the source, and not swallowed.
    pub bytes: u64,
    /// When the first of them was read.
    pub first_byte_at: Option<Instant>,
    /// When the last of them was read.
    pub last_byte_at: Option<Instant>,
}

impl FlowRecord {
    pub(crate) fn note(&mut self, bytes: usize, at: Instant) {
        self.bytes += bytes as u64;
        self.first_byte_at.get_or_insert(at);
        self.last_byte_at = Some(at);
    }
}

/// One connection that the kernel accepted for us: so every record is also a connection attempt.
///
/// Attempts that never got that far (under `refuse` and `blackhole`) leave no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRecord {
    /// Counts from 0 per proxy, in the order of acceptance.
    pub id: u64,
    /// The subject's end.
    pub subject: SocketAddr,
    /// When the proxy took it from the accept queue.
    pub opened_at: Instant,
    /// When its end began: with a half-close, before `closed_at`.
    pub ended_at: Option<Instant>,
    /// How its end began.
    pub ending: Option<Ending>,
    /// When both of its sockets were closed.
    pub closed_at: Option<Instant>,
    /// From the subject to the store.
    pub up: FlowRecord,
    /// From the store to the subject.
    pub down: FlowRecord,
    /// Bytes of the subject that were acknowledged and thrown away.
    pub swallowed_bytes: u64,
    /// How far TLS came that the proxy ends; `None` where it passes bytes on as they are.
    pub tls: Option<TlsSeen>,
}

impl ConnectionRecord {
    pub(crate) fn new(id: u64, subject: SocketAddr) -> Self {
        Self {
            id,
            subject,
            opened_at: Instant::now(),
            ended_at: None,
            ending: None,
            closed_at: None,
            up: FlowRecord::default(),
            down: FlowRecord::default(),
            swallowed_bytes: 0,
            tls: None,
        }
    }

    /// Keeps the first ending: what comes later follows from it.
    pub(crate) fn note_ending(&mut self, ending: Ending) {
        if self.ending.is_none() {
            self.ending = Some(ending);
            self.ended_at = Some(Instant::now());
        }
    }
}

/// Totals of one proxy since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections taken from the accept queue, whatever became of them.
    pub accepted: u64,
    /// Connections reset by `reject`.
    pub rejected: u64,
    /// Connections reset because there was no upstream or it refused.
    pub upstream_refused: u64,
    /// Connections ended by a fault after they were accepted.
    pub cut: u64,
    /// Bytes passed or queued from the subject to the store.
    pub bytes_up: u64,
    /// Bytes passed or queued from the store to the subject.
    pub bytes_down: u64,
    /// Bytes of the subject thrown away by `silence`.
    pub swallowed_bytes: u64,
    /// Chunks held back by `latency`.
    pub delayed_chunks: u64,
    /// Times that `accept` failed, for instance for want of descriptors.
    pub accept_errors: u64,
    /// Records dropped, oldest first, because more than the limit had gathered.
    pub records_dropped: u64,
}

/// The counters while they are counted; only the proxy thread touches them.
#[derive(Debug, Default)]
pub(crate) struct CounterCell(Cell<Counters>);

impl CounterCell {
    pub(crate) fn update(&self, change: impl FnOnce(&mut Counters)) {
        let mut counters = self.0.get();
        change(&mut counters);
        self.0.set(counters);
    }

    pub(crate) fn get(&self) -> Counters {
        self.0.get()
    }
}
