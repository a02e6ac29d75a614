//! `[degraded]`: what works while a store is away.

use super::error::{ManifestError, Source};
use super::operation_name::{OperationName, Operations};
use crate::store::StoreKind;
use serde::Deserialize;

/// `[degraded]`: what works while a store is away.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DegradedSection {
    /// Operations that work without Redis.
    #[serde(default)]
    pub works_without_redis: Vec<OperationName>,
    /// Operations that answer `refusal_status` without Redis.
    #[serde(default)]
    pub refused_without_redis: Vec<OperationName>,
    /// Operations that work without Postgres.
    #[serde(default)]
    pub works_without_postgres: Vec<OperationName>,
    /// Operations that answer `refusal_status` without Postgres.
    #[serde(default)]
    pub refused_without_postgres: Vec<OperationName>,
    /// The status of an operation that needs the missing store.
    pub refusal_status: u16,
}

impl DegradedSection {
    /// What works without a store, and what is refused.
    #[must_use]
    pub fn without(&self, store: StoreKind) -> [&[OperationName]; 2] {
        match store {
            StoreKind::Redis => [&self.works_without_redis, &self.refused_without_redis],
            StoreKind::Postgres => [&self.works_without_postgres, &self.refused_without_postgres],
        }
    }

    pub(super) fn validate(
        &self,
        operations: &Operations,
        source: &Source<'_>,
    ) -> Result<(), ManifestError> {
        for store in StoreKind::ALL {
            for (kind, names) in ["works", "refused"].iter().zip(self.without(store)) {
                let unmapped = names.iter().find(|name| !operations.contains_key(name));
                if let Some(unmapped) = unmapped {
                    let problem = format!(
                        "`{}` is not in `operations`; expected a mapped one",
                        unmapped.key()
                    );
                    let key = format!("degraded.{kind}_without_{store}");
                    return Err(source.error_at(&key, problem));
                }
            }
        }
        Ok(())
    }
}
