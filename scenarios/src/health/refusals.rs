//! HLTH-10: Redis is there and answers, and what it answers is an error.

use super::story::{GRACE, HOLD_MARGIN, ROW, is, judge_answers, same_processes, shows};
use crate::store_view::StoreView;
use futures::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::timeline::{Probe, ProbeAnswer};
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::RefusalKind;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::prober::{PROBE_PERIOD, Prober};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::{ShownAs, Template};
use touchstone_engine::subject::{Answer, OperationName};

const POLL: Duration = Duration::from_millis(20);

/// HLTH-10.
pub(super) const ERRORS: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-10",
        statement: "Redis that answers with an error (NOPERM, WRONGPASS after a password change, max clients, OOM, NOREPLICAS, READONLY, LOADING, NOAUTH, MISCONF): health as the manifest declares, requests refused within 1 s, recovery when the cause goes",
        profile: Profile::Release,
    },
    expected: Duration::from_secs(15),
    run: |context| errors(context).boxed(),
};

async fn errors(context: &Context) -> Result<(), Stop> {
    context.require(&[OperationName::KvSet, OperationName::KvGet])?;
    let manifest = context.manifest();
    let declared = &manifest.refusals;
    context.section("refusals", declared.keys().next())?;
    let degraded = context.section("degraded", manifest.degraded.as_ref())?;
    let key = context.section("keys.kv", manifest.keys.kv.as_ref())?;
    let (environment, instance) = context.start().await?;
    let prober = context.probe(&instance)?;
    let processes = instance.processes();
    let story = Story {
        context,
        environment,
        instance,
        prober,
        key,
        refusal_status: degraded.refusal_status,
    };
    story
        .see_health(ShownAs::Connected, |d| d.recover_ms)
        .await?;
    story.write("kept").await?;
    for kind in RefusalKind::ALL {
        match declared.get(&kind) {
            Some(shown_as) => story.refusal(kind, *shown_as).await?,
            None => context.observe(format!("`refusals.{}` is not declared", kind.name())),
        }
    }
    same_processes(&story.instance, &processes)?;
    judge_answers(context, &story.prober.finish().await?)
}

struct Story<'a> {
    context: &'a Context,
    environment: Arc<Environment>,
    instance: Arc<Instance>,
    prober: Prober,
    key: &'a Template,
    refusal_status: u16,
}

