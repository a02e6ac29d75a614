//! A pair of stores as its user finds it: where they are, how to log in, whether they serve.

use crate::store::{Store, StoreError, StoreKind, postgres, redis};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// Where a store is, and how to log in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// As whom.
    pub user: String,
    /// With which password.
    pub password: String,
    /// The database: on Redis its number.
    pub database: String,
}

/// Without the password.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.user, self.address, self.database)
    }
}

impl Endpoint {
    fn url(&self, scheme: &str) -> String {
        // The harness makes passwords from letters and digits: nothing needs escaping.
        let Self {
            address,
            user,
            password,
            database,
        } = self;
        format!("{scheme}://{user}:{password}@{address}/{database}")
    }

    /// Where a running store is; an error if it does not run.
    async fn of(store: &Store, database: String) -> Result<Self, StoreError> {
        let spec = store.spec();
        let address = store.address().await;
        Ok(Self {
            address: address.ok_or(StoreError::NotRunning(spec.kind))?,
            user: spec.user.clone(),
            password: spec.password.clone(),
            database,
        })
    }
}

/// A Redis and a Postgres.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Whose: the name of the environment, or the criterion with its attempt.
    pub of: String,
    /// The Redis.
    pub redis: Endpoint,
    /// The Postgres.
    pub postgres: Endpoint,
}

/// A store that was asked: its version, or why there is no answer.
pub type Serving = Result<String, String>;

impl Pair {
    /// As these two stores are now.
    pub(super) async fn of_stores(
        of: &str,
        [redis, postgres]: [&Store; 2],
        redis_database: i64,
    ) -> Result<Self, StoreError> {
        let database = postgres.spec().database.clone();
        Ok(Self {
            of: of.to_owned(),
            redis: Endpoint::of(redis, redis_database.to_string()).await?,
            postgres: Endpoint::of(postgres, database).await?,
        })
    }

    /// One of the two.
    pub fn endpoint(&self, kind: StoreKind) -> &Endpoint {
        match kind {
            StoreKind::Redis => &self.redis,
            StoreKind::Postgres => &self.postgres,
        }
    }

    /// The Redis as a URL, with its password.
    pub fn redis_url(&self) -> String {
        self.redis.url("redis")
    }

    /// The Postgres as a URL, with its password.
    pub fn database_url(&self) -> String {
        self.postgres.url("postgres")
    }

    /// Asks a store for its version, as its user would.
    pub async fn look(&self, kind: StoreKind) -> Serving {
        let version = match kind {
            StoreKind::Redis => self.redis_version().await,
            StoreKind::Postgres => self.postgres_version().await,
        };
        version.map_err(|error| crate::error_chain(&error))
    }

    async fn redis_version(&self) -> Result<String, StoreError> {
        let Endpoint {
            address, password, ..
        } = &self.redis;
        redis::version(&mut redis::connect(*address, password, 0).await?).await
    }

    async fn postgres_version(&self) -> Result<String, StoreError> {
        let Endpoint {
            address,
            user,
            password,
            database,
        } = &self.postgres;
        let client = postgres::connect(*address, user, password, database).await?;
        postgres::version(&client).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_urls_are_complete_and_what_is_printed_for_us_has_no_password() {
        let endpoint = |user: &str, database: &str| Endpoint {
            address: "127.0.0.1:6399".parse().expect("an address"),
            user: user.to_owned(),
            password: "pw0123".to_owned(),
            database: database.to_owned(),
        };
        let pair = Pair {
            of: "shop".to_owned(),
            redis: endpoint("default", "3"),
            postgres: endpoint("touchstone", "postgres"),
        };
        assert_eq!(pair.redis_url(), "redis://default:pw0123@127.0.0.1:6399/3");
        assert_eq!(
            pair.database_url(),
            "postgres://touchstone:pw0123@127.0.0.1:6399/postgres"
        );
        assert!(!format!("{pair:?}").contains("pw0123"), "{pair:?}");
    }
}
