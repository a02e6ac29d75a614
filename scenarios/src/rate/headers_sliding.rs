//! RATE-1 for a sliding window: real time passes, and the admissions leave one by one.

use super::client::{Caller, Limiter, Promise, admitted, shortened};
use super::headers::{Headers, ROUNDING_MS, header_names, number_in, told_headers};
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::Finding;
use touchstone_core::model::sliding_limiter::{SlidingLimiterModel, Span};
use touchstone_engine::clock::Clock;
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Stop, expect};
use touchstone_engine::subject::Answer;

/// So long that a header that always tells the whole window is wrong by more than a second after `PAUSE`.
const SHORT: Promise = Promise {
    limit: 5,
    window_ms: 2_600,
};
/// Between the first requests and the rest of the window.
const PAUSE: Duration = Duration::from_millis(1_300);
/// The first requests, which leave together.
const FIRST: u64 = 2;
/// A limiter may count in whole milliseconds, and a store's clock is another than ours.
pub(super) const SLACK_US: u64 = 3_000;
const CALLER: Caller<'static> = Caller {
    user: "cyd",
    endpoint: "search",
};

pub(super) async fn judge(
    context: &Context,
    environment: &Environment,
    limiter: &Limiter<'_>,
) -> Result<(), Stop> {
    let Some(env) = shortened(limiter.section, SHORT) else {
        return Err(Stop::Skip {
            reason: format!("{limiter}: the manifest declares no way to shorten it"),
            declared: false,
        });
    };
    context.step(format!(
        "{limiter}: start an instance, shortened as the manifest says"
    ));
    let window_us = SHORT.window_ms * 1000;
    let mut window = Window {
        instance: environment.start_instance(&env).await?,
        limiter,
        clock: context.clock(),
        headers: header_names(context, limiter.section)?,
        model: SlidingLimiterModel::new(SHORT.limit, window_us, SLACK_US),
        admitted: Vec::new(),
    };
    window.story(context).await
}

/// One caller's window.
struct Window<'a> {
    instance: Arc<Instance>,
    limiter: &'a Limiter<'a>,
    clock: Clock,
    headers: Headers<'a>,
    model: SlidingLimiterModel,
    admitted: Vec<Span>,
}

impl Window<'_> {
    async fn story(&mut self, context: &Context) -> Result<(), Stop> {
        let Promise { limit, window_ms } = SHORT;
        context.step(format!(
            "{} : {FIRST} requests, and after {} ms the other {} of a window of {window_ms} ms",
            self.limiter,
            PAUSE.as_millis(),
            limit - FIRST
        ));
        for _ in 0..FIRST {
            self.judged(true).await?;
        }
        // The passing of time is what is tested.
        tokio::time::sleep(PAUSE).await;
        for _ in FIRST..limit {
            self.judged(true).await?;
        }
        for _ in 0..2 {
            self.judged(false).await?;
        }
        context.step(format!(
            "{}: the first {FIRST} leave, the others do not",
            self.limiter
        ));
        let first_leave_us = self.admitted[FIRST as usize - 1].end() + window_ms * 1000 + SLACK_US;
        let left_us = first_leave_us.saturating_sub(self.clock.now_us());
        tokio::time::sleep(Duration::from_micros(left_us)).await;
        for _ in 0..FIRST {
            self.judged(true).await?;
        }
        Ok(())
    }

    async fn judged(&mut self, wanted: bool) -> Result<Answer, Stop> {
        let answer = self.limiter.request(&self.instance.http, CALLER).await?;
        let call = answer.called_us..=answer.returned_us;
        if let Some(oldest) = self.admitted.first()
            && !wanted
            && call.end() + SLACK_US >= oldest.start() + SHORT.window_ms * 1000
        {
            return Err(Stop::unknown(
                "the window was over before it could be seen full",
            ));
        }
        let word = if wanted { "admitted" } else { "refused" };
        if admitted(&answer) != Some(wanted) {
            let admitted = self.admitted.len();
            let expected = format!("a request {word} after {admitted} (limit {})", SHORT.limit);
            let finding = Finding::new(expected, answer.describe());
            return Err(Stop::Fail(finding.with_evidence(told_headers(&answer))));
        }
        if wanted {
            self.model.admit(CALLER.user, call.clone());
            self.admitted.push(call.clone());
        }
        self.numbers_are_true(&answer, &call)?;
        self.times_are_true(&answer, &call, !wanted)?;
        Ok(answer)
    }

    fn numbers_are_true(&self, answer: &Answer, call: &Span) -> Result<(), Stop> {
        let remaining = self.model.remaining(CALLER.user, call);
        for (name, allowed) in [
            (self.headers.limit, SHORT.limit..=SHORT.limit),
            (self.headers.remaining, remaining),
        ] {
            let told = number_in(answer, name)?;
            expect(
                u64::try_from(told).is_ok_and(|told| allowed.contains(&told)),
                format!(
                    "{name} in {allowed:?} after {} admissions",
                    self.admitted.len()
                ),
                told_headers(answer),
            )?;
        }
        Ok(())
    }

    /// Retry-After is when the oldest leaves; the reset may be that, or when the whole window has.
    fn times_are_true(&self, answer: &Answer, call: &Span, refused: bool) -> Result<(), Stop> {
        let window_us = SHORT.window_ms * 1000;
        let still = |admitted: &&Span| admitted.end() + window_us + SLACK_US >= *call.start();
        let mut inside = self.admitted.iter().filter(still);
        let Some(oldest) = inside.next() else {
            return Ok(());
        };
        let newest = inside.next_back().unwrap_or(oldest);
        // From the answer, if it was decided at once, to the request, if it was decided late.
        let least_ms =
            |admitted: &Span| (admitted.start() + window_us).saturating_sub(*call.end()) / 1000;
        let most_ms =
            |admitted: &Span| (admitted.end() + window_us).saturating_sub(*call.start()) / 1000;
        let mut judged = vec![(self.headers.reset, newest)];
        if refused {
            judged.push(("Retry-After", oldest));
        }
        for (name, until) in judged {
            let told_ms = number_in(answer, name)? * 1000;
            let from_ms = least_ms(oldest) as i64 - ROUNDING_MS;
            let to_ms = most_ms(until) as i64 + ROUNDING_MS;
            if !(from_ms..=to_ms).contains(&told_ms) {
                let expected = format!(
                    "{name} of {from_ms} to {to_ms} ms, until an admission leaves the window"
                );
                let finding = Finding::new(expected, format!("{told_ms} ms"));
                return Err(Stop::Fail(finding.with_evidence(told_headers(answer))));
            }
        }
        Ok(())
    }
}
