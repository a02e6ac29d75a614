//! What `--keep-on-fail` has kept of a run.

use super::{Kept, KeptError, Pair};
use crate::scope::RunScope;
use crate::store::{ServerState, Store, StoreError};
use std::sync::Arc;
use tokio::sync::Mutex;

/// How many scenarios' stores a run keeps at most: each pair takes some 100 MB of memory.
pub const KEPT_MAX: usize = 3;

/// Keeps the stores of scenarios that failed, the first few of a run.
#[derive(Debug)]
pub struct Keeper {
    scope: Arc<RunScope>,
    kept: Mutex<Kept>,
}

impl Keeper {
    /// Nothing is kept yet.
    pub fn new(scope: Arc<RunScope>, provider: &str) -> Self {
        let kept = Kept::new(scope.run_id(), provider, &scope);
        Self {
            scope,
            kept: Mutex::new(kept),
        }
    }

    /// Gives the stores up as they are, running and with their data: one that a fault had stopped or frozen goes on
    /// first. `false` if as many as may be were kept before.
    pub(crate) async fn keep(
        &self,
        of: &str,
        stores: [&Store; 2],
        redis_database: i64,
    ) -> Result<bool, KeptError> {
        // Held until the file is written: scenarios may fail at the same time.
        let mut kept = self.kept.lock().await;
        if kept.pairs.len() >= KEPT_MAX {
            return Ok(false);
        }
        for store in stores {
            revive(store).await?;
        }
        let pair = Pair::of_stores(of, stores, redis_database).await?;
        kept.pairs.push(pair);
        if let Err(error) = kept.write() {
            kept.pairs.pop();
            return Err(error);
        }
        for store in stores {
            store.leave().await;
        }
        self.scope.keep();
        Ok(true)
    }

    /// What was kept, if anything was. Not for asynchronous code.
    pub(crate) fn kept(&self) -> Option<Kept> {
        let kept = self.kept.blocking_lock();
        (!kept.pairs.is_empty()).then(|| kept.clone())
    }
}

async fn revive(store: &Store) -> Result<(), StoreError> {
    match store.state().await? {
        ServerState::Running => {}
        ServerState::Frozen => store.thaw().await?,
        ServerState::Gone => store.start().await?,
    }
    store.wait_ready().await
}
