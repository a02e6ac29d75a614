//! Which provider, and why that one.

use crate::args::{CheckArgs, ProviderChoice};
use crate::error::EnvironmentMissing;
use touchstone_engine::store::Provider;
use touchstone_engine::store::tools::Tools;

/// The provider, and the reason for the record.
pub(crate) fn choose(args: &CheckArgs) -> anyhow::Result<(Provider, String)> {
    match args.provider {
        ProviderChoice::Process => Ok((process()?, "asked for".to_owned())),
        ProviderChoice::Docker => anyhow::bail!(EnvironmentMissing("not yet".to_owned())),
        ProviderChoice::Auto => Ok((process()?, "no container engine answers".to_owned())),
    }
}

fn process() -> anyhow::Result<Provider> {
    let tools = Tools::find().map_err(|missing| EnvironmentMissing(missing.to_string()))?;
    Ok(Provider::Process(tools))
}
