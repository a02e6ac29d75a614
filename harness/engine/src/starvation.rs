//! Whether the kernel let the stores and the subject run when they wanted to.
//!
//! A process that waits half a second for a processor looks from outside like one that hangs, and a direct
//! client of the same store need not notice: each session of Postgres is a process of its own, and where the kernel groups
//! processes by session (`sched_autogroup`) one of them may starve while the others run. The kernel counts how long each
//! thread has waited (`/proc/PID/task/TID/schedstat`, the second figure, in ns); this monitor reads it.

use crate::clock::Clock;
use crate::environment::Environment;
use crate::poll::{Look, poll_until};
use crate::process_tree;
use crate::scenario::lock;
use crate::store::{Store, StoreKind};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const PERIOD: Duration = Duration::from_millis(50);

/// Half of the shortest timeout that a service usually has for its stores.
const TOO_LONG: Duration = Duration::from_millis(250);

/// A request may wait once in the subject and once in each store, all within the time that is given to it.
const TOGETHER_US: u64 = 1_000_000;

/// What is worth being kept. A machine that is merely busy lets nobody wait so long.
const LONG: Duration = Duration::from_millis(80);

/// Waits that ended between two looks add up to no more than the time between them, but for one that had
/// begun before: what exceeds it by this much was one long wait and not many short ones.
const EXCESS: Duration = Duration::from_millis(30);

/// How long a thread that waits when the scenario fails is given to get its processor: only then is its wait counted.
const SETTLE_DEADLINE: Duration = Duration::from_secs(1);
const SETTLE_POLL: Duration = Duration::from_millis(20);

/// One wait for a processor, on the scenario's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LongWait {
    whose: String,
    waited: Duration,
    until_us: u64,
}

/// Looks until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct StarvationMonitor {
    waits: Arc<Mutex<Vec<LongWait>>>,
    roots: Arc<Mutex<Vec<i32>>>,
    task: Option<JoinHandle<()>>,
}

impl StarvationMonitor {
    /// Begins to look at the processes of both stores and of every instance, those to come included.
    pub(crate) fn start(environment: &Arc<Environment>, clock: Clock) -> Self {
        let mut monitor = Self::default();
        let (waits, roots) = (Arc::clone(&monitor.waits), Arc::clone(&monitor.roots));
        let environment = Arc::downgrade(environment);
        monitor.task = Some(tokio::spawn(watch(environment, clock, waits, roots)));
        monitor
    }

    /// Lets waits end that go on: the kernel counts a wait when it is over.
    pub(crate) async fn settle(&self) {
        let waiting: Vec<i32> = lock(&self.roots)
            .iter()
            .flat_map(|root| process_tree::runnable_threads(*root))
            .collect();
        if waiting.is_empty() {
            return;
        }
        let figures = |thread: &i32| std::fs::read_to_string(format!("/proc/{thread}/schedstat"));
        let before: Vec<_> = waiting.iter().map(|thread| figures(thread).ok()).collect();
        let have_run = async || {
            let now = waiting.iter().map(|thread| figures(thread).ok());
            match now.zip(&before).any(|(now, before)| now == *before) {
                true => Look::NotYet("threads without a processor".to_owned()),
                false => Look::Ready(()),
            }
        };
        // Those that still wait are beyond our patience, and what has been counted has to do.
        let _ = poll_until("their turn", SETTLE_DEADLINE, SETTLE_POLL, have_run).await;
        tokio::time::sleep(2 * PERIOD).await;
    }

    /// What had to wait too long since then, in words.
    pub(crate) fn excuse(&self, from_us: u64) -> Option<String> {
        let mut waits = lock(&self.waits).clone();
        waits.retain(|wait| wait.until_us >= from_us);
        let worst = waits.iter().map(|wait| together(&waits, wait.until_us));
        let worst = worst.max_by_key(|together| total(together))?;
        if total(&worst) < TOO_LONG {
            return None;
        }
        let told: Vec<String> = worst
            .iter()
            .map(|wait| {
                let (ms, until_ms) = (wait.waited.as_millis(), wait.until_us / 1000);
                let whose = &wait.whose;
                format!(
                    "a process of {whose} had to wait {ms} ms for a processor, until {until_ms} ms"
                )
            })
            .collect();
        Some(format!("the machine is overloaded: {}", told.join("; ")))
    }
}

