//! The Redis user whose password is rotated, and the file that the subject finds it in.

use super::password_file::PasswordFile;
use touchstone_engine::environment::Environment;
use touchstone_engine::scenario::{Context, Stop};
use touchstone_engine::store::StoreKind;

/// Not the default one, where a subject can be told of another: our own clients are that.
const NAME: &str = "rotated";

/// See the module.
pub(super) struct User {
    pub(super) name: String,
    file: PasswordFile,
    current: String,
}

/// The password that ends with a rotation, and the one that begins.
pub(super) struct Rotated {
    pub(super) old: String,
    pub(super) new: String,
}

impl User {
    /// A user that may do everything, with a password in a file.
    pub(super) async fn create(context: &Context, environment: &Environment) -> Result<Self, Stop> {
        let manifest = context.manifest();
        let mut told = manifest.subject.env.values().flat_map(|t| t.placeholders());
        let takes_a_name = told.any(|placeholder| placeholder == "redis.user");
        let name = if takes_a_name { NAME } else { "default" };
        let mut user = Self {
            name: name.to_owned(),
            file: PasswordFile::create(environment, "redis")?,
            current: String::new(),
        };
        let password = user.file.make_up(environment);
        let rules = ["on", &format!(">{password}"), "~*", "&*", "+@all"];
        user.set(environment, &rules).await?;
        user.write(&password)?;
        user.current = password;
        Ok(user)
    }

    pub(super) fn file_name(&self) -> String {
        self.file.name()
    }

    /// From now on the server takes another password, too.
    pub(super) async fn add_password(
        &mut self,
        environment: &Environment,
    ) -> Result<Rotated, Stop> {
        let new = self.file.make_up(environment);
        self.set(environment, &[&format!(">{new}")]).await?;
        let old = std::mem::replace(&mut self.current, new.clone());
        Ok(Rotated { old, new })
    }

    /// From now on the server does not take that one; read back with clients of our own.
    pub(super) async fn end_password(
        &self,
        environment: &Environment,
        old: &str,
    ) -> Result<(), Stop> {
        self.set(environment, &[&format!("<{old}")]).await?;
        let store = environment.store(StoreKind::Redis);
        store.redis_as((&self.name, &self.current)).await?;
        match store.redis_as((&self.name, old)).await {
            Err(_) => Ok(()),
            Ok(_) => Err(Stop::unknown("the server still takes the old password")),
        }
    }

    pub(super) fn write(&self, password: &str) -> Result<(), Stop> {
        self.file.write(password)
    }

    /// How many logins as this user the server has refused; the harness's own are among them.
    pub(super) async fn refusals(&self, environment: &Environment) -> Result<u64, Stop> {
        let mut store = environment.store(StoreKind::Redis).redis(0).await?;
        let entries: Vec<redis::Value> =
            redis::cmd("ACL").arg("LOG").query_async(&mut store).await?;
        let mut refusals = 0;
        for entry in entries {
            let entry: std::collections::BTreeMap<String, redis::Value> =
                redis::from_redis_value(entry).map_err(redis::RedisError::from)?;
            let text = |key: &str| {
                let value = entry.get(key).cloned().unwrap_or(redis::Value::Nil);
                redis::from_redis_value::<String>(value).unwrap_or_default()
            };
            if text("reason") == "auth" && text("username") == self.name {
                refusals += text("count").parse::<u64>().unwrap_or(0);
            }
        }
        Ok(refusals)
    }

    /// Whether one of its passwords, of any time, stands in a text.
    pub(super) fn is_told_in(&self, text: &str) -> bool {
        self.file.is_told_in(text)
    }

    async fn set(&self, environment: &Environment, rules: &[&str]) -> Result<(), Stop> {
        let mut store = environment.store(StoreKind::Redis).redis(0).await?;
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg(&self.name).arg(rules);
        Ok(command.exec_async(&mut store).await?)
    }
}
