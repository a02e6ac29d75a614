//! SESS-3: the cookie keeps its id from scripts, from other sites, from lines in clear, and from the next year.

use super::client::{Held, SessionClient, SetCookie};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::OperationName;

const USER: &str = "ann";

/// SESS-3.
pub(super) const PROTECTED: Scenario = Scenario {
    criterion: Criterion {
        id: "SESS-3",
        statement: "Cookie: HttpOnly, SameSite, Max-Age 24 h, Secure in production mode",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| protected(context).boxed(),
};

async fn protected(context: &Context) -> Result<(), Stop> {
    let section = SessionClient::declared(context, &[])?;
    let some = Some(&section.production).filter(|env| !env.is_empty());
    let production = context.section("sessions.production", some)?;
    let environment = context.stores().await?;
    let sessions = SessionClient::open(&environment, section).await?;
    let modes = [
        ("as it is", BTreeMap::new()),
        ("in production", production.clone()),
    ];
    for (index, (mode, env)) in modes.iter().enumerate() {
        context.step(format!("log in to an instance {mode}"));
        let instance = environment.start_instance(env).await?;
        if index == 0 {
            sessions.account(&instance.http, USER).await?;
        }
        let held = sessions.login(&instance.http, USER, "browser").await?;
        for set in SetCookie::all_of(&held.answer, &section.cookie) {
            is_protected(context, &sessions, &set, mode, !env.is_empty())?;
        }
        touched(
            context,
            &sessions,
            &instance,
            &held,
            (mode, !env.is_empty()),
        )
        .await?;
    }
    Ok(())
}

/// A touch may set the cookie anew: the same id, as well protected.
async fn touched(
    context: &Context,
    sessions: &SessionClient<'_>,
    instance: &Instance,
    held: &Held,
    (mode, production): (&str, bool),
) -> Result<(), Stop> {
    let operations = &context.manifest().operations;
    if !operations.contains_key(&OperationName::SessionTouch) {
        return Ok(());
    }
    let answer = sessions
        .call(&instance.http, OperationName::SessionTouch, &held.id)
        .await?;
    for set in SetCookie::all_of(&answer, &sessions.section.cookie) {
        let same = set.value == held.id;
        expect(
            same,
            format!("the same id after a touch {mode}"),
            "another one",
        )?;
        is_protected(
            context,
            sessions,
            &set,
            &format!("{mode}, after a touch"),
            production,
        )?;
    }
    Ok(())
}

fn is_protected(
    context: &Context,
    sessions: &SessionClient<'_>,
    set: &SetCookie,
    mode: &str,
    production: bool,
) -> Result<(), Stop> {
    // The value is not shown.
    let seen = format!("{mode}: {:?}", set.attributes);
    context.observe(seen.clone());
    let has = |name: &str| set.attributes.contains_key(name);
    expect(has("httponly"), "the cookie HttpOnly", &seen)?;
    let same_site = set
        .attributes
        .get("samesite")
        .map(|value| value.to_ascii_lowercase());
    let kept_here = matches!(same_site.as_deref(), Some("lax" | "strict"));
    expect(kept_here, "the cookie SameSite=Lax or Strict", &seen)?;
    let ttl_s = sessions.section.ttl_seconds;
    let max_age = set.attributes.get("max-age");
    let max_age = max_age.and_then(|value| value.parse::<u64>().ok());
    expect(
        // A touch may cut a second short.
        max_age.is_some_and(|seconds| (ttl_s - 1..=ttl_s).contains(&seconds)),
        format!("the cookie with Max-Age={ttl_s}"),
        &seen,
    )?;
    expect(
        has("secure") || !production,
        "the cookie Secure in production mode",
        &seen,
    )
}
