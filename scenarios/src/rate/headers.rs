//! RATE-1: as many as promised, then a refusal, and headers that are true all the way.

use super::client::{Caller, Counters, Limiter, Promise, admitted, limiters, shortened};
use super::headers_sliding;
use futures::FutureExt;
use futures::future::try_join_all;
use std::collections::BTreeMap;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::manifest::LimiterSection;
use touchstone_engine::subject::{Answer, HttpClient};

/// What a run shortens the window to, if it can. Its tenth, the shortest here, is still much longer than
/// a few requests on a busy machine.
const SHORT: Promise = Promise {
    limit: 5,
    window_ms: 40_000,
};
/// A whole second of a header may be rounded either way.
pub(super) const ROUNDING_MS: i64 = 1_000;

/// RATE-1.
pub(super) const TRUE: Scenario = Scenario {
    criterion: Criterion {
        id: "RATE-1",
        statement: "As many requests per window, user and endpoint as promised; the next gets 429 with Retry-After and RateLimit headers that are true",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(4),
    run: |context| true_headers(context).boxed(),
};

/// The names of the headers.
pub(super) struct Headers<'a> {
    pub(super) limit: &'a str,
    pub(super) remaining: &'a str,
    pub(super) reset: &'a str,
}

/// One caller's window through one instance.
struct Window<'a> {
    http: &'a HttpClient,
    limiter: &'a Limiter<'a>,
    counters: &'a Counters,
    caller: Caller<'a>,
    promise: Promise,
    headers: Headers<'a>,
}

async fn true_headers(context: &Context) -> Result<(), Stop> {
    let limiters = limiters(context)?;
    for limiter in &limiters {
        header_names(context, limiter.section)?;
        if limiter.is_fixed() {
            limiter.key(context)?;
        }
    }
    let environment = context.stores().await?;
    let judged = limiters.iter().map(|limiter| {
        if limiter.is_fixed() {
            fixed(context, &environment, limiter).boxed()
        } else {
            headers_sliding::judge(context, &environment, limiter).boxed()
        }
    });
    // Side by side: a sliding window takes its time.
    try_join_all(judged).await.map(drop)
}

async fn fixed(
    context: &Context,
    environment: &Environment,
    limiter: &Limiter<'_>,
) -> Result<(), Stop> {
    context.step("start the subject");
    let instance = environment.start_instance(&BTreeMap::new()).await?;
    let counters = Counters::open(environment, limiter.key(context)?).await?;
    let window = |http, user, promise| {
        Ok::<_, Stop>(Window {
            http,
            limiter,
            counters: &counters,
            caller: Caller {
                user,
                endpoint: "search",
            },
            promise,
            headers: header_names(context, limiter.section)?,
        })
    };
    window(&instance.http, "ann", limiter.promise())?
        .story(context)
        .await?;
    let Some(env) = shortened(limiter.section, SHORT) else {
        context.observe("the manifest declares no way to shorten the window");
        return Ok(());
    };
    context.step("start another instance, shortened as the manifest says");
    let short = environment.start_instance(&env).await?;
    window(&short.http, "bob", SHORT)?.story(context).await
}

pub(super) fn header_names<'a>(
    context: &Context,
    section: &'a LimiterSection,
) -> Result<Headers<'a>, Stop> {
    let named = |key: &str, name: &'a Option<String>| {
        context
            .section(&format!("limiter.{key}"), name.as_ref())
            .map(String::as_str)
    };
    Ok(Headers {
        limit: named("limit_header", &section.limit_header)?,
        remaining: named("remaining_header", &section.remaining_header)?,
        reset: named("reset_header", &section.reset_header)?,
    })
}

