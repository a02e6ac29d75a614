//! Probes a health endpoint at a fixed rate from a thread of its own, open loop: a probe is sent when
//! it is due, however long the one before it takes.

use crate::clock::Clock;
use crate::poll::{Look, TimedOut, poll_until};
use crate::proxy::StallLog;
use crate::subject::HttpClient;
use crate::subject::health::Watched;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use touchstone_core::timeline::{Probe, ProbeAnswer};

/// 20 probes a second: a load balancer's rate times twenty, still nothing to the subject.
pub const PROBE_PERIOD: Duration = Duration::from_millis(50);
/// A probe is given up after this many times its deadline, so that the record shows how late it was.
const GIVE_UP_FACTOR: u32 = 3;

/// How often the prober's thread looks whether it is on time.
const TICK: Duration = Duration::from_millis(10);

/// A running prober. Dropping it ends its thread.
#[derive(Debug)]
pub struct Prober {
    probes: Arc<Mutex<Vec<Probe>>>,
    stalls: StallLog,
    stop: watch::Sender<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl Prober {
    /// Starts probing.
    pub fn start(
        watched: Watched,
        http: &HttpClient,
        clock: Clock,
        deadline: Duration,
    ) -> std::io::Result<Self> {
        let probes = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = watch::channel(Stop::NotYet);
        let client = http
            .with_deadline(deadline * GIVE_UP_FACTOR)
            .with_new_connection();
        let sink = Arc::clone(&probes);
        let stalls = StallLog::default();
        let log = stalls.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("prober".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::spawn(crate::proxy::watch_own_thread(log, TICK));
                    run(Arc::new(watched), client, clock, sink, stopped).await;
                });
            })?;
        Ok(Self {
            probes,
            stalls,
            stop,
            thread: Some(thread),
        })
    }

    /// The probes answered so far, in the order of their sending.
    pub fn so_far(&self) -> Vec<Probe> {
        let mut probes = self
            .probes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        probes.sort_by_key(|probe| probe.sent_us);
        probes
    }

    /// The stall monitor of the prober's thread.
    pub fn stalls(&self) -> StallLog {
        self.stalls.clone()
    }

    /// Waits until `count` probes in a row, sent at or after `from_us`, are answered as wanted; returns
    /// the first of them.
    pub async fn wait_for_row(
        &self,
        what: &str,
        (from_us, count): (u64, usize),
        deadline: Duration,
        wanted: impl Fn(&ProbeAnswer) -> bool,
    ) -> Result<Probe, TimedOut> {
        poll_until(what, deadline, Duration::from_millis(5), || async {
            let mut probes = self.so_far();
            probes.retain(|probe| probe.sent_us >= from_us);
            let row = probes
                .windows(count)
                .find(|row| row.iter().all(|p| wanted(&p.answer)));
            match (row, probes.last()) {
                (Some(row), _) => Look::Ready(row[0].clone()),
                (None, Some(last)) => Look::NotYet(last.describe()),
                (None, None) => Look::NotYet("no probe was answered".to_owned()),
            }
        })
        .await
    }

    /// Waits for a probe, sent at or after `from_us`, whose answer is as wanted.
    pub async fn wait_for(
        &self,
        what: &str,
        from_us: u64,
        deadline: Duration,
        wanted: impl Fn(&ProbeAnswer) -> bool,
    ) -> Result<Probe, TimedOut> {
        poll_until(what, deadline, Duration::from_millis(5), || async {
            let probes = self.so_far();
            let fitting = |probe: &&Probe| probe.sent_us >= from_us && wanted(&probe.answer);
            match (probes.iter().find(fitting), probes.last()) {
                (Some(probe), _) => Look::Ready(probe.clone()),
                (None, Some(last)) => Look::NotYet(last.describe()),
                (None, None) => Look::NotYet("no probe was answered".to_owned()),
            }
        })
        .await
    }

    /// Ends probing, waits for the probes under way, and returns the whole timeline. An error means that
    /// the prober itself had failed, and its timeline with it.
    pub async fn finish(mut self) -> std::io::Result<Vec<Probe>> {
        self.stop.send_replace(Stop::AfterThoseUnderWay);
        let thread = self.thread.take();
        let joined = tokio::task::spawn_blocking(move || thread.map(JoinHandle::join)).await;
        match joined {
            Ok(Some(Ok(()))) => Ok(self.so_far()),
            _ => Err(std::io::Error::other("the prober panicked")),
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        // Does not wait: the scenario has failed, and its thread still has to tear down.
        self.stop.send_replace(Stop::Now);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    NotYet,
    AfterThoseUnderWay,
    Now,
}

async fn run(
    watched: Arc<Watched>,
    client: HttpClient,
    clock: Clock,
    sink: Arc<Mutex<Vec<Probe>>>,
    mut stopped: watch::Receiver<Stop>,
) {
    let mut under_way = JoinSet::new();
    let mut due = Instant::now();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop != Stop::NotYet) => break,
            () = tokio::time::sleep_until(due.into()) => {}
        }
        under_way.spawn(probe(
            Arc::clone(&watched),
            client.clone(),
            clock,
            due,
            Arc::clone(&sink),
        ));
        due += PROBE_PERIOD;
        while under_way.try_join_next().is_some() {}
    }
    let all = async { while under_way.join_next().await.is_some() {} };
    tokio::select! {
        () = all => {}
        _ = stopped.wait_for(|stop| *stop == Stop::Now) => {}
    }
}

async fn probe(
    watched: Arc<Watched>,
    client: HttpClient,
    clock: Clock,
    due: Instant,
    sink: Arc<Mutex<Vec<Probe>>>,
) {
    let sent_us = clock.now_us();
    let answer = client.get(watched.path()).await;
    let (sent_us, done_us) = match &answer {
        Ok(answer) => (answer.called_us, answer.returned_us),
        Err(_) => (sent_us, clock.now_us()),
    };
    let answer = watched.read(&answer);
    let probe = Probe {
        due_us: clock.at_us(due),
        sent_us,
        done_us,
        answer,
    };
    sink.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(probe);
}
