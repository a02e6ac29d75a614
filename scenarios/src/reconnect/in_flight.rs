//! RECON-6: commands in flight when the connection ends. What was counted is compared with what was answered.

use crate::rate::client::{Caller, Counters, fixed_limiter, request};
use futures::FutureExt;
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::{Action, Rule, Then, When};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::AnswerKind;

const CLIENTS: u64 = 16;
/// Requests that are counted, for each way in which the connection ends.
const REQUESTS: u64 = 400;
/// One in so many commands meets the end of its connection.
const CUT_EACH: u64 = 60;
const AFTER_REFUSAL: Duration = Duration::from_millis(5);
const POLL: Duration = Duration::from_millis(10);

/// RECON-6.
pub(super) const NOTHING_LOST: Scenario = Scenario {
    criterion: Criterion {
        id: "RECON-6",
        statement: "Commands in flight at the cut: each request gets one definite answer; nothing acknowledged is lost, and nothing that was answered once runs twice",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(4),
    run: |context| nothing_lost(context).boxed(),
};

/// One request, which has a counter of its own: it shows how often the request ran.
#[derive(Debug, Clone)]
struct Counted {
    user: String,
    acknowledged: bool,
    answer: String,
}

async fn nothing_lost(context: &Context) -> Result<(), Stop> {
    let (_, key) = fixed_limiter(context)?;
    let (environment, instance) = context.start().await?;
    let counters = Counters::open(&environment, key).await?;
    let cut_reply = |after_bytes, then| Action::CutReply { after_bytes, then };
    let ways = [
        ("before", Action::CutBefore(Then::Reset)),
        ("applied", cut_reply(0, Then::Reset)),
        ("half", cut_reply(2, Then::Close)),
    ];
    for (way, action) in ways {
        let every_counter = counters.key(caller(&format!("{way}-*")));
        let rule = Rule::new(When::any().key(&every_counter).each(CUT_EACH), action);
        context.step(format!(
            "{REQUESTS} requests, each with a counter of its own; {rule}"
        ));
        let guard = environment
            .network_fault(&instance.wiring, StoreKind::Redis, rule)
            .await?;
        let requests = send(context, &instance, way).await?;
        guard.heal().await?;
        until_served(context, &instance).await?;
        compare(context, &counters, way, &requests).await?;
    }
    Ok(())
}

/// Requests from several clients at once.
async fn send(
    context: &Context,
    instance: &Arc<Instance>,
    way: &str,
) -> Result<Vec<Counted>, Stop> {
    let longest = context.deadline(|d| d.degraded_answer_ms);
    let next = AtomicU64::new(0);
    let client = async |_: u64| {
        let http = instance.http.with_new_connection();
        let mut sent = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= REQUESTS {
                return Ok::<_, Stop>(sent);
            }
            let user = format!("{way}-{number}");
            let began = Instant::now();
            let answer = request(&http, caller(&user)).await?;
            let took = began.elapsed();
            expect(
                took <= longest,
                format!("one definite answer within {} ms", longest.as_millis()),
                format!("{} after {} ms", answer.describe(), took.as_millis()),
            )?;
            let acknowledged = answer.kind() == AnswerKind::Ok;
            let answer = answer.describe();
            sent.push(Counted {
                user,
                acknowledged,
                answer,
            });
            if !acknowledged {
                tokio::time::sleep(AFTER_REFUSAL).await; // pace of a client, no wait for a state
            }
        }
    };
    let sent: Result<Vec<_>, Stop> = join_all((0..CLIENTS).map(client))
        .await
        .into_iter()
        .collect();
    Ok(sent?.into_iter().flatten().collect())
}

/// Acknowledged: ran once. Otherwise: once or not at all.
async fn compare(
    context: &Context,
    counters: &Counters,
    way: &str,
    requests: &[Counted],
) -> Result<(), Stop> {
    let (mut ran, mut acknowledged) = (0, 0);
    for one in requests {
        let key = counters.key(caller(&one.user));
        let times = counted(counters, &key).await?;
        let allowed = u64::from(one.acknowledged)..=1;
        if !allowed.contains(&times) {
            let expected = match one.acknowledged {
                true => "a request that was acknowledged to have run once",
                false => "a request that was refused to have run once or not at all",
            };
            let mut finding = Finding::new(expected, format!("`{key}` is {times}"));
            finding
                .evidence
                .push(format!("it was answered: {}", one.answer));
            return Err(Stop::Fail(finding));
        }
        ran += times;
        acknowledged += u64::from(one.acknowledged);
    }
    let sent = requests.len();
    context.observe(format!(
        "{way}: {acknowledged} of {sent} acknowledged, {ran} ran"
    ));
    if acknowledged == 0 {
        return Err(Stop::fail(
            "some requests to be acknowledged between the cuts",
            "none",
        ));
    }
    Ok(())
}

async fn counted(counters: &Counters, key: &str) -> Result<u64, Stop> {
    let Some(stored) = counters.store().get(key).await? else {
        return Ok(0);
    };
    let number = std::str::from_utf8(&stored)
        .ok()
        .and_then(|text| text.parse().ok());
    number.ok_or_else(|| Stop::Skip {
        reason: format!(
            "`{key}` is no plain number, so that it does not tell how often a request ran"
        ),
        declared: false,
    })
}

fn caller(user: &str) -> Caller<'_> {
    Caller {
        user,
        endpoint: "in-flight",
    }
}

async fn until_served(context: &Context, instance: &Instance) -> Result<(), Stop> {
    let deadline = context.deadline(|d| d.recover_ms);
    let served = poll_until("an admitted request", deadline, POLL, || async {
        match request(&instance.http, caller("served")).await {
            Ok(answer) if answer.kind() == AnswerKind::Ok => Look::Ready(()),
            Ok(answer) => Look::NotYet(answer.describe()),
            Err(error) => Look::NotYet(error.to_string()),
        }
    });
    served
        .await
        .or_fail("the counted route to work again after the cuts")
}
