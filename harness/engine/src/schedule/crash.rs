//! Crash points: the commands of one request, and a stop at each of them.

use crate::environment::{Environment, EnvironmentError};
use crate::instance::Wiring;
use crate::proxy::{CommandRecord, ProxyError, When};
use crate::schedule::Hold;
use crate::store::StoreKind;
use std::time::Duration;
use touchstone_wire::ReplyKind;

/// What one request sent to the stores, in the order in which the proxies saw it.
#[derive(Debug, Clone, Default)]
pub struct Traced {
    /// The store, and the command with its reply.
    pub commands: Vec<(StoreKind, CommandRecord)>,
}

/// The place right after a command of a traced request: the store has applied it, the subject does not know yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashPoint {
    /// Where the command goes.
    pub store: StoreKind,
    /// Its place among the request's commands to that store that match, from 1.
    pub nth: u64,
    /// Its place in the whole trace, from 0.
    pub line: usize,
}

/// Where the traces of both proxies begin.
#[derive(Debug, Clone, Copy)]
pub struct TraceBegin([(StoreKind, u64); 2]);

impl Traced {
    /// Notes where the traces of an instance's proxies are now; the request comes next.
    pub async fn begin(of: &Wiring) -> Result<TraceBegin, ProxyError> {
        let mut marks = StoreKind::ALL.map(|store| (store, 0));
        for (store, mark) in &mut marks {
            *mark = of.proxy(*store).trace_mark().await?;
        }
        Ok(TraceBegin(marks))
    }

    /// What has been sent since, as far as one of these conditions says that it belongs to the request.
    pub async fn since(
        begin: TraceBegin,
        of: &Wiring,
        about: &[(StoreKind, When)],
    ) -> Result<Self, ProxyError> {
        let mut commands = Vec::new();
        for (store, mark) in begin.0 {
            let trace = of.proxy(store).trace(mark).await?;
            let belongs = |record: &CommandRecord| {
                about
                    .iter()
                    .any(|(kind, when)| *kind == store && when.matches_record(record))
            };
            let of_store = trace.commands.into_iter().filter(belongs);
            commands.extend(of_store.map(|record| (store, record)));
        }
        commands.sort_by_key(|(_, record)| record.seen_at);
        Ok(Self { commands })
    }

    /// How many went to a store.
    #[must_use]
    pub fn count(&self, store: StoreKind) -> usize {
        self.commands
            .iter()
            .filter(|(kind, _)| *kind == store)
            .count()
    }

    /// The text of the last statement that gave rows.
    #[must_use]
    pub fn last_rows(&self) -> Option<String> {
        let gave_rows = |record: &&CommandRecord| {
            let reply = record.reply.as_ref();
            reply.is_some_and(|reply| matches!(reply.kind, ReplyKind::Rows(1..)))
        };
        let records = self.commands.iter().rev().map(|(_, record)| record);
        let text = records
            .filter(gave_rows)
            .find_map(|record| record.keys.last())?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// The place after each command, in order.
    #[must_use]
    pub fn crash_points(&self) -> Vec<CrashPoint> {
        let mut seen = std::collections::BTreeMap::new();
        let points = self.commands.iter().enumerate().map(|(line, (store, _))| {
            let nth = seen.entry(*store).or_insert(0);
            *nth += 1;
            CrashPoint {
                store: *store,
                nth: *nth,
                line,
            }
        });
        points.collect()
    }

    /// The trace for a report, with an arrow at the line at which it broke.
    #[must_use]
    pub fn told(&self, broke_at: Option<usize>) -> Vec<String> {
        let line = |(index, (store, record)): (usize, &(StoreKind, CommandRecord))| {
            let arrow = if broke_at == Some(index) {
                "-> "
            } else {
                "   "
            };
            format!("{arrow}{} {store}: {record}", index + 1)
        };
        self.commands.iter().enumerate().map(line).collect()
    }
}

impl CrashPoint {
    /// Holds the reply to that command of the next request, so that the crash can be made to happen there.
    pub async fn hold(
        &self,
        environment: &Environment,
        of: &Wiring,
        about: When,
        longest: Duration,
    ) -> Result<Hold, EnvironmentError> {
        Hold::reply(environment, of, self.store, about.nth(self.nth), longest).await
    }
}
