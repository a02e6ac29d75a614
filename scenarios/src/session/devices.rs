//! SESS-2: a user's devices, and what one of them can do to the others.

use super::client::{Held, SessionClient};
use futures::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::{HttpClient, OperationName};

const ANN: &str = "ann";
const BOB: &str = "bob";

/// SESS-2.
pub(super) const OF_ONE_USER: Scenario = Scenario {
    criterion: Criterion {
        id: "SESS-2",
        statement: "One user, several devices: list them, revoke one, revoke all; another user's stay",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| of_one_user(context).boxed(),
};

struct Devices<'a> {
    context: &'a Context,
    sessions: SessionClient<'a>,
    instance: Arc<Instance>,
}

async fn of_one_user(context: &Context) -> Result<(), Stop> {
    use OperationName::{SessionList, SessionRevoke, SessionRevokeAll};
    let operations = [SessionList, SessionRevoke, SessionRevokeAll];
    let section = SessionClient::declared(context, &operations)?;
    context.section("sessions.list", section.list.as_ref())?;
    let (environment, instance) = context.start().await?;
    let sessions = SessionClient::open(&environment, section).await?;
    let devices = Devices {
        context,
        sessions,
        instance,
    };
    devices.story().await
}

impl Devices<'_> {
    fn http(&self) -> &HttpClient {
        &self.instance.http
    }

    async fn story(&self) -> Result<(), Stop> {
        let (context, sessions, http) = (self.context, &self.sessions, self.http());
        context.step("two users log in on five devices");
        for user in [ANN, BOB] {
            sessions.account(http, user).await?;
        }
        let laptop = sessions.login(http, ANN, "laptop").await?;
        let desk = sessions.login(http, BOB, "desk").await?;
        let phone = sessions.login(http, ANN, "phone").await?;
        let (tablet, tablet_key) = sessions.login_and_find(http, ANN, "tablet").await?;
        let watch = sessions.login(http, BOB, "watch").await?;
        let all = [&laptop, &desk, &phone, &tablet, &watch];
        let listed = self
            .lists(&laptop, &["laptop", "phone", "tablet"], &all)
            .await?;
        self.lists(&watch, &["desk", "watch"], &all).await?;
        let phone_id = listed[1].clone();

        context.step("one user tries to end a session of the other");
        let answer = sessions.revoke(http, &desk.id, &phone_id).await?;
        let ended = answer.kind() == AnswerKind::Ok;
        expect(
            !ended,
            "another user's session not to be ended",
            answer.describe(),
        )?;
        self.are_known(&all, "after another user tried to end one")
            .await?;

        context.step("end one session from another device of the same user");
        let answer = sessions.revoke(http, &laptop.id, &phone_id).await?;
        let ended = answer.kind() == AnswerKind::Ok;
        expect(ended, "a user's own session to be ended", answer.describe())?;
        sessions
            .refused(http, &phone, "once it was ended from the laptop")
            .await?;
        self.are_known(
            &[&laptop, &tablet, &desk, &watch],
            "after the phone was ended",
        )
        .await?;
        self.lists(&laptop, &["laptop", "tablet"], &all).await?;

        context.step("let one session expire in the store");
        sessions.store.expire_now(&tablet_key).await?;
        self.lists(&laptop, &["laptop"], &all).await?;

        let again = sessions.login(http, ANN, "tablet again").await?;
        let third = sessions.login(http, ANN, "phone again").await?;
        self.end_all([&laptop, &again, &third], [&desk, &watch])
            .await
    }

    async fn end_all(&self, of_ann: [&Held; 3], of_bob: [&Held; 2]) -> Result<(), Stop> {
        let (context, sessions, http) = (self.context, &self.sessions, self.http());
        context.step("end all sessions of one user");
        let answer = sessions
            .call(http, OperationName::SessionRevokeAll, &of_ann[1].id)
            .await?;
        let ended = answer.kind() == AnswerKind::Ok;
        expect(ended, "all sessions to be ended", answer.describe())?;
        for held in of_ann {
            sessions.refused(http, held, "once all were ended").await?;
        }
        self.are_known(&of_bob, "after all of the other user's were ended")
            .await?;
        let keys = sessions.keys().await?.len();
        let expected = format!("{} sessions in the store", of_bob.len());
        expect(keys == of_bob.len(), expected, format!("{keys}"))?;
        let anew = sessions.login(http, ANN, "anew").await?;
        sessions
            .known(http, &anew, "after all others were ended")
            .await?;
        self.lists(&anew, &["anew"], &of_ann).await?;
        Ok(())
    }

    async fn are_known(&self, all: &[&Held], when: &str) -> Result<(), Stop> {
        for held in all {
            self.sessions.known(self.http(), held, when).await?;
        }
        Ok(())
    }

    /// The list holds these devices, each with an id of its own that is nobody's cookie. Returns the ids.
    async fn lists(
        &self,
        held: &Held,
        devices: &[&str],
        all: &[&Held],
    ) -> Result<Vec<String>, Stop> {
        let sessions = &self.sessions;
        let (listed, answer) = sessions.list(self.context, self.http(), held).await?;
        let names: Vec<&str> = listed.iter().map(|entry| &*entry.device).collect();
        let expected = format!("the devices {devices:?} in the list of `{}`", held.user);
        expect(names == devices, expected, format!("{names:?}"))?;
        let mut ids: Vec<&str> = listed.iter().map(|entry| &*entry.id).collect();
        ids.sort_unstable();
        ids.dedup();
        expect(
            ids.len() == devices.len(),
            "a different id for each device",
            "the same id twice",
        )?;
        let body = String::from_utf8_lossy(&answer.body);
        let given_away = all.iter().find(|held| body.contains(&held.id));
        let device = given_away.map_or("", |held| &held.device);
        expect(
            given_away.is_none(),
            "no cookie's value in the list: whoever has it is the user",
            format!("that of `{device}`"),
        )?;
        Ok(listed.into_iter().map(|entry| entry.id).collect())
    }
}
