//! Three loads: at a given rate for latency, as fast as it goes in pipelines, and one large value after another.

use super::client::{ANSWER_DEADLINE, Client, Operation, SCRATCH_BYTES};
use crate::BenchError;
use hdrhistogram::Histogram;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// When the generator itself did nothing for that long, it had lost its core. What was under way then was not measured
/// right: it is left out, and counted.
const AWAY: Duration = Duration::from_micros(50);

/// The longest latency that is kept apart; one second is far beyond anything here.
const LONGEST_NS: u64 = 10_000_000_000;

/// Where a load goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) address: SocketAddr,
    pub(super) password: &'a str,
}

/// Latencies of one slice.
#[derive(Debug)]
pub(super) struct Latencies {
    pub(super) histogram_ns: Histogram<u64>,
    /// Requests that were under way, or would have been sent, while the generator had lost its core.
    pub(super) left_out: u64,
}

impl Latencies {
    pub(super) fn new() -> Self {
        let histogram_ns = Histogram::new_with_bounds(1, LONGEST_NS, 3);
        Self {
            histogram_ns: histogram_ns.expect("1 is below LONGEST_NS"),
            left_out: 0,
        }
    }
}

/// When to send on which connection: the same times for every way, given by the seed.
#[derive(Debug)]
pub(super) struct Schedule(Vec<(Duration, usize)>);

impl Schedule {
    /// One client, at even times.
    pub(super) fn even(per_second: u32, span: Duration) -> Self {
        let gap = Duration::from_secs(1) / per_second;
        let count = u32::try_from(span.as_nanos() / gap.as_nanos()).unwrap_or(u32::MAX);
        Self((1..=count).map(|index| (gap * index, 0)).collect())
    }

    /// Clients that do not know of each other: together their requests come at random times.
    pub(super) fn independent(per_second: u32, clients: usize, span: Duration, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut at = Duration::ZERO;
        let mut planned = Vec::new();
        loop {
            let uniform: f64 = rng.random();
            at += Duration::from_secs_f64(-(1.0 - uniform).ln() / f64::from(per_second));
            if at > span {
                return Self(planned);
            }
            planned.push((at, rng.random_range(0..clients)));
        }
    }
}

/// Sends at the planned times, whether or not earlier requests were answered.
pub(super) fn paced(
    target: Target<'_>,
    clients: usize,
    schedule: &Schedule,
) -> Result<Latencies, BenchError> {
    let mut run = Paced {
        crowd: Crowd::connect(target, clients, &Operation::ping())?,
        under_way: vec![VecDeque::new(); clients],
        latencies: Latencies::new(),
        unanswered: 0,
        last_away: Instant::now(),
        request: Operation::ping().request,
    };
    run.warm_up()?;
    run.go(schedule)?;
    Ok(run.latencies)
}

struct Paced {
    crowd: Crowd,
    /// When the requests without a reply were sent, by connection.
    under_way: Vec<VecDeque<Instant>>,
    latencies: Latencies,
    unanswered: usize,
    last_away: Instant,
    request: Vec<u8>,
}

impl Paced {
    /// Each connection once: buffers and wake-ups have been used before it counts.
    fn warm_up(&mut self) -> Result<(), BenchError> {
        for connection in 0..self.under_way.len() {
            self.send(connection, Instant::now())?;
            let began = Instant::now();
            while self.unanswered > 0 {
                self.look(began)?;
            }
        }
        self.latencies = Latencies::new();
        Ok(())
    }

    /// Looks and sends in turns, and never sleeps: a sleeping core would be woken within the measured time.
    fn go(&mut self, schedule: &Schedule) -> Result<(), BenchError> {
        let mut planned = schedule.0.iter().peekable();
        let begin = Instant::now();
        let (mut last_look, mut last_answer) = (begin, begin);
        self.last_away = begin;
        while planned.peek().is_some() || self.unanswered > 0 {
            let now = Instant::now();
            if now - last_look > AWAY {
                self.last_away = now;
            }
            last_look = now;
            match planned.next_if(|(at, _)| begin + *at <= now) {
                Some((at, _)) if now - (begin + *at) > AWAY => self.latencies.left_out += 1,
                Some((_, connection)) => self.send(*connection, now)?,
                None => {}
            }
            if self.look(last_answer)? || self.unanswered == 0 {
                last_answer = now;
            }
        }
        Ok(())
    }

    fn send(&mut self, connection: usize, now: Instant) -> Result<(), BenchError> {
        self.crowd.clients[connection].send(&self.request)?;
        self.under_way[connection].push_back(now);
        self.unanswered += 1;
        Ok(())
    }

