//! OBS-3: the figures at `/metrics` agree with what the tap saw.

use super::figures::Figures;
use crate::health::story::late;
use futures::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::{Action, Cut, CutMode, Ending, ErrorReply, Reject, Rule, When};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::MetricsSection;
use touchstone_engine::subject::{Answer, OperationName};

/// How many keys are used that were not used before.
const KEYS: usize = 40;
/// Of series that are new because something happened for the first time.
const NEW_SERIES_MAX: usize = KEYS / 4;
/// How late replies come, and how many.
const LATE: Duration = Duration::from_millis(20);
const LATE_CALLS: usize = 4;
/// Timers and clocks may differ by this.
const ROUNDING_S: f64 = 0.002;
const REFUSED_CALLS: usize = 3;
/// So many attempts in vain make an outage.
const ATTEMPTS: usize = 3;
const GRACE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

/// OBS-3.
pub(super) const AGREE: Scenario = Scenario {
    criterion: Criterion {
        id: "OBS-3",
        statement: "Prometheus metrics: connection state, errors, reconnects, command duration histogram, hits, misses; the numbers agree with the tap, count what fails too, never fall, and no key becomes a label",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(3),
    run: |context| agree(context).boxed(),
};

async fn agree(context: &Context) -> Result<(), Stop> {
    context.require(&[OperationName::KvSet, OperationName::KvGet])?;
    let section = context.section("metrics", context.manifest().metrics.as_ref())?;
    let (environment, instance) = context.start().await?;
    let shown = Shown {
        context,
        section,
        figures: Figures::of(context, &instance)?,
        environment,
        instance,
        // Letters and digits: no encoding changes their looks.
        canary: format!("canary{:032x}", rand::random::<u128>()),
    };
    shown.state(1.0, "with Redis there").await?;
    shown.commands().await?;
    shown.durations().await?;
    shown.no_key_in_a_label().await?;
    shown.refusals().await?;
    shown.outage().await
}

struct Shown<'a> {
    context: &'a Context,
    section: &'a MetricsSection,
    figures: Figures<'a>,
    environment: Arc<Environment>,
    instance: Arc<Instance>,
    canary: String,
}

