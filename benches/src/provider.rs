//! Which provider the stores come from, told by the environment: a bench target's arguments are criterion's.

use crate::BenchError;
use touchstone_engine::store::tools::Tools;
use touchstone_engine::store::{Provider, docker};

const VARIABLE: &str = "TOUCHSTONE_PROVIDER";

/// The provider, and why that one. Without the variable it is `process`: the shortest way to the store.
pub(crate) async fn choose() -> Result<(Provider, String), BenchError> {
    let asked = std::env::var(VARIABLE).unwrap_or_default();
    match asked.as_str() {
        "" => Ok((process()?, "the default".to_owned())),
        "process" => Ok((process()?, "asked for".to_owned())),
        "docker" => Ok(docker().await?),
        "auto" => match docker().await {
            Ok(chosen) => Ok(chosen),
            Err(why) => Ok((process()?, format!("not docker: {}", why.what))),
        },
        _ => Err(BenchError::UnknownProvider(asked)),
    }
}

fn process() -> Result<Provider, BenchError> {
    Ok(Provider::Process(Tools::find()?))
}

async fn docker() -> Result<(Provider, String), docker::Why> {
    let from_env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let overrides = docker::ImageOverrides {
        redis: from_env("TOUCHSTONE_REDIS_IMAGE"),
        postgres: from_env("TOUCHSTONE_POSTGRES_IMAGE"),
        registry: from_env("TOUCHSTONE_REGISTRY_PREFIX"),
    };
    let version = docker::engine_answers().await?;
    let images = docker::choose_images(&overrides).await?;
    let why = format!("engine {version} answers, {}", images.why);
    Ok((Provider::Docker(images), why))
}