    /// Takes what has been answered; whether anything has.
    fn look(&mut self, last_answer: Instant) -> Result<bool, BenchError> {
        let mut any = false;
        for connection in self.crowd.ready(EpollTimeout::ZERO)? {
            let replies = self.crowd.receive(connection)?;
            let now = Instant::now();
            for sent in self.under_way[connection].drain(..replies) {
                self.unanswered -= 1;
                any = true;
                if sent < self.last_away {
                    self.latencies.left_out += 1;
                } else {
                    let nanos = u64::try_from((now - sent).as_nanos()).unwrap_or(LONGEST_NS);
                    self.latencies.histogram_ns.saturating_record(nanos);
                }
            }
        }
        if !any && self.unanswered > 0 && last_answer.elapsed() > ANSWER_DEADLINE {
            return Err(no_answer());
        }
        Ok(any)
    }
}

/// Sends a batch on each connection and the next when all of it was answered. Commands, and the time they took.
pub(super) fn pipelined(
    target: Target<'_>,
    clients: usize,
    depth: usize,
    operation: &Operation,
    span: Duration,
) -> Result<(u64, Duration), BenchError> {
    let mut crowd = Crowd::connect(target, clients, operation)?;
    let batch = operation.request.repeat(depth);
    let mut unanswered = vec![depth; clients];
    let began = Instant::now();
    for client in &mut crowd.clients {
        client.send(&batch)?;
    }
    let mut commands = 0;
    let mut busy = clients;
    while busy > 0 {
        for connection in crowd.ready_or_gone()? {
            let replies = crowd.receive(connection)?;
            commands += replies as u64;
            unanswered[connection] -= replies;
            if unanswered[connection] > 0 {
                continue;
            }
            if began.elapsed() < span {
                unanswered[connection] = depth;
                crowd.clients[connection].send(&batch)?;
            } else {
                busy -= 1;
            }
        }
    }
    Ok((commands, began.elapsed()))
}

/// One after another on one connection. How many, and the time they took.
pub(super) fn one_by_one(
    target: Target<'_>,
    operation: &Operation,
    span: Duration,
) -> Result<(u64, Duration), BenchError> {
    let mut client = Client::connect(target.address, target.password, operation)?;
    let mut scratch = vec![0; SCRATCH_BYTES];
    // The first ones find small socket buffers, which the kernel lets grow.
    for _ in 0..3 {
        client.ask(&operation.request, &mut scratch)?;
    }
    let began = Instant::now();
    let mut count = 0;
    while count == 0 || began.elapsed() < span {
        client.ask(&operation.request, &mut scratch)?;
        count += 1;
    }
    Ok((count, began.elapsed()))
}

/// Connections that are watched together.
struct Crowd {
    clients: Vec<Client>,
    epoll: Epoll,
    events: Vec<EpollEvent>,
    scratch: Vec<u8>,
}

impl Crowd {
    fn connect(
        target: Target<'_>,
        clients: usize,
        operation: &Operation,
    ) -> Result<Self, BenchError> {
        let failed = |error: nix::Error| BenchError::Traffic(error.into());
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        let connect = |index: usize| {
            let mut client = Client::connect(target.address, target.password, operation)?;
            client.unblock()?;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
            epoll.add(&client, event).map_err(failed)?;
            Ok(client)
        };
        let connected: Result<_, BenchError> = (0..clients).map(connect).collect();
        Ok(Self {
            clients: connected?,
            epoll,
            events: vec![EpollEvent::empty(); clients],
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    /// The connections that can be read from.
    fn ready(&mut self, timeout: EpollTimeout) -> Result<Vec<usize>, BenchError> {
        let waited = self.epoll.wait(&mut self.events, timeout);
        let count = waited.map_err(|error| BenchError::Traffic(error.into()))?;
        let ready = self.events[..count].iter();
        Ok(ready.map(|event| event.data() as usize).collect())
    }

    /// The same, when one has to be there before long.
    fn ready_or_gone(&mut self) -> Result<Vec<usize>, BenchError> {
        let deadline = EpollTimeout::try_from(ANSWER_DEADLINE);
        let ready = self.ready(deadline.expect("seconds fit into milliseconds"))?;
        if ready.is_empty() {
            return Err(no_answer());
        }
        Ok(ready)
    }

    fn receive(&mut self, connection: usize) -> Result<usize, BenchError> {
        self.clients[connection].receive(&mut self.scratch)
    }
}

fn no_answer() -> BenchError {
    BenchError::wrong("a reply", format!("none in {ANSWER_DEADLINE:?}"))
}
