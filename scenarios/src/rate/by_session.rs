//! RATE-9: a limit by session is that session's: on whichever instance and from whichever address it comes, not that of
//! the user's other devices, and gone when the session is.

use super::client::{Promise, admitted, filled};
use crate::session::client::{Held, SessionClient};
use crate::store_view::StoreView;
use futures::FutureExt;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::SessionLimitSection;
use touchstone_engine::subject::{Answer, HttpClient, OperationName};

/// What a run shortens the limit to; the window is longer than the scenario.
const SHORT: Promise = Promise {
    limit: 3,
    window_ms: 600_000,
};
/// A limit of more is not used up.
const LIMIT_MAX: u64 = 500;
const USER: &str = "ann";
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// RATE-9.
pub(super) const THE_SESSION_S_OWN: Scenario = Scenario {
    criterion: Criterion {
        id: "RATE-9",
        statement: "Limits by session: follow the session, end with it, not shared by a user's devices unless declared",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| the_session_s_own(context).boxed(),
};

async fn the_session_s_own(context: &Context) -> Result<(), Stop> {
    use OperationName::{LimitedBySession, SessionEnd};
    let sessions = SessionClient::declared(context, &[LimitedBySession, SessionEnd])?;
    let limiter = context.section("limiter", context.manifest().limiter.as_ref())?;
    let section = context.section("limiter.session", limiter.session.as_ref())?;
    let (limit, env) = match filled(&section.shorten, SHORT) {
        Some(env) => (SHORT.limit, env),
        None if section.limit <= LIMIT_MAX => (section.limit, BTreeMap::new()),
        None => {
            return Err(Stop::Skip {
                reason: format!("a limit of {} cannot be shortened", section.limit),
                declared: false,
            });
        }
    };
    let environment = context.stores().await?;
    context.step("start two instances");
    let [first, second] = super::burst::two_instances(&environment, &env).await?;
    let client = SessionClient::open(&environment, sessions).await?;
    client.account(&first.http, USER).await?;
    let limits = Limits {
        context,
        section,
        limit,
        client,
        first: first.http.clone(),
        second: second.http.clone(),
    };
    limits.story(&environment).await
}

struct Limits<'a> {
    context: &'a Context,
    section: &'a SessionLimitSection,
    limit: u64,
    client: SessionClient<'a>,
    first: HttpClient,
    second: HttpClient,
}

impl Limits<'_> {
    async fn story(&self, environment: &Environment) -> Result<(), Stop> {
        let limit = self.limit;
        self.context.step(format!(
            "a session uses up its {limit}, through two instances"
        ));
        let phone = self.client.login(&self.first, USER, "phone").await?;
        self.uses_up(&phone).await?;
        for (http, whence) in [
            (self.second.clone(), "through another instance"),
            (self.first.from_address(ELSEWHERE), "from another address"),
        ] {
            let answer = self.ask(&http, &phone, "one").await?;
            let what = format!("the session that has used up its {limit} refused {whence}, too");
            expect(admitted(&answer) == Some(false), what, answer.describe())?;
        }
        self.context.step("the same user on another device");
        let laptop = self.client.login(&self.first, USER, "laptop").await?;
        if self.section.shared_by_devices {
            let answer = self.ask(&self.first, &laptop, "one").await?;
            let what = "the other device refused, as `limiter.session.shared_by_devices` says";
            expect(admitted(&answer) == Some(false), what, answer.describe())?;
        } else {
            self.uses_up(&laptop).await?;
        }
        self.ends(environment, &phone).await
    }

    /// With the session its counters go, and whoever logs in again begins anew.
    async fn ends(&self, environment: &Environment, phone: &Held) -> Result<(), Stop> {
        self.context
            .step("the session ends; the user logs in again on that device");
        let store = StoreView::open(environment).await?;
        let before = self.counters(&store).await?;
        let answer = self
            .client
            .call(&self.first, OperationName::SessionEnd, &phone.id)
            .await?;
        expect(
            answer.kind() == AnswerKind::Ok,
            "a logout to work",
            answer.describe(),
        )?;
        let after = self.counters(&store).await?;
        if let (Some(before), Some(after)) = (before, after)
            && !self.section.shared_by_devices
        {
            expect(
                after < before,
                format!(
                    "fewer than {before} counters in the store, as those of the session end with it"
                ),
                format!("{after}"),
            )?;
        }
        let answer = self.ask(&self.first, phone, "one").await?;
        expect(
            admitted(&answer).is_none(),
            "whoever has no session any more neither admitted nor limited",
            answer.describe(),
        )?;
        let again = self.client.login(&self.first, USER, "phone").await?;
        if self.section.shared_by_devices {
            return Ok(());
        }
        self.uses_up(&again).await
    }

    /// How many counters there are; `None` if the manifest does not tell their keys.
    async fn counters(&self, store: &StoreView) -> Result<Option<usize>, Stop> {
        let Some(pattern) = &self.section.counter_pattern else {
            return Ok(None);
        };
        let count = store.keys(pattern).await?.len();
        expect(
            count > 0,
            format!("counters at `{pattern}`, as `limiter.session.counter_pattern` says"),
            "no such key",
        )?;
        Ok(Some(count))
    }

    /// As many as the limit are admitted, by both instances in turn, and then no more; elsewhere they still are.
    async fn uses_up(&self, held: &Held) -> Result<(), Stop> {
        let (limit, device) = (self.limit, &held.device);
        for number in 1..=limit {
            let http = if number % 2 == 0 {
                &self.second
            } else {
                &self.first
            };
            let answer = self.ask(http, held, "one").await?;
            let what = format!(
                "request {number} of the session on `{device}` admitted (limit {limit} a session)"
            );
            expect(admitted(&answer) == Some(true), what, answer.describe())?;
        }
        let answer = self.ask(&self.first, held, "one").await?;
        let what =
            format!("one more of the session on `{device}` refused (limit {limit} a session)");
        expect(admitted(&answer) == Some(false), what, answer.describe())?;
        let answer = self.ask(&self.first, held, "two").await?;
        let what = format!("the session on `{device}` admitted at another endpoint");
        expect(admitted(&answer) == Some(true), what, answer.describe())
    }

    async fn ask(&self, http: &HttpClient, held: &Held, endpoint: &str) -> Result<Answer, Stop> {
        let values: &[(&str, &[u8])] = &[
            ("session", held.id.as_bytes()),
            ("endpoint", endpoint.as_bytes()),
        ];
        Ok(http.call(OperationName::LimitedBySession, values).await?)
    }
}