/// The longest wait of each tree within the time before that moment.
fn together(waits: &[LongWait], until_us: u64) -> Vec<LongWait> {
    let from_us = until_us.saturating_sub(TOGETHER_US);
    let mut longest: BTreeMap<&str, &LongWait> = BTreeMap::new();
    for wait in waits {
        if (from_us..=until_us).contains(&wait.until_us) {
            let of_tree = longest.entry(&wait.whose).or_insert(wait);
            if wait.waited > of_tree.waited {
                *of_tree = wait;
            }
        }
    }
    longest.into_values().cloned().collect()
}

fn total(waits: &[LongWait]) -> Duration {
    waits.iter().map(|wait| wait.waited).sum()
}

impl Drop for StarvationMonitor {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn watch(
    environment: Weak<Environment>,
    clock: Clock,
    waits: Arc<Mutex<Vec<LongWait>>>,
    roots_now: Arc<Mutex<Vec<i32>>>,
) {
    let mut stores = StoreKind::ALL.map(Root::new);
    let mut waited = Waited::default();
    loop {
        let Some(environment) = environment.upgrade() else {
            return;
        };
        let mut roots = Vec::new();
        for root in &mut stores {
            let pid = root.find(environment.store(root.kind)).await;
            roots.extend(pid.map(|pid| (root.kind.to_string(), pid)));
        }
        for instance in environment.instances() {
            let whose = format!("instance {} of the subject", instance.wiring.index);
            roots.push((whose, instance.pid()));
        }
        drop(environment);
        *lock(&roots_now) = roots.iter().map(|(_, pid)| *pid).collect();
        let readings: Vec<Reading> = roots.into_iter().map(Reading::take).collect();
        let long = waited.note(&readings, Instant::now());
        let until_us = clock.now_us();
        let long = long.into_iter().map(|(whose, waited)| LongWait {
            whose,
            waited,
            until_us,
        });
        lock(&waits).extend(long);
        tokio::time::sleep(PERIOD).await;
    }
}

/// Where the processes of a store begin. It is another process after each start, and to ask a container
/// engine each time would cost more than all the rest.
struct Root {
    kind: StoreKind,
    known: Option<(SocketAddr, Option<i32>)>,
}

impl Root {
    fn new(kind: StoreKind) -> Self {
        Self { kind, known: None }
    }

