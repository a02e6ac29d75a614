//! RECON-11: CLIENT KILL of every connection, while the server serves.

use super::fleet::micros;
use super::load::{Call, Load};
use crate::health::story::late;
use crate::store_view::StoreView;
use futures::FutureExt;
use std::time::{Duration, Instant};
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::{ConnectionRecord, Ending};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::OperationName;

const ROUNDS: usize = 3;
const REQUEST_PERIOD: Duration = Duration::from_millis(5);
/// How long requests go on after each kill.
const ROUND: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(2);
/// Each answer of Redis takes this long, as across a network: so that to reconnect, with its few round
/// trips, takes longer than it takes to notice the loss, and what is refused meanwhile is seen.
const FAR_AWAY: Duration = Duration::from_millis(30);
const GRACE: Duration = Duration::from_secs(2);
/// Until the service has read the end that we have passed on to it, a request still counts as in
/// flight: that may take this long, and longer on cores that kept our own threads waiting.
const NOTICE: Duration = Duration::from_millis(40);

/// RECON-11.
pub(super) const CARRIES_ON: Scenario = Scenario {
    criterion: Criterion {
        id: "RECON-11",
        statement: "CLIENT KILL of every connection of the service: no failed request beyond those in flight, reconnected within 1 s",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(3),
    run: |context| carries_on(context).boxed(),
};

async fn carries_on(context: &Context) -> Result<(), Stop> {
    context.require(&[OperationName::KvSet])?;
    let (environment, instance) = context.start().await?;
    let (clock, operation) = (context.clock(), OperationName::KvSet);
    let latency = environment
        .network_fault(&instance.wiring, StoreKind::Redis, late(FAR_AWAY))
        .await?;
    let began = Instant::now();
    let load = Load::start(&instance.http, clock, operation, REQUEST_PERIOD);
    let mut kills = Vec::new();
    for round in 1..=ROUNDS {
        some_succeed(context, &load).await?;
        context.step(format!("CLIENT KILL, round {round}"));
        kills.push(kill_all(context, &environment, &instance).await?);
        // Not a wait for a state: for how long requests go on is the parameter.
        tokio::time::sleep(ROUND).await;
    }
    let calls = load.finish().await?;
    latency.heal().await?;
    let failed = calls.iter().filter(|call| call.outcome.is_err()).count();
    context.observe(format!(
        "{} requests through {ROUNDS} kills; {failed} failed, in flight when they came",
        calls.len()
    ));
    let stall = environment.stalls().worst_since(began);
    let notice = NOTICE + stall.map(|stall| stall.lateness).unwrap_or_default();
    only_in_flight_failed(&calls, &kills, notice)
}

/// Requests work, so that a failure afterwards is one.
async fn some_succeed(context: &Context, load: &Load) -> Result<(), Stop> {
    let from_us = context.clock().now_us();
    let what = "requests to work before the kill";
    poll_until(what, GRACE, POLL, || async {
        let calls = load.so_far();
        let mut since = calls.iter().filter(|call| call.called_us >= from_us);
        match since.find(|call| call.outcome.is_ok()) {
            Some(_) => Look::Ready(()),
            None => Look::NotYet(
                calls
                    .last()
                    .map_or_else(|| "no answer".to_owned(), Call::describe),
            ),
        }
    })
    .await
    .or_fail(what)
}

/// When the kill was ordered, and when its end had been passed on to the service on each connection.
struct Kill {
    ordered_us: u64,
    told_us: u64,
}

async fn kill_all(
    context: &Context,
    environment: &Environment,
    instance: &Instance,
) -> Result<Kill, Stop> {
    let before = instance.proxy(StoreKind::Redis).connections().await?;
    let open: Vec<u64> = before
        .iter()
        .filter(|c| c.ending.is_none())
        .map(|c| c.id)
        .collect();
    let mut store = StoreView::open(environment).await?.connection();
    let ordered_us = context.clock().now_us();
    let mut killed = 0;
    for kind in ["normal", "pubsub"] {
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL")
            .arg("TYPE")
            .arg(kind)
            .arg("SKIPME")
            .arg("yes");
        killed += kill.query_async::<usize>(&mut store).await?;
    }
    let told_us = see_killed(context, instance, &open, killed).await?;
    reconnected(context, instance, &open, ordered_us).await?;
    Ok(Kill {
        ordered_us,
        told_us,
    })
}

/// Another connection is there in time, and the store has answered on it.
async fn reconnected(
    context: &Context,
    instance: &Instance,
    killed: &[u64],
    ordered_us: u64,
) -> Result<(), Stop> {
    let limit = context.deadline(|d| d.replace_ms);
    let what = "another connection in place of those killed";
    let replaced = poll_until(what, limit + GRACE, POLL, || async {
        let connections = match instance.proxy(StoreKind::Redis).connections().await {
            Ok(connections) => connections,
            Err(error) => return Look::NotYet(error.to_string()),
        };
        let served = |c: &&ConnectionRecord| !killed.contains(&c.id) && c.ending.is_none();
        let mut served = connections.iter().filter(served);
        match served.find_map(|c| c.down.first_byte_at) {
            Some(at) => Look::Ready(context.clock().at_us(at)),
            None => Look::NotYet(format!("{} connections so far", connections.len())),
        }
    });
    let replaced_us = replaced.await.or_fail(what)?;
    let took = Duration::from_micros(replaced_us.saturating_sub(ordered_us));
    context.met("reconnected after the kill", |d| d.replace_ms, took)
}

/// The kill must have reached each connection; a server command is no fault with evidence of its own.
async fn see_killed(
    context: &Context,
    instance: &Instance,
    open: &[u64],
    killed: usize,
) -> Result<u64, Stop> {
    let what = "the server to end every connection of the service";
    let ended = poll_until(what, GRACE, POLL, || async {
        let connections = match instance.proxy(StoreKind::Redis).connections().await {
            Ok(connections) => connections,
            Err(error) => return Look::NotYet(error.to_string()),
        };
        let by_store =
            |c: &ConnectionRecord| matches!(c.ending, Some(Ending::StoreFin | Ending::StoreReset));
        let mut of_kill = connections.iter().filter(|c| open.contains(&c.id));
        if let Some(left) = of_kill.clone().find(|c| !by_store(c)) {
            return Look::NotYet(format!("connection {}: {:?}", left.id, left.ending));
        }
        match of_kill.by_ref().filter_map(|c| c.ended_at).max() {
            // The end is held on its way like everything else.
            Some(at) => Look::Ready(context.clock().at_us(at + FAR_AWAY)),
            None => Look::NotYet("there was none".to_owned()),
        }
    });
    let ended = ended.await;
    let told_us =
        ended.map_err(|timeout| Stop::unknown(format!("the kill did not bite: {timeout}")))?;
    context.observe(format!(
        "{killed} clients killed, {} of them the service's",
        open.len()
    ));
    Ok(told_us)
}

fn only_in_flight_failed(calls: &[Call], kills: &[Kill], notice: Duration) -> Result<(), Stop> {
    let notice_us = micros(notice);
    let in_flight = |call: &Call| {
        let mut kills = kills.iter();
        kills.any(|kill| {
            call.called_us <= kill.told_us + notice_us && call.returned_us >= kill.ordered_us
        })
    };
    let failed = || calls.iter().filter(|call| call.outcome.is_err());
    let beyond: Vec<&Call> = failed().filter(|call| !in_flight(call)).collect();
    let Some(first) = beyond.first() else {
        return Ok(());
    };
    let expected = "no failed request beyond those in flight at a kill";
    let seen = format!("{} more, the first {}", beyond.len(), first.describe());
    let kills = kills.iter().map(|kill| (kill.told_us / 1000).to_string());
    let kills = kills.collect::<Vec<_>>().join(", ");
    let finding = Finding::new(expected, seen);
    Err(Stop::Fail(
        finding.with_evidence(format!("killed at {kills} ms")),
    ))
}
