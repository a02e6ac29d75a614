//! OBS-2: a slow command is in the log, and what it carried is not.

use crate::health::story::late;
use crate::store_view::StoreView;
use futures::FutureExt;
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::Template;
use touchstone_engine::subject::{Answer, OperationName};

/// From when on a command is slow.
const SLOW_MS: f64 = 100.0;
/// How late each reply comes.
const LATE: Duration = Duration::from_millis(120);
/// A figure in whole milliseconds may be rounded either way, and clocks are read at other moments.
const ROUNDING_MS: f64 = 2.0;
/// How long a line may take into the log.
const LOG_DEADLINE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);
/// Carried out for the harness, or to keep a connection: none of them is about a key.
const KEYLESS: [&str; 8] = [
    "auth", "client", "echo", "hello", "info", "ping", "scan", "select",
];

/// OBS-2.
pub(super) const LOGGED: Scenario = Scenario {
    criterion: Criterion {
        id: "OBS-2",
        statement: "A command slower than 100 ms is logged with its name, key pattern and duration, never its value or its whole key",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| logged(context).boxed(),
};

async fn logged(context: &Context) -> Result<(), Stop> {
    let manifest = context.manifest();
    let pattern = context.section("logs.slow_command", manifest.logs.slow_command.as_ref())?;
    context.require(&[OperationName::KvSet, OperationName::KvGet])?;
    let kv_key = context.section("keys.kv", manifest.keys.kv.as_ref())?;
    let (environment, instance) = context.start().await?;
    let slow = SlowLog {
        context,
        store: StoreView::open(&environment).await?,
        instance,
        pattern: &pattern.0,
        // Letters and digits: no encoding changes their looks.
        canary: format!("canary{:032x}", rand::random::<u128>()),
    };
    slow.fast_ones_are_not(kv_key).await?;
    slow.slow_ones_are(&environment, kv_key).await
}

struct SlowLog<'a> {
    context: &'a Context,
    store: StoreView,
    instance: Arc<Instance>,
    pattern: &'a Regex,
    canary: String,
}

/// One line of the slow log.
#[derive(Debug)]
struct SlowLine {
    command: String,
    key: String,
    duration_ms: f64,
    line: String,
}