impl Window<'_> {
    /// Fills the window, its end moved closer half-way; is refused; sees the next window open.
    async fn story(&self, context: &Context) -> Result<(), Stop> {
        let Promise { limit, window_ms } = self.promise;
        context.step(format!(
            "{limit} requests, and then more, in a window of {window_ms} ms"
        ));
        for number in 1..=limit {
            if number == limit.div_ceil(2) + 1 {
                // A header that only repeats the whole window is told from a true one by this.
                self.counters.move_end(self.caller, window_ms / 3).await?;
            }
            let answer = self.judged(number).await?;
            self.is(&answer, number, true)?;
        }
        for number in limit + 1..=limit + 3 {
            let answer = self.judged(number).await?;
            self.is(&answer, number, false)?;
            if number == limit + 1 {
                context.observe(format!("{}: {}", answer.describe(), told_headers(&answer)));
                // Closer still: a refusal that is late in the window has to say so.
                self.counters.move_end(self.caller, window_ms / 10).await?;
            }
        }
        context.step("the window's end comes; the next one opens with the next request");
        self.counters.end_window(self.caller).await?;
        let answer = self.judged(1).await?;
        self.is(&answer, 1, true)?;
        let left_ms = self.counters.left_ms(self.caller).await?;
        let elapsed_ms = (context.clock().now_us() - answer.called_us).div_ceil(1000) as i64;
        let whole_ms = window_ms as i64;
        expect(
            (whole_ms - elapsed_ms - ROUNDING_MS..=whole_ms).contains(&left_ms),
            format!("a new window of {whole_ms} ms"),
            format!("{left_ms} ms left in the store, {elapsed_ms} ms after the request"),
        )
    }

    fn is(&self, answer: &Answer, number: u64, wanted: bool) -> Result<(), Stop> {
        let word = if wanted { "admitted" } else { "refused" };
        let expected = format!(
            "request {number} of the window {word} (limit {})",
            self.promise.limit
        );
        if admitted(answer) == Some(wanted) {
            return Ok(());
        }
        let finding = Finding::new(expected, answer.describe());
        Err(Stop::Fail(finding.with_evidence(told_headers(answer))))
    }

    /// Sends a request, and compares its headers with the counter before and after.
    async fn judged(&self, number: u64) -> Result<Answer, Stop> {
        let before_ms = self.counters.left_ms(self.caller).await?;
        let answer = self.limiter.request(self.http, self.caller).await?;
        let after_ms = self.counters.left_ms(self.caller).await?;
        let limited = admitted(&answer);
        expect(
            limited.is_some(),
            "an admission or a refusal",
            answer.describe(),
        )?;
        let most_ms = if before_ms < 0 {
            self.promise.window_ms as i64
        } else {
            before_ms
        };
        let refused = limited == Some(false);
        self.numbers_are_true(&answer, number)?;
        let seconds = [(self.headers.reset, true), ("Retry-After", refused)];
        for name in seconds
            .into_iter()
            .filter_map(|(name, due)| due.then_some(name))
        {
            let told_s = number_in(&answer, name)?;
            let true_ms = after_ms - ROUNDING_MS..=most_ms + ROUNDING_MS;
            if !true_ms.contains(&(told_s * 1000)) {
                let expected = format!(
                    "{name} within 1 s of what the window has left, {after_ms} to {most_ms} ms"
                );
                let finding = Finding::new(expected, format!("{name}: {told_s}"));
                let finding = finding.with_evidence(format!("request {number} of the window"));
                return Err(Stop::Fail(finding.with_evidence(told_headers(&answer))));
            }
        }
        Ok(answer)
    }

    fn numbers_are_true(&self, answer: &Answer, number: u64) -> Result<(), Stop> {
        let Promise { limit, .. } = self.promise;
        for (name, expected) in [
            (self.headers.limit, limit),
            (self.headers.remaining, limit.saturating_sub(number)),
        ] {
            let told = number_in(answer, name)?;
            expect(
                told == expected as i64,
                format!("{name}: {expected} with request {number} of the window"),
                told_headers(answer),
            )?;
        }
        Ok(())
    }
}

pub(super) fn number_in(answer: &Answer, name: &str) -> Result<i64, Stop> {
    let number = answer
        .header(name)
        .and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| {
        let seen = format!("{}: {}", answer.describe(), told_headers(answer));
        Stop::fail(format!("a header {name} with a whole number"), seen)
    })
}

pub(super) fn told_headers(answer: &Answer) -> String {
    let about_limits = |name: &str| name.contains("limit") || name == "retry-after";
    let told = answer
        .headers
        .iter()
        .filter(|(name, _)| about_limits(name.as_str()));
    let told: Vec<String> = told
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    if told.is_empty() {
        "no such headers".to_owned()
    } else {
        told.join(", ")
    }
}
