//! The two stores of an environment: started side by side, and filled.

use super::EnvironmentError;
use crate::scope::RunScope;
use crate::store::{Provider, SUPERUSER, ServerSpec, ServerTls, Store, StoreError, StoreKind};
use crate::subject::manifest::Manifest;

/// Runs the SQL of the manifest's schema, if it names one.
pub(crate) async fn apply_schema(
    manifest: &Manifest,
    postgres: &Store,
) -> Result<(), EnvironmentError> {
    let Some(schema) = &manifest.stores.postgres_schema else {
        return Ok(());
    };
    let path = manifest.resolve(schema);
    let sql = match std::fs::read_to_string(&path) {
        Ok(sql) => sql,
        Err(source) => return Err(EnvironmentError::Schema { path, source }),
    };
    let client = postgres.postgres().await?;
    let refused = |source| EnvironmentError::SchemaRefused { path, source };
    client.batch_execute(&sql).await.map_err(refused)
}

/// A Redis and a Postgres, started side by side. `name` is unique in the run; with `redis_tls` Redis speaks TLS, too.
pub(crate) async fn launch_stores(
    name: &str,
    scope: &RunScope,
    provider: &Provider,
    redis_tls: Option<ServerTls>,
) -> Result<[Store; 2], EnvironmentError> {
    let (redis, postgres) = tokio::join!(
        launch(name, (StoreKind::Redis, redis_tls), scope, provider),
        launch(name, (StoreKind::Postgres, None), scope, provider)
    );
    match (redis, postgres) {
        (Ok(redis), Ok(postgres)) => Ok([redis, postgres]),
        (redis, postgres) => Err(remove_and_report(redis, postgres).await),
    }
}

async fn launch(
    name: &str,
    (kind, tls): (StoreKind, Option<ServerTls>),
    scope: &RunScope,
    provider: &Provider,
) -> Result<Store, StoreError> {
    let spec = ServerSpec {
        kind,
        run_id: scope.run_id().to_owned(),
        name: format!("{name}-{kind}"),
        // Not from the seed: whoever knows a seed must not know a password.
        password: format!("pw{:032x}", rand::random::<u128>()),
        user: match kind {
            StoreKind::Redis => "default".to_owned(),
            StoreKind::Postgres => SUPERUSER.to_owned(),
        },
        database: "postgres".to_owned(),
        extra_args: Vec::new(),
        tls,
    };
    Store::launch(spec, provider, scope).await
}

/// One of two stores failed: the other must not stay behind.
async fn remove_and_report(
    redis: Result<Store, StoreError>,
    postgres: Result<Store, StoreError>,
) -> EnvironmentError {
    let mut first_error = None;
    for store in [redis, postgres] {
        match store {
            Ok(store) => {
                // The error of the other store is the one to tell.
                let _ = store.remove().await;
            }
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    first_error.expect("at least one of the two failed").into()
}
