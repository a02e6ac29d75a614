//! One connection: two flows between two sockets, and what a fault does to it.
//!
//! All of it is changed either by a poll of its task or by a call that runs between two polls, on one
//! thread: so a change is in force when the call returns.

use super::fault::{AdmitBite, SilenceBite};
use super::flow::{Flow, FlowContext, Progress, SourceEnd};
use super::record::{ConnectionRecord, CounterCell, Ending, TlsSeen};
use super::socket;
use super::tap::{Side, Tap};
use super::thread::Hub;
use super::tls::{End, NoStore, Upstream};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Reads of a silenced connection in one poll, before others have their turn.
const SWALLOWS_PER_POLL: usize = 4;

type Connecting = Pin<Box<dyn Future<Output = Result<End, NoStore>>>>;

/// How one of our sockets is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    Fin,
    Reset,
}

/// When a fault ends a connection, whatever passes on it.
pub(crate) struct TimedEnd {
    pub(crate) fault_id: u64,
    pub(crate) at: Instant,
    pub(crate) how: Closing,
    /// Counts it.
    pub(crate) ended: Arc<AtomicU64>,
}

/// A connection that stands still, and whether its subject has been seen to wait.
struct StandStill {
    bite: Arc<AdmitBite>,
    is_noted: bool,
}

/// One accepted connection.
pub(crate) struct Connection {
    pub(crate) record: ConnectionRecord,
    pub(crate) up: Flow,
    pub(crate) down: Flow,
    subject: Option<End>,
    store: Option<End>,
    connecting: Option<Connecting>,
    silence: Option<Arc<SilenceBite>>,
    frozen: bool,
    stands_still: Option<StandStill>,
    timed_ends: Vec<TimedEnd>,
    tap: Option<Tap>,
    waker: Option<Waker>,
    counters: Rc<CounterCell>,
}

impl Connection {
    pub(crate) fn new(
        id: u64,
        subject: End,
        peer: SocketAddr,
        tap: Option<Tap>,
        counters: Rc<CounterCell>,
    ) -> Self {
        if let Some(socket) = subject.socket() {
            socket::make_prompt(socket);
        }
        let mut record = ConnectionRecord::new(id, peer);
        record.tls = matches!(subject, End::Greeting(_)).then_some(TlsSeen::Begun);
        Self {
            record,
            up: Flow::default(),
            down: Flow::default(),
            subject: Some(subject),
            store: None,
            connecting: None,
            silence: None,
            frozen: false,
            stands_still: None,
            timed_ends: Vec::new(),
            tap,
            waker: None,
            counters,
        }
    }

    /// Begins to connect to the store, or resets if there is none.
    pub(crate) fn connect(&mut self, upstream: Option<Upstream>) {
        match upstream {
            None => self.upstream_refused(),
            Some(upstream) => {
                self.connecting = Some(Box::pin(upstream.connect()));
                self.wake();
            }
        }
    }

    /// Moves what can be moved; ready when the connection is closed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, hub: &Hub) -> Poll<()> {
        if self.is_closed() {
            return Poll::Ready(());
        }
        if self
            .waker
            .as_ref()
            .is_none_or(|waker| !waker.will_wake(cx.waker()))
        {
            self.waker = Some(cx.waker().clone());
        }
        if self.frozen {
            return Poll::Pending;
        }
        if !self.timed_ends.is_empty() && self.poll_timed_ends(cx, hub) {
            return Poll::Ready(());
        }
        if self.stands_still.is_some() {
            self.poll_standing_still(cx);
        } else if self.silence.is_some() {
            self.poll_silenced(cx, &mut hub.scratch.borrow_mut());
        } else {
            self.poll_connecting(cx);
            if self.record.tls == Some(TlsSeen::Begun) {
                self.poll_greeting(cx);
            }
            self.poll_flows(cx, hub);
        }
        if self.is_closed() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn poll_connecting(&mut self, cx: &mut Context<'_>) {
        let Some(connecting) = &mut self.connecting else {
            return;
        };
        if let Poll::Ready(outcome) = connecting.as_mut().poll(cx) {
            self.connecting = None;
            match outcome {
                Ok(store) => self.store = Some(store),
                // It was accepted, then reset before we had noticed.
                Err(NoStore::Reset) => self.end(Ending::StoreReset, Closing::Reset),
                Err(NoStore::Refused) => self.upstream_refused(),
                Err(NoStore::Tls(error)) => {
                    self.record.tls = Some(TlsSeen::NotByStore(error.to_string()));
                    self.end(Ending::NoTls, Closing::Reset);
                }
            }
        }
    }

