//! TOK-2: of many who offer one code at the same moment, one wins.
//!
//! Not left to luck: a consumer is held at each of the commands that it sends, while another one on another instance
//! consumes the code; and 50 are sent before the first is answered.

use super::client::{Codes, kinds};
use crate::health::story::late;
use futures::FutureExt;
use futures::future::{join, join_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::FaultGuard;
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::schedule::{CrashPoint, Hold, Traced};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::Answer;
use touchstone_engine::subject::client::AnswerKind;

const CONSUMERS: usize = 50;
/// Long against the sending of all requests, short against every timeout.
const LATE: Duration = Duration::from_millis(60);
/// Below the response timeouts that services have.
pub(super) const HOLD_LONGEST: Duration = Duration::from_millis(400);
/// On a busy machine the requests of a burst may not be sent together.
const TRIES: usize = 5;

/// TOK-2.
pub(super) const ONE_WINS: Scenario = Scenario {
    criterion: Criterion {
        id: "TOK-2",
        statement: "50 concurrent consumers of one code: exactly one wins",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| one_wins(context).boxed(),
};

struct Race<'a> {
    context: &'a Context,
    environment: Arc<Environment>,
    instances: [Arc<Instance>; 2],
}

async fn one_wins(context: &Context) -> Result<(), Stop> {
    let kinds = kinds(context)?;
    let (environment, first) = context.start().await?;
    context.step("start a second instance");
    let second = environment.start_instance(&BTreeMap::new()).await?;
    let race = Race {
        context,
        environment,
        instances: [first, second],
    };
    for codes in &kinds {
        race.held_at_each_command(codes).await?;
    }
    let lines = race.slow_lines().await?;
    for codes in &kinds {
        race.all_at_once(codes).await?;
    }
    for line in lines {
        line.heal().await?;
    }
    Ok(())
}

impl Race<'_> {
    async fn held_at_each_command(&self, codes: &Codes<'_>) -> Result<(), Stop> {
        let [held, other] = &self.instances;
        let traced = trace(codes, &self.instances, "traced").await?;
        self.context.step(format!(
            "{}: a consumer is held at each of its {} commands",
            codes.name(),
            traced.commands.len()
        ));
        for point in traced.crash_points() {
            let user = format!("held-{}", point.line);
            let code = codes.issue(&other.http, &user).await?;
            let hold = hold(&self.environment, held, codes, &user, &point).await?;
            let past = async {
                let caught = hold.caught().await;
                caught.map_err(|timeout| Stop::unknown(timeout.to_string()))?;
                let answer = codes.offer(&other.http, &user, &code).await?;
                hold.release().await?;
                Ok::<_, Stop>(answer)
            };
            let (late, past) = join(codes.offer(&held.http, &user, &code), past).await;
            let mut finding = match one_winner(codes, &[late?, past?]) {
                Ok(()) => continue,
                Err(Stop::Fail(finding)) => finding,
                Err(stop) => return Err(stop),
            };
            let told = "one consumer was held at the arrow, meanwhile another one consumed:";
            finding.evidence.push(told.to_owned());
            finding.evidence.extend(traced.told(Some(point.line)));
            return Err(Stop::Fail(finding));
        }
        Ok(())
    }

    async fn slow_lines(&self) -> Result<Vec<FaultGuard>, Stop> {
        let mut lines = Vec::new();
        for instance in &self.instances {
            let (wiring, store) = (&instance.wiring, StoreKind::Redis);
            lines.push(
                self.environment
                    .network_fault(wiring, store, late(LATE))
                    .await?,
            );
        }
        Ok(lines)
    }

    async fn all_at_once(&self, codes: &Codes<'_>) -> Result<(), Stop> {
        let context = self.context;
        context.step(format!("{}: {CONSUMERS} consumers at once", codes.name()));
        for round in 1..=TRIES {
            let user = format!("burst-{round}");
            let code = codes.issue(&self.instances[0].http, &user).await?;
            let instances = self.instances.iter().cycle().take(CONSUMERS);
            let offers = instances.map(|instance| codes.offer(&instance.http, &user, &code));
            let answers: Result<Vec<Answer>, _> = join_all(offers).await.into_iter().collect();
            let answers = answers?;
            one_winner(codes, &answers)?;
            if sent_together(&answers) {
                return Ok(());
            }
        }
        let reason = format!("in {TRIES} rounds some requests were sent after the first answer");
        Err(Stop::unknown(reason))
    }
}

/// What a consumer sends who is refused nothing, once it has warmed up.
pub(super) async fn trace(
    codes: &Codes<'_>,
    instances: &[Arc<Instance>; 2],
    user: &str,
) -> Result<Traced, Stop> {
    let [one, other] = instances;
    for instance in instances {
        // The first of all sends more: scripts that are loaded, statements that are prepared.
        let user = format!("{user}-{}", instance.wiring.index);
        let code = codes.issue(&other.http, &user).await?;
        let what = "the right code";
        codes.accepted(&instance.http, &user, &code, what).await?;
    }
    let code = codes.issue(&other.http, user).await?;
    let begin = Traced::begin(&one.wiring).await?;
    codes
        .accepted(&one.http, user, &code, "the right code")
        .await?;
    let traced = Traced::since(begin, &one.wiring, &codes.about(user)).await?;
    expect(
        !traced.commands.is_empty(),
        format!("{}: a command about `{}`", codes.name(), codes.key(user)),
        "none in the trace of a consumer",
    )?;
    Ok(traced)
}

/// Holds a command of the next request about a user's code.
pub(super) async fn hold(
    environment: &Environment,
    held: &Instance,
    codes: &Codes<'_>,
    user: &str,
    point: &CrashPoint,
) -> Result<Hold, Stop> {
    let about = codes.about(user).into_iter();
    let mut of_store = about.filter(|(store, _)| *store == point.store);
    let (_, when) = of_store
        .next()
        .ok_or_else(|| Stop::unknown("a command of no store"))?;
    let (of, when) = (&held.wiring, when.nth(point.nth));
    Ok(Hold::command(environment, of, point.store, when, HOLD_LONGEST).await?)
}

/// One was accepted, and all others were refused.
fn one_winner(codes: &Codes<'_>, answers: &[Answer]) -> Result<(), Stop> {
    let won = |answer: &&Answer| answer.kind() == AnswerKind::Ok;
    let winners: Vec<&Answer> = answers.iter().filter(won).collect();
    let lost = |answer: &&Answer| answer.kind() == AnswerKind::Denied;
    let refused = answers.iter().filter(lost).count();
    if winners.len() == 1 && refused == answers.len() - 1 {
        return Ok(());
    }
    let expected = format!(
        "{}: one of {} consumers of a code to win, the others to be refused",
        codes.name(),
        answers.len()
    );
    let seen = format!("{} won, {refused} were refused", winners.len());
    let mut finding = Finding::new(expected, seen);
    let odd = |answer: &&Answer| !won(answer) && !lost(answer);
    let told = winners.into_iter().take(3);
    let told = told.chain(answers.iter().filter(odd).take(3));
    finding.evidence.extend(told.map(Answer::describe));
    Err(Stop::Fail(finding))
}

/// Whether each was sent before the first was answered.
pub(super) fn sent_together(answers: &[Answer]) -> bool {
    let last_called_us = answers.iter().map(|answer| answer.called_us).max();
    let first_returned_us = answers.iter().map(|answer| answer.returned_us).min();
    last_called_us < first_returned_us
}
