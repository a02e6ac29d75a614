//! RATE-5: a window opens again when it should, also for those who cannot wait.

use super::client::{Caller, Counters, Limiter, Promise, admitted, limiters, shortened};
use futures::FutureExt;
use futures::future::try_join_all;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::clock::Clock;
use touchstone_engine::environment::Environment;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::{Answer, HttpClient};

/// What a run shortens the window to: so short that real time may pass.
const SHORT: Promise = Promise {
    limit: 5,
    window_ms: 2_000,
};
/// What is left of a whole window when its end is moved in the store.
const MOVED_TO_MS: u64 = 500;
/// A whole window of more is not filled.
const LIMIT_MAX: u64 = 2_000;
/// How much later than its time a window may open: what a request takes on a busy machine.
const LATE_MAX_MS: u64 = 300;
const PAUSE: Duration = Duration::from_millis(25);

/// RATE-5.
pub(super) const IN_TIME: Scenario = Scenario {
    criterion: Criterion {
        id: "RATE-5",
        statement: "The window opens again when it should, not before and not after; no user is locked out longer than the window, however often he asks",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(5),
    run: |context| in_time(context).boxed(),
};

async fn in_time(context: &Context) -> Result<(), Stop> {
    let limiters = limiters(context)?;
    for limiter in &limiters {
        if shortened(limiter.section, SHORT).is_none() && !is_movable(limiter) {
            return Err(Stop::Skip {
                reason: format!(
                    "{limiter}: the window can neither be shortened nor its end be moved"
                ),
                declared: false,
            });
        }
    }
    let environment = context.stores().await?;
    // Side by side: what takes its time is the passing of windows.
    let judged = limiters
        .iter()
        .map(|limiter| one(context, &environment, limiter));
    try_join_all(judged).await.map(drop)
}

/// Only a fixed window ends with the expiry of its counter.
fn is_movable(limiter: &Limiter<'_>) -> bool {
    limiter.is_fixed() && limiter.known_key().is_some() && limiter.section.limit <= LIMIT_MAX
}

async fn one(
    context: &Context,
    environment: &Environment,
    limiter: &Limiter<'_>,
) -> Result<(), Stop> {
    match shortened(limiter.section, SHORT) {
        Some(env) => {
            context.step(format!(
                "{limiter}: start an instance, shortened as the manifest says"
            ));
            let instance = environment.start_instance(&env).await?;
            wait_for_windows(context, &instance.http, limiter).await?;
        }
        None => context.observe(format!(
            "{limiter}: the manifest declares no way to shorten the window"
        )),
    }
    match limiter.known_key().filter(|_| is_movable(limiter)) {
        Some(key) => {
            context.step(format!(
                "{limiter}: start an instance with the whole window"
            ));
            let instance = environment.start_instance(&Default::default()).await?;
            let counters = Counters::open(environment, key).await?;
            move_the_end(context, &instance.http, &counters, limiter).await
        }
        None => {
            context.observe(format!(
                "{limiter}: only real time was tried, no counter's expiry is an end"
            ));
            Ok(())
        }
    }
}

/// One who keeps asking and one who waits, side by side, in real time.
async fn wait_for_windows(
    context: &Context,
    http: &HttpClient,
    limiter: &Limiter<'_>,
) -> Result<(), Stop> {
    let limited = |user| Limited {
        http,
        limiter,
        clock: context.clock(),
        caller: Caller {
            user,
            endpoint: "reopens",
        },
    };
    context.step(format!(
        "{limiter}: two windows pass, for one who keeps asking and for one who waits"
    ));
    let (eager, patient) = (limited("eager"), limited("patient"));
    let (eager, patient) = futures::join!(eager.keeps_asking(), patient.waits());
    patient?;
    let opened_ms = eager?;
    context.observe(format!(
        "{limiter}: with a window of {} ms, the one who kept asking was let in again after {opened_ms} ms",
        SHORT.window_ms
    ));
    Ok(())
}

/// One caller.
struct Limited<'a> {
    http: &'a HttpClient,
    limiter: &'a Limiter<'a>,
    clock: Clock,
    caller: Caller<'a>,
}

/// When a window can end: not before the one, not after the other.
#[derive(Debug, Clone, Copy)]
struct Opening {
    from_us: u64,
    until_us: u64,
}

