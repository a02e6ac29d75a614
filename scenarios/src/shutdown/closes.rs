//! Whether the connections to the stores that were open at the signal were closed cleanly.

use std::time::Duration;
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::Ending;
use touchstone_engine::scenario::{Context, OrFail, Stop, expect};
use touchstone_engine::store::StoreKind;

const POLL: Duration = Duration::from_millis(2);

/// What was open, and how many sessions Postgres had seen abandoned until then.
pub(super) struct OpenConnections {
    ids: Vec<(StoreKind, u64)>,
    abandoned: Option<i64>,
}

impl OpenConnections {
    /// Looks before the signal.
    pub(super) async fn look(environment: &Environment, instance: &Instance) -> Result<Self, Stop> {
        let mut ids = Vec::new();
        for store in StoreKind::ALL {
            let connections = instance.proxy(store).connections().await?;
            let open = connections
                .iter()
                .filter(|connection| connection.ending.is_none());
            ids.extend(open.map(|connection| (store, connection.id)));
        }
        Ok(Self {
            ids,
            abandoned: abandoned_sessions(environment).await?,
        })
    }

    /// Looks after the end. A clean close is a FIN, from either side: some clients say QUIT and let the
    /// server close. The kernel sends a FIN for a process that just ends, too, but Postgres knows better.
    pub(super) async fn were_closed_cleanly(
        &self,
        context: &Context,
        environment: &Environment,
        instance: &Instance,
    ) -> Result<(), Stop> {
        for (store, id) in &self.ids {
            let proxy = instance.proxy(*store);
            let what = format!("{store} to see its connections closed cleanly");
            poll_until(&what, context.deadline(|d| d.answer_ms), POLL, || async {
                let connections = match proxy.connections().await {
                    Ok(connections) => connections,
                    Err(error) => return Look::NotYet(error.to_string()),
                };
                let ending = connections
                    .iter()
                    .find(|c| c.id == *id)
                    .and_then(|c| c.ending);
                match ending {
                    Some(Ending::SubjectFin | Ending::StoreFin) => Look::Ready(()),
                    other => Look::NotYet(format!("connection {id} ended by {other:?}")),
                }
            })
            .await
            .or_fail(&what)?;
        }
        let abandoned = abandoned_sessions(environment).await?;
        expect(
            abandoned <= self.abandoned,
            "every Postgres session ended by the client's own message (Terminate)",
            format!(
                "sessions abandoned: {:?} before, {abandoned:?} after",
                self.abandoned
            ),
        )
    }
}

/// `pg_stat_database.sessions_abandoned` of our database (Postgres 14 and newer). Read when no session
/// but ours is left: a session is counted when its process ends.
async fn abandoned_sessions(environment: &Environment) -> Result<Option<i64>, Stop> {
    let client = environment.store(StoreKind::Postgres).postgres().await?;
    let known = client
        .query_one(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'pg_stat_database'::regclass \
             AND attname = 'sessions_abandoned'",
            &[],
        )
        .await?;
    if known.get::<_, i64>(0) == 0 {
        return Ok(None);
    }
    let row = client
        .query_one(
            "SELECT sessions_abandoned FROM pg_stat_database WHERE datname = current_database()",
            &[],
        )
        .await?;
    Ok(Some(row.get(0)))
}
