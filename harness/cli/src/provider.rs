//! Which provider, and why that one.

use crate::args::{CheckArgs, ProviderChoice};
use crate::error::EnvironmentMissing;
use touchstone_engine::store::tools::Tools;
use touchstone_engine::store::{Provider, docker};
use touchstone_engine::subject::Manifest;

/// The provider, and the reason for the record.
pub(crate) fn choose(args: &CheckArgs, manifest: &Manifest) -> anyhow::Result<(Provider, String)> {
    match args.provider {
        ProviderChoice::Process => Ok((process()?, "asked for".to_owned())),
        ProviderChoice::Docker => match docker(args, manifest)? {
            Ok((provider, why)) => Ok((provider, format!("asked for; {why}"))),
            Err(why) => anyhow::bail!(EnvironmentMissing(why.to_string())),
        },
        ProviderChoice::Auto => match docker(args, manifest)? {
            Ok(chosen) => Ok(chosen),
            Err(why) => Ok((process()?, format!("not docker: {}", why.what))),
        },
    }
}

fn process() -> anyhow::Result<Provider> {
    let tools = Tools::find().map_err(|missing| EnvironmentMissing(missing.to_string()))?;
    Ok(Provider::Process(tools))
}

/// Docker with its images, or why not.
fn docker(
    args: &CheckArgs,
    manifest: &Manifest,
) -> anyhow::Result<Result<(Provider, String), docker::Why>> {
    let stores = &manifest.stores;
    let overrides = docker::ImageOverrides {
        redis: args
            .redis_image
            .clone()
            .or_else(|| stores.redis_image.clone()),
        postgres: args
            .postgres_image
            .clone()
            .or_else(|| stores.postgres_image.clone()),
        registry: args
            .registry_prefix
            .clone()
            .or_else(|| stores.registry_prefix.clone()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(async {
        let version = docker::engine_answers().await?;
        let images = docker::choose_images(&overrides).await?;
        let why = format!("engine {version} answers, {}", images.why);
        Ok((Provider::Docker(images), why))
    }))
}
