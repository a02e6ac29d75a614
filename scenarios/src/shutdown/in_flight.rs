//! Requests that are in flight for sure when the signal comes: their commands are held on the way to
//! Redis.

use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::FaultGuard;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::{Direction, Latency};
use touchstone_engine::scenario::{Context, OrFail, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::{Answer, CallError, OperationName};

/// Shorter than a usual response timeout of 500 ms, long enough to act meanwhile.
const HELD: Duration = Duration::from_millis(350);
const REQUESTS: usize = 5;
const POLL: Duration = Duration::from_millis(2);

/// Requests under way, and the latency that keeps them there.
pub(super) struct InFlight {
    requests: JoinSet<Result<Answer, CallError>>,
    _latency: FaultGuard,
}

/// Sends requests that need Redis, and returns when their commands have left the service.
pub(super) async fn send(
    context: &Context,
    environment: &Environment,
    instance: &Arc<Instance>,
) -> Result<InFlight, Stop> {
    context.require(&[OperationName::KvSet])?;
    let warm: &[(&str, &[u8])] = &[("key", b"warm"), ("value", b"x")];
    let answer = instance.http.call(OperationName::KvSet, warm).await?;
    expect(
        answer.kind() == AnswerKind::Ok,
        "a write works before the signal",
        answer.describe(),
    )?;
    let latency = Latency {
        delay: HELD,
        jitter: Duration::ZERO,
        direction: Direction::Down,
    };
    let latency = environment
        .network_fault(&instance.wiring, StoreKind::Redis, latency)
        .await?;
    let proxy = instance.proxy(StoreKind::Redis);
    let before = proxy.counters().await?.bytes_up;
    context.step(format!(
        "{REQUESTS} requests in flight, their replies held for {} ms",
        HELD.as_millis()
    ));
    let mut requests = JoinSet::new();
    for number in 0..REQUESTS {
        let instance = Arc::clone(instance);
        requests.spawn(async move {
            let key = format!("in-flight-{number}");
            // Each on a connection of its own: an idle one may be closed by a graceful shutdown.
            let http = instance.http.with_new_connection();
            http.call(
                OperationName::KvSet,
                &[("key", key.as_bytes()), ("value", b"in flight")],
            )
            .await
        });
    }
    // Every command carries its key, so this many bytes mean that all of them are on their way.
    let least_bytes = (REQUESTS * "in-flight-0".len()) as u64;
    let what = "the commands of the requests to leave the service";
    poll_until(what, context.deadline(|d| d.answer_ms), POLL, || async {
        match proxy.counters().await {
            Ok(now) if now.bytes_up - before >= least_bytes => Look::Ready(()),
            Ok(now) => Look::NotYet(format!("{} bytes", now.bytes_up - before)),
            Err(error) => Look::NotYet(error.to_string()),
        }
    })
    .await
    .or_fail(what)?;
    Ok(InFlight {
        requests,
        _latency: latency,
    })
}

impl InFlight {
    /// Every request was answered, and with success.
    pub(super) async fn all_answered(mut self) -> Result<(), Stop> {
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
