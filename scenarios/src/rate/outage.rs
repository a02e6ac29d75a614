//! RATE-7: without its counters, the limiter does what the manifest declares, at once.

use super::client::{Caller, admitted, request};
use crate::health::story::{Watch, Way};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::WithoutRedisSection;
use touchstone_engine::subject::{Answer, OperationName};

const POLL: Duration = Duration::from_millis(20);
/// A declared answer holds for everybody, and every time.
const USERS: [&str; 2] = ["ann", "bob"];
const TIMES: u64 = 3;

/// RATE-7.
pub(super) const DECLARED: Scenario = Scenario {
    criterion: Criterion {
        id: "RATE-7",
        statement: "Redis down, stopped or frozen: each limited endpoint open or closed as declared, answered in 1 s or less; limited again when Redis is back",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(5),
    run: |context| declared(context).boxed(),
};

async fn declared(context: &Context) -> Result<(), Stop> {
    context.require(&[OperationName::Limited])?;
    let limiter = context.section("limiter", context.manifest().limiter.as_ref())?;
    let declared = context.section("limiter.without_redis", limiter.without_redis.as_ref())?;
    let endpoints = || declared.open.iter().chain(&declared.closed);
    context.section("limiter.without_redis.open or closed", endpoints().next())?;
    let watch = Watch::start(context).await?;
    let outage = Outage {
        watch,
        declared,
        times: limiter.limit.min(TIMES),
    };
    for kind in [ServerFaultKind::Stop, ServerFaultKind::Freeze] {
        for endpoint in endpoints() {
            outage
                .is_counted(endpoint, &format!("before-{kind:?}"))
                .await?;
        }
        outage.lose_and_see(kind).await?;
    }
    for endpoint in endpoints() {
        outage.is_counted(endpoint, "after").await?;
    }
    outage.watch.finish().await
}

struct Outage<'a> {
    watch: Watch<'a>,
    declared: &'a WithoutRedisSection,
    /// Not more than a window admits, as long as Redis may still count.
    times: u64,
}

impl Outage<'_> {
    async fn lose_and_see(&self, kind: ServerFaultKind) -> Result<(), Stop> {
        let (watch, when) = (&self.watch, format!("{kind:?}"));
        let losing = watch.lose(&[StoreKind::Redis], Way::Server(kind));
        // Before the service has noticed, too: those are the requests that hang.
        let (losses, meanwhile) = futures::join!(losing, self.ask_all(&when, false));
        let losses = losses?;
        meanwhile?;
        watch.context.step("ask while it is away");
        self.ask_all("away", true).await?;
        watch.hold(&losses).await?;
        self.ask_all("away", true).await?;
        watch.regain(losses).await
    }

    /// `away`: for sure; else Redis may still have counted.
    async fn ask_all(&self, when: &str, away: bool) -> Result<(), Stop> {
        for _ in 0..self.times {
            for user in USERS {
                let user = &format!("{user}-{when}");
                for endpoint in &self.declared.open {
                    let answer = self.ask(endpoint, user).await?;
                    expect(
                        admitted(&answer) == Some(true),
                        format!("`{endpoint}` open without Redis, as declared"),
                        answer.describe(),
                    )?;
                }
                for endpoint in &self.declared.closed {
                    let answer = self.ask(endpoint, user).await?;
                    let status = self.declared.closed_status;
                    let refused = answer.status == status && answer.json().is_some();
                    let counted = !away && admitted(&answer) == Some(true);
                    expect(
                        refused || counted,
                        format!("`{endpoint}` closed without Redis: {status} with a JSON error"),
                        answer.describe(),
                    )?;
                }
            }
        }
        Ok(())
    }

    async fn ask(&self, endpoint: &str, user: &str) -> Result<Answer, Stop> {
        let context = self.watch.context;
        let deadline = context.deadline(|d| d.degraded_answer_ms);
        let http = self.watch.instance.http.with_deadline(deadline);
        Ok(request(&http, Caller { user, endpoint }).await?)
    }

    /// With Redis there, a request leaves less of the window than the one before.
    async fn is_counted(&self, endpoint: &str, user: &str) -> Result<(), Stop> {
        let context = self.watch.context;
        let what = format!("`{endpoint}` to admit and count with Redis there");
        let limiter = context.section("limiter", context.manifest().limiter.as_ref())?;
        let header = limiter.remaining_header.as_deref();
        poll_until(&what, context.deadline(|d| d.recover_ms), POLL, || async {
            let answer = match self.ask(endpoint, user).await {
                Ok(answer) => answer,
                Err(stop) => return Look::NotYet(format!("{stop:?}")),
            };
            // Only a limiter that has counted can say what remains.
            let told = header.is_none_or(|name| answer.header(name).is_some());
            match admitted(&answer) {
                Some(true) if told => Look::Ready(()),
                _ => Look::NotYet(answer.describe()),
            }
        })
        .await
        .or_fail(&what)
    }
}
