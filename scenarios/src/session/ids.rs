//! SESS-4: ids that nobody can guess, that never come twice, and that no client chooses.

use super::client::SessionClient;
use crate::store_contents::StoreContents;
use futures::FutureExt;
use futures::future::try_join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use touchstone_core::check::Check;
use touchstone_core::check::unguessable::Unguessable;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, demand, expect};
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::{HttpClient, OperationName};

const BITS_MIN: u32 = 128;
const IDS: usize = 10_000;
/// Logins under way at the same time, half of them on each instance. More would only crowd out what runs beside this.
const CLIENTS: usize = 8;
/// Of an instance that is started after the others have given out theirs.
const IDS_OF_A_NEW_INSTANCE: usize = 100;
const ANN: &str = "ann";
const EVE: &str = "eve";

/// SESS-4.
pub(super) const UNGUESSABLE: Scenario = Scenario {
    criterion: Criterion {
        id: "SESS-4",
        statement: "Ids carry 128 bits or more of randomness, are never reused, a client's own id is never adopted (fixation)",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(8),
    run: |context| unguessable(context).boxed(),
};

async fn unguessable(context: &Context) -> Result<(), Stop> {
    let section = SessionClient::declared(context, &[])?;
    let (environment, first) = context.start().await?;
    let second = environment.start_instance(&BTreeMap::new()).await?;
    context.measure_from_now();
    let sessions = SessionClient::open(&environment, section).await?;
    for user in [ANN, EVE] {
        sessions.account(&first.http, user).await?;
    }
    is_never_adopted(context, &sessions, &first.http).await?;
    is_not_in_the_store(context, &sessions, &environment, &first.http).await?;
    let ids = IdSource {
        sessions: &sessions,
        left: AtomicUsize::new(IDS),
    };
    context.step(format!(
        "{IDS} logins, {CLIENTS} at a time, on two instances"
    ));
    let clients = (0..CLIENTS).map(|client| {
        let instance = if client % 2 == 0 { &first } else { &second };
        ids.draw(instance.http.with_new_connection())
    });
    let mut series = try_join_all(clients).await?;
    series.push(of_a_new_instance(context, &environment, &sessions).await?);
    context.step("look at the ids");
    let lengths = || series.iter().flatten().map(String::len);
    context.observe(format!(
        "{} ids of {} to {} characters",
        series.iter().map(Vec::len).sum::<usize>(),
        lengths().min().unwrap_or(0),
        lengths().max().unwrap_or(0)
    ));
    let looking = tokio::task::spawn_blocking(move || {
        let check = Unguessable { bits_min: BITS_MIN };
        check.check(&series)
    });
    let verdict = looking.await;
    // What is found does not depend on how long anything took.
    context.measure_from_now();
    demand(verdict.map_err(|error| Stop::unknown(format!("the look ended early: {error}")))?)
}

/// Logins until there are enough.
struct IdSource<'a> {
    sessions: &'a SessionClient<'a>,
    left: AtomicUsize,
}

impl IdSource<'_> {
    async fn draw(&self, http: HttpClient) -> Result<Vec<String>, Stop> {
        let mut ids = Vec::new();
        let one_less = |left: usize| left.checked_sub(1);
        while self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_ok()
        {
            ids.push(self.sessions.login(&http, ANN, "one of many").await?.id);
        }
        Ok(ids)
    }
}

/// Whatever a generator was seeded with: a new process must not begin where another one began.
async fn of_a_new_instance(
    context: &Context,
    environment: &Environment,
    sessions: &SessionClient<'_>,
) -> Result<Vec<String>, Stop> {
    context.step(format!("{IDS_OF_A_NEW_INSTANCE} more on a new instance"));
    let instance: Arc<Instance> = environment.start_instance(&BTreeMap::new()).await?;
    let ids = IdSource {
        sessions,
        left: AtomicUsize::new(IDS_OF_A_NEW_INSTANCE),
    };
    ids.draw(instance.http.with_new_connection()).await
}

/// An id of the attacker's own making, one that was a session's once, and one of the attacker's own session:
/// whoever logs in with it in the browser gets another, and the attacker's opens nothing.
async fn is_never_adopted(
    context: &Context,
    sessions: &SessionClient<'_>,
    http: &HttpClient,
) -> Result<(), Stop> {
    let (ended, key) = sessions
        .login_and_find(http, EVE, "attacker's, once")
        .await?;
    sessions.store.expire_now(&key).await?;
    let alive = sessions.login(http, EVE, "attacker's").await?;
    let made_up: String = alive.id.chars().rev().collect();
    for (what, planted) in [
        ("an id that nobody has had", &made_up),
        ("the id of a session that has ended", &ended.id),
        ("the id of somebody else's session", &alive.id),
    ] {
        context.step(format!("log in with a browser that holds {what}"));
        let held = sessions.login_with(http, ANN, "planted", planted).await?;
        let adopted = held.id == *planted;
        expect(
            !adopted,
            format!("a new id at the login, not {what}"),
            "the planted one",
        )?;
        sessions.known(http, &held, "after the login").await?;
        opens_nothing(sessions, http, planted, what).await?;
    }
    Ok(())
}

/// The planted id is refused, or still is what it was: not the victim's.
async fn opens_nothing(
    sessions: &SessionClient<'_>,
    http: &HttpClient,
    planted: &str,
    what: &str,
) -> Result<(), Stop> {
    let answer = sessions
        .call(http, OperationName::SessionRead, planted)
        .await?;
    let still_eve = answer.kind() == AnswerKind::Ok && answer.text().as_deref() == Some(EVE);
    expect(
        answer.kind() == AnswerKind::Denied || still_eve,
        format!("{what}, planted before `{ANN}` logged in, not to be `{ANN}`'s now"),
        answer.describe(),
    )
}

/// Where the manifest promises it: who reads the stores finds no id in them.
async fn is_not_in_the_store(
    context: &Context,
    sessions: &SessionClient<'_>,
    environment: &Environment,
    http: &HttpClient,
) -> Result<(), Stop> {
    if !sessions.section.ids_hashed {
        context.observe("the manifest does not promise that ids are hashed");
        return Ok(());
    }
    context.step("look for an id in the stores");
    let held = sessions.login(http, ANN, "searched for").await?;
    let contents = StoreContents::read(environment).await?;
    match contents.place_of(held.id.as_bytes()) {
        None => Ok(()),
        Some(place) => Err(Stop::fail("no id in clear in the stores", place)),
    }
}
