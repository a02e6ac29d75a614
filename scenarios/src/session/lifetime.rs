//! SESS-1: a session from its login to each of its ends.

use super::client::{Held, SessionClient, SetCookie};
use futures::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::{HttpClient, OperationName};

const USER: &str = "ann";
/// Where a run moves a session's end to.
const MOVED_TO_MS: u64 = 1_000_000;
/// What a run shortens the times to: so close to each other that a touch soon after the login shows both.
const SHORT_TTL_S: u64 = 60;
const SHORT_LIFETIME_S: u64 = 61;
/// From the login to the touch: more than the two differ by.
const AGE_AT_TOUCH: Duration = Duration::from_millis(1_500);

/// SESS-1.
pub(super) const FROM_LOGIN_TO_END: Scenario = Scenario {
    criterion: Criterion {
        id: "SESS-1",
        statement: "Create, read, expire (24 h default; the store shows the TTL), revoke",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(3),
    run: |context| from_login_to_end(context).boxed(),
};

struct Lifetime<'a> {
    context: &'a Context,
    sessions: SessionClient<'a>,
    instance: Arc<Instance>,
}

async fn from_login_to_end(context: &Context) -> Result<(), Stop> {
    let section = SessionClient::declared(context, &[OperationName::SessionEnd])?;
    let (environment, instance) = context.start().await?;
    let sessions = SessionClient::open(&environment, section).await?;
    sessions.account(&instance.http, USER).await?;
    let lifetime = Lifetime {
        context,
        sessions,
        instance,
    };
    // Begun first, since it has to grow old.
    let aging = lifetime.begin_short(&environment).await?;
    lifetime.refuses_strangers().await?;
    lifetime.is_kept_and_expires().await?;
    lifetime.is_ended().await?;
    match aging {
        Some((short, held, key)) => {
            lifetime
                .cannot_be_prolonged_for_ever(&short, &held, &key)
                .await
        }
        None => {
            context.observe("the manifest declares no longest lifetime, or no way to shorten it");
            Ok(())
        }
    }
}

