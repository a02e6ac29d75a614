//! RATE-3: a counter never exists without an end, whatever is cut where. The commands of one request are traced; then
//! the connection is cut after each of them in turn, when the server has applied it and the service does not know;
//! the service is killed there, and Redis is.

use super::client::{Caller, Counters, admitted, fixed_limiter, request};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::{Cut, CutMode, When};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop};
use touchstone_engine::schedule::{CrashPoint, Traced};
use touchstone_engine::store::StoreKind;

/// Long enough for a server to be killed meanwhile; the service may give up on the request, as it will be cut.
const HOLD_LONGEST: Duration = Duration::from_secs(5);
const SERVED_POLL: Duration = Duration::from_millis(10);
const ENDPOINT: &str = "crash";

/// RATE-3.
pub(super) const NEVER_WITHOUT_END: Scenario = Scenario {
    criterion: Criterion {
        id: "RATE-3",
        statement: "A counter never exists without a TTL, whatever is cut where",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(4),
    run: |context| never_without_end(context).boxed(),
};

/// What happens at a crash point.
#[derive(Debug, Clone, Copy)]
enum Crash {
    ConnectionReset,
    ServiceKilled,
    RedisKilled,
}

/// Which request it happens to.
#[derive(Debug, Clone, Copy)]
enum Request {
    /// There is no counter yet.
    First,
    /// There is one.
    Later,
}

struct Crashes<'a> {
    context: &'a Context,
    environment: Arc<Environment>,
    counters: Counters,
}

async fn never_without_end(context: &Context) -> Result<(), Stop> {
    let (_, key) = fixed_limiter(context)?;
    let (environment, instance) = context.start().await?;
    let crashes = Crashes {
        context,
        counters: Counters::open(&environment, key).await?,
        environment,
    };
    for which in [Request::First, Request::Later] {
        for crash in [Crash::ConnectionReset, Crash::ServiceKilled] {
            crashes.at_each_command(&instance, which, crash).await?;
        }
    }
    // Last, as a restart ends the direct client.
    crashes
        .at_each_command(&instance, Request::First, Crash::RedisKilled)
        .await
}