    async fn find(&mut self, store: &Store) -> Option<i32> {
        let address = store.address().await?;
        match self.known {
            Some((known, Some(pid))) if known == address && process_tree::look(pid).is_some() => {
                Some(pid)
            }
            Some((known, None)) if known == address => None,
            _ => {
                let pid = store.root_pid().await;
                self.known = Some((address, pid));
                pid
            }
        }
    }
}

/// How long the threads of one tree have waited since they began, by thread id.
struct Reading {
    whose: String,
    root: i32,
    threads: Vec<(i32, Duration)>,
}

impl Reading {
    fn take((whose, root): (String, i32)) -> Self {
        let threads = process_tree::waited_for_processor(root);
        Self {
            whose,
            root,
            threads,
        }
    }
}

/// What each thread had waited at the last look.
#[derive(Default)]
struct Waited {
    threads: HashMap<i32, Duration>,
    roots: HashSet<i32>,
    looked_at: Option<Instant>,
}

impl Waited {
    /// The long waits since the last look, by whose they are.
    fn note(&mut self, readings: &[Reading], now: Instant) -> Vec<(String, Duration)> {
        let between = self.looked_at.map_or(Duration::ZERO, |last| now - last);
        let mut long = Vec::new();
        for reading in readings {
            let is_known = self.roots.contains(&reading.root);
            for (thread, total) in &reading.threads {
                let before = match self.threads.get(thread) {
                    Some(before) => *before,
                    // Born since the last look: all that it has waited was since.
                    None if is_known => Duration::ZERO,
                    None => *total,
                };
                let waited = total.saturating_sub(before);
                if waited >= LONG && waited >= between + EXCESS {
                    long.push((reading.whose.clone(), waited));
                }
            }
        }
        self.threads = readings
            .iter()
            .flat_map(|reading| reading.threads.iter().copied())
            .collect();
        self.roots = readings.iter().map(|reading| reading.root).collect();
        self.looked_at = Some(now);
        long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: i32 = 7;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    /// What is told of looks at these times, in ms, with one thread's total at each.
    fn told(looks: &[(u64, i32, u64)]) -> Vec<Duration> {
        let (mut waited, start) = (Waited::default(), Instant::now());
        let mut told = Vec::new();
        for (at_ms, thread, total_ms) in looks {
            let readings = [Reading {
                whose: "postgres".to_owned(),
                root: ROOT,
                threads: vec![(ROOT, ms(0)), (*thread, ms(*total_ms))],
            }];
            let long = waited.note(&readings, start + ms(*at_ms));
            told.extend(long.into_iter().map(|(_, waited)| waited));
        }
        told
    }

    #[test]
    fn one_long_wait_is_told_with_its_length() {
        assert_eq!(told(&[(0, 8, 10), (100, 8, 12), (200, 8, 420)]), [ms(408)]);
    }

    #[test]
    fn many_short_waits_are_a_busy_machine_and_no_starvation() {
        let none: [Duration; 0] = [];
        assert_eq!(told(&[(0, 8, 0), (100, 8, 95), (200, 8, 190)]), none);
        // A late look sees as much as a long wait would be.
        assert_eq!(told(&[(0, 8, 0), (1000, 8, 900)]), none);
    }

    #[test]
    fn what_was_waited_before_the_first_look_is_nothing_to_us() {
        let none: [Duration; 0] = [];
        assert_eq!(told(&[(0, 8, 5000), (100, 8, 5001)]), none);
    }

    #[test]
    fn a_process_that_was_born_starving_is_seen() {
        assert_eq!(told(&[(0, 8, 0), (100, 9, 300)]), [ms(300)]);
    }

    #[test]
    fn waits_of_one_request_add_up_over_the_trees_and_within_a_second() {
        let wait = |whose: &str, waited_ms, until_ms: u64| LongWait {
            whose: whose.to_owned(),
            waited: ms(waited_ms),
            until_us: until_ms * 1000,
        };
        let monitor = StarvationMonitor::default();
        let excuse = |waits: &[LongWait]| {
            *lock(&monitor.waits) = waits.to_vec();
            monitor.excuse(500_000)
        };
        let both = excuse(&[wait("postgres", 140, 900), wait("subject", 120, 1_200)]);
        assert!(both.is_some_and(|told| told.contains("140 ms") && told.contains("120 ms")));
        assert_eq!(
            excuse(&[wait("postgres", 140, 900), wait("subject", 120, 2_200)]),
            None
        );
        assert_eq!(
            excuse(&[wait("postgres", 140, 900), wait("postgres", 120, 1_200)]),
            None
        );
        assert_eq!(
            excuse(&[wait("postgres", 400, 400)]),
            None,
            "before anything was measured"
        );
    }

    #[test]
    fn the_kernel_counts_the_waits_of_a_process_and_its_children() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "sleep 60 & wait"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("sh starts");
        let root = i32::try_from(child.id()).expect("pid");
        let start = Instant::now();
        let seen = loop {
            let seen = process_tree::waited_for_processor(root);
            if seen.len() == 2 || start.elapsed() > Duration::from_secs(5) {
                break seen;
            }
            std::thread::yield_now();
        };
        process_tree::signal_tree(root, nix::sys::signal::Signal::SIGKILL).expect("kill");
        child.wait().expect("reap");
        assert_eq!(seen.len(), 2, "{seen:?}");
    }
}
