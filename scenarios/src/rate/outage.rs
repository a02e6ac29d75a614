//! RATE-7: without its counters, the limiter does what the manifest declares, at once.

use super::client::admitted;
use crate::health::story::{Watch, Way};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::LimiterSection;
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
    context.section("limiter.without_redis", limiter.without_redis.as_ref())?;
    let routes = routes(context, limiter)?;
    context.section("limiter.without_redis.open or closed", routes.first())?;
    let watch = Watch::start(context).await?;
    let outage = Outage {
        watch,
        routes,
        times: limiter.limit.min(TIMES),
    };
    for kind in [ServerFaultKind::Stop, ServerFaultKind::Freeze] {
        for route in &outage.routes {
            outage
                .is_counted(route, &format!("before-{kind:?}"))
                .await?;
        }
        outage.lose_and_see(kind).await?;
    }
    for route in &outage.routes {
        outage.is_counted(route, "after").await?;
    }
    outage.watch.finish().await
}

/// One endpoint of an operation, with what is declared of it.
struct Route<'a> {
    operation: OperationName,
    endpoint: &'a str,
    /// The status of the refusal, if it is closed.
    closed: Option<u16>,
    remaining_header: Option<&'a str>,
}

/// Whatever is limited and says what it does without Redis.
fn routes<'a>(context: &Context, limiter: &'a LimiterSection) -> Result<Vec<Route<'a>>, Stop> {
    let by_user = limiter
        .all()
        .map(|(operation, _, section)| (operation, section.without_redis.as_ref()));
    let address = limiter
        .address
        .as_ref()
        .and_then(|of| of.without_redis.as_ref());
    let by_address = (OperationName::LimitedByAddress, address);
    let mut routes = Vec::new();
    for (operation, declared) in by_user.chain([by_address]) {
        let Some(declared) = declared else { continue };
        context.require(&[operation])?;
        let route = |endpoint: &'a String, closed| Route {
            operation,
            endpoint,
            closed,
            remaining_header: limiter.remaining_header.as_deref(),
        };
        routes.extend(declared.open.iter().map(|open| route(open, None)));
        let status = Some(declared.closed_status);
        routes.extend(declared.closed.iter().map(|closed| route(closed, status)));
    }
    Ok(routes)
}

struct Outage<'a> {
    watch: Watch<'a>,
    routes: Vec<Route<'a>>,
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
                for route in &self.routes {
                    self.ask_one(route, user, away).await?;
                }
            }
        }
        Ok(())
    }

    async fn ask_one(&self, route: &Route<'_>, user: &str, away: bool) -> Result<(), Stop> {
        let answer = self.ask(route, user).await?;
        let (name, endpoint) = (route.operation.key(), route.endpoint);
        let Some(status) = route.closed else {
            return expect(
                admitted(&answer) == Some(true),
                format!("`{name}` at `{endpoint}` open without Redis, as declared"),
                answer.describe(),
            );
        };
        let refused = answer.status == status && answer.json().is_some();
        let counted = !away && admitted(&answer) == Some(true);
        expect(
            refused || counted,
            format!("`{name}` at `{endpoint}` closed without Redis: {status} with a JSON error"),
            answer.describe(),
        )
    }

    async fn ask(&self, route: &Route<'_>, user: &str) -> Result<Answer, Stop> {
        let context = self.watch.context;
        let deadline = context.deadline(|d| d.degraded_answer_ms);
        let http = self.watch.instance.http.with_deadline(deadline);
        let values: &[(&str, &[u8])] = &[
            ("user", user.as_bytes()),
            ("endpoint", route.endpoint.as_bytes()),
        ];
        Ok(http.call(route.operation, values).await?)
    }

    /// With Redis there, a request leaves less of the window than the one before.
    async fn is_counted(&self, route: &Route<'_>, user: &str) -> Result<(), Stop> {
        let context = self.watch.context;
        let (name, endpoint) = (route.operation.key(), route.endpoint);
        let what = format!("`{name}` at `{endpoint}` to admit and count with Redis there");
        let header = route.remaining_header;
        poll_until(&what, context.deadline(|d| d.recover_ms), POLL, || async {
            let answer = match self.ask(route, user).await {
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