impl Story<'_> {
    async fn refusal(&self, kind: RefusalKind, shown_as: ShownAs) -> Result<(), Stop> {
        let context = self.context;
        context.step(format!("Redis refuses: {}", kind.name()));
        let refused = format!("refused-{}", kind.name());
        let fault = match kind.answer() {
            Some(rule) => {
                let wiring = &self.instance.wiring;
                let answering = self
                    .environment
                    .network_fault(wiring, StoreKind::Redis, rule);
                answering.await?
            }
            None => self.environment.refusal(kind).await?,
        };
        self.is_refused(OperationName::KvSet, &refused).await?;
        if !kind.spares_reads() {
            self.is_refused(OperationName::KvGet, "kept").await?;
        }
        // A service may replace its connection because of what it was told; that, too, is over by then.
        let shown = self.see_health(shown_as, |d| d.health_notice_ms).await?;
        if kind.spares_reads() {
            let read = self.call(OperationName::KvGet, "kept").await?;
            expect(
                read.kind() == AnswerKind::Ok,
                format!("reads work while only writes are refused ({})", kind.name()),
                read.describe(),
            )?;
        }
        self.holds(kind, shown_as, shown.sent_us).await?;
        self.is_refused(OperationName::KvSet, &refused).await?;
        context.observe(fault.bite().unwrap_or_default());
        context.step(format!("the cause goes: {}", kind.name()));
        fault.heal().await?;
        self.recovers(kind, &refused).await
    }

    async fn call(&self, name: OperationName, key: &str) -> Result<Answer, Stop> {
        let deadline = self.context.deadline(|d| d.degraded_answer_ms);
        let http = self.instance.http.with_deadline(deadline);
        let values: &[(&str, &[u8])] = &[("key", key.as_bytes()), ("value", b"x")];
        Ok(http.call(name, values).await?)
    }

    async fn is_refused(&self, name: OperationName, key: &str) -> Result<(), Stop> {
        let answer = self.call(name, key).await?;
        let status = self.refusal_status;
        expect(
            answer.status == status && answer.json().is_some(),
            format!("`{}` answers {status} with a JSON error", name.key()),
            answer.describe(),
        )
    }

    async fn write(&self, key: &str) -> Result<(), Stop> {
        let answer = self.call(OperationName::KvSet, key).await?;
        expect(
            answer.kind() == AnswerKind::Ok,
            "a write works while Redis does",
            answer.describe(),
        )
    }

    /// Health shows Redis so, and Postgres as there, in a row of probes from now on.
    async fn see_health(
        &self,
        shown_as: ShownAs,
        pick: fn(&touchstone_engine::subject::manifest::Deadlines) -> u64,
    ) -> Result<Probe, Stop> {
        let context = self.context;
        let what = format!("health shows redis {}", word(shown_as));
        let from_us = context.clock().now_us();
        let deadline = context.deadline(pick);
        let seen = self
            .prober
            .wait_for_row(&what, (from_us, ROW), deadline + GRACE, |answer| {
                shows_as(answer, shown_as)
            })
            .await
            .or_fail(format!("{what} within {} ms", deadline.as_millis()))?;
        let took = Duration::from_micros(seen.done_us.saturating_sub(from_us));
        context.met(&what, pick, took.saturating_sub(PROBE_PERIOD))?;
        Ok(seen)
    }

    /// Every probe says the same, as long as nothing changes.
    async fn holds(&self, kind: RefusalKind, shown_as: ShownAs, from_us: u64) -> Result<(), Stop> {
        let hold = self.context.deadline(|d| d.health_answer_ms) + HOLD_MARGIN;
        let until_us = from_us + u64::try_from(hold.as_micros()).unwrap_or(u64::MAX);
        let late = |probe: &Probe| probe.done_us >= until_us;
        let over = poll_until("the refusal to last", hold + GRACE, POLL, || async {
            match self.prober.so_far().last() {
                Some(probe) if late(probe) => Look::Ready(()),
                last => Look::NotYet(last.map_or_else(String::new, Probe::describe)),
            }
        });
        over.await.or_fail("probes answered while Redis refuses")?;
        let mut probes = self.prober.so_far();
        probes.retain(|probe| probe.sent_us >= from_us);
        match probes
            .iter()
            .find(|probe| !shows_as(&probe.answer, shown_as))
        {
            None => Ok(()),
            Some(other) => Err(Stop::fail(
                format!(
                    "redis {} as long as it refuses: {}",
                    word(shown_as),
                    kind.name()
                ),
                other.describe(),
            )),
        }
    }

    /// Health, writes and reads are back; what was refused has not been done.
    async fn recovers(&self, kind: RefusalKind, refused: &str) -> Result<(), Stop> {
        let deadline = self.context.deadline(|d| d.recover_ms);
        self.see_health(ShownAs::Connected, |d| d.recover_ms)
            .await?;
        let what = format!("a write to work again after `{}`", kind.name());
        poll_until(&what, deadline, POLL, || async {
            match self.write("kept").await {
                Ok(()) => Look::Ready(()),
                Err(stop) => Look::NotYet(format!("{stop:?}")),
            }
        })
        .await
        .or_fail(&what)?;
        self.see_health(ShownAs::Connected, |d| d.recover_ms)
            .await?;
        let store = StoreView::open(&self.environment).await?;
        let fill = |part: &str| (part == "key").then(|| refused.to_owned());
        let key = self.key.fill(fill);
        expect(
            !store.exists(&key).await?,
            "a write that was refused never runs",
            format!("`{key}` is in the store"),
        )
    }
}

fn shows_as(answer: &ProbeAnswer, shown_as: ShownAs) -> bool {
    let away: &[StoreKind] = match shown_as {
        ShownAs::Connected => &[],
        ShownAs::Disconnected => &[StoreKind::Redis],
    };
    is(answer, |seen| shows(seen, away))
}

fn word(shown_as: ShownAs) -> &'static str {
    match shown_as {
        ShownAs::Connected => "connected",
        ShownAs::Disconnected => "disconnected",
    }
}