impl SlowLog<'_> {
    /// Told only where the whole request was fast.
    async fn fast_ones_are_not(&self, kv_key: &Template) -> Result<(), Stop> {
        self.context.step("fast commands leave no line");
        let mut slowest_ms: f64 = 0.0;
        for name in [OperationName::KvSet, OperationName::KvGet] {
            slowest_ms = slowest_ms.max(took_ms(&self.call(name, "fast").await?));
        }
        if slowest_ms >= SLOW_MS {
            let text = format!("a request took {slowest_ms} ms, so no command was fast for sure");
            self.context.observe(text);
            return Ok(());
        }
        let about_it = self.lines_about(&stored(kv_key, "fast"), 0).await?;
        expect(
            about_it.is_empty(),
            format!("no line of a slow command: no request took longer than {slowest_ms} ms"),
            told(&about_it),
        )
    }

    async fn slow_ones_are(
        &self,
        environment: &Environment,
        kv_key: &Template,
    ) -> Result<(), Stop> {
        let manifest = self.context.manifest();
        let late = environment
            .network_fault(&self.instance.wiring, StoreKind::Redis, late(LATE))
            .await?;
        self.is_logged(OperationName::KvSet, kv_key).await?;
        self.is_logged(OperationName::KvGet, kv_key).await?;
        // Often a script, whose key is no command's first argument.
        let limited = manifest.operations.contains_key(&OperationName::Limited);
        match manifest.keys.limiter.as_ref().filter(|_| limited) {
            Some(key) => self.is_logged(OperationName::Limited, key).await?,
            None => self.context.observe("no limiter to try"),
        }
        Ok(late.heal().await?)
    }

    /// One request; a line that is true of it.
    async fn is_logged(&self, name: OperationName, key: &Template) -> Result<(), Stop> {
        let context = self.context;
        let late_ms = LATE.as_millis();
        context.step(format!("`{}` with replies {late_ms} ms late", name.key()));
        let lines_before = self.lines().len();
        let before = self.store.command_counts().await?;
        let answer = self.call(name, "slow").await?;
        let after = self.store.command_counts().await?;
        let grown = |name: &&String| after[*name] > before.get(*name).copied().unwrap_or(0);
        let base = |name: &String| name.split('|').next().unwrap_or(name).to_lowercase();
        let mut ran: BTreeSet<String> = after.keys().filter(grown).map(base).collect();
        ran.retain(|name| !KEYLESS.contains(&name.as_str()));
        let longest_ms = took_ms(&answer) + ROUNDING_MS;
        let is_true = |line: &SlowLine| {
            ran.contains(&line.command.to_lowercase())
                && (LATE.as_secs_f64() * 1000.0 - ROUNDING_MS..=longest_ms)
                    .contains(&line.duration_ms)
        };
        let (what, stored) = ("a line about the slow command", stored(key, "slow"));
        let found = poll_until(what, LOG_DEADLINE, POLL, || async {
            match self.lines_about(&stored, lines_before).await {
                Ok(lines) if lines.iter().any(is_true) => Look::Ready(lines),
                Ok(lines) => Look::NotYet(told(&lines)),
                Err(stop) => Look::NotYet(format!("{stop:?}")),
            }
        })
        .await;
        // Before a line that is missing: one that gives away a value may be no line of this log.
        self.no_canary()?;
        let found = found.or_fail(format!(
            "a line with one of the commands {}, a pattern that matches `{stored}`, and {late_ms} to {longest_ms:.0} ms",
            ran.iter().cloned().collect::<Vec<_>>().join(", ")
        ))?;
        context.observe(told(&found));
        let whole = found.iter().find(|line| line.key.contains(&stored));
        expect(
            whole.is_none(),
            "a pattern instead of the key",
            whole.map_or_else(String::new, |line| line.line.clone()),
        )
    }

    /// Every line from this one on whose pattern, by Redis's own word, matches the key.
    async fn lines_about(&self, key: &str, from: usize) -> Result<Vec<SlowLine>, Stop> {
        let mut about_it = Vec::new();
        for line in self.lines().into_iter().skip(from) {
            let matched = self.store.keys(&line.key).await?;
            if matched.iter().any(|matched| matched == key.as_bytes()) {
                about_it.push(line);
            }
        }
        Ok(about_it)
    }

    fn lines(&self) -> Vec<SlowLine> {
        let text = self.instance.log.text();
        let slow = |line: &str| {
            let found = self.pattern.captures(line)?;
            let group = |name: &str| Some(found.name(name)?.as_str().to_owned());
            Some(SlowLine {
                command: group("command")?,
                key: group("key")?,
                duration_ms: group("duration_ms")?.parse().ok()?,
                line: line.to_owned(),
            })
        };
        text.lines().filter_map(slow).collect()
    }

    async fn call(&self, name: OperationName, word: &str) -> Result<Answer, Stop> {
        let values: &[(&str, &[u8])] = &[
            ("key", word.as_bytes()),
            ("value", self.canary.as_bytes()),
            ("user", word.as_bytes()),
            ("endpoint", b"slow"),
        ];
        let answer = self.instance.http.call(name, values).await?;
        expect(
            answer.kind() == AnswerKind::Ok,
            format!(
                "`{}` succeeds on a line of {} ms",
                name.key(),
                LATE.as_millis()
            ),
            answer.describe(),
        )?;
        Ok(answer)
    }

    fn no_canary(&self) -> Result<(), Stop> {
        let text = self.instance.log.text();
        let line = text.lines().find(|line| line.contains(&self.canary));
        expect(
            line.is_none(),
            "no value of a command in the log",
            line.unwrap_or_default(),
        )
    }
}

fn stored(key: &Template, word: &str) -> String {
    key.fill(|part| match part {
        "key" | "user" => Some(word.to_owned()),
        "endpoint" => Some("slow".to_owned()),
        _ => None,
    })
}

fn took_ms(answer: &Answer) -> f64 {
    (answer.returned_us - answer.called_us) as f64 / 1000.0
}

fn told(lines: &[SlowLine]) -> String {
    let told = |line: &SlowLine| format!("{} {} {} ms", line.command, line.key, line.duration_ms);
    let told: Vec<String> = lines.iter().map(told).collect();
    format!("{} lines: {}", lines.len(), told.join("; "))
}
