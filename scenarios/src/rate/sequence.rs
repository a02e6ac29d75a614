//! RATE-6: requests, ends of windows, restarts and flushes in any order, against a model limiter; as a
//! scenario and as a property test.

use super::burst::two_instances;
use super::client::{Caller, Counters, Limiter, Promise, admitted, limiters, shortened};
use super::sequence_sliding::SlidingSubject;
use crate::search::{config, search};
use futures::FutureExt;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::model::limiter::LimiterModel;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::Template;

/// Few requests reach the limit; the window is longer than any sequence.
const SHORT: Promise = Promise {
    limit: 4,
    window_ms: 600_000,
};
/// Two users at two endpoints: each pair has a window of its own.
pub(super) const CALLERS: [Caller<'static>; 3] = [
    Caller {
        user: "ann",
        endpoint: "one",
    },
    Caller {
        user: "ann",
        endpoint: "two",
    },
    Caller {
        user: "bob",
        endpoint: "one",
    },
];
pub(super) const STEPS_MAX: usize = 30;
const CASES_USUAL: u32 = 8;
/// Each try takes as long as its pauses.
const SLIDING_SHRINK_TRIES_MAX: u32 = 60;
const POLL: Duration = Duration::from_millis(5);

/// RATE-6.
pub(super) const AGREES: Scenario = Scenario {
    criterion: Criterion {
        id: "RATE-6",
        statement: "Any sequence of requests, clock moves, restarts and flushes agrees with a model limiter (property test, shrunk on failure)",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(10),
    run: |context| agrees(context).boxed(),
};

async fn agrees(context: &Context) -> Result<(), Stop> {
    let limiters = limiters(context)?;
    let environment = context.stores().await?;
    for limiter in limiters {
        let mut config = config(context.seed(), CASES_USUAL);
        context.step(format!(
            "{limiter}: {} sequences of up to {STEPS_MAX} steps against the model",
            config.cases
        ));
        if limiter.is_fixed() {
            let subject = LimiterSubject::start(context, &environment, limiter).await?;
            search(config, LimiterSubject::steps, |steps| subject.run(steps)).await?;
        } else {
            // Its sequences wait for real time.
            config.max_shrink_iters = SLIDING_SHRINK_TRIES_MAX;
            let subject = SlidingSubject::start(context, &environment, limiter).await?;
            search(config, SlidingSubject::steps, |steps| subject.run(steps)).await?;
        }
    }
    Ok(())
}

/// One step of a sequence. Callers and instances go by their number.
#[derive(Debug, Clone)]
pub enum Step {
    /// A request.
    Request {
        /// Who asks.
        caller: usize,
        /// Through which instance.
        instance: usize,
    },
    /// The caller's window ends: its expiry comes, moved in the store.
    EndWindow(usize),
    /// The caller's window gets closer to its end, without reaching it.
    ShortenWindow(usize),
    /// Redis is stopped and started, with its data.
    RestartRedis,
    /// Redis is emptied.
    Flush,
}

/// A limiter under comparison with the model, behind two instances.
#[derive(Debug)]
pub struct LimiterSubject<'a> {
    environment: Arc<Environment>,
    instances: [Arc<Instance>; 2],
    limiter: Limiter<'a>,
    key: &'a Template,
    promise: Promise,
    recover: Duration,
}

/// What one sequence has come to.
struct Course {
    counters: Counters,
    model: LimiterModel,
    /// What each window had left when it was last looked at.
    left_ms: BTreeMap<Caller<'static>, i64>,
    trace: Vec<String>,
}

impl<'a> LimiterSubject<'a> {
    /// Starts an environment with two instances, with a small limit if the manifest declares how. Skips what has no
    /// limiter with a fixed window.
    pub async fn open(context: &'a Context) -> Result<Self, Stop> {
        let fixed = limiters(context)?.into_iter().find(Limiter::is_fixed);
        let limiter = context.section("limiter with a fixed window", fixed.as_ref())?;
        let environment = context.stores().await?;
        Self::start(context, &environment, *limiter).await
    }

