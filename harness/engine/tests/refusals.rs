//! Each refusal of Redis: seen to bite, seen to heal, and a drop heals.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::Seed;
use touchstone_engine::clock::Clock;
use touchstone_engine::environment::{Environment, EnvironmentPlan};
use touchstone_engine::fault::RefusalKind;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scope::RunScope;
use touchstone_engine::store::tools::Tools;
use touchstone_engine::store::{Provider, StoreKind};
use touchstone_engine::subject::Manifest;

type TestResult = Result<(), Box<dyn Error>>;

const MANIFEST: &str = "../../fixtures/subjects/reference.toml";

async fn environment(name: &str) -> Result<Environment, Box<dyn Error>> {
    let run_id = format!("{name}-{}", std::process::id());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join(MANIFEST);
    let plan = EnvironmentPlan {
        name: name.to_owned(),
        scope: Arc::new(RunScope::create(&run_id, false)?),
        provider: Arc::new(Provider::Process(Tools::find()?)),
        manifest: Arc::new(Manifest::load(&manifest)?),
        extra_env: BTreeMap::new(),
        seed: Seed(1),
        clock: Clock::start(),
    };
    Ok(Environment::start_unwatched(plan).await?)
}

/// What a new client meets when it writes.
async fn write(environment: &Environment) -> Result<(), String> {
    let client = environment.store(StoreKind::Redis).redis(0).await;
    let mut client = client.map_err(|error| touchstone_engine::error_chain(&error))?;
    let mut set = redis::cmd("SET");
    let written = set.arg("k").arg("v").exec_async(&mut client).await;
    written.map_err(|error| error.to_string())
}

#[tokio::test]
async fn every_refusal_bites_in_the_servers_own_words_and_heals() -> TestResult {
    let environment = environment("refusals").await?;
    let by_the_server = RefusalKind::ALL
        .into_iter()
        .filter(|kind| kind.answer().is_none());
    for kind in by_the_server {
        write(&environment).await?;
        let fault = environment.refusal(kind).await?;
        let bite = fault.bite().unwrap_or_default();
        let code = match kind {
            RefusalKind::Permission => "NOPERM",
            RefusalKind::Password => "WRONGPASS",
            RefusalKind::Clients => "max number of clients reached",
            RefusalKind::Memory => "OOM",
            RefusalKind::Replicas => "NOREPLICAS",
            RefusalKind::ReadOnly => "READONLY",
            other => panic!("{other:?} is answered by the proxy"),
        };
        assert!(bite.contains(code), "{kind:?}: {bite}");
        assert!(write(&environment).await.is_err(), "{kind:?}");
        fault.heal().await?;
        write(&environment)
            .await
            .map_err(|error| format!("{kind:?}: {error}"))?;
    }
    Ok(environment.tear_down().await?)
}

#[tokio::test]
async fn a_refusal_spares_the_connections_of_the_harness_and_ends_others_if_it_has_to() -> TestResult
{
    let environment = environment("refusals-ends").await?;
    let redis = environment.store(StoreKind::Redis);
    let mut ours = redis.redis(0).await?;
    let mut other = redis.redis(0).await?;
    let rename = ["SETNAME", "somebody-else"];
    redis::cmd("CLIENT")
        .arg(&rename)
        .exec_async(&mut other)
        .await?;
    let fault = environment.refusal(RefusalKind::Clients).await?;
    let bite = fault.bite().unwrap_or_default();
    assert!(
        bite.contains("1 connections of the subject were ended"),
        "{bite}"
    );
    redis::cmd("PING").exec_async(&mut ours).await?;
    assert!(redis::cmd("PING").exec_async(&mut other).await.is_err());
    fault.heal().await?;
    Ok(environment.tear_down().await?)
}

#[tokio::test]
async fn a_refusal_that_is_dropped_heals() -> TestResult {
    let environment = environment("refusals-drop").await?;
    drop(environment.refusal(RefusalKind::Memory).await?);
    let (deadline, interval) = (Duration::from_secs(5), Duration::from_millis(5));
    poll_until("writes to work again", deadline, interval, || async {
        match write(&environment).await {
            Ok(()) => Look::Ready(()),
            Err(error) => Look::NotYet(error),
        }
    })
    .await?;
    Ok(environment.tear_down().await?)
}
