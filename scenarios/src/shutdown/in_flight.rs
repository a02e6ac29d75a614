//! Requests that are in flight for sure when the signal comes: their commands have run in Redis, and
//! the replies are held on the way back.

use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::FaultGuard;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::{Delay, Direction, Latency};
use touchstone_engine::scenario::{Context, OrFail, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::{Answer, CallError, OperationName};

/// The longest hold: shorter than a usual response timeout of 500 ms. Usually it is let go much sooner.
const HELD_MAX: Duration = Duration::from_millis(350);
const REQUESTS: usize = 5;
const POLL: Duration = Duration::from_millis(2);

/// Requests under way, and the latency that keeps them there.
pub(super) struct InFlight {
    requests: JoinSet<Result<Answer, CallError>>,
    latency: FaultGuard,
    held_since: Instant,
}

/// Sends requests that need Redis, and returns when the store has carried out each of them.
pub(super) async fn send(
    context: &Context,
    environment: &Environment,
    instance: &Arc<Instance>,
) -> Result<InFlight, Stop> {
    context.require(&[OperationName::KvSet])?;
    let template = context.section("keys.kv", context.manifest().keys.kv.as_ref())?;
    let warm: &[(&str, &[u8])] = &[("key", b"warm"), ("value", b"x")];
    let answer = instance.http.call(OperationName::KvSet, warm).await?;
    expect(
        answer.kind() == AnswerKind::Ok,
        "a write works before the signal",
        answer.describe(),
    )?;
    let latency = Latency {
        delay: Delay::fixed(HELD_MAX),
        direction: Direction::Down,
    };
    let latency = environment
        .network_fault(&instance.wiring, StoreKind::Redis, latency)
        .await?;
    context.step(format!(
        "{REQUESTS} requests in flight, the replies of Redis held"
    ));
    let held_since = Instant::now();
    let mut requests = JoinSet::new();
    let mut keys = Vec::new();
    for number in 0..REQUESTS {
        let key = format!("in-flight-{}-{number}", instance.wiring.index);
        keys.push(template.fill(|part| (part == "key").then(|| key.clone())));
        let instance = Arc::clone(instance);
        requests.spawn(async move {
            // Each on a connection of its own: an idle one may be closed by a graceful shutdown.
            let http = instance.http.with_new_connection();
            http.call(
                OperationName::KvSet,
                &[("key", key.as_bytes()), ("value", b"in flight")],
            )
            .await
        });
    }
    see_in_store(context, environment, &keys).await?;
    Ok(InFlight {
        requests,
        latency,
        held_since,
    })
}

async fn see_in_store(
    context: &Context,
    environment: &Environment,
    keys: &[String],
) -> Result<(), Stop> {
    let database = context.manifest().stores.redis_database;
    let store = environment.store(StoreKind::Redis).redis(database).await?;
    let what = "the writes in flight to reach the store";
    poll_until(what, context.deadline(|d| d.answer_ms), POLL, || {
        let mut store = store.clone();
        async move {
            match redis::cmd("EXISTS")
                .arg(keys)
                .query_async::<usize>(&mut store)
                .await
            {
                Ok(count) if count == keys.len() => Look::Ready(()),
                Ok(count) => Look::NotYet(format!("{count} of {} keys", keys.len())),
                Err(error) => Look::NotYet(error.to_string()),
            }
        }
    })
    .await
    .or_fail(what)
}

impl InFlight {
    /// Whether the replies are held for sure, so that the process must still be there.
    pub(super) fn is_held(&self) -> bool {
        self.held_since.elapsed() < HELD_MAX
    }

    /// Lets the replies go: every request is answered, and with success.
    pub(super) async fn all_answered(mut self) -> Result<(), Stop> {
        self.latency.heal().await?;
        while let Some(answer) = self.requests.join_next().await {
            let answer = answer
                .map_err(|error| Stop::unknown(format!("our own request failed: {error}")))?;
            let answer = answer.map_err(|error| {
                Stop::fail(
                    "a request in flight at the signal is answered",
                    error.to_string(),
                )
            })?;
            expect(
                answer.kind() == AnswerKind::Ok,
                "a request in flight at the signal is answered with success",
                answer.describe(),
            )?;
        }
        Ok(())
    }
}
