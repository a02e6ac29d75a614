//! TOK-3: a code cannot be found by trying.

use super::client::{Codes, kinds, wrong_number};
use super::race::{hold, sent_together, trace};
use crate::health::story::late;
use crate::store_view::StoreView;
use futures::FutureExt;
use futures::future::{join, join_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::Answer;

/// Many more than are allowed.
const GUESSERS: usize = 20;
const LATE: Duration = Duration::from_millis(60);
const TRIES: usize = 5;
/// Less than every lifetime: a wrong guess that starts one anew is found out.
const LEFT_MS: u64 = 100_000;

/// TOK-3.
pub(super) const VOID: Scenario = Scenario {
    criterion: Criterion {
        id: "TOK-3",
        statement: "Five wrong guesses void the code",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| void(context).boxed(),
};

struct Guessing<'a> {
    context: &'a Context,
    environment: Arc<Environment>,
    instances: [Arc<Instance>; 2],
    store: StoreView,
}

async fn void(context: &Context) -> Result<(), Stop> {
    let mut kinds = kinds(context)?;
    // Without a name beside it a wrong code is nobody's, and can void nothing.
    kinds.retain(|codes| codes.are_bound);
    context.section("{user} in an operation that consumes", kinds.first())?;
    let (environment, first) = context.start().await?;
    context.step("start a second instance");
    let second = environment.start_instance(&BTreeMap::new()).await?;
    let guessing = Guessing {
        context,
        store: StoreView::open(&environment).await?,
        environment,
        instances: [first, second],
    };
    for codes in &kinds {
        context.step(format!("{}: wrong guesses, one by one", codes.name()));
        guessing.one_less_is_harmless(codes).await?;
        guessing.one_by_one(codes).await?;
        guessing.held_at_each_command(codes).await?;
    }
    guessing.at_once(&kinds).await
}

impl Guessing<'_> {
    /// The right code still works then, and has not come to live longer.
    async fn one_less_is_harmless(&self, codes: &Codes<'_>) -> Result<(), Stop> {
        let (user, key) = ("almost", codes.key("almost"));
        let code = codes.issue(&self.instances[0].http, user).await?;
        self.store.move_expiry(&key, LEFT_MS).await?;
        self.guess(codes, user, &code, codes.guesses - 1).await?;
        let left_ms = self.store.pttl_ms(&key).await?;
        let left = u64::try_from(left_ms);
        expect(
            left.is_ok_and(|left_ms| left_ms <= LEFT_MS),
            format!("`{key}` to keep its expiry of {LEFT_MS} ms through wrong guesses"),
            format!("PTTL {left_ms}"),
        )?;
        let what = format!("the right code after {} wrong ones", codes.guesses - 1);
        let http = &self.instances[1].http;
        codes.accepted(http, user, &code, &what).await.map(drop)
    }

    async fn one_by_one(&self, codes: &Codes<'_>) -> Result<(), Stop> {
        let user = "void";
        let code = codes.issue(&self.instances[0].http, user).await?;
        self.guess(codes, user, &code, codes.guesses).await?;
        self.is_void(codes, user, &code).await?;
        // It was the code that was void, not the user.
        let http = &self.instances[0].http;
        let next = codes.issue(http, user).await?;
        let what = "the right code after one that was void";
        codes.accepted(http, user, &next, what).await.map(drop)
    }

    /// One guess is held at each of its commands, while all others but one are made.
    async fn held_at_each_command(&self, codes: &Codes<'_>) -> Result<(), Stop> {
        let [held, other] = &self.instances;
        let traced = self.trace_of_a_guess(codes).await?;
        for point in traced.crash_points() {
            let user = format!("held-{}", point.line);
            let code = codes.issue(&other.http, &user).await?;
            let hold = hold(&self.environment, held, codes, &user, &point).await?;
            let past = async {
                let caught = hold.caught().await;
                caught.map_err(|timeout| Stop::unknown(timeout.to_string()))?;
                for number in 1..codes.guesses {
                    let wrong = wrong_number(&code, (number % 8) as u8);
                    let what = "a wrong code";
                    codes.refused(&other.http, &user, &wrong, what).await?;
                }
                hold.release().await
            };
            let wrong = wrong_number(&code, 0);
            let guess = codes.refused(&held.http, &user, &wrong, "a wrong code");
            let (late, past) = join(guess, past).await;
            past?;
            late?;
            if let Err(Stop::Fail(finding)) = self.is_void(codes, &user, &code).await {
                let mut finding: Finding = finding;
                let told = "one guess was held at the arrow, meanwhile the others were made:";
                finding.evidence.push(told.to_owned());
                finding.evidence.extend(traced.told(Some(point.line)));
                return Err(Stop::Fail(finding));
            }
        }
        Ok(())
    }

    async fn trace_of_a_guess(
        &self,
        codes: &Codes<'_>,
    ) -> Result<touchstone_engine::schedule::Traced, Stop> {
        use touchstone_engine::schedule::Traced;
        trace(codes, &self.instances, "warm").await?;
        let (one, user) = (&self.instances[0], "traced");
        let code = codes.issue(&one.http, user).await?;
        let begin = Traced::begin(&one.wiring).await?;
        let wrong = wrong_number(&code, 0);
        codes
            .refused(&one.http, user, &wrong, "a wrong code")
            .await?;
        Ok(Traced::since(begin, &one.wiring, &codes.about(user)).await?)
    }

    /// Many at the same moment count as many.
    async fn at_once(&self, kinds: &[Codes<'_>]) -> Result<(), Stop> {
        let mut lines = Vec::new();
        for instance in &self.instances {
            let (wiring, store) = (&instance.wiring, StoreKind::Redis);
            let line = self.environment.network_fault(wiring, store, late(LATE));
            lines.push(line.await?);
        }
        for codes in kinds {
            let name = codes.name();
            self.context
                .step(format!("{name}: {GUESSERS} wrong guesses at once"));
            self.burst(codes).await?;
        }
        for line in lines {
            line.heal().await?;
        }
        Ok(())
    }

    async fn burst(&self, codes: &Codes<'_>) -> Result<(), Stop> {
        for round in 1..=TRIES {
            let user = format!("burst-{round}");
            let code = codes.issue(&self.instances[0].http, &user).await?;
            let wrongs: Vec<String> = (0..GUESSERS)
                .map(|number| wrong_number(&code, (number % 8) as u8))
                .collect();
            let instances = self.instances.iter().cycle();
            let guesses = wrongs
                .iter()
                .zip(instances)
                .map(|(wrong, at)| codes.refused(&at.http, &user, wrong, "a wrong code"));
            let answers: Result<Vec<Answer>, Stop> = join_all(guesses).await.into_iter().collect();
            let answers = answers?;
            self.is_void(codes, &user, &code).await?;
            if sent_together(&answers) {
                return Ok(());
            }
        }
        let reason = format!("in {TRIES} rounds some guesses were sent after the first answer");
        Err(Stop::unknown(reason))
    }

    /// So many wrong codes, on both instances in turn.
    async fn guess(
        &self,
        codes: &Codes<'_>,
        user: &str,
        code: &str,
        count: u32,
    ) -> Result<(), Stop> {
        for (number, instance) in (0..count).zip(self.instances.iter().cycle()) {
            let wrong = wrong_number(code, (number % 8) as u8);
            codes
                .refused(&instance.http, user, &wrong, "a wrong code")
                .await?;
        }
        Ok(())
    }

    async fn is_void(&self, codes: &Codes<'_>, user: &str, code: &str) -> Result<(), Stop> {
        let what = format!("the right code after {} wrong ones or more", codes.guesses);
        for instance in &self.instances {
            codes.refused(&instance.http, user, code, &what).await?;
        }
        Ok(())
    }
}
