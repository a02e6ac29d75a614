//! One direction of a connection: bytes in, perhaps held back, bytes out.
//!
//! The fast path reads into the thread's scratch buffer and writes from it in the same poll. A flow
//! owns memory only for what the sink did not take or `latency` holds back, and stops reading at
//! a limit, so that the source feels back-pressure as it would without us.

use super::fault::FlowDelay;
use super::record::{CounterCell, FlowRecord};
use super::timer::PreciseTimer;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What a flow holds back at most. A delayed link carries this much per delay: 400 MB/s at 10 ms.
const DELAYED_BYTES_LIMIT: usize = 4 * 1024 * 1024;

/// What a chunk costs beside its bytes, so that a flood of tiny ones is bounded too.
const CHUNK_OVERHEAD_BYTES: usize = 96;

/// Two full reads, then others have their turn.
const ROUNDS_PER_POLL: usize = 2;

/// What a poll needs from the thread and the proxy.
pub(crate) struct FlowContext<'a> {
    pub(crate) scratch: &'a mut [u8],
    pub(crate) timer: &'a PreciseTimer,
    pub(crate) counters: &'a CounterCell,
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
}

struct Chunk {
    bytes: Bytes,
    read_at: Instant,
    /// `None`: at once. Kept apart from an `Instant` in the past, as then no clock need be read.
    due: Option<Instant>,
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
    pub(crate) delays: Vec<FlowDelay>,
    end_due: Option<Instant>,
    queue: VecDeque<Chunk>,
    queued_bytes: usize,
    armed_for: Option<Instant>,
}

enum Flushed {
    Everything,
    Waits,
    SinkGone,
}

impl Flow {
    /// Moves what can be moved.
    pub(crate) fn poll(
        &mut self,
        source: &mut TcpStream,
        sink: &mut TcpStream,
        cx: &mut Context<'_>,
        with: &mut FlowContext<'_>,
    ) -> Progress {
        if self.finished {
            return Progress::Finished;
        }
        for _ in 0..ROUNDS_PER_POLL {
            match self.flush(sink, cx, with) {
                Flushed::Everything => {}
                Flushed::Waits if self.may_read() => {}
                Flushed::Waits => return Progress::Pending,
                Flushed::SinkGone => return self.sink_gone(),
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
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.end(SourceEnd::Fin),
                Poll::Ready(Ok(())) => {
                    let read = buffer.filled().len();
                    if self.pass(read, sink, cx, with).is_err() {
                        return self.sink_gone();
                    }
                }
                Poll::Ready(Err(_)) => self.end(SourceEnd::Reset),
            }
        }
        cx.waker().wake_by_ref();
        Progress::Pending
    }

    /// Lets go of what a delay holds back that is no longer in force.
    pub(crate) fn release(&mut self) {
        for chunk in &mut self.queue {
            chunk.due = None;
        }
        self.end_due = None;
        self.armed_for = None;
    }

    fn may_read(&self) -> bool {
        self.source_end.is_none()
            && (self.queue.is_empty()
                || !self.delays.is_empty() && self.queued_bytes < DELAYED_BYTES_LIMIT)
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

    fn end(&mut self, end: SourceEnd) {
        self.source_end = Some(end);
        self.end_due = self.due(Instant::now());
    }

    /// When what was read at `now` may pass: never before what was read earlier.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        if self.delays.is_empty() {
            return None;
        }
        let own = self
            .delays
            .iter_mut()
            .fold(now, |due, delay| due + delay.draw());
        let earlier = self.queue.back().and_then(|chunk| chunk.due);
        Some(earlier.map_or(own, |earlier| earlier.max(own)))
    }

    /// Passes what was just read into the scratch buffer.
    fn pass(
        &mut self,
        read: usize,
        sink: &mut TcpStream,
        cx: &mut Context<'_>,
        with: &mut FlowContext<'_>,
    ) -> io::Result<()> {
        let now = Instant::now();
        self.record.note(read, now);
        let due = self.due(now);
        let mut passed = 0;
        if due.is_none() && self.queue.is_empty() {
            while passed < read {
                match Pin::new(&mut *sink).poll_write(cx, &with.scratch[passed..read]) {
                    Poll::Ready(written) => passed += written?,
                    Poll::Pending => break,
                }
            }
        }
        if passed < read {
            let bytes = Bytes::copy_from_slice(&with.scratch[passed..read]);
            self.queued_bytes += bytes.len() + CHUNK_OVERHEAD_BYTES;
            self.queue.push_back(Chunk {
                bytes,
                read_at: now,
                due,
            });
            self.wait_for_first(with.timer, cx.waker());
        }
        Ok(())
    }

    fn flush(
        &mut self,
        sink: &mut TcpStream,
        cx: &mut Context<'_>,
        with: &mut FlowContext<'_>,
    ) -> Flushed {
        while let Some(chunk) = self.queue.front_mut() {
            if chunk.due.is_some_and(|due| due > Instant::now()) {
                self.wait_for_first(with.timer, cx.waker());
                return Flushed::Waits;
            }
            match Pin::new(&mut *sink).poll_write(cx, &chunk.bytes) {
                Poll::Pending => return Flushed::Waits,
                Poll::Ready(Err(_)) => return Flushed::SinkGone,
                Poll::Ready(Ok(written)) => {
                    chunk.bytes.advance(written);
                    self.queued_bytes -= written;
                    if chunk.bytes.is_empty() {
                        self.chunk_passed(with.counters);
                    }
                }
            }
        }
        Flushed::Everything
    }

    fn chunk_passed(&mut self, counters: &CounterCell) {
        let Some(chunk) = self.queue.pop_front() else {
            return;
        };
        self.queued_bytes -= CHUNK_OVERHEAD_BYTES;
        if chunk.due.is_some() {
            let held = chunk.read_at.elapsed();
            counters.update(|counters| counters.delayed_chunks += 1);
            for delay in &self.delays {
                delay.note(held);
            }
        }
    }

    /// Asks for one wake-up per due time, however often the flow is polled meanwhile.
    fn wait_for_first(&mut self, timer: &PreciseTimer, waker: &Waker) {
        let due = match self.queue.front() {
            Some(chunk) => chunk.due,
            None => self.end_due,
        };
        if let Some(due) = due
            && self.armed_for != Some(due)
        {
            self.armed_for = Some(due);
            timer.wake_at(due, waker);
        }
    }

    fn pass_end(
        &mut self,
        end: SourceEnd,
        sink: &mut TcpStream,
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
        // Only shuts down for writing. It cannot block; it fails if the sink has been reset, which
        // the other direction finds out.
        let _ = Pin::new(sink).poll_shutdown(cx);
        self.finished = true;
        Progress::Finished
    }
}