impl Shown<'_> {
    /// The state in the end; waited for as long as health may take to show it.
    async fn state(&self, wanted: f64, when: &str) -> Result<(), Stop> {
        let deadline = self.context.deadline(|d| d.health_notice_ms);
        let figure = &self.section.connected;
        let what = format!("`{}` to be {wanted} {when}", figure.0);
        let seen = poll_until(&what, deadline, POLL, || async {
            let looked = async {
                let scrape = self.figures.scrape().await?;
                self.figures.gauge(&scrape, figure)
            };
            match looked.await {
                Ok(seen) if seen == wanted => Look::Ready(Ok(())),
                Ok(seen) => Look::NotYet(format!("{seen}")),
                Err(stop) => Look::Ready(Err(stop)),
            }
        });
        seen.await.or_fail(&what)?
    }

    async fn commands(&self) -> Result<(), Stop> {
        self.context.step("every operation on keys, counted");
        let begin = self.figures.begin().await?;
        for number in 0..5 {
            self.call(OperationName::KvSet, number).await?;
        }
        for number in 0..8 {
            self.call(OperationName::KvGet, number).await?;
        }
        for name in [
            OperationName::KvExists,
            OperationName::KvTtl,
            OperationName::KvDelete,
            OperationName::Limited,
        ] {
            if self.context.manifest().operations.contains_key(&name) {
                self.call(name, 0).await?;
            }
        }
        let between = self.figures.until_now(begin).await?;
        self.figures.commands_agree(&between)?;
        let (errors, failed) = (&self.section.errors, between.risen(&self.section.errors));
        expect(
            failed == 0.0,
            format!("`{}` to stand still while nothing fails", errors.0),
            format!("{failed} more"),
        )?;
        let counted = self.figures.commands(&between);
        let told = counted
            .iter()
            .map(|(name, seen)| format!("{name} {}", seen.count));
        self.context
            .observe(format!("counted: {}", told.collect::<Vec<_>>().join(", ")));
        Ok(())
    }

    /// Count and sum of the histogram against the delay and the requests' own times.
    async fn durations(&self) -> Result<(), Stop> {
        let late_ms = LATE.as_millis();
        self.context
            .step(format!("{LATE_CALLS} reads with replies {late_ms} ms late"));
        let fault = self
            .environment
            .network_fault(&self.instance.wiring, StoreKind::Redis, late(LATE))
            .await?;
        let begin = self.figures.begin().await?;
        let mut longest_s: f64 = 0.0;
        for number in 0..LATE_CALLS {
            longest_s = longest_s.max(took_s(&self.call(OperationName::KvGet, number).await?));
        }
        let between = self.figures.until_now(begin).await?;
        fault.heal().await?;
        self.figures.commands_agree(&between)?;
        let keyed = |name: &str| {
            let of_name = |c: &&_| is_called(c, name);
            let mut of_name = between.commands.iter().filter(of_name);
            of_name.any(|command| !command.keys.is_empty())
        };
        let counted = self.figures.commands(&between);
        for (name, seen) in counted.iter().filter(|(name, _)| keyed(name)) {
            let least = seen.count * (LATE.as_secs_f64() - ROUNDING_S);
            let most = seen.count * (longest_s + ROUNDING_S);
            expect(
                (least..=most).contains(&seen.sum),
                format!(
                    "{} of `{name}` to sum up to {least:.3} to {most:.3} s: each reply was {late_ms} ms late, no request took longer than {:.0} ms",
                    seen.count,
                    longest_s * 1000.0
                ),
                format!("{:.3} s", seen.sum),
            )?;
        }
        Ok(())
    }

    async fn no_key_in_a_label(&self) -> Result<(), Stop> {
        self.context.step(format!("{KEYS} keys that are new"));
        let before = self.figures.scrape().await?.read;
        for number in 0..KEYS {
            self.call(OperationName::KvSet, 1000 + number).await?;
        }
        let after = self.figures.scrape().await?.read;
        let mut told = after.samples().map(|(series, _)| series.to_string());
        let told = told.find(|series| series.contains(&self.canary));
        expect(
            told.is_none(),
            "no key and no value in a label",
            told.unwrap_or_default(),
        )?;
        let new = after.len().saturating_sub(before.len());
        self.context.observe(format!(
            "{} series, {new} of them new with {KEYS} keys",
            after.len()
        ));
        expect(
            new <= NEW_SERIES_MAX,
            format!("no series of its own for each of {KEYS} keys"),
            format!("{new} new series"),
        )
    }

    /// Redis refuses, as often as the tap says.
    async fn refusals(&self) -> Result<(), Stop> {
        let Some(key) = &self.context.manifest().keys.kv else {
            self.context
                .observe("no `keys.kv`: no errors of commands to compare");
            return Ok(());
        };
        self.context.step("writes that Redis refuses");
        let pattern = key.fill(|_| Some("*".to_owned()));
        let answer = Action::Answer(ErrorReply::OutOfMemory);
        let rule = Rule::new(When::any().key(&pattern), answer);
        let fault = self
            .environment
            .network_fault(&self.instance.wiring, StoreKind::Redis, rule)
            .await?;
        let begin = self.figures.begin().await?;
        for number in 0..REFUSED_CALLS {
            let answer = self.ask(OperationName::KvSet, number).await?;
            expect(
                answer.kind() != AnswerKind::Ok,
                "a write that Redis refused to fail",
                answer.describe(),
            )?;
        }
        let between = self.figures.until_now(begin).await?;
        fault.heal().await?;
        let refused = between.commands.iter().filter(|c| c.rule.is_some()).count();
        let counted = between.risen(&self.section.errors);
        expect(
            counted == refused as f64,
            format!("`{}` to rise by {refused}", self.section.errors.0),
            format!("by {counted}"),
        )?;
        self.figures.commands_agree(&between)
    }

    async fn outage(&self) -> Result<(), Stop> {
        self.context
            .step("cut the connection to redis, and reject new ones");
        let begin = self.figures.begin().await?;
        let (environment, wiring) = (&self.environment, &self.instance.wiring);
        let redis = StoreKind::Redis;
        let reject = environment.network_fault(wiring, redis, Reject).await?;
        let mode = CutMode::Reset;
        let cut = environment.network_fault(wiring, redis, Cut { mode });
        drop(cut.await?);
        self.state(0.0, "without Redis").await?;
        let mut failed = 0.0;
        for number in 0..REFUSED_CALLS {
            let answer = self.ask(OperationName::KvGet, number).await?;
            failed += f64::from(u8::from(answer.kind() == AnswerKind::Other));
        }
        self.attempts(ATTEMPTS).await?;
        self.context.step("let it reconnect");
        reject.heal().await?;
        self.works_again().await?;
        self.state(1.0, "with Redis back").await?;
        let between = self.figures.until_now(begin).await?;
        let attempts = self.attempts(ATTEMPTS).await?;
        let errors = between.risen(&self.section.errors);
        expect(
            errors >= failed,
            format!(
                "`{}` to rise by {failed} failed reads or more",
                self.section.errors.0
            ),
            format!("by {errors}"),
        )?;
        let reconnects = between.risen(&self.section.reconnects);
        expect(
            reconnects == 1.0,
            format!(
                "`{}` to rise by 1, for one outage",
                self.section.reconnects.0
            ),
            format!("by {reconnects}"),
        )?;
        if let Some(figure) = &self.section.attempts {
            let counted = between.risen(figure);
            expect(
                counted == attempts as f64,
                format!("`{}` to rise by {attempts}, as the tap saw", figure.0),
                format!("by {counted}"),
            )?;
        }
        self.context.observe(format!(
            "in the outage: {attempts} attempts, {errors} errors counted, {failed} reads failed"
        ));
        Ok(())
    }

    /// Waits for so many attempts since the cut; how many there are.
    async fn attempts(&self, least: usize) -> Result<usize, Stop> {
        let what = format!("{least} attempts to reconnect");
        let deadline = self.context.deadline(|d| d.recover_ms);
        let seen = poll_until(&what, deadline, POLL, || async {
            let connections = match self.instance.proxy(StoreKind::Redis).connections().await {
                Ok(connections) => connections,
                Err(error) => return Look::NotYet(error.to_string()),
            };
            let cut = |c: &touchstone_engine::proxy::ConnectionRecord| {
                c.ending == Some(Ending::CutByFault)
            };
            let last_cut = connections.iter().rposition(cut);
            match last_cut.map(|place| connections.len() - place - 1) {
                Some(attempts) if attempts >= least => Look::Ready(attempts),
                seen => Look::NotYet(format!("{seen:?}")),
            }
        });
        seen.await.or_fail(&what)
    }

    async fn works_again(&self) -> Result<(), Stop> {
        let what = "a write to work again";
        let deadline = self.context.deadline(|d| d.recover_ms);
        poll_until(what, deadline + GRACE, POLL, || async {
            match self.ask(OperationName::KvSet, 0).await {
                Ok(answer) if answer.kind() == AnswerKind::Ok => Look::Ready(()),
                Ok(answer) => Look::NotYet(answer.describe()),
                Err(stop) => Look::NotYet(format!("{stop:?}")),
            }
        })
        .await
        .or_fail(what)
    }

    async fn call(&self, name: OperationName, number: usize) -> Result<Answer, Stop> {
        let answer = self.ask(name, number).await?;
        expect(
            matches!(answer.kind(), AnswerKind::Ok | AnswerKind::Absent),
            format!("`{}` to succeed", name.key()),
            answer.describe(),
        )?;
        Ok(answer)
    }

    async fn ask(&self, name: OperationName, number: usize) -> Result<Answer, Stop> {
        let key = format!("{}-{number}", self.canary);
        let values: &[(&str, &[u8])] = &[
            ("key", key.as_bytes()),
            ("value", self.canary.as_bytes()),
            ("user", key.as_bytes()),
            ("endpoint", b"figures"),
        ];
        Ok(self.instance.http.call(name, values).await?)
    }
}

fn is_called(command: &touchstone_engine::proxy::CommandRecord, name: &str) -> bool {
    command.name.split(' ').next() == Some(name)
}

fn took_s(answer: &Answer) -> f64 {
    (answer.returned_us - answer.called_us) as f64 / 1e6
}
