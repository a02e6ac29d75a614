//! The keys of the subject, looked after by the commands and the SQL that its manifest names.

use std::sync::Arc;
use std::time::Duration;
use touchstone_engine::environment::{Environment, Overrides};
use touchstone_engine::scenario::{Context, OrFail, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::{EncryptionSection, Template};

/// How long a command on keys may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(20);
/// How often instances are told to look for keys, where the manifest says how.
pub(crate) const LOOK_INTERVAL_MS: u64 = 100;

/// See the module.
pub(crate) struct Keys<'a> {
    context: &'a Context,
    environment: Arc<Environment>,
    pub(crate) encryption: &'a EncryptionSection,
}

impl<'a> Keys<'a> {
    pub(crate) fn of(
        context: &'a Context,
        environment: &Arc<Environment>,
        encryption: &'a EncryptionSection,
    ) -> Self {
        Self {
            context,
            environment: Arc::clone(environment),
            encryption,
        }
    }

    /// Makes a new key.
    pub(crate) async fn rotate(&self) -> Result<(), Stop> {
        self.run("encryption.rotate", &self.encryption.rotate).await
    }

    /// Encrypts all values with the newest one.
    pub(crate) async fn rewrap(&self) -> Result<(), Stop> {
        self.run("encryption.rewrap", &self.encryption.rewrap).await
    }

    /// Makes every key so much older.
    pub(crate) async fn age(&self, days: u64) -> Result<(), Stop> {
        let sql = self.encryption.age_keys.as_ref();
        let sql = self.context.section("encryption.age_keys", sql)?;
        let sql = sql.fill(|name| (name == "days").then(|| days.to_string()));
        self.execute(&sql).await
    }

    /// Removes every key but the newest.
    pub(crate) async fn remove_old(&self) -> Result<(), Stop> {
        let sql = self.encryption.remove_old_keys.as_ref();
        let sql = self.context.section("encryption.remove_old_keys", sql)?;
        self.execute(sql).await
    }

    async fn execute(&self, sql: &str) -> Result<(), Stop> {
        let store = self.environment.store(StoreKind::Postgres);
        let changed = store.postgres().await?.execute(sql, &[]).await?;
        if changed == 0 {
            return Err(Stop::unknown(format!("`{sql}` changed no row")));
        }
        Ok(())
    }

    async fn run(&self, key: &str, command: &[Template]) -> Result<(), Stop> {
        let declared = (!command.is_empty()).then_some(command);
        let command = self.context.section(key, declared.as_ref())?.to_vec();
        let wiring = self.environment.wire().await?;
        let overrides = Overrides {
            env: self.look_often(),
            command: Some(command),
            ..Overrides::default()
        };
        let process = self.environment.launch(wiring, &overrides)?;
        let expected = format!("the command `{key}` to end");
        let exit = process
            .wait_exit(COMMAND_DEADLINE)
            .await
            .or_fail(expected)?;
        expect(
            exit.code == Some(0),
            format!("the command `{key}` to end with exit code 0"),
            format!("{exit}; its output ends with:\n{}", process.log.tail()),
        )
    }

    /// The environment by which an instance notices soon what changes.
    pub(crate) fn look_often(&self) -> std::collections::BTreeMap<String, String> {
        self.encryption
            .shortened(LOOK_INTERVAL_MS)
            .unwrap_or_default()
    }
}
