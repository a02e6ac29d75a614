//! TOK-1: a code works once and for its time, and whatever else is offered is refused with the same words.

use super::client::{Codes, kinds, wrong};
use crate::store_view::StoreView;
use futures::FutureExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use touchstone_core::{Criterion, Profile};
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::Answer;

/// Headers that may differ from answer to answer and say nothing: the time, and what names the request.
const MAY_DIFFER: [&str; 7] = [
    "date",
    "x-request-id",
    "x-trace-id",
    "x-correlation-id",
    "traceparent",
    "traceresponse",
    "tracestate",
];

/// TOK-1.
pub(super) const ALIKE: Scenario = Scenario {
    criterion: Criterion {
        id: "TOK-1",
        statement: "Issue, consume once; a second use, a wrong code, an expired code are refused alike; TTL 600 s (OTP 300-600 s)",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| alike(context).boxed(),
};

struct Story {
    /// What one has made, the other must know.
    instances: [Arc<Instance>; 2],
    store: StoreView,
}

/// A refusal, and what had been offered.
type Refusal = (&'static str, Answer);

async fn alike(context: &Context) -> Result<(), Stop> {
    let kinds = kinds(context)?;
    let (environment, first) = context.start().await?;
    context.step("start a second instance");
    let second = environment.start_instance(&BTreeMap::new()).await?;
    let story = Story {
        instances: [first, second],
        store: StoreView::open(&environment).await?,
    };
    for codes in &kinds {
        context.step(format!("codes of kind {}", codes.name()));
        story.works_once(codes).await?;
        let refusals = story.refusals(codes, &kinds).await?;
        same_words(codes, &refusals)?;
        context.observe(format!(
            "{}: {} refusals alike, {}",
            codes.name(),
            refusals.len(),
            refusals[0].1.describe()
        ));
    }
    Ok(())
}

impl Story {
    /// On the instance that has made it and on the other one, with the declared lifetime.
    async fn works_once(&self, codes: &Codes<'_>) -> Result<(), Stop> {
        let [one, other] = &self.instances;
        for (number, consumer) in [one, other].into_iter().enumerate() {
            let user = format!("once-{number}");
            let began = Instant::now();
            let code = codes.issue(&one.http, &user).await?;
            self.lives_as_long(codes, &user, began).await?;
            codes
                .accepted(&consumer.http, &user, &code, "the right code")
                .await?;
            for again in &self.instances {
                codes
                    .refused(&again.http, &user, &code, "a code used before")
                    .await?;
            }
        }
        Ok(())
    }

    async fn lives_as_long(
        &self,
        codes: &Codes<'_>,
        user: &str,
        began: Instant,
    ) -> Result<(), Stop> {
        let key = codes.key(user);
        let left_ms = self.store.pttl_ms(&key).await?;
        // Both are cut off at a whole millisecond.
        let took_ms =
            i64::try_from(began.elapsed().as_millis()).map_or(i64::MAX, |took_ms| took_ms + 2);
        let ttl_ms = i64::try_from(codes.section.ttl_seconds * 1000).unwrap_or(i64::MAX);
        expect(
            left_ms <= ttl_ms && left_ms.saturating_add(took_ms) >= ttl_ms && left_ms >= 0,
            format!("`{key}` with an expiry of {ttl_ms} ms"),
            match left_ms {
                -2 => "no such key".to_owned(),
                -1 => "no expiry".to_owned(),
                left_ms => format!("PTTL {left_ms} at most {took_ms} ms later"),
            },
        )
    }

    /// Every code that must be refused, with the answer.
    async fn refusals(&self, codes: &Codes<'_>, kinds: &[Codes<'_>]) -> Result<Vec<Refusal>, Stop> {
        let [one, other] = &self.instances;
        let (http, elsewhere) = (&one.http, &other.http);
        let mut refusals = Vec::new();
        let mut refuse = async |user: &str, code: &str, what| -> Result<(), Stop> {
            let answer = codes.refused(elsewhere, user, code, what).await?;
            refusals.push((what, answer));
            Ok(())
        };
        let used = codes.issue(http, "used").await?;
        codes
            .accepted(http, "used", &used, "the right code")
            .await?;
        refuse("used", &used, "a code used before").await?;

        let code = codes.issue(http, "wrong").await?;
        refuse("wrong", &wrong(&code), "a wrong code").await?;
        codes
            .accepted(http, "wrong", &code, "the right code after wrong ones")
            .await?;

        let expired = codes.issue(http, "expired").await?;
        self.store.expire_now(&codes.key("expired")).await?;
        refuse("expired", &expired, "an expired code").await?;
        // The one that has made it knows no better.
        codes
            .refused(http, "expired", &expired, "an expired code")
            .await?;

        if codes.are_bound {
            refuse("nobody", &code, "a code for a user who has none").await?;
            let mine = codes.issue(http, "mine").await?;
            let yours = codes.issue(http, "yours").await?;
            // Two of a million may be the same.
            if mine != yours {
                refuse("mine", &yours, "the code of another user").await?;
            }
        }
        for other in kinds.iter().filter(|other| other.kind != codes.kind) {
            let user = format!("kind-{}", other.name());
            let code = other.issue(http, &user).await?;
            refuse(&user, &code, "a code of another kind").await?;
        }
        Ok(refusals)
    }
}

/// Nobody may learn from a refusal what was wrong.
fn same_words(codes: &Codes<'_>, refusals: &[Refusal]) -> Result<(), Stop> {
    let (first_what, first) = &refusals[0];
    for (what, answer) in &refusals[1..] {
        let differs = [
            (first.status != answer.status, "status"),
            (first.body != answer.body, "body"),
            (headers(first) != headers(answer), "headers"),
        ];
        let Some((_, part)) = differs.into_iter().find(|(differs, _)| *differs) else {
            continue;
        };
        let told = |answer: &Answer| {
            format!(
                "{} {:?} {:?}",
                answer.status,
                String::from_utf8_lossy(&answer.body),
                headers(answer)
            )
        };
        let finding = touchstone_core::Finding::new(
            format!(
                "{}: {what} to be refused like {first_what}, in status, headers and body",
                codes.name()
            ),
            format!("another {part}: {}", told(answer)),
        );
        return Err(Stop::Fail(
            finding.with_evidence(format!("{first_what}: {}", told(first))),
        ));
    }
    Ok(())
}

fn headers(answer: &Answer) -> Vec<(String, String)> {
    let told = answer.headers.iter().filter_map(|(name, value)| {
        let differs = MAY_DIFFER.contains(&name.as_str());
        let value = value.to_str().unwrap_or_default().to_owned();
        (!differs).then(|| (name.to_string(), value))
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    told
}
