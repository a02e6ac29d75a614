//! One direction of a connection: bytes in, perhaps held back, bytes out.
//!
//! The fast path reads into the thread's scratch buffer and writes from it in the same poll. A flow
//! owns memory only for what the sink did not take or a fault holds back, and stops reading at
//! a limit, so that the source feels back-pressure as it would without us.
//!
//! On its way a read passes the [`Tap`], which decides what becomes of it, and the [`Shaper`]s, which say
//! when it may go and in what pieces.

use super::connection::Closing;
use super::fault::Shaper;
use super::queue::{Chunk, Item};
use super::record::{CounterCell, FlowRecord};
use super::tap::{Side, Tap};
use super::timer::PreciseTimer;
use bytes::Buf;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a flow holds back at most. A delayed link carries this much per delay: 400 MB/s at 10 ms.
const HELD_BYTES_LIMIT: usize = 4 * 1024 * 1024;

/// What an item costs beside its bytes, so that a flood of tiny ones is bounded too.
const ITEM_OVERHEAD_BYTES: usize = 96;

/// Two full reads, then others have their turn.
const ROUNDS_PER_POLL: usize = 2;

/// What a poll needs from the thread and the proxy.
pub(crate) struct FlowContext<'a> {
    pub(crate) scratch: &'a mut [u8],
    pub(crate) timer: &'a PreciseTimer,
    pub(crate) counters: &'a CounterCell,
    pub(crate) tap: Option<&'a mut Tap>,
    pub(crate) side: Side,
}

/// How the source ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceEnd {
    Fin,
    Reset,
}

/// Where a flow stands after a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Waits, or has asked to be polled again.
    Pending,
    /// The source's FIN was passed on, or nothing can be passed any more.
    Finished,
    /// The source reset, and all that came before was passed on.
    SourceReset,
    /// The sink does not take bytes any more.
    SinkGone,
    /// A rule ends the connection here.
    Cut(Closing),
}

/// One direction of a connection.
#[derive(Default)]
pub(crate) struct Flow {
    pub(crate) record: FlowRecord,
    pub(crate) source_end: Option<SourceEnd>,
    /// The source is known to be reset though its FIN was read: what follows the bytes is a reset.
    pub(crate) source_is_reset: bool,
    /// Nothing more is done: the FIN was passed on or the sink is gone.
    pub(crate) finished: bool,
    pub(crate) shapers: Vec<Box<dyn Shaper>>,
    end_due: Option<Instant>,
    queue: VecDeque<Item>,
    queued_bytes: usize,
    armed_for: Option<Instant>,
}

enum Flushed {
    Everything,
    Waits,
    SinkGone,
    Cut(Closing),
}

