//! SESS-6: an outage of Redis logs nobody out, and nobody in.

use super::client::{Held, SessionClient, SetCookie, impatient};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::{Answer, HttpClient, OperationName};

const USER: &str = "ann";
const POLL: Duration = Duration::from_millis(10);
const GRACE: Duration = Duration::from_secs(3);

/// SESS-6.
pub(super) const SURVIVE: Scenario = Scenario {
    criterion: Criterion {
        id: "SESS-6",
        statement: "Sessions survive a Redis restart",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| survive(context).boxed(),
};

struct Restart<'a> {
    context: &'a Context,
    sessions: SessionClient<'a>,
    environment: Arc<Environment>,
    instance: Arc<Instance>,
}

/// What somebody did while Redis was away.
struct Meanwhile {
    /// The answer to a login.
    login: Option<Held>,
    /// Whether a logout of the second device was acknowledged.
    logged_out: bool,
}

async fn survive(context: &Context) -> Result<(), Stop> {
    let section = SessionClient::declared(context, &[OperationName::SessionEnd])?;
    let (environment, instance) = context.start().await?;
    let sessions = SessionClient::open(&environment, section).await?;
    sessions.account(&instance.http, USER).await?;
    let mut restart = Restart {
        context,
        sessions,
        environment,
        instance,
    };
    for kind in [ServerFaultKind::Stop, ServerFaultKind::Kill] {
        restart.through(kind).await?;
        // The connection of the store's own view went with the server.
        restart.sessions = SessionClient::open(&restart.environment, section).await?;
    }
    Ok(())
}

impl Restart<'_> {
    fn http(&self) -> &HttpClient {
        &self.instance.http
    }

    async fn through(&mut self, kind: ServerFaultKind) -> Result<(), Stop> {
        let (context, http) = (self.context, self.instance.http.clone());
        let sessions = &self.sessions;
        context.step(format!(
            "log in on three devices, and out on one, then {kind:?} redis"
        ));
        let (kept, key) = sessions.login_and_find(&http, USER, "kept").await?;
        let second = sessions.login(&http, USER, "second").await?;
        let ended = sessions.login(&http, USER, "ended").await?;
        let answer = sessions
            .call(&http, OperationName::SessionEnd, &ended.id)
            .await?;
        expect(
            answer.kind() == AnswerKind::Ok,
            "a logout to work",
            answer.describe(),
        )?;
        let left_before_ms = sessions.store.pttl_ms(&key).await?;
        let looked_us = context.clock().now_us();
        let fault = self.environment.fault(StoreKind::Redis, kind).await?;
        let meanwhile = self.meanwhile(&kept, &second).await?;
        context.step("start redis");
        fault.heal().await?;
        self.environment
            .store(StoreKind::Redis)
            .wait_ready()
            .await?;
        self.known_again(&kept).await?;
        self.sessions = SessionClient::open(&self.environment, self.sessions.section).await?;
        let left_ms = self.sessions.store.pttl_ms(&key).await?;
        let since_ms = ((context.clock().now_us() - looked_us) / 1000) as i64;
        let least_ms = left_before_ms - since_ms - 1000;
        expect(
            (least_ms..=left_before_ms).contains(&left_ms),
            format!("{least_ms} to {left_before_ms} ms left of the session after the restart"),
            format!("PTTL {left_ms}"),
        )?;
        self.is_as_acknowledged(&ended, &second, &meanwhile).await
    }

    /// While Redis is away: a session is neither known nor unknown, and whatever is acknowledged has to hold.
    async fn meanwhile(&self, kept: &Held, second: &Held) -> Result<Meanwhile, Stop> {
        let (sessions, http) = (&self.sessions, impatient(self.context, self.http()));
        self.context
            .step("read, log in and log out while it is away");
        // Twice: before the service has noticed, and after.
        for _ in 0..2 {
            let answer = sessions
                .call(&http, OperationName::SessionRead, &kept.id)
                .await?;
            self.is_refusal(&answer, "a session that cannot be looked up")?;
        }
        let password = sessions.password();
        let answer = sessions
            .try_login(&http, USER, password, "during the outage", None)
            .await?;
        let login = match answer.kind() {
            AnswerKind::Ok => {
                let cookies = SetCookie::all_of(&answer, &sessions.section.cookie);
                cookies.into_iter().next().map(|set| Held {
                    id: set.value,
                    user: USER.to_owned(),
                    device: "during the outage".to_owned(),
                    answer,
                })
            }
            _ => {
                self.is_refusal(&answer, "a login that cannot be kept")?;
                None
            }
        };
        let answer = sessions
            .call(&http, OperationName::SessionEnd, &second.id)
            .await?;
        let logged_out = answer.kind() == AnswerKind::Ok;
        if !logged_out {
            self.is_refusal(&answer, "a logout that cannot be carried out")?;
        }
        Ok(Meanwhile { login, logged_out })
    }

    /// Not "you are nobody", which would make a browser or its user give the session up.
    fn is_refusal(&self, answer: &Answer, what: &str) -> Result<(), Stop> {
        let degraded = self.context.manifest().degraded.as_ref();
        let status = degraded.map_or(503, |degraded| degraded.refusal_status);
        let set = SetCookie::all_of(answer, &self.sessions.section.cookie);
        expect(
            answer.status == status && set.is_empty(),
            format!("{what} answered with {status}, and the cookie left alone"),
            format!("{}, {} cookies set", answer.describe(), set.len()),
        )
    }

    /// Refusals are allowed until the service has reconnected; that the session is unknown never is.
    async fn known_again(&self, kept: &Held) -> Result<(), Stop> {
        let (context, sessions) = (self.context, &self.sessions);
        let status = context.manifest().degraded.as_ref();
        let status = status.map_or(503, |degraded| degraded.refusal_status);
        let deadline = context.deadline(|d| d.recover_ms) + GRACE;
        let what = "the session known after the restart";
        let known = poll_until(what, deadline, POLL, || async {
            let read = sessions.call(self.http(), OperationName::SessionRead, &kept.id);
            match read.await {
                Ok(answer) if answer.status == status => Look::NotYet(answer.describe()),
                Ok(answer) => Look::Ready(Ok(answer)),
                Err(stop) => Look::Ready(Err(stop)),
            }
        });
        let answer = known.await.or_fail(what)??;
        let is_user = answer.kind() == AnswerKind::Ok && answer.text().as_deref() == Some(USER);
        expect(is_user, format!("{what}, as `{USER}`'s"), answer.describe())
    }

    async fn is_as_acknowledged(
        &self,
        ended: &Held,
        second: &Held,
        meanwhile: &Meanwhile,
    ) -> Result<(), Stop> {
        let (sessions, context) = (&self.sessions, self.context);
        context.step("look at what was acknowledged, on this instance and on a new one");
        let new = self.environment.start_instance(&BTreeMap::new()).await?;
        for http in [self.http(), &new.http] {
            let when = "after the restart, as it had been ended before";
            sessions.refused(http, ended, when).await?;
            if meanwhile.logged_out {
                let when = "after the restart, as its logout was acknowledged";
                sessions.refused(http, second, when).await?;
            } else {
                sessions.known(http, second, "after the restart").await?;
            }
            if let Some(held) = &meanwhile.login {
                let when = "after the restart, as its login was acknowledged";
                sessions.known(http, held, when).await?;
            }
        }
        let anew = sessions.login(self.http(), USER, "anew").await?;
        sessions
            .known(&new.http, &anew, "on another instance")
            .await?;
        new.kill();
        Ok(())
    }
}
