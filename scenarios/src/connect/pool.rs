//! CONN-10: no more connections than declared, however many requests come at once.

use futures::FutureExt;
use futures::future::join_all;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::proxy::{ConnectionRecord, Delay, Direction, Latency};
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::store::redis::foreign_clients;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::{Answer, CallError, OperationName};

const REQUESTS: usize = 256;
/// Keeps every request in flight until the last one has been sent; well below a response timeout.
const HELD: Duration = Duration::from_millis(300);
/// One of them should have all requests in flight at once; on a busy machine the first may not.
const ROUNDS: usize = 3;
const SAMPLE_PERIOD: Duration = Duration::from_millis(3);

/// CONN-10.
pub(super) const DECLARED_SIZE: Scenario = Scenario {
    criterion: Criterion {
        id: "CONN-10",
        statement: "One shared connection to Redis, or a pool of the declared size: no more of them under 256 concurrent requests",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| declared_size(context).boxed(),
};

async fn declared_size(context: &Context) -> Result<(), Stop> {
    context.require(&[OperationName::KvSet, OperationName::KvGet])?;
    let manifest = context.manifest();
    let declared = context
        .section("connections", manifest.connections.as_ref())?
        .redis_max;
    let (environment, instance) = context.start().await?;
    let samples = Samples::start(&environment).await?;
    call(&instance, OperationName::KvSet, 0).await?;
    let held = Latency {
        delay: Delay::fixed(HELD),
        direction: Direction::Down,
    };
    let held = environment
        .network_fault(&instance.wiring, StoreKind::Redis, held)
        .await?;
    let mut at_once = 0;
    for round in 1..=ROUNDS {
        context.step(format!(
            "{REQUESTS} requests at once, their replies held (round {round})"
        ));
        let answers = burst(&instance).await;
        judge_connections(context, &instance, &samples, declared).await?;
        at_once = at_once.max(judge_answers(answers)?);
        if at_once == REQUESTS {
            break;
        }
    }
    held.heal().await?;
    if at_once < REQUESTS {
        let reason = format!("at most {at_once} of {REQUESTS} requests were in flight at once");
        return Err(Stop::unknown(reason));
    }
    let most = samples.most()?;
    context.observe(format!(
        "{} looks at CLIENT LIST, at most {} connections, {declared} declared",
        most.looks, most.count
    ));
    Ok(())
}

async fn call(
    instance: &Instance,
    name: OperationName,
    number: usize,
) -> Result<Answer, CallError> {
    // Few keys, which are there from the first round on.
    let key = format!(
        "pool-{}",
        if name == OperationName::KvGet {
            0
        } else {
            number
        }
    );
    let values: &[(&str, &[u8])] = &[("key", key.as_bytes()), ("value", b"x")];
    instance.http.call(name, values).await
}

async fn burst(instance: &Instance) -> Vec<Result<Answer, CallError>> {
    let one = |number: usize| {
        let name = if number.is_multiple_of(2) {
            OperationName::KvGet
        } else {
            OperationName::KvSet
        };
        call(instance, name, number)
    };
    join_all((0..REQUESTS).map(one)).await
}

/// Each was answered with success; returns how many were in flight at the same time.
fn judge_answers(answers: Vec<Result<Answer, CallError>>) -> Result<usize, Stop> {
    let mut changes = Vec::new();
    for answer in answers {
        let answer = answer?;
        expect(
            answer.kind() == AnswerKind::Ok,
            "every request succeeds with both stores up",
            answer.describe(),
        )?;
        changes.push((answer.called_us, 1));
        changes.push((answer.returned_us, -1));
    }
    Ok(most_at_once(changes))
}

/// The highest sum that changes in the order of their times lead to.
fn most_at_once<T: Ord>(mut changes: Vec<(T, isize)>) -> usize {
    changes.sort();
    let mut now = 0;
    let sums = changes.into_iter().map(|(_, change)| {
        now += change;
        now
    });
    usize::try_from(sums.max().unwrap_or(0)).unwrap_or(0)
}

/// What the store has seen, and what passed through the proxy: two witnesses.
async fn judge_connections(
    context: &Context,
    instance: &Instance,
    samples: &Samples,
    declared: usize,
) -> Result<(), Stop> {
    let most = samples.most()?;
    let expected = format!("at most {declared} connections to Redis, as declared");
    if most.count > declared {
        let stop = touchstone_core::Finding::new(
            &expected,
            format!("{} in CLIENT LIST, the harness's own left out", most.count),
        );
        let lines = most.lines.iter().take(5);
        return Err(Stop::Fail(
            lines.fold(stop, |finding, line| finding.with_evidence(line)),
        ));
    }
    let records = instance.proxy(StoreKind::Redis).connections().await?;
    let through_proxy = most_open(&records);
    context.observe(format!(
        "{} connections through the proxy so far, {through_proxy} at once",
        records.len()
    ));
    expect(
        through_proxy <= declared,
        expected,
        format!("{through_proxy} at once through the proxy"),
    )
}

fn most_open(records: &[ConnectionRecord]) -> usize {
    let now = Instant::now();
    let changes = records.iter().flat_map(|record| {
        let over = record.ended_at.or(record.closed_at).unwrap_or(now);
        [(record.opened_at, 1), (over, -1)]
    });
    most_at_once(changes.collect())
}

/// The most connections of the subject that the store has had at once.
#[derive(Debug, Clone, Default)]
struct Most {
    looks: usize,
    count: usize,
    lines: Vec<String>,
    problem: Option<String>,
}

/// Looks at the store's list of clients until it is dropped.
struct Samples {
    most: Arc<Mutex<Most>>,
    task: JoinHandle<()>,
}

impl Samples {
    async fn start(environment: &Environment) -> Result<Self, Stop> {
        let mut connection = environment.store(StoreKind::Redis).redis(0).await?;
        let most = Arc::new(Mutex::new(Most::default()));
        let notes = Arc::clone(&most);
        let task = tokio::spawn(async move {
            loop {
                let seen = foreign_clients(&mut connection).await;
                notes
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .note(seen.map_err(|error| error.to_string()));
                tokio::time::sleep(SAMPLE_PERIOD).await;
            }
        });
        Ok(Self { most, task })
    }

    /// The most so far; an error if the store could not be looked at all the time.
    fn most(&self) -> Result<Most, Stop> {
        let most = self
            .most
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match &most.problem {
            Some(problem) => Err(Stop::unknown(format!("CLIENT LIST failed: {problem}"))),
            None if most.looks == 0 => Err(Stop::unknown("nobody looked at CLIENT LIST")),
            None => Ok(most),
        }
    }
}

impl Most {
    fn note(&mut self, seen: Result<Vec<(u64, String)>, String>) {
        let clients = match seen {
            Ok(clients) => clients,
            Err(problem) => {
                self.problem = Some(problem);
                return;
            }
        };
        self.looks += 1;
        if clients.len() > self.count {
            self.count = clients.len();
            self.lines = clients.into_iter().map(|(_, line)| line).collect();
        }
    }
}

impl Drop for Samples {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::most_at_once;

    #[test]
    fn the_end_of_one_at_the_start_of_the_next_is_no_overlap() {
        assert_eq!(most_at_once(vec![(1, 1), (5, -1), (5, 1), (9, -1)]), 1);
        assert_eq!(most_at_once(vec![(1, 1), (6, -1), (5, 1), (9, -1)]), 2);
        assert_eq!(most_at_once(Vec::<(u64, isize)>::new()), 0);
    }
}
