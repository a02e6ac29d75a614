//! OBS-6: one id for a request, in its answer and in every line that it causes.

use crate::health::story::late;
use futures::FutureExt;
use futures::future::join_all;
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::TraceSection;
use touchstone_engine::subject::{Answer, OperationName};

/// Slow enough that the command is logged.
const LATE: Duration = Duration::from_millis(120);
const AT_ONCE: usize = 4;
const LOG_DEADLINE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);
const TRACEPARENT: &str = "traceparent";

static ID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("[0-9a-f]{32}").expect("a regular expression"));

/// OBS-6.
pub(super) const FOLLOWED: Scenario = Scenario {
    criterion: Criterion {
        id: "OBS-6",
        statement: "A request has a trace id: that of its traceparent if it has a valid one, else a new one; the answer tells it, and every log line of the request carries it",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| followed(context).boxed(),
};

async fn followed(context: &Context) -> Result<(), Stop> {
    let manifest = context.manifest();
    let section = context.section("trace", manifest.trace.as_ref())?;
    let slow = context.section("logs.slow_command", manifest.logs.slow_command.as_ref())?;
    context.require(&[OperationName::KvGet])?;
    let (environment, instance) = context.start().await?;
    context.step("slow commands, which leave a line each");
    let fault = environment
        .network_fault(&instance.wiring, StoreKind::Redis, late(LATE))
        .await?;
    let followed = Followed {
        section,
        slow: &slow.0,
        instance,
    };
    followed.the_callers(context).await?;
    followed.its_own().await?;
    Ok(fault.heal().await?)
}

struct Followed<'a> {
    section: &'a TraceSection,
    slow: &'a Regex,
    instance: Arc<Instance>,
}

impl Followed<'_> {
    /// Several callers at once, each with a trace: none gets another's.
    async fn the_callers(&self, context: &Context) -> Result<(), Stop> {
        let before = self.logged().len();
        let given: Vec<String> = (0..AT_ONCE)
            .map(|_| format!("{:032x}", rand::random_range(1..u128::MAX)))
            .collect();
        let headers: Vec<String> = given
            .iter()
            .map(|id| format!("00-{id}-b7ad6b7169203331-01"))
            .collect();
        let answers = join_all(headers.iter().map(|header| self.ask(Some(header)))).await;
        for (id, answer) in given.iter().zip(answers) {
            let told = self.told(&answer?)?;
            expect(
                told == *id,
                format!(
                    "the caller's trace id {id} in `{}`",
                    self.section.answer_header
                ),
                told,
            )?;
        }
        let logged = self.logged_since(before, &given).await?;
        context.observe(format!(
            "{AT_ONCE} requests at once, {} lines",
            logged.len()
        ));
        Ok(())
    }

    /// Without a trace of the caller's, and with one that is none.
    async fn its_own(&self) -> Result<(), Stop> {
        let wrong = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let mut ids = Vec::new();
        for header in [None, Some(wrong), Some("nonsense")] {
            let before = self.logged().len();
            let id = self.told(&self.ask(header).await?)?;
            let zero = id.bytes().all(|digit| digit == b'0');
            expect(
                !zero && !ids.contains(&id),
                format!("a trace id of its own for a request with {header:?}"),
                format!("{id}, after {ids:?}"),
            )?;
            self.logged_since(before, std::slice::from_ref(&id)).await?;
            ids.push(id);
        }
        Ok(())
    }

    async fn ask(&self, traceparent: Option<&str>) -> Result<Answer, Stop> {
        let (http, name) = (&self.instance.http, OperationName::KvGet);
        let values: &[(&str, &[u8])] = &[("key", b"traced")];
        let answer = match traceparent {
            Some(header) => {
                http.call_with(name, values, &[(TRACEPARENT, header)])
                    .await?
            }
            None => http.call(name, values).await?,
        };
        expect(
            matches!(answer.kind(), AnswerKind::Ok | AnswerKind::Absent),
            format!("a read to work on a line of {} ms", LATE.as_millis()),
            answer.describe(),
        )?;
        Ok(answer)
    }

    fn told(&self, answer: &Answer) -> Result<String, Stop> {
        let name = &self.section.answer_header;
        let header = answer.header(name);
        let id = header.and_then(|header| ID.find(header));
        id.map(|id| id.as_str().to_owned()).ok_or_else(|| {
            let seen = header.unwrap_or("no such header");
            Stop::fail(format!("a trace id in `{name}`"), seen)
        })
    }

    /// The trace of each line about a slow command, or the line where it has none.
    fn logged(&self) -> Vec<String> {
        let text = self.instance.log.text();
        let slow = text.lines().filter(|line| self.slow.is_match(line));
        let trace = |line: &str| match self.section.logged.0.captures(line) {
            Some(found) => found["trace_id"].to_owned(),
            None => line.to_owned(),
        };
        slow.map(trace).collect()
    }

    /// These and no others, once each of them is there. Commands of nobody's request have none.
    async fn logged_since(&self, before: usize, wanted: &[String]) -> Result<Vec<String>, Stop> {
        let what = format!("a line of a slow command with each of {wanted:?}");
        let all: BTreeSet<&String> = wanted.iter().collect();
        let logged = poll_until(&what, LOG_DEADLINE, POLL, || async {
            let mut logged = self.logged().split_off(before);
            let seen: BTreeSet<String> = logged.iter().cloned().collect();
            if all.iter().all(|id| seen.contains(*id)) {
                logged.retain(|id| ID.is_match(id));
                return Look::Ready(logged);
            }
            Look::NotYet(format!("{logged:?}"))
        });
        let logged = logged.await.or_fail(&what)?;
        let strange = logged
            .iter()
            .find(|id| id.len() == 32 && !all.contains(*id));
        expect(
            strange.is_none(),
            format!("no trace but {wanted:?} in these lines"),
            format!("{strange:?}"),
        )?;
        Ok(logged)
    }
}
