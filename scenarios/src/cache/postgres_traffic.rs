//! What reaches Postgres: the statements that read an entity, counted by the proxies in front of it.
//!
//! A proxy has noted a statement before the server gets it, and so before the subject can answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use touchstone_engine::environment::Environment;
use touchstone_engine::scenario::{Context, Stop};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::LogPattern;

/// Prepared, but not carried out.
const ONLY_PREPARED: &str = "PARSE";

/// Counts from one look to the next.
pub(super) struct PostgresTraffic {
    environment: Arc<Environment>,
    reads: LogPattern,
    /// How far the trace of each instance's proxy has been read.
    marks: BTreeMap<usize, u64>,
}

impl PostgresTraffic {
    /// What all instances send, those to come included.
    pub(super) fn watch(context: &Context, environment: &Arc<Environment>) -> Result<Self, Stop> {
        let cache = context.section("cache", context.manifest().cache.as_ref())?;
        let reads = context.section("cache.read_statement", cache.read_statement.as_ref())?;
        Ok(Self {
            environment: Arc::clone(environment),
            reads: reads.clone(),
            marks: BTreeMap::new(),
        })
    }

    /// The statements by which the subject has read entities since the last look.
    pub(super) async fn reads_since_last(&mut self) -> Result<Vec<String>, Stop> {
        let mut reads = Vec::new();
        for wiring in self.environment.wirings() {
            let proxy = wiring.proxy(StoreKind::Postgres);
            if let Some((connection, why)) = proxy.undecoded().await?.first() {
                let reason = format!("connection {connection} to Postgres is not decoded: {why:?}");
                return Err(Stop::unknown(reason));
            }
            let mark = self.marks.entry(wiring.index).or_default();
            let trace = proxy.trace(*mark).await?;
            if trace.dropped > 0 {
                let reason = format!("{} statements came too fast to be kept", trace.dropped);
                return Err(Stop::unknown(reason));
            }
            *mark += trace.commands.len() as u64;
            let executed = trace.commands.iter().filter(|c| c.name != ONLY_PREPARED);
            let statements = executed.flat_map(|command| &command.keys);
            let texts = statements.map(|text| String::from_utf8_lossy(text).into_owned());
            reads.extend(texts.filter(|text| self.reads.0.is_match(text)));
        }
        Ok(reads)
    }
}
