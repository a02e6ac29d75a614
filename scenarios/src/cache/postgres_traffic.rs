//! What reaches Postgres: the statements that read an entity, counted exactly.
//!
//! The server logs every statement before it carries it out, and so before the subject can answer. All its
//! sessions write to one log in the order of writing: what stands before a mark of ours had been begun
//! when the mark was set.

use std::sync::Arc;
use std::time::Duration;
use touchstone_engine::environment::Environment;
use touchstone_engine::poll::{Look, TimedOut, poll_until};
use touchstone_engine::scenario::{Context, Stop};
use touchstone_engine::store::{Store, StoreKind};
use touchstone_engine::subject::manifest::LogPattern;

/// For the server to take over a setting, and for its log to come through the provider.
const DEADLINE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(2);
/// Both ways of the protocol, simple and extended, in the words of the server's log.
const SAYS_STATEMENT: [&str; 2] = ["LOG:  statement: ", "LOG:  execute "];

/// Counts from one look to the next.
pub(super) struct PostgresTraffic {
    store: Arc<Store>,
    client: tokio_postgres::Client,
    reads: LogPattern,
    mark: u32,
}

impl PostgresTraffic {
    /// Before the first instance is started: a session logs as the settings were when it began.
    pub(super) async fn watch(context: &Context, environment: &Environment) -> Result<Self, Stop> {
        let cache = context.section("cache", context.manifest().cache.as_ref())?;
        let reads = context.section("cache.read_statement", cache.read_statement.as_ref())?;
        let store = Arc::clone(environment.store(StoreKind::Postgres));
        let client = store.postgres().await?;
        for setting in ["log_statement = 'all'", "lc_messages = 'C'"] {
            let set = format!("ALTER SYSTEM SET {setting}");
            client.simple_query(&set).await?;
        }
        client.simple_query("SELECT pg_reload_conf()").await?;
        let taken_over = poll_until("Postgres to log statements", DEADLINE, POLL, || async {
            match logged_by_new_session(&store).await {
                Ok(setting) if setting == "all" => Look::Ready(()),
                Ok(setting) => Look::NotYet(format!("log_statement is {setting}")),
                Err(stop) => Look::NotYet(format!("{stop:?}")),
            }
        });
        taken_over.await.map_err(unknown)?;
        let reads = reads.clone();
        let mut traffic = Self {
            store,
            client,
            reads,
            mark: 0,
        };
        traffic.reads_since_last().await?;
        Ok(traffic)
    }

    /// The statements by which the subject has read entities since the last look.
    pub(super) async fn reads_since_last(&mut self) -> Result<Vec<String>, Stop> {
        let mark = |number: u32| format!("SELECT 'touchstone: mark {number}'");
        let (begin, end) = (mark(self.mark), mark(self.mark + 1));
        self.mark += 1;
        self.client.simple_query(&end).await?;
        let log = poll_until("the mark in Postgres' log", DEADLINE, POLL, || async {
            match self.store.logs().await {
                Ok(log) if log.contains(&end) => Look::Ready(log),
                Ok(log) => Look::NotYet(format!("{} bytes without `{end}`", log.len())),
                Err(error) => Look::NotYet(error.to_string()),
            }
        });
        let log = log.await.map_err(unknown)?;
        let since = log.find(&begin).map_or(0, |at| at + begin.len());
        let until = log.rfind(&end).unwrap_or(log.len());
        let mut statements = statements(&log[since..until]);
        statements.retain(|statement| self.reads.0.is_match(statement));
        Ok(statements)
    }
}

async fn logged_by_new_session(store: &Store) -> Result<String, Stop> {
    let session = store.postgres().await?;
    let row = session.query_one("SHOW log_statement", &[]).await?;
    Ok(row.try_get(0)?)
}

fn unknown(timeout: TimedOut) -> Stop {
    Stop::unknown(timeout.to_string())
}

/// The statements of a log, each on one line.
fn statements(log: &str) -> Vec<String> {
    let mut statements: Vec<String> = Vec::new();
    let mut continues = false;
    for line in log.lines() {
        let text = SAYS_STATEMENT
            .iter()
            .find_map(|says| Some(line.split_once(says)?.1));
        match text {
            // The name of the prepared statement comes first.
            Some(text) if line.contains(SAYS_STATEMENT[1]) => {
                let statement = text
                    .split_once(": ")
                    .map_or(text, |(_, statement)| statement);
                statements.push(statement.to_owned());
            }
            Some(text) => statements.push(text.to_owned()),
            // The server begins the further lines of a statement with a tab.
            None if continues && line.starts_with('\t') => {
                if let Some(statement) = statements.last_mut() {
                    statement.push(' ');
                    statement.push_str(line.trim_start());
                }
                continue;
            }
            None => {}
        }
        continues = text.is_some();
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_its_statements_whatever_the_protocol() {
        let log = "x [1] LOG:  execute s0: SELECT a FROM b\n\
                   x [1] DETAIL:  parameters: $1 = '5'\n\
                   x [2] LOG:  statement: SELECT a\n\t  FROM c: d\n\
                   x [2] LOG:  checkpoint starting\n\tno statement\n\
                   x [3] LOG:  execute <unnamed>: BEGIN\n";
        let told = statements(log);
        assert_eq!(told, ["SELECT a FROM b", "SELECT a FROM c: d", "BEGIN"]);
    }
}
