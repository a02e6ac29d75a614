//! RECON-3: an outage that outlasts the attempts in a row.

use super::fleet::slack;
use super::load::Load;
use futures::FutureExt;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use touchstone_core::check::Check;
use touchstone_core::check::backoff::{AfterExhaustion, LongOutage, Outage};
use touchstone_core::{Criterion, Profile};
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::{Cut, CutMode, Ending, Reject};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, demand, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::manifest::BackoffSection;

/// No service may try more often in a row.
const ATTEMPTS_MAX: usize = 20;
/// The delays of a shortened outage: 20 attempts are over in 6 s, and a cap is much more than our slack.
const SHORT_MS: (u64, u64) = (10, 400);
/// How many caps are watched after the report.
const CAPS_WATCHED: u32 = 6;
/// 200 requests a second, beside the probes.
const REQUEST_PERIOD: Duration = Duration::from_millis(5);
const POLL: Duration = Duration::from_millis(5);
const GRACE: Duration = Duration::from_secs(2);

/// RECON-3.
pub(super) const CALMS_DOWN: Scenario = Scenario {
    criterion: Criterion {
        id: "RECON-3",
        statement: "At most 20 attempts to reconnect in a row without success; then an error log; from then on at most one attempt per cap, however many requests and probes come, and still recovery once Redis is back",
        profile: Profile::Release,
    },
    expected: Duration::from_secs(10),
    run: |context| calms_down(context).boxed(),
};

async fn calms_down(context: &Context) -> Result<(), Stop> {
    context.require(&[OperationName::KvSet])?;
    let logs = &context.manifest().logs;
    context.section("logs.exhausted", logs.exhausted.as_ref())?;
    let (backoff, env) = shortened(context)?;
    let (environment, instance) = context.start_with(&env).await?;
    let prober = context.probe(&instance)?;
    let load = load(context, &instance);
    context.step("cut the connection to redis, and reject new ones");
    let reject = environment
        .network_fault(&instance.wiring, StoreKind::Redis, Reject)
        .await?;
    let since = Instant::now();
    let mode = CutMode::Reset;
    let cut = environment
        .network_fault(&instance.wiring, StoreKind::Redis, Cut { mode })
        .await?;
    drop(cut);
    let evidence = watch(context, &instance, &backoff).await?;
    let stall = environment.stalls().worst_since(since);
    let check = AfterExhaustion {
        attempts_max: backoff.attempts.min(ATTEMPTS_MAX),
        cap_us: backoff.cap_ms * 1000,
        early_us: slack(
            &backoff.schedule(),
            stall.map(|s| s.lateness).unwrap_or_default(),
        )
        .early_us,
    };
    tell(context, &evidence, load.so_far().len());
    demand(check.check(&evidence))?;
    drop(load);
    context.step("let it reconnect");
    reject.heal().await?;
    recovers(context, &instance).await?;
    drop(prober);
    Ok(())
}

/// The declared backoff, shortened where the manifest says how.
fn shortened(context: &Context) -> Result<(BackoffSection, BTreeMap<String, String>), Stop> {
    let declared = context.section("backoff", context.manifest().backoff.as_ref())?;
    expect(
        declared.attempts <= ATTEMPTS_MAX,
        format!("at most {ATTEMPTS_MAX} declared attempts in a row"),
        format!("{}", declared.attempts),
    )?;
    let (base_ms, cap_ms) = SHORT_MS;
    let short = declared.shortened(base_ms, cap_ms);
    if short.is_none() {
        context.observe("`backoff.shorten` is not declared: the outage lasts as long as it takes");
    }
    Ok(short.unwrap_or_else(|| (declared.clone(), BTreeMap::new())))
}

fn load(context: &Context, instance: &Instance) -> Load {
    let operation = OperationName::KvSet;
    Load::start(&instance.http, context.clock(), operation, REQUEST_PERIOD)
}

/// Watches until the log tells of the attempts in vain, and for some caps longer.
async fn watch(
    context: &Context,
    instance: &Instance,
    backoff: &BackoffSection,
) -> Result<LongOutage, Stop> {
    context.step("watch until the log tells that it was in vain");
    let (began_us, cut_id) = last_cut(context, instance).await?;
    let in_vain = Duration::from_micros(backoff.schedule().latest_us(backoff.attempts));
    let what = "an error in the log";
    let reported = poll_until(what, in_vain + GRACE, POLL, || async {
        match reports(context, instance) {
            0 => Look::NotYet("none".to_owned()),
            _ => Look::Ready(context.clock().now_us()),
        }
    });
    let reported_us = reported.await.ok();
    context.step(format!("watch for {CAPS_WATCHED} caps"));
    // Not a wait for a state: the length of the observation is the parameter.
    tokio::time::sleep(Duration::from_millis(backoff.cap_ms) * CAPS_WATCHED).await;
    let observed_until_us = context.clock().now_us();
    let connections = instance.proxy(StoreKind::Redis).connections().await?;
    let attempts = connections.iter().filter(|c| c.id > cut_id);
    let outage = Outage {
        began_us,
        attempts_us: attempts
            .map(|c| context.clock().at_us(c.opened_at))
            .collect(),
        observed_until_us,
    };
    Ok(LongOutage {
        outage,
        reported_us,
    })
}

async fn last_cut(context: &Context, instance: &Instance) -> Result<(u64, u64), Stop> {
    let connections = instance.proxy(StoreKind::Redis).connections().await?;
    let cut = connections
        .iter()
        .filter(|c| c.ending == Some(Ending::CutByFault));
    let last = cut.filter_map(|c| Some((c.ended_at?, c.id))).max();
    let last = last.map(|(at, id)| (context.clock().at_us(at), id));
    last.ok_or_else(|| Stop::unknown("there was no connection to cut"))
}

/// How many lines tell of it, on the level of an error where the manifest says what that looks like.
fn reports(context: &Context, instance: &Instance) -> usize {
    let logs = &context.manifest().logs;
    let Some(exhausted) = &logs.exhausted else {
        return 0;
    };
    let is_error = |line: &&String| {
        logs.error
            .as_ref()
            .is_none_or(|error| error.0.is_match(line))
    };
    instance
        .log
        .matching(&exhausted.0)
        .iter()
        .filter(is_error)
        .count()
}

fn tell(context: &Context, evidence: &LongOutage, requests: usize) {
    let LongOutage {
        outage,
        reported_us,
    } = evidence;
    let attempts = outage.attempts_us.len();
    let Some(reported_us) = reported_us else {
        return;
    };
    let before = outage
        .attempts_us
        .partition_point(|at_us| at_us <= reported_us);
    context.observe(format!(
        "{before} attempts until the error was logged, {} in the {} ms after it, {requests} requests meanwhile",
        attempts - before,
        (outage.observed_until_us - reported_us) / 1000
    ));
}

async fn recovers(context: &Context, instance: &Instance) -> Result<(), Stop> {
    let healed_us = context.clock().now_us();
    let deadline = context.deadline(|d| d.recover_ms);
    let what = "a write to work again";
    poll_until(what, deadline + GRACE, POLL, || async {
        let call =
            super::load::call(&instance.http, context.clock(), OperationName::KvSet, 0).await;
        match call.outcome {
            Ok(()) => Look::Ready(()),
            Err(problem) => Look::NotYet(problem),
        }
    })
    .await
    .or_fail(what)?;
    let took = Duration::from_micros(context.clock().now_us() - healed_us);
    context.met("a write works again", |d| d.recover_ms, took)
}