    async fn start(
        context: &'a Context,
        environment: &Arc<Environment>,
        limiter: Limiter<'a>,
    ) -> Result<Self, Stop> {
        let key = limiter.key(context)?;
        let (promise, env) = match shortened(limiter.section, SHORT) {
            Some(env) => (SHORT, env),
            None => (limiter.promise(), BTreeMap::new()),
        };
        Ok(Self {
            instances: two_instances(environment, &env).await?,
            environment: Arc::clone(environment),
            limiter,
            key,
            promise,
            recover: context.deadline(|deadlines| deadlines.recover_ms),
        })
    }

    /// Sequences of steps. Restarts are rare: each takes longer than all else together.
    pub fn steps() -> impl Strategy<Value = Vec<Step>> {
        let caller = || 0..CALLERS.len();
        let request = (caller(), 0..2_usize)
            .prop_map(|(caller, instance)| Step::Request { caller, instance });
        let step = prop_oneof![
            30 => request,
            3 => caller().prop_map(Step::EndWindow),
            3 => caller().prop_map(Step::ShortenWindow),
            1 => Just(Step::Flush),
            1 => Just(Step::RestartRedis),
        ];
        vec(step, 1..=STEPS_MAX)
    }

    /// Carries a sequence out from an empty store, and compares after each step.
    pub async fn run(&self, steps: Vec<Step>) -> Result<(), Stop> {
        let mut course = Course {
            counters: Counters::open(&self.environment, self.key).await?,
            model: LimiterModel::new(self.promise.limit),
            left_ms: BTreeMap::new(),
            trace: Vec::new(),
        };
        course.flush().await?;
        course.trace.clear();
        for step in steps {
            let done = match step {
                Step::Request { caller, instance } => {
                    self.request(&mut course, CALLERS[caller], instance).await
                }
                Step::EndWindow(caller) => course.end_window(CALLERS[caller]).await,
                Step::ShortenWindow(caller) => course.shorten_window(CALLERS[caller]).await,
                Step::Flush => course.flush().await,
                Step::RestartRedis => self.restart(&mut course).await,
            };
            done.map_err(|stop| with_trace(stop, &course.trace))?;
            course
                .look_at_windows(self.promise)
                .await
                .map_err(|stop| with_trace(stop, &course.trace))?;
        }
        Ok(())
    }

    async fn request(
        &self,
        course: &mut Course,
        caller: Caller<'static>,
        instance: usize,
    ) -> Result<(), Stop> {
        let name = name(caller);
        let due = course.model.request(&name);
        let word = |admitted| if admitted { "admitted" } else { "refused" };
        course
            .trace
            .push(format!("request of {name} through instance {instance}"));
        let answer = self
            .limiter
            .request(&self.instances[instance].http, caller)
            .await?;
        let expected = format!(
            "the request of {name} {} (limit {})",
            word(due),
            self.promise.limit
        );
        if admitted(&answer) != Some(due) {
            return Err(Stop::fail(expected, answer.describe()));
        }
        let header = self.limiter.section.remaining_header.as_deref();
        let told = header.and_then(|header| answer.header(header));
        let remaining = course.model.remaining(&name);
        match told.map(str::parse::<u64>) {
            Some(told) if told != Ok(remaining) => Err(Stop::fail(
                format!("{remaining} remaining for {name}"),
                format!("{told:?} in the header, {}", answer.describe()),
            )),
            _ => {
                let last = course.trace.last_mut().expect("pushed above");
                last.push_str(&format!(" -> {}", word(due)));
                Ok(())
            }
        }
    }

    async fn restart(&self, course: &mut Course) -> Result<(), Stop> {
        course.trace.push("Redis restarted".to_owned());
        restart_redis(
            &self.environment,
            &self.instances,
            &self.limiter,
            self.recover,
        )
        .await?;
        course.counters = Counters::open(&self.environment, self.key).await?;
        Ok(())
    }
}

