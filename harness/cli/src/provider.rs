//! Which provider, and why that one.

use crate::args::{ImageArgs, ProviderArgs, ProviderChoice};
use crate::error::EnvironmentMissing;
use touchstone_engine::store::tools::{Asked, Tools};
use touchstone_engine::store::{Provider, docker};
use touchstone_engine::subject::Manifest;

/// The provider, and the reason for the record.
pub(crate) fn choose(
    args: &ProviderArgs,
    manifest: Option<&Manifest>,
) -> anyhow::Result<(Provider, String)> {
    let asked = Asked {
        redis_server: args.servers.redis_server.clone(),
        second_redis_server: args.servers.second_redis_server.clone(),
    };
    match args.choice {
        ProviderChoice::Process => match Tools::find_with(&asked) {
            Ok(tools) => Ok((Provider::Process(tools), "asked for".to_owned())),
            Err(missing) => anyhow::bail!(EnvironmentMissing(missing.to_string())),
        },
        ProviderChoice::Docker => match docker(&args.images, manifest)? {
            Ok((provider, why)) => Ok((provider, format!("asked for; {why}"))),
            Err(why) => anyhow::bail!(EnvironmentMissing(why.to_string())),
        },
        ProviderChoice::Auto => match (docker(&args.images, manifest)?, Tools::find_with(&asked)) {
            (Ok(chosen), _) => Ok(chosen),
            (Err(why), Ok(tools)) => Ok((
                Provider::Process(tools),
                format!("not docker: {}", why.what),
            )),
            (Err(why), Err(missing)) => {
                anyhow::bail!(EnvironmentMissing(format!(
                    "{missing}; nor containers: {why}"
                )))
            }
        },
    }
}

/// Which images were asked for: on the command line, else in the manifest.
pub(crate) fn overrides(args: &ImageArgs, manifest: Option<&Manifest>) -> docker::ImageOverrides {
    let stores = manifest.map(|manifest| manifest.stores.clone());
    let stores = stores.unwrap_or_default();
    let (redis, postgres) = (args.redis_image.clone(), args.postgres_image.clone());
    docker::ImageOverrides {
        redis: redis.or(stores.redis_image),
        postgres: postgres.or(stores.postgres_image),
        registry: args.registry_prefix.clone().or(stores.registry_prefix),
    }
}

/// Docker with its images, or why not.
fn docker(
    args: &ImageArgs,
    manifest: Option<&Manifest>,
) -> anyhow::Result<Result<(Provider, String), docker::Why>> {
    let overrides = overrides(args, manifest);
    Ok(crate::runtime()?.block_on(async {
        let version = docker::engine_answers().await?;
        let images = docker::choose_images(&overrides).await?;
        let why = format!("engine {version} answers, {}", images.why);
        Ok((Provider::Docker(images), why))
    }))
}
