//! The second, direct look at Redis that the data criteria compare the subject with, and the hand that
//! moves time: a key's expiry is moved in the store instead of being waited for.

use redis::aio::MultiplexedConnection;
use std::collections::BTreeMap;
use std::time::Duration;
use touchstone_engine::environment::Environment;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::Stop;
use touchstone_engine::store::StoreKind;

/// A key that is given one millisecond more is gone by then, unless the server hangs.
const GONE_DEADLINE: Duration = Duration::from_secs(2);
const GONE_POLL: Duration = Duration::from_millis(1);
/// How many keys one SCAN of ours looks at.
const SCAN_COUNT: usize = 1000;

/// A direct connection to the subject's own Redis database.
#[derive(Debug, Clone)]
pub(crate) struct StoreView {
    connection: MultiplexedConnection,
}

impl StoreView {
    /// Connects past the proxy. A restart of the server ends it.
    pub(crate) async fn open(environment: &Environment) -> Result<Self, Stop> {
        let database = environment.manifest().stores.redis_database;
        Self::open_database(environment, database).await
    }

    /// The same on another database of the server.
    pub(crate) async fn open_database(
        environment: &Environment,
        database: i64,
    ) -> Result<Self, Stop> {
        let redis = environment.store(StoreKind::Redis);
        let connection = redis.redis(database).await?;
        Ok(Self { connection })
    }

    /// A connection for commands that are not here.
    pub(crate) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Stop> {
        self.ask(redis::cmd("GET").arg(key)).await
    }

    pub(crate) async fn set(&self, key: &str, value: &[u8]) -> Result<(), Stop> {
        self.ask(redis::cmd("SET").arg(key).arg(value)).await
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<(), Stop> {
        self.ask(redis::cmd("DEL").arg(key)).await
    }

    pub(crate) async fn exists(&self, key: &str) -> Result<bool, Stop> {
        self.ask(redis::cmd("EXISTS").arg(key)).await
    }

    /// -2 without the key, -1 without an expiry, else what remains.
    pub(crate) async fn pttl_ms(&self, key: &str) -> Result<i64, Stop> {
        self.ask(redis::cmd("PTTL").arg(key)).await
    }

    /// Moves an expiry. A key that is not there stays so.
    pub(crate) async fn move_expiry(&self, key: &str, remaining_ms: u64) -> Result<(), Stop> {
        self.ask(redis::cmd("PEXPIRE").arg(key).arg(remaining_ms))
            .await
    }

    /// Brings a key to its end: by its expiry, as time would, and not by a deletion.
    pub(crate) async fn expire_now(&self, key: &str) -> Result<(), Stop> {
        self.move_expiry(key, 1).await?;
        let gone = poll_until("a key to expire", GONE_DEADLINE, GONE_POLL, || async {
            match self.exists(key).await {
                Ok(false) => Look::Ready(()),
                Ok(true) => Look::NotYet("it is there".to_owned()),
                Err(stop) => Look::NotYet(format!("{stop:?}")),
            }
        });
        gone.await
            .map_err(|timeout| Stop::unknown(timeout.to_string()))
    }

    /// Every key that matches.
    pub(crate) async fn keys(&self, pattern: &str) -> Result<Vec<Vec<u8>>, Stop> {
        let (mut all, mut cursor) = (Vec::new(), 0_u64);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(pattern);
            let (next, page): (u64, Vec<Vec<u8>>) =
                self.ask(scan.arg("COUNT").arg(SCAN_COUNT)).await?;
            all.extend(page);
            if next == 0 {
                // A key may be on two pages.
                all.sort_unstable();
                all.dedup();
                return Ok(all);
            }
            cursor = next;
        }
    }

    /// Every key of the database with its value as the server serialises it, and how many keys each
    /// of the server's databases holds.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Stop> {
        let mut entries = BTreeMap::new();
        for key in self.keys("*").await? {
            let value: Option<Vec<u8>> = self.ask(redis::cmd("DUMP").arg(&key)).await?;
            entries.insert(key, value);
        }
        let databases = self.databases().await?;
        Ok(Snapshot { entries, databases })
    }

    /// Every database that is not empty, with the number of its keys, for instance `db3:keys=2`.
    pub(crate) async fn databases(&self) -> Result<Vec<String>, Stop> {
        let keyspace: String = self.ask(redis::cmd("INFO").arg("keyspace")).await?;
        // What follows the count (an average of the expiries) changes by itself.
        let count = |line: &str| line.split(',').next().unwrap_or(line).trim().to_owned();
        let databases = keyspace.lines().filter(|line| line.starts_with("db"));
        Ok(databases.map(count).collect())
    }

    /// Empties every database.
    pub(crate) async fn flush_all(&self) -> Result<(), Stop> {
        self.ask(&redis::cmd("FLUSHALL")).await
    }

    /// How often each command has been carried out, from `INFO commandstats`.
    pub(crate) async fn command_counts(&self) -> Result<BTreeMap<String, u64>, Stop> {
        let text: String = self.ask(redis::cmd("INFO").arg("commandstats")).await?;
        let count = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
            let calls = rest.strip_prefix("calls=")?.split(',').next()?;
            Some((name.to_owned(), calls.parse().ok()?))
        };
        Ok(text.lines().filter_map(count).collect())
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Stop> {
        Ok(command.query_async(&mut self.connection()).await?)
    }
}

/// The state of the store at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    databases: Vec<String>,
}

impl Snapshot {
    /// What is not as it was before, a line each.
    pub(crate) fn changes_since(&self, before: &Snapshot) -> Vec<String> {
        let name = |key: &[u8]| {
            const SHOWN_BYTES: usize = 60;
            let shown = &key[..key.len().min(SHOWN_BYTES)];
            format!("key \"{}\" ({} bytes)", shown.escape_ascii(), key.len())
        };
        let mut changes = Vec::new();
        for (key, value) in &self.entries {
            match before.entries.get(key) {
                None => changes.push(format!("{} was written", name(key))),
                Some(old) if old != value => changes.push(format!("{} was changed", name(key))),
                Some(_) => {}
            }
        }
        let gone = |key: &&Vec<u8>| !self.entries.contains_key(*key);
        for key in before.entries.keys().filter(gone) {
            changes.push(format!("{} was deleted", name(key)));
        }
        if changes.is_empty() && self.databases != before.databases {
            changes.push(format!(
                "the databases hold {:?}, before {:?}",
                self.databases, before.databases
            ));
        }
        changes
    }
}