impl Flow {
    /// Moves what can be moved.
    ///
    /// Made once for plain sockets, which know nothing of TLS, and once for those that may have it.
    pub(crate) fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        source: &mut S,
        sink: &mut S,
        cx: &mut Context<'_>,
        with: &mut FlowContext<'_>,
    ) -> Progress {
        if self.finished {
            return Progress::Finished;
        }
        self.collect_owed(with);
        // Of TLS, what the socket did not take before; of a plain socket, nothing.
        if let Poll::Ready(Err(_)) = Pin::new(&mut *sink).poll_flush(cx) {
            return self.sink_gone();
        }
        for _ in 0..ROUNDS_PER_POLL {
            match self.flush(sink, cx, with) {
                Flushed::Everything => {}
                Flushed::Waits if self.may_read() => {}
                Flushed::Waits => return Progress::Pending,
                Flushed::SinkGone => return self.sink_gone(),
                Flushed::Cut(how) => return Progress::Cut(how),
            }
            if let Some(end) = self.source_end {
                return if self.queue.is_empty() {
                    self.pass_end(end, sink, cx, with.timer)
                } else {
                    Progress::Pending
                };
            }
            let mut buffer = ReadBuf::new(with.scratch);
            match Pin::new(&mut *source).poll_read(cx, &mut buffer) {
                Poll::Pending => return Progress::Pending,
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    self.end(SourceEnd::Fin, with);
                }
                Poll::Ready(Ok(())) => {
                    let read = buffer.filled().len();
                    if self.pass(read, sink, cx, with).is_err() {
                        return self.sink_gone();
                    }
                }
                Poll::Ready(Err(_)) => self.end(SourceEnd::Reset, with),
            }
        }
        cx.waker().wake_by_ref();
        Progress::Pending
    }

    /// Takes a fault's shapers away; whether they have left a hole in the stream.
    pub(crate) fn heal(&mut self, fault_id: u64) -> bool {
        let mut has_hole = false;
        self.shapers.retain(|shaper| {
            let is_healed = shaper.fault_id() == fault_id;
            has_hole |= is_healed && shaper.has_lost_bytes();
            !is_healed
        });
        // With another one in force, what is held back keeps its time.
        if self.shapers.is_empty() {
            self.release();
        }
        has_hole
    }

    /// Lets go of what a shaper holds back that is no longer in force. Gates stay closed.
    fn release(&mut self) {
        for item in &mut self.queue {
            if let Item::Bytes(chunk) = item {
                chunk.due = None;
            }
        }
        self.end_due = None;
        self.armed_for = None;
    }

    /// Both sides have ended: nobody is left to be held up. Whether there was a gate.
    pub(crate) fn drop_gates(&mut self) -> bool {
        let before = self.queue.len();
        self.queue.retain(|item| {
            let is_gate = matches!(item, Item::Gate(_));
            self.queued_bytes -= usize::from(is_gate) * ITEM_OVERHEAD_BYTES;
            !is_gate
        });
        self.armed_for = None;
        self.queue.len() < before
    }

    fn may_read(&self) -> bool {
        let held_bytes_limit = match self.shapers.as_slice() {
            [alone] => alone.held_bytes_limit().min(HELD_BYTES_LIMIT),
            _ => HELD_BYTES_LIMIT,
        };
        let is_held_back = match self.queue.front() {
            None => true,
            Some(Item::Bytes(chunk)) => chunk.due.is_some() && self.queued_bytes < held_bytes_limit,
            Some(_) => self.queued_bytes < held_bytes_limit,
        };
        self.source_end.is_none() && is_held_back
    }

    fn sink_gone(&mut self) -> Progress {
        self.finished = true;
        self.drop_queue();
        Progress::SinkGone
    }

    fn drop_queue(&mut self) {
        self.queue.clear();
        self.queued_bytes = 0;
    }

    fn end(&mut self, end: SourceEnd, with: &mut FlowContext<'_>) {
        self.source_end = Some(end);
        let now = Instant::now();
        if let Some(tap) = with.tap.as_deref_mut() {
            let mut items = Vec::new();
            tap.source_ended(with.side, now, &mut items);
            self.extend(items);
        }
        let own = self.shapers.iter_mut().fold(None, |due, shaper| {
            shaper.end_due(due.unwrap_or(now)).or(due)
        });
        self.end_due = own.max(self.last_due());
    }

    /// What the tap owes this way without anything having been read on it.
    fn collect_owed(&mut self, with: &mut FlowContext<'_>) {
        if let Some(tap) = with.tap.as_deref_mut()
            && tap.steers()
        {
            let mut items = Vec::new();
            tap.owed(with.side, Instant::now(), &mut items);
            self.extend(items);
        }
    }

    fn last_due(&self) -> Option<Instant> {
        self.queue.iter().rev().find_map(|item| match item {
            Item::Bytes(chunk) => chunk.due,
            _ => None,
        })
    }

    /// Passes what was just read into the scratch buffer.
    fn pass<S: AsyncWrite + Unpin>(
        &mut self,
        read: usize,
        sink: &mut S,
        cx: &mut Context<'_>,
        with: &mut FlowContext<'_>,
    ) -> io::Result<()> {
        let now = Instant::now();
        self.record.note(read, now);
        if let Some(tap) = with.tap.as_deref_mut() {
            if tap.steers() {
                let mut items = Vec::new();
                tap.steer(with.side, &with.scratch[..read], now, &mut items);
                self.extend(items);
                return Ok(());
            }
            tap.observe(with.side, &with.scratch[..read], now);
        }
        let mut passed = 0;
        if self.shapers.is_empty() && self.queue.is_empty() {
            while passed < read {
                match Pin::new(&mut *sink).poll_write(cx, &with.scratch[passed..read]) {
                    Poll::Ready(written) => passed += written?,
                    Poll::Pending => break,
                }
            }
        }
        if passed < read {
            self.extend(vec![Item::bytes(&with.scratch[passed..read], now, None)]);
            self.wait_for_first(with.timer, cx.waker());
        }
        Ok(())
    }

    /// Puts items into the queue, as the shapers make them: what was read earlier is never overtaken.
    fn extend(&mut self, mut items: Vec<Item>) {
        for shaper in &mut self.shapers {
            let mut shaped = Vec::with_capacity(items.len());
            for item in items {
                match item {
                    Item::Bytes(chunk) => shaper.shape(chunk, &mut shaped),
                    other => shaped.push(other),
                }
            }
            items = shaped;
        }
        let mut earliest = self.last_due();
        for mut item in items {
            if let Item::Bytes(chunk) = &mut item {
                chunk.due = chunk.due.max(earliest);
                earliest = chunk.due;
                self.queued_bytes += chunk.bytes.len();
            }
            self.queued_bytes += ITEM_OVERHEAD_BYTES;
            self.queue.push_back(item);
        }
    }

    fn flush<S: AsyncWrite + Unpin>(
        &mut self,
        sink: &mut S,
        cx: &mut Context<'_>,
        with: &mut FlowContext<'_>,
    ) -> Flushed {
        while let Some(item) = self.queue.front_mut() {
            match item {
                Item::Bytes(chunk) => {
                    if chunk.due.is_some_and(|due| due > Instant::now()) {
                        self.wait_for_first(with.timer, cx.waker());
                        return Flushed::Waits;
                    }
                    match Pin::new(&mut *sink).poll_write(cx, &chunk.bytes) {
                        Poll::Pending => {
                            // From here on it waits for the sink, not for its time.
                            chunk.due = None;
                            return Flushed::Waits;
                        }
                        Poll::Ready(Err(_)) => return Flushed::SinkGone,
                        Poll::Ready(Ok(written)) => {
                            chunk.bytes.advance(written);
                            self.queued_bytes -= written;
                            if !chunk.bytes.is_empty() {
                                continue;
                            }
                        }
                    }
                }
                Item::Gate(gate) if !gate.is_open() => {
                    self.wait_for_first(with.timer, cx.waker());
                    return Flushed::Waits;
                }
                Item::Gate(_) => {}
                Item::Cut(how) => return Flushed::Cut(*how),
                Item::Passed(rule) => rule.replied(),
            }
            self.item_passed(with.counters);
        }
        Flushed::Everything
    }

    fn item_passed(&mut self, counters: &CounterCell) {
        let Some(item) = self.queue.pop_front() else {
            return;
        };
        self.queued_bytes -= ITEM_OVERHEAD_BYTES;
        if let Item::Bytes(Chunk {
            read_at,
            due: Some(_),
            ..
        }) = item
        {
            let held = read_at.elapsed();
            counters.update(|counters| counters.delayed_chunks += 1);
            for shaper in &self.shapers {
                shaper.passed(held);
            }
        }
    }

    /// Asks for one wake-up per due time, however often the flow is polled meanwhile.
    fn wait_for_first(&mut self, timer: &PreciseTimer, waker: &Waker) {
        let due = match self.queue.front() {
            Some(Item::Bytes(chunk)) => chunk.due,
            Some(Item::Gate(gate)) => Some(gate.until()),
            Some(_) => None,
            None => self.end_due,
        };
        if let Some(due) = due
            && self.armed_for != Some(due)
        {
            self.armed_for = Some(due);
            timer.wake_at(due, waker);
        }
    }

    fn pass_end<S: AsyncWrite + Unpin>(
        &mut self,
        end: SourceEnd,
        sink: &mut S,
        cx: &mut Context<'_>,
        timer: &PreciseTimer,
    ) -> Progress {
        if self.end_due.is_some_and(|due| due > Instant::now()) {
            self.wait_for_first(timer, cx.waker());
            return Progress::Pending;
        }
        if end == SourceEnd::Reset || self.source_is_reset {
            return Progress::SourceReset;
        }
        // Only shuts down for writing. It cannot block but on the goodbye of TLS; it fails if the sink has been
        // reset, which the other direction finds out.
        if Pin::new(sink).poll_shutdown(cx).is_pending() {
            return Progress::Pending;
        }
        self.finished = true;
        Progress::Finished
    }
}