/// Goes on when every instance has Redis back.
pub(super) async fn restart_redis(
    environment: &Environment,
    instances: &[Arc<Instance>; 2],
    limiter: &Limiter<'_>,
    recover: Duration,
) -> Result<(), Stop> {
    let fault = environment.fault(StoreKind::Redis, ServerFaultKind::Stop);
    fault.await?.heal().await?;
    environment.store(StoreKind::Redis).wait_ready().await?;
    for instance in instances {
        // An own caller: a look must not count as one of the sequence's requests.
        let looker = Caller {
            user: "looker",
            endpoint: "recovery",
        };
        let back = poll_until("a limiter that answers again", recover, POLL, || async {
            match limiter.request(&instance.http, looker).await {
                Ok(answer) if admitted(&answer).is_some() => Look::Ready(()),
                Ok(answer) => Look::NotYet(answer.describe()),
                Err(error) => Look::NotYet(error.to_string()),
            }
        });
        back.await
            .or_fail("the limiter to answer again after a restart of Redis")?;
    }
    Ok(())
}

impl Course {
    async fn end_window(&mut self, caller: Caller<'static>) -> Result<(), Stop> {
        self.trace.push(format!(
            "the window of {} ends (moved in the store)",
            name(caller)
        ));
        self.counters.end_window(caller).await?;
        self.model.end_window(&name(caller));
        self.left_ms.remove(&caller);
        Ok(())
    }

    async fn shorten_window(&mut self, caller: Caller<'static>) -> Result<(), Stop> {
        if let Some(left_ms) = self.left_ms.get_mut(&caller) {
            // Never near the end: no window of a sequence ends by itself.
            *left_ms -= *left_ms / 4;
            self.counters
                .move_end(caller, left_ms.unsigned_abs())
                .await?;
            self.trace.push(format!(
                "the window of {} has {left_ms} ms left (moved in the store)",
                name(caller)
            ));
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Stop> {
        self.trace.push("Redis flushed".to_owned());
        self.counters.store().flush_all().await?;
        self.model.flush();
        self.left_ms.clear();
        Ok(())
    }

    /// A counter has an end, at most a window away, and it only ever gets closer.
    async fn look_at_windows(&mut self, promise: Promise) -> Result<(), Stop> {
        for caller in CALLERS {
            let left_ms = self.counters.left_ms(caller).await?;
            let is_open = self.model.has_window(&name(caller));
            let most_ms = self
                .left_ms
                .get(&caller)
                .copied()
                .unwrap_or(promise.window_ms as i64);
            let what = format!("the counter of {}", name(caller));
            match left_ms {
                -2 if !is_open => {}
                -2 => {
                    return Err(Stop::fail(
                        format!("{what}, as its window is open"),
                        "no such key in the store",
                    ));
                }
                -1 => {
                    return Err(Stop::fail(
                        format!("{what} to have an end"),
                        "a key without expiry in the store",
                    ));
                }
                _ if !is_open => {
                    return Err(Stop::fail(
                        format!("no window for {}", name(caller)),
                        format!("{left_ms} ms left in the store"),
                    ));
                }
                _ if left_ms > most_ms => {
                    return Err(Stop::fail(
                        format!(
                            "the window's end to come closer: {what} with at most {most_ms} ms left"
                        ),
                        format!("{left_ms} ms left in the store"),
                    ));
                }
                _ => {
                    self.left_ms.insert(caller, left_ms);
                }
            }
        }
        Ok(())
    }
}

pub(super) fn name(caller: Caller<'_>) -> String {
    format!("{} at {}", caller.user, caller.endpoint)
}

pub(super) fn with_trace(stop: Stop, trace: &[String]) -> Stop {
    let Stop::Fail(finding) = stop else {
        return stop;
    };
    let numbered = (1..)
        .zip(trace)
        .map(|(number, line)| format!("{number}. {line}"));
    Stop::Fail(numbered.fold(finding, Finding::with_evidence))
}
