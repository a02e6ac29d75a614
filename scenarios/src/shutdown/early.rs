//! SHUT-5: a signal while the service starts, and while it tries to reconnect.

use futures::FutureExt;
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::{Environment, Overrides};
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::{
    ConnectionRecord, Cut, CutMode, Delay, Direction, Ending, Latency, Reject, Scope, Silence,
};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::ExitSeen;

/// Each answer of the store is held for so long: a start-up that goes on in spite of the signal comes
/// to its end all the same.
const HELD: Duration = Duration::from_millis(300);
/// By then the delays of a backoff from 50 ms are long enough to be interrupted in the middle of one.
const ATTEMPTS: usize = 4;
const POLL: Duration = Duration::from_millis(2);
const GRACE: Duration = Duration::from_secs(2);

/// SHUT-5.
pub(super) const EARLY: Scenario = Scenario {
    criterion: Criterion {
        id: "SHUT-5",
        statement: "SIGTERM during the start-up and during a reconnect, between two attempts and in the middle of one, ends it too",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(4),
    run: |context| early(context).boxed(),
};

async fn early(context: &Context) -> Result<(), Stop> {
    let environment = context.stores().await?;
    for store in StoreKind::ALL {
        while_starting(context, &environment, store).await?;
    }
    between_attempts(context, &environment).await?;
    amid_an_attempt(context, &environment).await
}

/// The store serves, only slowly: without the signal the service would become ready.
async fn while_starting(
    context: &Context,
    environment: &Environment,
    store: StoreKind,
) -> Result<(), Stop> {
    context.step(format!("SIGTERM while it starts and {store} is slow"));
    let wiring = environment.wire().await?;
    let latency = Latency {
        delay: Delay::fixed(HELD),
        direction: Direction::Down,
    };
    let fault = environment.network_fault(&wiring, store, latency).await?;
    let instance = environment.launch(wiring, &Overrides::default())?;
    // Its first answer is under way, and held.
    let held = |c: &ConnectionRecord| c.down.bytes > 0;
    connecting(context, &instance, store, 1, held).await?;
    if instance.accepts_connections().await {
        return Err(Stop::unknown("it was ready before the store had answered"));
    }
    let codes = context.manifest().exit_codes.clone();
    // Whoever has not yet taken the signal over is ended by it.
    let by_signal = Some(Signal::SIGTERM as i32);
    ends(context, &instance, |exit| {
        exit.code == Some(codes.clean) || exit.signal == by_signal
    })
    .await?;
    fault.heal().await?;
    Ok(())
}

async fn between_attempts(context: &Context, environment: &Environment) -> Result<(), Stop> {
    let instance = environment.start_instance(&Default::default()).await?;
    context.step("SIGTERM between two attempts to reconnect");
    let redis = StoreKind::Redis;
    let reject = environment
        .network_fault(&instance.wiring, redis, Reject)
        .await?;
    cut(environment, &instance).await?;
    let rejected = |c: &ConnectionRecord| c.ending == Some(Ending::RejectedByFault);
    connecting(context, &instance, redis, ATTEMPTS, rejected).await?;
    ends_cleanly(context, &instance).await?;
    reject.heal().await?;
    Ok(())
}

/// The attempt is accepted, and nothing answers.
async fn amid_an_attempt(context: &Context, environment: &Environment) -> Result<(), Stop> {
    let instance = environment.start_instance(&Default::default()).await?;
    context.step("SIGTERM in the middle of an attempt to reconnect");
    let silence = Silence { scope: Scope::All };
    let silence = environment
        .network_fault(&instance.wiring, StoreKind::Redis, silence)
        .await?;
    cut(environment, &instance).await?;
    let unanswered = |c: &ConnectionRecord| c.ending.is_none() && c.swallowed_bytes > 0;
    connecting(context, &instance, StoreKind::Redis, 1, unanswered).await?;
    ends_cleanly(context, &instance).await?;
    silence.heal().await?;
    Ok(())
}

async fn cut(environment: &Environment, instance: &Instance) -> Result<(), Stop> {
    let mode = CutMode::Reset;
    let cut = environment
        .network_fault(&instance.wiring, StoreKind::Redis, Cut { mode })
        .await?;
    // Over as soon as it has happened.
    drop(cut);
    Ok(())
}

/// Waits until so many connections of the service have got as far as is wanted.
async fn connecting(
    context: &Context,
    instance: &Instance,
    store: StoreKind,
    count: usize,
    is_wanted: impl Fn(&ConnectionRecord) -> bool,
) -> Result<(), Stop> {
    let deadline = context.deadline(|d| d.recover_ms);
    let what = format!("{count} attempts to connect to {store}");
    poll_until(&what, deadline, POLL, || async {
        if let Some(exit) = instance.exit() {
            return Look::Ready(Err(Stop::fail(what.clone(), exit.to_string())));
        }
        match instance.proxy(store).connections().await {
            Ok(all) => match all.iter().filter(|c| is_wanted(c)).count() {
                seen if seen >= count => Look::Ready(Ok(())),
                seen => Look::NotYet(format!("{seen}, and {} connections in all", all.len())),
            },
            Err(error) => Look::NotYet(error.to_string()),
        }
    })
    .await
    .or_fail(&what)?
}

async fn ends_cleanly(context: &Context, instance: &Instance) -> Result<(), Stop> {
    let clean = context.manifest().exit_codes.clean;
    ends(context, instance, |exit| exit.code == Some(clean)).await
}

async fn ends(
    context: &Context,
    instance: &Instance,
    is_right: impl Fn(ExitSeen) -> bool,
) -> Result<(), Stop> {
    let sent = Instant::now();
    instance.signal(Signal::SIGTERM)?;
    let limit = context.deadline(|d| d.shutdown_ms);
    let exit = instance
        .wait_exit(limit + GRACE)
        .await
        .or_fail(format!("an end within {} ms of SIGTERM", limit.as_millis()))?;
    context.met("the end after SIGTERM", |d| d.shutdown_ms, sent.elapsed())?;
    expect(
        is_right(exit),
        format!("exit code {}", context.manifest().exit_codes.clean),
        format!("{exit}; its log ends with:\n{}", instance.log.tail()),
    )
}