impl Limited<'_> {
    /// Fills two windows in a row without ever waiting; returns when the second opened.
    async fn keeps_asking(&self) -> Result<u64, Stop> {
        let first = self.fill(SHORT.limit, 0).await?;
        let again = self
            .until_admitted(first.ends_within(SHORT.window_ms))
            .await?;
        let opened_ms = (again.called_us - first.called_us) / 1000;
        // What a sliding window frees bit by bit is all free this much later.
        let second = self.fill(SHORT.limit - 1, LATE_MAX_MS).await?;
        let both = Filled {
            called_us: again.called_us,
            returned_us: second.returned_us.max(again.returned_us),
        };
        self.until_admitted(both.ends_within(SHORT.window_ms))
            .await?;
        Ok(opened_ms)
    }

    /// Comes back when the window should be over, and finds all of it.
    async fn waits(&self) -> Result<(), Stop> {
        let filled = self.fill(SHORT.limit, 0).await?;
        self.refused().await?;
        let until_us = filled.ends_within(SHORT.window_ms).until_us;
        // The passing of time is what is tested.
        let left_us = until_us.saturating_sub(self.clock.now_us());
        tokio::time::sleep(Duration::from_micros(left_us)).await;
        self.fill(SHORT.limit, 0).await?;
        self.refused().await
    }

    /// So many admissions in a row; those of a window that opens bit by bit may take a while.
    async fn fill(&self, count: u64, patience_ms: u64) -> Result<Filled, Stop> {
        let began_us = self.clock.now_us();
        let mut filled: Option<Filled> = None;
        let mut left = count;
        while left > 0 {
            let (answer, is_admitted) = self.ask().await?;
            if is_admitted {
                left -= 1;
                let called_us = filled.map_or(answer.called_us, |filled| filled.called_us);
                let returned_us = answer.returned_us;
                filled = Some(Filled {
                    called_us,
                    returned_us,
                });
                continue;
            }
            let waited_ms = (answer.called_us - began_us) / 1000;
            expect(
                waited_ms <= patience_ms,
                format!(
                    "{count} requests of `{}` admitted in an open window",
                    self.caller.user
                ),
                format!("{} were, then {}", count - left, answer.describe()),
            )?;
            tokio::time::sleep(PAUSE).await;
        }
        filled.ok_or_else(|| Stop::unknown("a limit of nothing cannot be tested"))
    }

    async fn refused(&self) -> Result<(), Stop> {
        let (answer, is_admitted) = self.ask().await?;
        expect(
            !is_admitted,
            "a refusal once the window is full",
            answer.describe(),
        )
    }

    /// Asks without a rest until it is let in, at the right time.
    async fn until_admitted(&self, opening: Opening) -> Result<Answer, Stop> {
        let now_us = self.clock.now_us();
        if now_us >= opening.from_us {
            return Err(Stop::unknown(
                "the window was over before it could be seen full",
            ));
        }
        let mut asked = 0;
        loop {
            let refusals = asked;
            asked += 1;
            let (answer, is_admitted) = self.ask().await?;
            let told = |at_us: u64| {
                let at_ms = (at_us as i64 - opening.from_us as i64) / 1000;
                format!(
                    "{} at {at_ms} ms of it, after {refusals} refusals",
                    answer.describe()
                )
            };
            let user = self.caller.user;
            if is_admitted {
                expect(
                    answer.returned_us >= opening.from_us && refusals > 0,
                    format!("no admission of `{user}` before the window's end"),
                    told(answer.returned_us),
                )?;
                return Ok(answer);
            }
            let late_us = opening.until_us + LATE_MAX_MS * 1000;
            expect(
                answer.called_us <= late_us,
                format!(
                    "`{user}` admitted again at the window's end, at most {LATE_MAX_MS} ms late"
                ),
                told(answer.called_us),
            )?;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask(&self) -> Result<(Answer, bool), Stop> {
        let answer = self.limiter.request(self.http, self.caller).await?;
        match admitted(&answer) {
            Some(is_admitted) => Ok((answer, is_admitted)),
            None => Err(Stop::fail("an admission or a refusal", answer.describe())),
        }
    }
}

/// The first and the last admission of a window.
#[derive(Debug, Clone, Copy)]
struct Filled {
    called_us: u64,
    returned_us: u64,
}

impl Filled {
    /// A fixed window ends a length after its first request; a sliding one lets go of the first then,
    /// and of the last a length after that.
    fn ends_within(self, window_ms: u64) -> Opening {
        Opening {
            from_us: self.called_us + window_ms * 1000,
            until_us: self.returned_us + window_ms * 1000,
        }
    }
}

/// The whole window, its end moved close: a refusal must not move it away again.
async fn move_the_end(
    context: &Context,
    http: &HttpClient,
    counters: &Counters,
    limiter: &Limiter<'_>,
) -> Result<(), Stop> {
    let caller = Caller {
        user: "moved",
        endpoint: "reopens",
    };
    let clock = context.clock();
    let Promise { limit, window_ms } = limiter.promise();
    let limited = Limited {
        http,
        limiter,
        clock,
        caller,
    };
    context.step(format!(
        "{limiter}: fill a window of {window_ms} ms, move its end to {MOVED_TO_MS} ms from now, and keep asking"
    ));
    limited.fill(limit, 0).await?;
    limited.refused().await?;
    let called_us = clock.now_us();
    counters.move_end(caller, MOVED_TO_MS).await?;
    let moved = Filled {
        called_us,
        returned_us: clock.now_us(),
    };
    let left_ms = counters.left_ms(caller).await?;
    if !(1..=MOVED_TO_MS as i64).contains(&left_ms) {
        return Err(Stop::unknown(format!(
            "the counter's end could not be moved: {left_ms} ms left"
        )));
    }
    limited
        .until_admitted(moved.ends_within(MOVED_TO_MS))
        .await?;
    Ok(())
}
