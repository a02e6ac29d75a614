//! RECON-7 and RECON-9: whatever happens to a reply, no later one reaches the wrong request.

use super::readers::{Readers, Stint};
use futures::FutureExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::proxy::{Action, Delay, Rule, Then, When};
use touchstone_engine::scenario::{Context, Scenario, Stop};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::manifest::Template;

/// Right answers in each of the five rounds: 10,000 in all.
const ANSWERS_PER_ROUND: u64 = 2_000;
const ROUND_LONGEST: Duration = Duration::from_secs(15);
/// Longer than any response timeout that a service answers in time with.
const PAST_THE_TIMEOUT: Duration = Duration::from_millis(1_200);
/// After a round: all of these must be answered, and rightly.
const AFTERWARDS: u64 = 200;

/// RECON-7.
pub(super) const NO_CROSS_TALK: Scenario = Scenario {
    criterion: Criterion {
        id: "RECON-7",
        statement: "Connection reset in the middle of a reply, a reply cut short, delayed past the timeout, or bytes that are no RESP: the service recovers, and no later reply reaches the wrong request",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(6),
    run: |context| no_cross_talk(context).boxed(),
};

/// RECON-9.
pub(super) const CANCELLED: Scenario = Scenario {
    criterion: Criterion {
        id: "RECON-9",
        statement: "Requests cancelled by their HTTP client while their command is in flight never hand their reply to another request",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(3),
    run: |context| cancelled(context).boxed(),
};

async fn no_cross_talk(context: &Context) -> Result<(), Stop> {
    let (environment, instance, key) = open(context).await?;
    let readers = Readers::open(context, &environment, &instance, &key).await?;
    let on_values = || When::any().key(&keys_of(&key));
    let cut = |after_bytes, then| Action::CutReply { after_bytes, then };
    let rounds = [
        (on_values().each(300), cut(1, Then::Reset)),
        (on_values().each(300), cut(9, Then::Close)),
        (on_values().nth(700), cut(9, Then::Silence)),
        (
            on_values().nth(700),
            Action::DelayReply(Delay::fixed(PAST_THE_TIMEOUT)),
        ),
        (
            on_values().each(300),
            Action::ReplaceReply(b"\x00what? no RESP\r\n".to_vec()),
        ),
    ];
    for (when, action) in rounds {
        let rule = Rule::new(when, action);
        let what = rule.to_string();
        context.step(what.clone());
        let guard = environment
            .network_fault(&instance.wiring, StoreKind::Redis, rule)
            .await?;
        let stint = Stint {
            answers: ANSWERS_PER_ROUND,
            longest: ROUND_LONGEST,
            may_refuse: true,
            cancel: None,
        };
        let tally = readers.read(stint, context.seed().derive(&what)).await?;
        guard.heal().await?;
        context.observe(format!(
            "{what}: {} right answers, {} refused",
            tally.right.load(Ordering::Relaxed),
            tally.refused.load(Ordering::Relaxed)
        ));
        recovered(context, &readers).await?;
    }
    Ok(())
}

async fn cancelled(context: &Context) -> Result<(), Stop> {
    let (environment, instance, key) = open(context).await?;
    let readers = Readers::open(context, &environment, &instance, &key).await?;
    let delay = Duration::from_millis(20);
    let rule = Rule::new(
        When::any().key(&keys_of(&key)),
        Action::DelayReply(Delay::fixed(delay)),
    );
    context.step(format!(
        "read, every third request given up within {} ms",
        delay.as_millis()
    ));
    let guard = environment
        .network_fault(&instance.wiring, StoreKind::Redis, rule)
        .await?;
    let stint = Stint {
        answers: ANSWERS_PER_ROUND,
        longest: ROUND_LONGEST,
        may_refuse: false,
        cancel: Some((33, delay)),
    };
    let tally = readers.read(stint, context.seed()).await?;
    guard.heal().await?;
    let cancelled = tally.cancelled.load(Ordering::Relaxed);
    context.observe(format!(
        "{} right answers among {cancelled} requests that were given up",
        tally.right.load(Ordering::Relaxed)
    ));
    if cancelled == 0 {
        return Err(Stop::unknown(
            "no request was given up while it was under way",
        ));
    }
    recovered(context, &readers).await
}

async fn open(context: &Context) -> Result<(Arc<Environment>, Arc<Instance>, Template), Stop> {
    context.require(&[OperationName::KvGet])?;
    let key = context
        .section("keys.kv", context.manifest().keys.kv.as_ref())?
        .clone();
    let (environment, instance) = context.start().await?;
    Ok((environment, instance, key))
}

fn keys_of(key: &Template) -> String {
    key.fill(|name| (name == "key").then(|| "*".to_owned()))
}

/// The service answers again, and then every reader.
async fn recovered(context: &Context, readers: &Readers<'_>) -> Result<(), Stop> {
    context.step("healed: every read is answered, and rightly");
    readers
        .until_answered(context.deadline(|d| d.recover_ms))
        .await?;
    let stint = Stint {
        answers: AFTERWARDS,
        longest: ROUND_LONGEST,
        may_refuse: false,
        cancel: None,
    };
    readers
        .read(stint, context.seed().derive("afterwards"))
        .await?;
    Ok(())
}
