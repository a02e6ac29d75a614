//! OBS-1: the life of the connection to Redis in the log, and nothing in it that is not as declared.

use futures::FutureExt;
use std::time::{Duration, Instant};
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::{Cut, CutMode, Ending, Reject};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::{LogPattern, LogStructure, LogsSection};

/// With the reference's backoff these are over in a second.
const ATTEMPTS: usize = 5;
/// The time between a timer and the connection that it makes.
const EARLY: Duration = Duration::from_millis(20);
/// Until an attempt has been made, has failed and was accepted, on cores with other things to do.
const LATE: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

/// OBS-1.
pub(super) const LOGGED: Scenario = Scenario {
    criterion: Criterion {
        id: "OBS-1",
        statement: "Structured logs; events for connecting, connected, error, reconnecting (attempt, delay), restored, in this order; each attempt is in the log once, with the delay that the tap saw",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| logged(context).boxed(),
};

/// What a line tells of.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    Connecting,
    Connected,
    Error,
    Reconnecting { attempt: u64, delay_ms: u64 },
    Restored,
}

async fn logged(context: &Context) -> Result<(), Stop> {
    let logs = &context.manifest().logs;
    let structure = context.section("logs.structure", logs.structure.as_ref())?;
    context.section("logs.connecting", logs.connecting.as_ref())?;
    context.section("logs.connected", logs.connected.as_ref())?;
    context.section("logs.redis_error", logs.redis_error.as_ref())?;
    context.section("logs.reconnecting", logs.reconnecting.as_ref())?;
    let restored = context.section("logs.restored", logs.restored.as_ref())?;
    let (environment, instance) = context.start().await?;
    let before = events(logs, &instance);
    in_order(&before, "at start", &[Event::Connecting, Event::Connected])?;
    let since = Instant::now();
    let delays = outage(context, &environment, &instance, restored).await?;
    let during = events(logs, &instance).split_off(before.len());
    in_order(
        &during,
        "in an outage",
        &[Event::Error, Event::Connected, Event::Restored],
    )?;
    let stall = environment.stalls().worst_since(since);
    let stall = stall.map(|stall| stall.lateness).unwrap_or_default();
    attempts_agree(context, &during, &delays, stall)?;
    as_declared(context, structure, &instance)
}

/// An outage of some attempts. How long before each of them the one before, or the loss, was.
async fn outage(
    context: &Context,
    environment: &Environment,
    instance: &Instance,
    restored: &LogPattern,
) -> Result<Vec<Duration>, Stop> {
    context.step("cut the connection to redis, and reject new ones");
    let (wiring, redis) = (&instance.wiring, StoreKind::Redis);
    let reject = environment.network_fault(wiring, redis, Reject).await?;
    let mode = CutMode::Reset;
    drop(
        environment
            .network_fault(wiring, redis, Cut { mode })
            .await?,
    );
    let what = format!("{ATTEMPTS} attempts to reconnect");
    let deadline = context.deadline(|d| d.recover_ms) + GRACE;
    poll_until(&what, deadline, POLL, || async {
        match times(instance).await {
            Ok(times) if times.len() > ATTEMPTS => Look::Ready(Ok(())),
            Ok(times) => Look::NotYet(format!("{}", times.len().saturating_sub(1))),
            Err(stop) => Look::Ready(Err(stop)),
        }
    })
    .await
    .or_fail(&what)??;
    context.step("let it reconnect");
    reject.heal().await?;
    let what = "the log to tell that the connection is restored";
    let line = instance.log.wait_for(what, &restored.0, 1, deadline);
    line.await.or_fail(what)?;
    let times = times(instance).await?;
    Ok(times.windows(2).map(|pair| pair[1] - pair[0]).collect())
}

/// When the connection was cut, then when each attempt since was made.
async fn times(instance: &Instance) -> Result<Vec<Instant>, Stop> {
    let connections = instance.proxy(StoreKind::Redis).connections().await?;
    let cut = connections
        .iter()
        .rposition(|c| c.ending == Some(Ending::CutByFault));
    let cut = cut.and_then(|place| Some((place, connections[place].ended_at?)));
    let (place, lost_at) = cut.ok_or_else(|| Stop::unknown("there was no connection to cut"))?;
    let attempts = connections[place + 1..].iter().map(|c| c.opened_at);
    Ok(std::iter::once(lost_at).chain(attempts).collect())
}

