//! RATE-4: whatever comes at the same time, from two instances, a window admits what it promises.

use super::boundary;
use super::client::{Caller, Counters, Limiter, Promise, admitted, limiters, shortened};
use futures::FutureExt;
use futures::future::join_all;
use rand::RngExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::check::Check;
use touchstone_core::check::window_limit::{LimitedCall, WindowLimit};
use touchstone_core::{Criterion, Profile, Verdict};
use touchstone_engine::clock::Clock;
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, demand};

const USERS: [&str; 3] = ["ann", "bob", "cyd"];
/// A burst is up to twice the limit, each request a connection of its own; more is asked of a
/// shortened limiter.
const LIMIT_MAX: u64 = 200;

/// RATE-4.
pub(super) const NEVER_MORE: Scenario = Scenario {
    criterion: Criterion {
        id: "RATE-4",
        statement: "Under any concurrency, from 2 instances, no window admits more than the limit, and fewer only if fewer came",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(6),
    run: |context| never_more(context).boxed(),
};

async fn never_more(context: &Context) -> Result<(), Stop> {
    let limiters = limiters(context)?;
    let environment = context.stores().await?;
    for limiter in &limiters {
        if limiter.is_fixed() {
            fixed(context, &environment, limiter).await?;
        } else {
            boundary::judge(context, &environment, limiter).await?;
        }
    }
    Ok(())
}

async fn fixed(
    context: &Context,
    environment: &Environment,
    limiter: &Limiter<'_>,
) -> Result<(), Stop> {
    let key = limiter.key(context)?;
    let declared = limiter.promise();
    let smaller = Promise {
        limit: declared.limit.min(LIMIT_MAX),
        ..declared
    };
    let (promise, env) = match shortened(limiter.section, smaller) {
        Some(env) if declared.limit > LIMIT_MAX => (smaller, env),
        _ => (declared, BTreeMap::new()),
    };
    context.step("start two instances");
    let instances = two_instances(environment, &env).await?;
    let counters = Counters::open(environment, key).await?;
    let mut rng = context.seed().rng();
    let Promise { limit, .. } = promise;
    for user in USERS {
        let caller = Caller {
            user,
            endpoint: "burst",
        };
        // More than the limit in two windows, one after the other; fewer in a third; then the rest.
        let fewer = rng.random_range(limit / 2..limit.max(1));
        let sizes = [
            rng.random_range(limit + 1..=2 * limit),
            rng.random_range(limit + 1..=2 * limit),
            fewer,
        ];
        for size in sizes {
            context.step(format!("{size} requests of {user} at once, limit {limit}"));
            let calls = burst(&instances, limiter, caller, size, context.clock()).await;
            judge(promise, &calls, caller)?;
            counters.end_window(caller).await?;
        }
        context.step(format!("{user}: a window filled in two bursts"));
        let mut calls = burst(&instances, limiter, caller, fewer, context.clock()).await;
        calls.extend(burst(&instances, limiter, caller, limit, context.clock()).await);
        judge(promise, &calls, caller)?;
    }
    Ok(())
}

pub(super) async fn two_instances(
    environment: &Environment,
    env: &BTreeMap<String, String>,
) -> Result<[Arc<Instance>; 2], Stop> {
    let start = || environment.start_instance(env);
    let (first, second) = futures::join!(start(), start());
    Ok([first?, second?])
}

/// All at once, through both instances in turn.
pub(super) async fn burst(
    instances: &[Arc<Instance>; 2],
    limiter: &Limiter<'_>,
    caller: Caller<'_>,
    size: u64,
    clock: Clock,
) -> Vec<LimitedCall> {
    let call = async |number: u64| {
        let instance = &instances[(number % 2) as usize];
        let called_us = clock.now_us();
        match limiter.request(&instance.http, caller).await {
            Ok(answer) => LimitedCall {
                called_us: answer.called_us,
                returned_us: answer.returned_us,
                admitted: admitted(&answer),
            },
            Err(_) => LimitedCall {
                called_us,
                returned_us: clock.now_us(),
                admitted: None,
            },
        }
    };
    join_all((0..size).map(call)).await
}

fn judge(promise: Promise, calls: &[LimitedCall], caller: Caller<'_>) -> Result<(), Stop> {
    let check = WindowLimit {
        limit: promise.limit,
        window_us: promise.window_ms * 1000,
    };
    match check.check(calls) {
        Verdict::Fail(mut finding) => {
            let first_us = calls.iter().map(|call| call.called_us).min().unwrap_or(0);
            let last_us = calls.iter().map(|call| call.returned_us).max().unwrap_or(0);
            finding.evidence.push(format!(
                "{} requests of `{}`, alternately through two instances, in {} ms: {} admitted, {} refused, {} neither",
                calls.len(),
                caller.user,
                (last_us - first_us) / 1000,
                calls.iter().filter(|call| call.admitted == Some(true)).count(),
                calls.iter().filter(|call| call.admitted == Some(false)).count(),
                calls.iter().filter(|call| call.admitted.is_none()).count(),
            ));
            Err(Stop::Fail(finding))
        }
        verdict => demand(verdict),
    }
}