impl Lifetime<'_> {
    fn http(&self) -> &HttpClient {
        &self.instance.http
    }

    fn now_us(&self) -> impl Fn() -> u64 + use<> {
        let clock = self.context.clock();
        move || clock.now_us()
    }

    fn can_touch(&self) -> bool {
        let operations = &self.context.manifest().operations;
        operations.contains_key(&OperationName::SessionTouch)
    }

    /// A session on an instance whose times are short, where that can be had.
    async fn begin_short(
        &self,
        environment: &Environment,
    ) -> Result<Option<(Arc<Instance>, Held, String)>, Stop> {
        let section = self.sessions.section;
        let short = section.shortened(SHORT_TTL_S, SHORT_LIFETIME_S);
        let short = short.filter(|_| section.lifetime_max_seconds.is_some() && self.can_touch());
        let Some(env) = short else {
            return Ok(None);
        };
        self.context.step("log in to an instance with short times");
        let instance = environment.start_instance(&env).await?;
        let (held, key) = self
            .sessions
            .login_and_find(&instance.http, USER, "aging")
            .await?;
        Ok(Some((instance, held, key)))
    }

    /// A wrong password and a user that nobody is are refused, and with the same answer.
    async fn refuses_strangers(&self) -> Result<(), Stop> {
        self.context
            .step("try a wrong password, a user who does not exist, and ids that are none");
        let sessions = &self.sessions;
        let right = sessions.password();
        let mut answers = Vec::new();
        for (user, password) in [(USER, "not the password of anybody"), ("nobody", right)] {
            let answer = sessions
                .try_login(self.http(), user, password, "stranger", None)
                .await?;
            let given = SetCookie::all_of(&answer, &sessions.section.cookie);
            expect(
                answer.kind() == AnswerKind::Denied && given.is_empty(),
                "a login refused, without a cookie",
                format!("{} and {} cookies", answer.describe(), given.len()),
            )?;
            answers.push(answer);
        }
        expect(
            (answers[0].status, &answers[0].body) == (answers[1].status, &answers[1].body),
            "one answer, whether the user or the password is wrong",
            format!("{}, and {}", answers[0].describe(), answers[1].describe()),
        )?;
        for id in ["", "none", "0123456789abcdefABCDEF0123456789abcdefABCDE"] {
            let answer = sessions
                .call(self.http(), OperationName::SessionRead, id)
                .await?;
            let refused = answer.kind() == AnswerKind::Denied;
            expect(refused, "an id that is none refused", answer.describe())?;
        }
        Ok(())
    }

    async fn is_kept_and_expires(&self) -> Result<(), Stop> {
        let (sessions, http, now_us) = (&self.sessions, self.http(), self.now_us());
        self.context
            .step("log in, and look at the session in the store");
        let (held, key) = sessions.login_and_find(http, USER, "laptop").await?;
        sessions
            .has_whole_ttl(&key, "after the login", &held.answer, &now_us)
            .await?;
        sessions.known(http, &held, "after the login").await?;
        self.context
            .step("move its end closer, then read and touch it");
        sessions.store.move_expiry(&key, MOVED_TO_MS).await?;
        let (_, answer) = sessions.is_known(http, &held).await?;
        sessions.known(http, &held, "again").await?;
        if sessions.section.read_prolongs {
            sessions
                .has_whole_ttl(&key, "after a read", &answer, &now_us)
                .await?;
        } else {
            let left_ms = sessions.store.pttl_ms(&key).await?;
            expect(
                u64::try_from(left_ms).is_ok_and(|left_ms| left_ms <= MOVED_TO_MS),
                format!("a read to leave the end where it was, {MOVED_TO_MS} ms away"),
                format!("PTTL {left_ms}"),
            )?;
        }
        if self.can_touch() {
            let answer = sessions
                .call(http, OperationName::SessionTouch, &held.id)
                .await?;
            let touched = answer.kind() == AnswerKind::Ok;
            expect(touched, "a touch to work", answer.describe())?;
            sessions
                .has_whole_ttl(&key, "after a touch", &answer, &now_us)
                .await?;
        }
        self.context.step("let it expire in the store");
        sessions.store.expire_now(&key).await?;
        self.stays_ended(&held, &key, "once it has expired").await
    }

    async fn is_ended(&self) -> Result<(), Stop> {
        let (sessions, http) = (&self.sessions, self.http());
        self.context
            .step("log in on two devices, and out on one of them");
        let (other, _) = sessions.login_and_find(http, USER, "phone").await?;
        let (held, key) = sessions.login_and_find(http, USER, "laptop").await?;
        sessions.known(http, &held, "after the login").await?;
        let answer = sessions
            .call(http, OperationName::SessionEnd, &held.id)
            .await?;
        let ended = answer.kind() == AnswerKind::Ok;
        expect(ended, "a logout to work", answer.describe())?;
        self.stays_ended(&held, &key, "after the logout").await?;
        sessions
            .known(http, &other, "after the logout on the laptop")
            .await
    }

    /// Refused, gone from the store, and nothing that its old owner does brings it back.
    async fn stays_ended(&self, held: &Held, key: &str, when: &str) -> Result<(), Stop> {
        let (sessions, http) = (&self.sessions, self.http());
        sessions.refused(http, held, when).await?;
        if self.can_touch() {
            let answer = sessions
                .call(http, OperationName::SessionTouch, &held.id)
                .await?;
            let refused = answer.kind() == AnswerKind::Denied;
            expect(
                refused,
                format!("a touch refused {when}"),
                answer.describe(),
            )?;
        }
        sessions
            .refused(http, held, &format!("{when} and a touch"))
            .await?;
        let there = sessions.store.exists(key).await?;
        expect(
            !there,
            format!("no session in the store {when}"),
            "its key is there",
        )
    }

    async fn cannot_be_prolonged_for_ever(
        &self,
        short: &Instance,
        held: &Held,
        key: &str,
    ) -> Result<(), Stop> {
        let (sessions, now_us) = (&self.sessions, self.now_us());
        self.context.step(format!(
            "touch a session that may live {SHORT_LIFETIME_S} s, with a TTL of {SHORT_TTL_S} s"
        ));
        // The passing of time is what is tested.
        let old_us = held.answer.returned_us + AGE_AT_TOUCH.as_micros() as u64;
        let left = Duration::from_micros(old_us.saturating_sub(now_us()));
        tokio::time::sleep(left).await;
        let answer = sessions
            .call(&short.http, OperationName::SessionTouch, &held.id)
            .await?;
        let touched = answer.kind() == AnswerKind::Ok;
        expect(touched, "a touch to work", answer.describe())?;
        let left_ms = sessions.store.pttl_ms(key).await?;
        let age_ms = (answer.called_us - held.answer.returned_us) / 1000;
        let most_ms = i64::try_from(SHORT_LIFETIME_S * 1000 - age_ms).unwrap_or(i64::MAX);
        let least_ms = most_ms - 5_000;
        expect(
            (least_ms..=most_ms).contains(&left_ms),
            format!("at most {most_ms} ms left of a session {age_ms} ms old, touched or not"),
            format!("PTTL {left_ms}"),
        )
    }
}