fn events(logs: &LogsSection, instance: &Instance) -> Vec<Event> {
    let is = |pattern: &Option<LogPattern>, line: &str| {
        pattern.as_ref().is_some_and(|p| p.0.is_match(line))
    };
    let event = |line: &str| {
        if let Some(found) = logs
            .reconnecting
            .as_ref()
            .and_then(|pattern| pattern.0.captures(line))
        {
            return Some(Event::Reconnecting {
                attempt: found["attempt"].parse().ok()?,
                delay_ms: found["delay_ms"].parse().ok()?,
            });
        }
        if is(&logs.restored, line) {
            return Some(Event::Restored);
        }
        if logs.connected.as_ref().is_some_and(|p| p.0.is_match(line)) {
            return Some(Event::Connected);
        }
        if is(&logs.connecting, line) {
            return Some(Event::Connecting);
        }
        is(&logs.redis_error, line).then_some(Event::Error)
    };
    instance.log.text().lines().filter_map(event).collect()
}

/// Each of these comes, after the one before it. A connection that is restored may or may not be told as
/// connected, too.
fn in_order(seen: &[Event], when: &str, wanted: &[Event]) -> Result<(), Stop> {
    let mut rest = seen;
    for event in wanted {
        let optional = *event == Event::Connected && wanted.contains(&Event::Restored);
        match rest.iter().position(|seen| seen == event) {
            Some(place) => rest = &rest[place + 1..],
            None if optional => {}
            None => {
                let expected = format!("{wanted:?} in the log {when}, in this order");
                return Err(Stop::fail(expected, format!("{seen:?}")));
            }
        }
    }
    Ok(())
}

fn attempts_agree(
    context: &Context,
    seen: &[Event],
    delays: &[Duration],
    stall: Duration,
) -> Result<(), Stop> {
    let told: Vec<(u64, u64)> = seen
        .iter()
        .filter_map(|event| match event {
            Event::Reconnecting { attempt, delay_ms } => Some((*attempt, *delay_ms)),
            _ => None,
        })
        .collect();
    let made: Vec<u128> = delays.iter().map(Duration::as_millis).collect();
    context.observe(format!(
        "attempts with their delays in ms: logged {told:?}; seen {made:?}"
    ));
    let numbers = told.iter().map(|(attempt, _)| *attempt);
    expect(
        numbers.eq(1..=delays.len() as u64),
        format!("attempts 1 to {} in the log, each once", delays.len()),
        format!("{told:?}"),
    )?;
    for ((attempt, delay_ms), made) in told.iter().zip(delays) {
        let delay = Duration::from_millis(*delay_ms);
        let (least, most) = (delay.saturating_sub(EARLY + stall), delay + LATE + stall);
        if !(least..=most).contains(made) {
            let expected = format!(
                "attempt {attempt} to be made {delay_ms} ms after the one before, as logged"
            );
            let finding = Finding::new(expected, format!("{} ms", made.as_millis()));
            return Err(Stop::Fail(
                finding.with_evidence(format!("logged {told:?}")),
            ));
        }
    }
    Ok(())
}

fn as_declared(
    context: &Context,
    structure: &LogStructure,
    instance: &Instance,
) -> Result<(), Stop> {
    let text = instance.log.text();
    let missing = |line: &str| match &structure.line {
        Some(pattern) if pattern.0.is_match(line) => None,
        Some(pattern) => Some(format!("a line that matches `{}`", pattern.0)),
        None => lacks(line, &structure.json_fields),
    };
    let wrong = text
        .lines()
        .find_map(|line| missing(line).map(|expected| (expected, line)));
    context.observe(format!("{} lines, each as declared", text.lines().count()));
    match wrong {
        None => Ok(()),
        Some((expected, line)) => Err(Stop::fail(expected, line)),
    }
}

/// What a line does not have that it should.
fn lacks(line: &str, fields: &[String]) -> Option<String> {
    let Ok(serde_json::Value::Object(object)) = serde_json::from_str(line) else {
        return Some("each line a JSON object".to_owned());
    };
    let field = fields.iter().find(|field| !object.contains_key(*field))?;
    Some(format!("each line a JSON object with `{field}`"))
}
