//! CONN-13 for Postgres: a role's password, of which the server takes but one at a time.

use super::password_file::PasswordFile;
use super::under_load::UnderLoad;
use std::collections::BTreeMap;
use touchstone_engine::environment::Environment;
use touchstone_engine::scenario::{Context, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::manifest::{Overlay, POSTGRES_PASSWORD_FILE};

/// Not the one of the harness's own client.
const ROLE: &str = "rotated";

/// The server, then the source, then every connection: those that come after need the new password.
pub(super) async fn rotate_postgres(
    context: &Context,
    environment: &Environment,
    way: &Overlay,
) -> Result<(), Stop> {
    context.require(&[OperationName::EntityCreate])?;
    let told = way.told();
    let mut file = PasswordFile::create(environment, "postgres")?;
    let first = file.make_up(environment);
    // Whatever the schema allows its owner.
    run(
        environment,
        &format!("CREATE ROLE {ROLE} LOGIN SUPERUSER PASSWORD '{first}'"),
    )
    .await?;
    file.write(&first)?;
    context.step(format!("start with {told}"));
    let placeholders = BTreeMap::from([
        ("postgres.user".to_owned(), ROLE.to_owned()),
        (POSTGRES_PASSWORD_FILE.to_owned(), file.name()),
    ]);
    let wiring = environment.wire().await?;
    let instance = environment.launch(wiring, &way.overrides(placeholders))?;
    instance.wait_ready().await?;
    let under_load = UnderLoad {
        context,
        instances: vec![(told.clone(), instance)],
        operation: OperationName::EntityCreate,
    };
    let before = under_load.processes();
    let loads = under_load.begin();
    under_load.all_work(&loads, "before the rotation").await?;
    context.step("rotate in Postgres, then in the source");
    let second = file.make_up(environment);
    run(
        environment,
        &format!("ALTER ROLE {ROLE} PASSWORD '{second}'"),
    )
    .await?;
    file.write(&second)?;
    let switched_us = context.clock().now_us();
    under_load
        .all_work(&loads, "on the connections that existed")
        .await?;
    under_load.none_failed(loads, switched_us).await?;
    context.step("end every connection: new ones need the new password");
    end_connections(environment).await?;
    let when = "on a new connection, with the new password";
    under_load.work_again(|d| d.replace_ms, when).await?;
    expect(
        under_load.processes() == before,
        "the same processes as before the rotation",
        "others: it was restarted",
    )?;
    let (_, instance) = &under_load.instances[0];
    expect(
        !file.is_told_in(&instance.log.text()),
        format!("{told}: no password, old or new, in the output"),
        "one of them",
    )
}

async fn run(environment: &Environment, statement: &str) -> Result<(), Stop> {
    let client = environment.store(StoreKind::Postgres).postgres().await?;
    Ok(client.batch_execute(statement).await?)
}

async fn end_connections(environment: &Environment) -> Result<(), Stop> {
    let client = environment.store(StoreKind::Postgres).postgres().await?;
    let ended = client
        .query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1",
            &[&ROLE],
        )
        .await?;
    if ended.is_empty() {
        return Err(Stop::unknown("Postgres knew no connection of the service"));
    }
    Ok(())
}