    /// Agrees on keys with the subject, while the store is being connected.
    fn poll_greeting(&mut self, cx: &mut Context<'_>) {
        let Some(subject) = &mut self.subject else {
            return;
        };
        match subject.poll_greeting(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.record.tls = Some(TlsSeen::Done),
            Poll::Ready(Err(error)) => {
                self.record.tls = Some(TlsSeen::NotBySubject(error.to_string()));
                self.end(Ending::NoTls, Closing::Fin);
            }
        }
    }

    fn poll_flows(&mut self, cx: &mut Context<'_>, hub: &Hub) {
        let (Some(subject), Some(store)) = (&mut self.subject, &mut self.store) else {
            return;
        };
        if matches!(subject, End::Greeting(_)) {
            return;
        }
        let mut scratch = hub.scratch.borrow_mut();
        let mut with = FlowContext {
            scratch: &mut scratch,
            timer: &hub.timer,
            counters: &self.counters,
            tap: self.tap.as_mut(),
            side: Side::Up,
        };
        let up_before = self.up.record.bytes;
        let down_before = self.down.record.bytes;
        let flows = (&mut self.up, &mut self.down);
        let (up, down) = match (subject, store) {
            (End::Plain(subject), End::Plain(store)) => {
                poll_both(flows, subject, store, cx, &mut with)
            }
            (subject, store) => poll_both(flows, subject, store, cx, &mut with),
        };
        let up_bytes = self.up.record.bytes - up_before;
        let down_bytes = self.down.record.bytes - down_before;
        if up_bytes + down_bytes > 0 {
            self.counters.update(|counters| {
                counters.bytes_up += up_bytes;
                counters.bytes_down += down_bytes;
            });
        }
        if let (Progress::Cut(how), _) | (_, Progress::Cut(how)) = (up, down) {
            self.cut(how, &mut scratch);
            return;
        }
        self.settle(up, down);
        // What the sink's error has told the one flow, the other one has to act on; and what was read
        // from the store may let go of what the other way holds back.
        let up_is_owed = self.tap.as_ref().is_some_and(Tap::owes_up);
        if up == Progress::SinkGone || down == Progress::SinkGone || up_is_owed {
            self.wake();
        }
    }

    /// Draws the conclusions for the connection from where its two flows stand.
    fn settle(&mut self, up: Progress, down: Progress) {
        match (self.up.source_end, self.down.source_end) {
            (Some(SourceEnd::Fin), _) => self.record.note_ending(Ending::SubjectFin),
            (Some(SourceEnd::Reset), _) => self.record.note_ending(Ending::SubjectReset),
            (None, Some(SourceEnd::Fin)) => self.record.note_ending(Ending::StoreFin),
            (None, Some(SourceEnd::Reset)) => self.record.note_ending(Ending::StoreReset),
            (None, None) => {}
        }
        if self.up.source_end.is_some() && self.down.source_end.is_some() && self.down.drop_gates()
        {
            self.wake();
        }
        if up == Progress::SinkGone {
            self.record.note_ending(Ending::StoreReset);
            self.down.source_is_reset = true;
        }
        if down == Progress::SinkGone {
            self.record.note_ending(Ending::SubjectReset);
            self.up.source_is_reset = true;
        }
        let subject_reset = up == Progress::SourceReset || self.up.source_is_reset;
        let store_reset = down == Progress::SourceReset || self.down.source_is_reset;
        let over = up == Progress::SourceReset
            || down == Progress::SourceReset
            || self.up.finished && self.down.finished;
        if over {
            // Each side learns what the other one did.
            let toward = |reset| if reset { Closing::Reset } else { Closing::Fin };
            self.close(toward(store_reset), toward(subject_reset));
        }
    }

