//! RATE-6 for a sliding window. Nothing but time lets go of a single admission, so that sequences hold pauses, and the
//! model is told when each request was sent and answered.

use super::burst::two_instances;
use super::client::{Caller, Counters, Limiter, Promise, admitted, limiters, shortened};
use super::headers_sliding::SLACK_US;
use super::sequence::{CALLERS, STEPS_MAX, name, restart_redis, with_trace};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::model::sliding_limiter::{Due, SlidingLimiterModel};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Stop, expect};
use touchstone_engine::subject::manifest::Template;

/// A few pauses are longer than the window; a few requests reach the limit.
const SHORT: Promise = Promise {
    limit: 4,
    window_ms: 250,
};
const PAUSE_MS: std::ops::RangeInclusive<u64> = 20..=140;

/// One step of a sequence. Callers and instances go by their number.
#[derive(Debug, Clone)]
pub enum SlidingStep {
    /// A request.
    Request {
        /// Who asks.
        caller: usize,
        /// Through which instance.
        instance: usize,
    },
    /// Nothing, for so many milliseconds.
    Pause(u64),
    /// What is kept of the caller expires, as it does a window after his last admission: moved in the store.
    EndWindow(usize),
    /// Redis is stopped and started, with its data.
    RestartRedis,
    /// Redis is emptied.
    Flush,
}

/// A limiter with a sliding window under comparison with the model, behind two instances.
#[derive(Debug)]
pub struct SlidingSubject<'a> {
    environment: Arc<Environment>,
    instances: [Arc<Instance>; 2],
    limiter: Limiter<'a>,
    key: &'a Template,
    recover: Duration,
}

/// What one sequence has come to.
struct Course {
    counters: Counters,
    model: SlidingLimiterModel,
    trace: Vec<String>,
}

impl<'a> SlidingSubject<'a> {
    /// Starts an environment with two instances with a short window. Skips what has no limiter with a sliding window, or
    /// none that can be shortened.
    pub async fn open(context: &'a Context) -> Result<Self, Stop> {
        let sliding = limiters(context)?
            .into_iter()
            .find(|limiter| !limiter.is_fixed());
        let limiter = context.section("limiter with a sliding window", sliding.as_ref())?;
        let environment = context.stores().await?;
        Self::start(context, &environment, *limiter).await
    }

    pub(super) async fn start(
        context: &'a Context,
        environment: &Arc<Environment>,
        limiter: Limiter<'a>,
    ) -> Result<Self, Stop> {
        let Some(env) = shortened(limiter.section, SHORT) else {
            return Err(Stop::Skip {
                reason: format!("{limiter}: the manifest declares no way to shorten it"),
                declared: false,
            });
        };
        Ok(Self {
            key: limiter.key(context)?,
            instances: two_instances(environment, &env).await?,
            environment: Arc::clone(environment),
            limiter,
            recover: context.deadline(|deadlines| deadlines.recover_ms),
        })
    }

    /// Sequences of steps. Restarts are rare: each takes longer than all else together.
    pub fn steps() -> impl Strategy<Value = Vec<SlidingStep>> {
        let caller = || 0..CALLERS.len();
        let request = (caller(), 0..2_usize)
            .prop_map(|(caller, instance)| SlidingStep::Request { caller, instance });
        let step = prop_oneof![
            30 => request,
            5 => PAUSE_MS.prop_map(SlidingStep::Pause),
            2 => caller().prop_map(SlidingStep::EndWindow),
            1 => Just(SlidingStep::Flush),
            1 => Just(SlidingStep::RestartRedis),
        ];
        vec(step, 1..=STEPS_MAX)
    }

