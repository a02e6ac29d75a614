//! CONN-5: wrong credentials are told in the server's words, and no password is.

use super::refused_start::see_refused_start;
use futures::FutureExt;
use std::collections::BTreeMap;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::{Environment, Overrides};
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;

const WRONG: &str = "wrong-password-canary";
const LIMITED_PASSWORD: &str = "limited-password-canary";

/// Users of the server's access control list, and what it allows them. All may log in and look at the server.
const LIMITED_USERS: &[(&str, &[&str])] = &[
    ("powerless", &["on", "-@all"]),
    ("disabled", &["off", "~*", "&*", "+@all"]),
    (
        "greeter",
        &["on", "~*", "&*", "-@all", "+@connection", "+info"],
    ),
    (
        "reader",
        &["on", "~*", "&*", "-@all", "+@connection", "+info", "+@read"],
    ),
    ("elsewhere", &["on", "~elsewhere:*", "&*", "+@all"]),
];

/// CONN-5.
pub(super) const REFUSED: Scenario = Scenario {
    criterion: Criterion {
        id: "CONN-5",
        statement: "Wrong password, or a user whom the ACL does not allow what the service needs (nothing, no write, other keys; or disabled): exit code 1 with the server's error, and no password anywhere in the output",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| wrong(context).boxed(),
};

/// One attempt to start with bad credentials.
struct BadCredentials {
    what: &'static str,
    placeholders: Vec<(&'static str, &'static str)>,
    /// Parts of the server's own error, in lower case; one of them must be in the output.
    server_says: &'static [&'static str],
}

const NO_PERMISSION: &[&str] = &["noperm", "no permissions", "has no permission"];
const WRONG_PASSWORD: &[&str] = &["wrongpass", "invalid username-password pair"];

fn limited(
    what: &'static str,
    user: &'static str,
    server_says: &'static [&'static str],
) -> BadCredentials {
    BadCredentials {
        what,
        placeholders: vec![("redis.user", user), ("redis.password", LIMITED_PASSWORD)],
        server_says,
    }
}

fn attempts() -> Vec<BadCredentials> {
    vec![
        BadCredentials {
            what: "a wrong Redis password",
            placeholders: vec![("redis.password", WRONG)],
            server_says: WRONG_PASSWORD,
        },
        limited(
            "a Redis user without permissions",
            "powerless",
            NO_PERMISSION,
        ),
        limited("a disabled Redis user", "disabled", WRONG_PASSWORD),
        limited(
            "a Redis user that may connect and no more",
            "greeter",
            NO_PERMISSION,
        ),
        limited(
            "a Redis user that may read and not write",
            "reader",
            NO_PERMISSION,
        ),
        limited("a Redis user for other keys", "elsewhere", NO_PERMISSION),
        BadCredentials {
            what: "a wrong Postgres password",
            placeholders: vec![("postgres.password", WRONG)],
            server_says: &["password authentication failed", "28p01"],
        },
    ]
}

async fn wrong(context: &Context) -> Result<(), Stop> {
    let environment = context.stores().await?;
    add_limited_users(&environment).await?;
    for attempt in &attempts() {
        // A subject that takes no user name cannot be given another one.
        let used = |(placeholder, _): &(&str, &str)| {
            let templates = context.manifest().subject.env.values();
            templates
                .flat_map(|t| t.placeholders())
                .any(|name| name == *placeholder)
        };
        match attempt
            .placeholders
            .iter()
            .find(|placeholder| !used(placeholder))
        {
            None => start_with(context, &environment, attempt).await?,
            Some((placeholder, _)) => context.observe(format!(
                "{} was not tried: the manifest uses no {{{placeholder}}}",
                attempt.what
            )),
        }
    }
    Ok(())
}

async fn add_limited_users(environment: &Environment) -> Result<(), Stop> {
    let mut store = environment.store(StoreKind::Redis).redis(0).await?;
    let password = format!(">{LIMITED_PASSWORD}");
    for (user, rules) in LIMITED_USERS {
        let mut command = redis::cmd("ACL");
        command.arg(&["SETUSER", user, &password]).arg(*rules);
        command.exec_async(&mut store).await?;
    }
    Ok(())
}

async fn start_with(
    context: &Context,
    environment: &Environment,
    attempt: &BadCredentials,
) -> Result<(), Stop> {
    context.step(format!("start with {}", attempt.what));
    let placeholders: BTreeMap<String, String> = attempt
        .placeholders
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let wiring = environment.wire().await?;
    let overrides = Overrides {
        placeholders,
        ..Overrides::default()
    };
    let instance = environment.launch(wiring, &overrides)?;
    see_refused_start(context, &instance, context.manifest().exit_codes.failure).await?;
    let output = instance.log.text();
    let told = output.to_lowercase();
    expect(
        attempt.server_says.iter().any(|part| told.contains(part)),
        format!(
            "{}: the server's error, such as `{}`",
            attempt.what, attempt.server_says[0]
        ),
        format!("the output ends with:\n{}", instance.log.tail()),
    )?;
    // The passwords of both stores: the subject holds them all, and the wrong ones besides.
    let canaries = [WRONG, LIMITED_PASSWORD];
    let leaked = environment.redactor().finds_secret_in(&output)
        || canaries.iter().any(|secret| output.contains(secret));
    expect(
        !leaked,
        format!("{}: no password anywhere in the output", attempt.what),
        "a password in the output",
    )
}
