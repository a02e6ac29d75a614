//! A pair of stores to work against by hand.

use super::{Kept, KeptError, Pair};
use crate::environment::{apply_schema, launch_stores};
use crate::scope::RunScope;
use crate::store::{Provider, Store, StoreError};
use crate::subject::Manifest;

/// What the run id of such a pair begins with; its name follows.
pub const RUN_ID_PREFIX: &str = "env-";

/// Started, and not given up yet: dropping it ends both.
#[derive(Debug)]
pub struct Started {
    kept: Kept,
    stores: [Store; 2],
}

/// Starts both stores, and loads the manifest's schema if there is a manifest.
pub async fn start(
    name: &str,
    scope: &RunScope,
    provider: &Provider,
    manifest: Option<&Manifest>,
) -> Result<Started, KeptError> {
    let stores = launch_stores(name, scope, provider, None).await?;
    match fill(name, scope, provider, manifest, &stores).await {
        Ok(kept) => Ok(Started { kept, stores }),
        Err(error) => {
            let [redis, postgres] = &stores;
            // The first error is the one to tell.
            let _ = tokio::join!(redis.remove(), postgres.remove());
            Err(error)
        }
    }
}

async fn fill(
    name: &str,
    scope: &RunScope,
    provider: &Provider,
    manifest: Option<&Manifest>,
    [redis, postgres]: &[Store; 2],
) -> Result<Kept, KeptError> {
    if let Some(manifest) = manifest {
        apply_schema(manifest, postgres).await?;
    }
    let redis_database = manifest.map_or(0, |manifest| manifest.stores.redis_database);
    let mut kept = Kept::new(name, provider.name(), scope);
    kept.pairs
        .push(Pair::of_stores(name, [redis, postgres], redis_database).await?);
    Ok(kept)
}

impl Started {
    /// Gives both up as they run: from now on they, and the directory of their scope, outlive us.
    pub async fn leave(self, scope: &RunScope) -> Result<Kept, KeptError> {
        self.kept.write()?;
        for store in &self.stores {
            store.leave().await;
        }
        scope.keep();
        Ok(self.kept)
    }
}

impl From<StoreError> for KeptError {
    fn from(error: StoreError) -> Self {
        KeptError::Environment(error.into())
    }
}
