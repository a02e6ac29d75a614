//! How far a rule has come, for whoever waits for it; and its bite.

use super::Action;
use crate::poll::TimedOut;
use crate::proxy::fault::Evidence;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use touchstone_wire::Command;

/// A command that a rule acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The connection, by its number in the proxy's records.
    pub connection: u64,
    /// The command's place on its connection, from 0.
    pub command: u64,
    /// Its name.
    pub name: String,
    /// Its first key, bytes that are no text escaped.
    pub key: Option<String>,
}

impl Seen {
    pub(crate) fn of(connection: u64, command: &Command) -> Self {
        let key = command.keys.first();
        Self {
            connection,
            command: command.id.0,
            name: command.name.to_string(),
            key: key.map(|key| key.escape_ascii().to_string()),
        }
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{} {key}", self.name)?,
            None => f.write_str(&self.name)?,
        }
        write!(f, " (connection {})", self.connection)
    }
}

/// How far a rule has come.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Commands that met its conditions, whichever of them it acts on.
    pub matched: u64,
    /// Commands it acted on.
    pub acted: u64,
    /// What it holds now, oldest first.
    pub held: Vec<Seen>,
    /// Holds that ended because they were released, or because the rule healed.
    pub released: u64,
    /// Holds that ended because their longest time was over: what was to happen meanwhile had not.
    pub overdue: u64,
    /// Replies to commands it acted on that have passed to the subject.
    pub replied: u64,
    /// The last command it acted on.
    pub last: Option<Seen>,
}

/// Watches one rule from any thread.
#[derive(Debug, Clone)]
pub struct RuleWatch {
    rule: String,
    progress: watch::Receiver<Progress>,
}

impl RuleWatch {
    pub(super) fn new(rule: String, progress: watch::Receiver<Progress>) -> Self {
        Self { rule, progress }
    }

    /// How far it is now.
    #[must_use]
    pub fn now(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Waits until the rule is that far. Wakes with the change, it does not poll.
    ///
    /// # Errors
    /// The deadline passed; also if the proxy has gone, and with it every change.
    pub async fn until(
        &self,
        what: &str,
        deadline: Duration,
        is_there: impl Fn(&Progress) -> bool,
    ) -> Result<Progress, TimedOut> {
        let began = Instant::now();
        let mut progress = self.progress.clone();
        let waiting = progress.wait_for(|progress| is_there(progress));
        if let Ok(Ok(reached)) = tokio::time::timeout(deadline, waiting).await {
            return Ok(reached.clone());
        }
        let last = self.now();
        let held: Vec<_> = last.held.iter().map(Seen::to_string).collect();
        Err(TimedOut {
            what: format!("{what} ({})", self.rule),
            waited: began.elapsed(),
            last_seen: format!(
                "{} matched, {} acted on, held: [{}], {} released, {} overdue, {} replies passed",
                last.matched,
                last.acted,
                held.join(", "),
                last.released,
                last.overdue,
                last.replied
            ),
        })
    }

    /// Waits until it holds that many.
    ///
    /// # Errors
    /// The deadline passed.
    pub async fn until_held(&self, count: usize, deadline: Duration) -> Result<Progress, TimedOut> {
        self.until("commands to be held", deadline, |progress| {
            progress.held.len() >= count
        })
        .await
    }

    /// Waits until so many replies to what it acted on have passed.
    ///
    /// # Errors
    /// The deadline passed.
    pub async fn until_replied(
        &self,
        count: u64,
        deadline: Duration,
    ) -> Result<Progress, TimedOut> {
        self.until("replies to pass", deadline, |progress| {
            progress.replied >= count
        })
        .await
    }
}

/// A rule has bitten when it has acted.
pub(super) struct Bite {
    name: &'static str,
    // `Receiver` alone is not `Sync` enough for a trait object read from any thread.
    progress: Mutex<watch::Receiver<Progress>>,
}

impl Bite {
    pub(super) fn new(action: &Action, progress: &watch::Sender<Progress>) -> Self {
        Self {
            name: action.name(),
            progress: Mutex::new(progress.subscribe()),
        }
    }
}

impl Evidence for Bite {
    fn bite(&self) -> Option<String> {
        let receiver = self
            .progress
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let progress = receiver.borrow();
        let last = progress.last.as_ref()?;
        let overdue = match progress.overdue {
            0 => String::new(),
            count => format!(", {count} held until the longest time was over"),
        };
        Some(format!(
            "{} acted on {} of {} matching commands, last {last}{overdue}",
            self.name, progress.acted, progress.matched
        ))
    }
}
