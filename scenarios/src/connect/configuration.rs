//! CONN-7: a bad value is refused before anything is connected.

use super::refused_start::see_refused_start;
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::{Environment, Overrides};
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::BadConfiguration;

/// CONN-7.
pub(super) const BAD_VALUES: Scenario = Scenario {
    criterion: Criterion {
        id: "CONN-7",
        statement: "A bad value of the configuration: exit code 2 before any connection, with an error that names the variable and what it accepts",
        profile: Profile::Merge,
    },
    expected: Duration::from_millis(500),
    run: |context| bad_values(context).boxed(),
};

async fn bad_values(context: &Context) -> Result<(), Stop> {
    let cases = &context.manifest().bad_configuration;
    context.section("bad_configuration", cases.first())?;
    let environment = context.stores().await?;
    for case in cases {
        refuse(context, &environment, case).await?;
    }
    Ok(())
}

async fn refuse(
    context: &Context,
    environment: &Environment,
    case: &BadConfiguration,
) -> Result<(), Stop> {
    let given: Vec<String> = case
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let given = given.join(" ");
    context.step(format!("start with {given}"));
    let wiring = environment.wire().await?;
    let overrides = Overrides {
        env: case.env.clone(),
        ..Overrides::default()
    };
    let instance = environment.launch(wiring, &overrides)?;
    see_refused_start(
        context,
        &instance,
        context.manifest().exit_codes.bad_configuration,
    )
    .await?;
    let output = instance.log.text();
    // On one line: a number of the message may stand anywhere else by chance.
    let says_all = |line: &str| case.error_contains.iter().all(|part| line.contains(part));
    expect(
        output.lines().any(says_all),
        format!(
            "{given}: one line of error that contains {}",
            case.error_contains.join(", ")
        ),
        format!("the output ends with:\n{}", instance.log.tail()),
    )?;
    for store in StoreKind::ALL {
        let connections = instance.proxy(store).connections().await?.len();
        expect(
            connections == 0,
            format!("{given}: no connection to {store}"),
            format!("{connections} connections"),
        )?;
    }
    Ok(())
}
