//! `touchstone env`: a pair of stores to work against by hand.

mod down;
mod status;
mod up;

use crate::args::EnvCommand;
use serde_json::{Value, json};
use touchstone_core::ExitCode;
use touchstone_engine::kept::{Kept, Pair, Serving};
use touchstone_engine::scope::base_dirs;
use touchstone_engine::store::StoreKind;

/// Starts, ends, or looks.
pub(crate) fn env(command: &EnvCommand) -> anyhow::Result<ExitCode> {
    match command {
        EnvCommand::Up(args) => up::up(args),
        EnvCommand::Down(args) => down::down(args),
        EnvCommand::Status(args) => status::status(args),
    }
}

/// What is kept under a name.
fn named(name: &str) -> Option<Kept> {
    let mut kept = touchstone_engine::kept::list(&base_dirs());
    kept.retain(|kept| kept.name == name);
    kept.pop()
}

/// What was kept, with what its stores answer now.
struct Looked<'a> {
    kept: &'a Kept,
    pairs: Vec<(&'a Pair, [(StoreKind, Serving); 2])>,
}

impl<'a> Looked<'a> {
    async fn at(kept: &'a Kept) -> Self {
        let mut pairs = Vec::new();
        for pair in &kept.pairs {
            let (redis, postgres) =
                tokio::join!(pair.look(StoreKind::Redis), pair.look(StoreKind::Postgres));
            let serving = [(StoreKind::Redis, redis), (StoreKind::Postgres, postgres)];
            pairs.push((pair, serving));
        }
        Self { kept, pairs }
    }

    fn serves(&self) -> bool {
        let mut all = self.pairs.iter().flat_map(|(_, serving)| serving);
        all.all(|(_, serving)| serving.is_ok())
    }

    /// For people, without passwords.
    fn text(&self) -> String {
        let Kept {
            name,
            provider,
            since,
            ..
        } = self.kept;
        let mut text = format!("{name}: {provider}, since {since:.0}\n");
        for (pair, serving) in &self.pairs {
            let of = match pair.of == *name {
                true => String::new(),
                false => format!("  of {}", pair.of),
            };
            for (kind, serving) in serving {
                let address = pair.endpoint(*kind).address;
                let told = match serving {
                    Ok(version) => format!("{version}, serves"),
                    Err(why) => format!("DOES NOT SERVE: {why}"),
                };
                text += &format!("  {:<9} {address}  {told}{of}\n", kind.to_string());
            }
        }
        text
    }

    /// For programs, with passwords.
    fn json(&self) -> Value {
        let store = |pair: &Pair, kind: StoreKind, url: String, serving: &Serving| {
            json!({
                "url": url,
                "address": pair.endpoint(kind).address,
                "version": serving.as_ref().ok(),
                "problem": serving.as_ref().err(),
            })
        };
        let pair = |(pair, [(_, redis), (_, postgres)]): &(&Pair, [(StoreKind, Serving); 2])| {
            json!({
                "of": pair.of,
                "redis": store(pair, StoreKind::Redis, pair.redis_url(), redis),
                "postgres": store(pair, StoreKind::Postgres, pair.database_url(), postgres),
            })
        };
        json!({
            "name": self.kept.name,
            "provider": self.kept.provider,
            "since": self.kept.since,
            "directory": self.kept.dir,
            "serves": self.serves(),
            "pairs": self.pairs.iter().map(pair).collect::<Vec<_>>(),
        })
    }
}

/// Lines that a shell's `export` takes, and an env file.
fn lines(pair: &Pair) -> String {
    format!(
        "REDIS_URL={}\nDATABASE_URL={}\n",
        pair.redis_url(),
        pair.database_url()
    )
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
