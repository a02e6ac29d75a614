//! RATE-4 for a sliding window: no trailing window admits more than the limit, wherever a limiter may have its seams.
//!
//! A window that is not really sliding has seams, and just after one it admits again what it admitted just before. So
//! a burst comes just before each place where a seam may be, and then requests without a rest, for more than half a
//! window: two counters, weighed, let the second burst through bit by bit. A seam may lie a window's length after the
//! first request, or at the multiples of that length on the clock.

use super::burst::{burst, two_instances};
use super::client::{Caller, Limiter, Promise, shortened};
use super::headers_sliding::SLACK_US;
use futures::future::try_join3;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use touchstone_core::Verdict;
use touchstone_core::check::Check;
use touchstone_core::check::trailing_limit::TrailingLimit;
use touchstone_core::check::window_limit::LimitedCall;
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Stop, demand};

/// What a run shortens it to: real time has to pass.
const SHORT: Promise = Promise {
    limit: 20,
    window_ms: 1_000,
};
/// How long before a seam the burst begins: what it takes on a busy machine.
const AHEAD: Duration = Duration::from_millis(120);
/// What comes after a seam: so many at once, so often, for so long.
const FEW: u64 = 4;
const PAUSE: Duration = Duration::from_millis(15);
const AFTER: Duration = Duration::from_millis(600);

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
        "{limiter}: start two instances, shortened as the manifest says"
    ));
    let attack = Attack {
        context,
        limiter,
        instances: two_instances(environment, &env).await?,
    };
    let Promise { limit, window_ms } = SHORT;
    context.step(format!(
        "{limiter}: bursts around every seam that a window of {window_ms} ms may have (limit {limit})"
    ));
    try_join3(
        attack.at_once(),
        attack.after_the_first_request(),
        attack.at_the_clock_s_multiples(),
    )
    .await
    .map(drop)
}

struct Attack<'a> {
    context: &'a Context,
    limiter: &'a Limiter<'a>,
    instances: [Arc<Instance>; 2],
}

impl Attack<'_> {
    /// Three times the limit at the same time, with no seam about.
    async fn at_once(&self) -> Result<(), Stop> {
        let calls = self.burst("together", 3 * SHORT.limit).await;
        judged("together", &calls)
    }

    /// One request opens a window, and all but one that is left of it come just before that ends.
    async fn after_the_first_request(&self) -> Result<(), Stop> {
        let clock = self.context.clock();
        let mut calls = self.burst("anchored", 1).await;
        let opened = calls[0].clone();
        let seam_us = opened.called_us + SHORT.window_ms * 1000;
        sleep_until(seam_us - AHEAD.as_micros() as u64, clock.now_us()).await;
        let before = self.burst("anchored", SHORT.limit).await;
        let seam_passed_us = opened.returned_us + SHORT.window_ms * 1000;
        self.after("anchored", before, [seam_us, seam_passed_us], &mut calls)
            .await
    }

    async fn at_the_clock_s_multiples(&self) -> Result<(), Stop> {
        let clock = self.context.clock();
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = since.map_or(0, |since| since.as_millis() as u64);
        let mut left_ms = SHORT.window_ms - now_ms % SHORT.window_ms;
        if left_ms <= AHEAD.as_millis() as u64 {
            left_ms += SHORT.window_ms;
        }
        let seam_us = clock.now_us() + left_ms * 1000;
        sleep_until(seam_us - AHEAD.as_micros() as u64, clock.now_us()).await;
        let before = self.burst("aligned", SHORT.limit).await;
        // The clock was read in whole milliseconds.
        self.after(
            "aligned",
            before,
            [seam_us - 1000, seam_us + 1000],
            &mut Vec::new(),
        )
        .await
    }

    /// Keeps asking past the seam, and judges it all.
    async fn after(
        &self,
        user: &str,
        before: Vec<LimitedCall>,
        seam_us: [u64; 2],
        calls: &mut Vec<LimitedCall>,
    ) -> Result<(), Stop> {
        let clock = self.context.clock();
        let first_us = before.iter().map(|call| call.called_us).min().unwrap_or(0);
        let last_us = before
            .iter()
            .map(|call| call.returned_us)
            .max()
            .unwrap_or(0);
        calls.extend(before);
        let until_us = seam_us[1] + AFTER.as_micros() as u64;
        let mut passed = false;
        while clock.now_us() < until_us {
            let asked_us = clock.now_us();
            passed |= asked_us >= seam_us[1] && asked_us < first_us + SHORT.window_ms * 1000;
            calls.extend(self.burst(user, FEW).await);
            tokio::time::sleep(PAUSE).await;
        }
        judged(user, calls)?;
        if last_us < seam_us[0] && passed {
            return Ok(());
        }
        Err(Stop::unknown(format!(
            "the requests of `{user}` came too late for the seam: the burst ended {} ms after it",
            (last_us as i64 - seam_us[0] as i64) / 1000
        )))
    }

    async fn burst(&self, user: &str, size: u64) -> Vec<LimitedCall> {
        let caller = Caller {
            user,
            endpoint: "seam",
        };
        burst(
            &self.instances,
            self.limiter,
            caller,
            size,
            self.context.clock(),
        )
        .await
    }
}

async fn sleep_until(at_us: u64, now_us: u64) {
    tokio::time::sleep(Duration::from_micros(at_us.saturating_sub(now_us))).await;
}

fn judged(user: &str, calls: &[LimitedCall]) -> Result<(), Stop> {
    let check = TrailingLimit {
        limit: SHORT.limit,
        window_us: SHORT.window_ms * 1000,
        slack_us: SLACK_US,
    };
    match check.check(calls) {
        // Who was admitted when is bounded by our own clock, however slow anybody was.
        Verdict::Fail(mut finding) => {
            let count = |answer| calls.iter().filter(|call| call.admitted == answer).count();
            finding.evidence.push(format!(
                "{} requests of `{user}`, alternately through two instances: {} admitted, {} refused",
                calls.len(),
                count(Some(true)),
                count(Some(false)),
            ));
            Err(Stop::Fail(finding))
        }
        verdict => demand(verdict),
    }
}