    fn poll_silenced(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) {
        let (Some(subject), Some(bite)) = (&mut self.subject, &self.silence) else {
            return;
        };
        let Some(subject) = subject.socket_mut() else {
            return;
        };
        // Half-closed already: nothing to swallow, and to answer would be no silence.
        if self.up.source_end.is_some() {
            return;
        }
        for _ in 0..SWALLOWS_PER_POLL {
            let mut buffer = ReadBuf::new(scratch);
            let ending = match Pin::new(&mut *subject).poll_read(cx, &mut buffer) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let count = buffer.filled().len() as u64;
                    bite.note(count, self.record.swallowed_bytes == 0);
                    self.record.swallowed_bytes += count;
                    self.counters
                        .update(|counters| counters.swallowed_bytes += count);
                    continue;
                }
                Poll::Ready(Ok(())) => Ending::SubjectFin,
                Poll::Ready(Err(_)) => Ending::SubjectReset,
            };
            self.record.note_ending(ending);
            return self.close(Closing::Fin, Closing::Fin);
        }
        cx.waker().wake_by_ref();
    }

    /// Ends the connection if that is due; whether it was.
    fn poll_timed_ends(&mut self, cx: &Context<'_>, hub: &Hub) -> bool {
        let Some(first) = self.timed_ends.iter().min_by_key(|end| end.at) else {
            return false;
        };
        if first.at > Instant::now() {
            hub.timer.wake_at(first.at, cx.waker());
            return false;
        }
        first.ended.fetch_add(1, Ordering::Relaxed);
        self.cut(first.how, &mut hub.scratch.borrow_mut())
    }

    /// Looks whether the subject has sent something, and leaves it there.
    fn poll_standing_still(&mut self, cx: &mut Context<'_>) {
        let subject = self.subject.as_ref().and_then(End::socket);
        let (Some(subject), Some(still)) = (subject, &mut self.stands_still) else {
            return;
        };
        let mut byte = [0];
        if !still.is_noted
            && let Poll::Ready(Ok(1)) = subject.poll_peek(cx, &mut ReadBuf::new(&mut byte))
        {
            still.is_noted = true;
            still.bite.note();
        }
    }

    /// From now on nothing is read, in either direction.
    pub(crate) fn stand_still(&mut self, bite: Arc<AdmitBite>) {
        let is_noted = false;
        self.stands_still = Some(StandStill { bite, is_noted });
        self.wake();
    }

    /// From now on nothing is read, and there is nobody to read it.
    pub(crate) fn wait(&mut self, bite: Arc<AdmitBite>) {
        bite.note();
        let is_noted = true;
        self.stands_still = Some(StandStill { bite, is_noted });
    }

    /// Ends what was begun with that bite.
    pub(crate) fn go_on(&mut self, bite: &Arc<AdmitBite>, upstream: Option<Upstream>) {
        let stood = self
            .stands_still
            .take_if(|still| Arc::ptr_eq(&still.bite, bite));
        if stood.is_none() || self.is_closed() {
            return;
        }
        if self.store.is_none() && self.connecting.is_none() && self.silence.is_none() {
            self.connect(upstream);
        }
        self.wake();
    }

    /// Ends the connection at a time, unless the fault heals before.
    pub(crate) fn end_at(&mut self, end: TimedEnd) {
        self.timed_ends.push(end);
    }

    /// A fault of the line is no longer in force: what it held back goes on, and a stream with a hole is reset.
    pub(crate) fn line_healed(&mut self, fault_id: u64) {
        self.timed_ends.retain(|end| end.fault_id != fault_id);
        let has_hole = self.up.heal(fault_id) | self.down.heal(fault_id);
        if has_hole {
            self.cut(Closing::Reset, &mut []);
        }
        self.wake();
    }

    /// From now on what the subject sends is swallowed, and what the store sends waits.
    pub(crate) fn silence(&mut self, bite: Arc<SilenceBite>) {
        self.silence = Some(bite);
        self.wake();
    }

    /// Ends [`Connection::silence`]. A stream with a hole cannot go on, so it is reset.
    pub(crate) fn unsilence(&mut self, upstream: Option<Upstream>) {
        if self.silence.take().is_none() || self.is_closed() {
            return;
        }
        if self.record.swallowed_bytes > 0 {
            self.cut(Closing::Reset, &mut []);
        } else if self.store.is_none() && self.connecting.is_none() {
            self.connect(upstream);
        }
        self.wake();
    }

    /// A rule is no longer in force: what it held goes on, and a stream with a hole is reset.
    pub(crate) fn rule_healed(&mut self, rule: u64) {
        if self.tap.as_ref().is_some_and(|tap| tap.is_broken_by(rule)) {
            self.cut(Closing::Reset, &mut []);
        }
        self.wake();
    }

    /// Stops or resumes everything, sockets untouched.
    pub(crate) fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
        self.wake();
    }

    /// Ends the connection for a fault. Says whether there was anything to end.
    pub(crate) fn cut(&mut self, how: Closing, scratch: &mut [u8]) -> bool {
        if self.is_closed() {
            return false;
        }
        if let (Closing::Fin, Some(subject)) = (how, self.subject()) {
            socket::drain(subject, scratch);
        }
        self.record.note_ending(Ending::CutByFault);
        self.counters.update(|counters| counters.cut += 1);
        self.close(how, Closing::Fin);
        true
    }

    /// Ends the connection with an ending of the caller's.
    pub(crate) fn end(&mut self, ending: Ending, toward_subject: Closing) {
        self.record.note_ending(ending);
        self.close(toward_subject, Closing::Fin);
    }

    fn upstream_refused(&mut self) {
        self.counters
            .update(|counters| counters.upstream_refused += 1);
        self.end(Ending::UpstreamRefused, Closing::Reset);
    }

    fn close(&mut self, toward_subject: Closing, toward_store: Closing) {
        for (stream, how) in [
            (self.subject.take(), toward_subject),
            (self.store.take(), toward_store),
        ] {
            let Some(mut stream) = stream else { continue };
            match (how, stream.socket()) {
                (Closing::Reset, Some(socket)) => socket::reset_on_drop(socket),
                (Closing::Reset, None) => {}
                (Closing::Fin, _) => stream.say_goodbye(),
            }
        }
        self.connecting = None;
        self.record.closed_at.get_or_insert_with(Instant::now);
        self.wake();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.record.closed_at.is_some()
    }

    /// The socket toward the subject, while there is one.
    pub(crate) fn subject(&self) -> Option<&TcpStream> {
        self.subject.as_ref().and_then(End::socket)
    }

    /// The record as of now.
    pub(crate) fn snapshot(&self) -> ConnectionRecord {
        ConnectionRecord {
            up: self.up.record,
            down: self.down.record,
            ..self.record.clone()
        }
    }

    /// Has the task polled again after a change from outside.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

fn poll_both<S: AsyncRead + AsyncWrite + Unpin>(
    (up, down): (&mut Flow, &mut Flow),
    subject: &mut S,
    store: &mut S,
    cx: &mut Context<'_>,
    with: &mut FlowContext<'_>,
) -> (Progress, Progress) {
    let up = up.poll(subject, store, cx, with);
    with.side = Side::Down;
    (up, down.poll(store, subject, cx, with))
}