    /// Carries a sequence out from an empty store, and compares after each step.
    pub async fn run(&self, steps: Vec<SlidingStep>) -> Result<(), Stop> {
        let window_us = SHORT.window_ms * 1000;
        let mut course = Course {
            counters: Counters::open(&self.environment, self.key).await?,
            model: SlidingLimiterModel::new(SHORT.limit, window_us, SLACK_US),
            trace: Vec::new(),
        };
        course.flush().await?;
        course.trace.clear();
        for step in steps {
            let done = self.step(&mut course, step).await;
            done.map_err(|stop| with_trace(stop, &course.trace))?;
            let looked = course.has_ends().await;
            looked.map_err(|stop| with_trace(stop, &course.trace))?;
        }
        Ok(())
    }

    async fn step(&self, course: &mut Course, step: SlidingStep) -> Result<(), Stop> {
        match step {
            SlidingStep::Request { caller, instance } => {
                self.request(course, CALLERS[caller], instance).await
            }
            SlidingStep::Pause(ms) => {
                course.trace.push(format!("{ms} ms pass"));
                // The passing of time is what is tested.
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Ok(())
            }
            SlidingStep::EndWindow(caller) => course.end_window(CALLERS[caller]).await,
            SlidingStep::Flush => course.flush().await,
            SlidingStep::RestartRedis => {
                course.trace.push("Redis restarted".to_owned());
                let (environment, instances) = (&self.environment, &self.instances);
                restart_redis(environment, instances, &self.limiter, self.recover).await?;
                course.counters = Counters::open(environment, self.key).await?;
                Ok(())
            }
        }
    }

    async fn request(
        &self,
        course: &mut Course,
        caller: Caller<'static>,
        instance: usize,
    ) -> Result<(), Stop> {
        let name = name(caller);
        course
            .trace
            .push(format!("request of {name} through instance {instance}"));
        let http = &self.instances[instance].http;
        let answer = self.limiter.request(http, caller).await?;
        let call = answer.called_us..=answer.returned_us;
        let is_admitted = admitted(&answer);
        let as_due = match course.model.due(&name, &call) {
            Due::Admission => is_admitted == Some(true),
            Due::Refusal => is_admitted == Some(false),
            Due::Either => is_admitted.is_some(),
        };
        let due = course.model.due(&name, &call);
        expect(
            as_due,
            format!(
                "{due:?} of the request of {name} (limit {} in {} ms)",
                SHORT.limit, SHORT.window_ms
            ),
            answer.describe(),
        )?;
        if is_admitted == Some(true) {
            course.model.admit(&name, call.clone());
        }
        let header = self.limiter.section.remaining_header.as_deref();
        if let Some(told) = header.and_then(|header| answer.header(header)) {
            let remaining = course.model.remaining(&name, &call);
            expect(
                told.parse()
                    .is_ok_and(|told: u64| remaining.contains(&told)),
                format!(
                    "{} to {} remaining for {name}",
                    remaining.start(),
                    remaining.end()
                ),
                format!("{told:?} in the header, {}", answer.describe()),
            )?;
        }
        let word = if is_admitted == Some(true) {
            "admitted"
        } else {
            "refused"
        };
        let at_ms = answer.called_us / 1000;
        let last = course.trace.last_mut().expect("pushed above");
        last.push_str(&format!(" at {at_ms} ms -> {word}"));
        Ok(())
    }
}

impl Course {
    async fn end_window(&mut self, caller: Caller<'static>) -> Result<(), Stop> {
        let name = name(caller);
        self.trace.push(format!(
            "what is kept of {name} expires (moved in the store)"
        ));
        self.counters.end_window(caller).await?;
        self.model.end_window(&name);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Stop> {
        self.trace.push("Redis flushed".to_owned());
        self.counters.store().flush_all().await?;
        self.model.flush();
        Ok(())
    }

    /// Whatever is kept of a caller has an end.
    async fn has_ends(&self) -> Result<(), Stop> {
        for caller in CALLERS {
            expect(
                self.counters.left_ms(caller).await? != -1,
                format!("what is kept of {} to have an end", name(caller)),
                "a key without expiry in the store",
            )?;
        }
        Ok(())
    }
}
