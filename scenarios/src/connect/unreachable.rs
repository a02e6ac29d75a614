//! CONN-3 and CONN-4: a store that cannot be reached at start.

use super::refused_start::see_refused_start;
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::{Environment, Overrides};
use touchstone_engine::instance::Instance;
use touchstone_engine::proxy::fault::Fault;
use touchstone_engine::proxy::{Blackhole, Refuse, Scope};
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;

/// CONN-3.
pub(super) const REDIS: Scenario = Scenario {
    criterion: Criterion {
        id: "CONN-3",
        statement: "Redis unreachable at start, refused or black-holed: exit code 1, one error log that names Redis and the address, the HTTP port never opened, in 5 s or less",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| unreachable(context, StoreKind::Redis).boxed(),
};

/// CONN-4.
pub(super) const POSTGRES: Scenario = Scenario {
    criterion: Criterion {
        id: "CONN-4",
        statement: "Postgres unreachable at start, refused or black-holed: exit code 1, one error log that names Postgres and the address, the HTTP port never opened, in 5 s or less",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| unreachable(context, StoreKind::Postgres).boxed(),
};

async fn unreachable(context: &Context, store: StoreKind) -> Result<(), Stop> {
    context.section("logs.error", context.manifest().logs.error.as_ref())?;
    let environment = context.stores().await?;
    context.step(format!("start with {store} refused"));
    start_behind(context, &environment, store, Refuse).await?;
    context.step(format!("start with {store} black-holed"));
    start_behind(
        context,
        &environment,
        store,
        Blackhole { scope: Scope::All },
    )
    .await
}

async fn start_behind(
    context: &Context,
    environment: &Environment,
    store: StoreKind,
    fault: impl Fault,
) -> Result<(), Stop> {
    let wiring = environment.wire().await?;
    let fault = environment.network_fault(&wiring, store, fault).await?;
    let instance = environment.launch(wiring, &Overrides::default())?;
    see_refused_start(context, &instance, context.manifest().exit_codes.failure).await?;
    fault.heal().await?;
    one_error_names(context, &instance, store)
}

/// One line of level error names the store and where it was looked for.
fn one_error_names(context: &Context, instance: &Instance, store: StoreKind) -> Result<(), Stop> {
    let pattern = context.section("logs.error", context.manifest().logs.error.as_ref())?;
    let errors = instance.log.matching(&pattern.0);
    let address = instance.proxy(store).address();
    // Together or apart: some clients say `host:port`, others `at "host", port 5432`.
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let name = store.to_string();
    let naming: Vec<&String> = errors
        .iter()
        .filter(|line| line.to_lowercase().contains(&name))
        .collect();
    expect(
        naming.len() == 1 && naming[0].contains(&host) && naming[0].contains(&port),
        format!("one error log that names {name} and {address}"),
        format!("{} error lines:\n{}", errors.len(), errors.join("\n")),
    )?;
    context.observe(naming[0].clone());
    Ok(())
}