impl Crashes<'_> {
    async fn at_each_command(
        &self,
        instance: &Arc<Instance>,
        which: Request,
        crash: Crash,
    ) -> Result<(), Stop> {
        let mut subject = match crash {
            Crash::ServiceKilled => self.another().await?,
            Crash::ConnectionReset | Crash::RedisKilled => Arc::clone(instance),
        };
        let traced = self.trace(&subject, which, crash).await?;
        let commands = traced.commands.len();
        self.context.step(format!(
            "{which:?} request, {crash:?} after each of {commands} commands"
        ));
        for point in traced.crash_points() {
            let user = format!("{which:?}-{crash:?}-{}", point.line);
            let caller = caller(&user);
            if let Request::Later = which {
                request(&subject.http, caller).await?;
            }
            let reached = self.crash_at(&subject, &point, caller, crash).await;
            if reached.is_err() {
                // Kept or not: what is in the store is there.
                self.has_an_end(caller, &traced, &point, crash).await?;
            }
            if !reached? {
                // It knows its script by now, for instance.
                let told = format!(
                    "{which:?} request, {crash:?}: no command {} this time",
                    point.line + 1
                );
                self.context.observe(told);
                continue;
            }
            self.has_an_end(caller, &traced, &point, crash).await?;
            match crash {
                Crash::ServiceKilled => subject = self.another().await?,
                Crash::ConnectionReset | Crash::RedisKilled => self.until_served(&subject).await?,
            }
        }
        Ok(())
    }

    /// What a request sends about its counter.
    async fn trace(
        &self,
        subject: &Instance,
        which: Request,
        crash: Crash,
    ) -> Result<Traced, Stop> {
        let user = format!("traced-{which:?}-{crash:?}");
        // The first request of all sends more, for instance a script.
        request(&subject.http, caller("first")).await?;
        if let Request::Later = which {
            request(&subject.http, caller(&user)).await?;
        }
        let begin = Traced::begin(&subject.wiring).await?;
        let answer = request(&subject.http, caller(&user)).await?;
        let about = [(StoreKind::Redis, self.about(caller(&user)))];
        let traced = Traced::since(begin, &subject.wiring, &about).await?;
        if traced.commands.is_empty() {
            let seen = format!("none in the trace of {}", answer.describe());
            return Err(Stop::fail("a command on the counter's key", seen));
        }
        Ok(traced)
    }

    async fn crash_at(
        &self,
        subject: &Instance,
        point: &CrashPoint,
        caller: Caller<'_>,
        crash: Crash,
    ) -> Result<bool, Stop> {
        let about = self.about(caller);
        let hold = point.hold(&self.environment, &subject.wiring, about, HOLD_LONGEST);
        let hold = hold.await?;
        // Whatever it is answered: the counter is what counts.
        let request = request(&subject.http, caller);
        hold.crash_while_held(request, self.crash(subject, crash))
            .await
    }

    async fn crash(&self, subject: &Instance, crash: Crash) -> Result<(), Stop> {
        match crash {
            Crash::ConnectionReset => {
                let mode = CutMode::Reset;
                let wiring = &subject.wiring;
                let cut = self
                    .environment
                    .network_fault(wiring, StoreKind::Redis, Cut { mode });
                cut.await?.heal().await?;
            }
            Crash::ServiceKilled => subject.kill(),
            Crash::RedisKilled => {
                let kill = self
                    .environment
                    .fault(StoreKind::Redis, ServerFaultKind::Kill);
                kill.await?.heal().await?;
                self.environment
                    .store(StoreKind::Redis)
                    .wait_ready()
                    .await?;
            }
        }
        Ok(())
    }

    /// Whatever is in the store has one, also while its request may still be under way: the criterion says never.
    async fn has_an_end(
        &self,
        caller: Caller<'_>,
        traced: &Traced,
        point: &CrashPoint,
        crash: Crash,
    ) -> Result<(), Stop> {
        let left_ms = match crash {
            Crash::RedisKilled => {
                let counters = Counters::open(&self.environment, self.counters.template()).await?;
                counters.left_ms(caller).await?
            }
            _ => self.counters.left_ms(caller).await?,
        };
        if left_ms != -1 {
            return Ok(());
        }
        let key = self.counters.key(caller);
        let expected = format!(
            "no counter, or one with a TTL, after {crash:?} at {} of {}",
            point.line + 1,
            traced.commands.len()
        );
        let mut finding = Finding::new(
            expected,
            format!("`{key}` without a TTL: its user is locked out for ever"),
        );
        finding.evidence = traced.told(Some(point.line));
        // No stall gives a counter an end, or takes it away.
        Err(Stop::Proven(finding))
    }

    /// The service has Redis back.
    async fn until_served(&self, subject: &Instance) -> Result<(), Stop> {
        let deadline = self.context.deadline(|deadlines| deadlines.recover_ms);
        let served = poll_until("an admitted request", deadline, SERVED_POLL, || async {
            match request(&subject.http, caller("served")).await {
                Ok(answer) if admitted(&answer).is_some() => Look::Ready(()),
                Ok(answer) => Look::NotYet(answer.describe()),
                Err(error) => Look::NotYet(error.to_string()),
            }
        });
        served
            .await
            .or_fail("the limited route to work again after a crash")
    }

    async fn another(&self) -> Result<Arc<Instance>, Stop> {
        Ok(self.environment.start_instance(&BTreeMap::new()).await?)
    }

    fn about(&self, caller: Caller<'_>) -> When {
        When::any().key(&self.counters.key(caller))
    }
}

fn caller(user: &str) -> Caller<'_> {
    Caller {
        user,
        endpoint: ENDPOINT,
    }
}
