//! LOCK-1: one holder at a time, and a holder that comes too late does no harm.
//!
//! Interleavings are forced: a request is held at each of the commands that it sends, while the other instance does
//! what must not be possible together with it.

use super::client::{Held, Locks};
use futures::FutureExt;
use futures::future::{join, join_all};
use std::future::Future;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::schedule::{CrashPoint, Hold, TraceBegin, Traced};

/// Below the response timeouts that services have.
pub(super) const HOLD_LONGEST: Duration = Duration::from_millis(400);
const ROUNDS: usize = 5;
const CONTENDERS: usize = 20;

/// LOCK-1.
pub(super) const ONE_HOLDER: Scenario = Scenario {
    criterion: Criterion {
        id: "LOCK-1",
        statement: "Two instances never hold one lock at once (fencing tokens rise); the lock of a frozen holder expires, and its late write is refused",
        profile: Profile::Release,
    },
    expected: Duration::from_secs(2),
    run: |context| one_holder(context).boxed(),
};

async fn one_holder(context: &Context) -> Result<(), Stop> {
    let locks = Locks::start(context).await?;
    context.step("take it, be refused, give it back, in turns");
    locks.in_turns().await?;
    context.step(format!(
        "{ROUNDS} times {CONTENDERS} contenders on two instances"
    ));
    locks.contended().await?;
    locks.held_while_acquiring().await?;
    locks.held_while_releasing().await?;
    locks.late_writes().await?;
    locks.frozen_holder().await
}

impl Locks<'_> {
    /// The plain story on both instances, with tokens that rise from one to the next.
    async fn in_turns(&self) -> Result<(), Stop> {
        let name = "turns";
        let (one, other) = (&self.one.http, &self.other.http);
        let mut last = 0;
        for turn in 1..=ROUNDS {
            let (holder, loser) = if turn % 2 == 0 {
                (one, other)
            } else {
                (other, one)
            };
            let held = self.acquire(holder, name, "it was given back").await?;
            self.rises(&mut last, &held)?;
            let is_there = self.has_an_end(name, "once it is held").await?;
            let key = self.key(name);
            expect(is_there, format!("`{key}` in the store"), "no such key")?;
            for http in [holder, loser] {
                let taken = self.try_acquire(http, name).await?;
                let seen = "it was taken a second time";
                expect(taken.is_none(), "a lock that is held to be refused", seen)?;
            }
            let nobody = other_holder(&held.holder);
            let freed = self.release(loser, name, &nobody).await?;
            expect(
                !freed && self.try_acquire(loser, name).await?.is_none(),
                "only its holder to give a lock back",
                "somebody else did",
            )?;
            let freed = self.release(loser, name, &held.holder).await?;
            let seen = "refused";
            expect(
                freed,
                "its holder to give a lock back, through any instance",
                seen,
            )?;
        }
        // One that was not given back: its holder has died.
        let held = self.acquire(one, name, "it was given back").await?;
        self.rises(&mut last, &held)?;
        self.expire(name).await?;
        let next = self.acquire(other, name, "it has expired").await?;
        self.rises(&mut last, &next)?;
        let freed = self.release(one, name, &held.holder).await?;
        expect(
            !freed && self.try_acquire(one, name).await?.is_none(),
            "a holder whose lock has expired not to give back the next holder's",
            "it did",
        )
    }

    /// All at once, and who has won gives it back at once: never two, and tokens in the order of the rounds.
    async fn contended(&self) -> Result<(), Stop> {
        let mut last = 0;
        for _ in 0..ROUNDS {
            let instances = [&self.one, &self.other].into_iter().cycle();
            let contenders = instances
                .take(CONTENDERS)
                .map(|instance| self.try_acquire(&instance.http, "contended"));
            let tried: Result<Vec<_>, Stop> = join_all(contenders).await.into_iter().collect();
            let winners: Vec<Held> = tried?.into_iter().flatten().collect();
            expect(
                winners.len() == 1,
                format!("one of {CONTENDERS} contenders to hold the lock"),
                format!("{} hold it", winners.len()),
            )?;
            self.rises(&mut last, &winners[0])?;
            let http = &self.other.http;
            let freed = self.release(http, "contended", &winners[0].holder).await?;
            expect(freed, "the winner to give the lock back", "refused")?;
        }
        Ok(())
    }

    /// One is held at each command of taking a lock; meanwhile the other takes it.
    async fn held_while_acquiring(&self) -> Result<(), Stop> {
        let (one, other) = (&self.one.http, &self.other.http);
        // The first of all sends more, for instance a script.
        self.acquire(one, "acquire-warm", "nobody has it").await?;
        let begin = Traced::begin(&self.one.wiring).await?;
        self.acquire(one, "acquire-traced", "nobody has it").await?;
        let traced = self.traced(begin, "acquire-traced").await?;
        self.told("taking a lock", &traced);
        for point in traced.crash_points() {
            let name = format!("acquire-{}", point.line);
            let meanwhile = async {
                self.has_an_end(&name, "while its holder is still taking it")
                    .await?;
                self.try_acquire(other, &name).await
            };
            let taking = self.try_acquire(one, &name);
            let held = self.while_held(&point, &name, taking, meanwhile).await;
            let judged = held.and_then(|(late, meanwhile)| {
                let both = late.is_some() && meanwhile.is_some();
                expect(
                    !both,
                    "two instances never to hold one lock at once",
                    "both were told that they hold it",
                )
            });
            with_trace(judged, &traced, &point)?;
        }
        Ok(())
    }

    /// A holder is held at each command of giving back; meanwhile its lock expires and the other takes it.
    async fn held_while_releasing(&self) -> Result<(), Stop> {
        let (one, other) = (&self.one.http, &self.other.http);
        for warm_or_traced in ["release-warm", "release-traced"] {
            let held = self.acquire(one, warm_or_traced, "nobody has it").await?;
            let begin = Traced::begin(&self.one.wiring).await?;
            self.release(one, warm_or_traced, &held.holder).await?;
            if warm_or_traced == "release-warm" {
                continue;
            }
            let traced = self.traced(begin, warm_or_traced).await?;
            self.told("giving a lock back", &traced);
            for point in traced.crash_points() {
                let name = format!("release-{}", point.line);
                let held = self.acquire(one, &name, "nobody has it").await?;
                let meanwhile = async {
                    self.expire(&name).await?;
                    self.acquire(other, &name, "it has expired").await
                };
                let giving = self.release(one, &name, &held.holder);
                let (_, next) = self.while_held(&point, &name, giving, meanwhile).await?;
                let taken = self.try_acquire(one, &name).await?;
                let judged = expect(
                    taken.is_none(),
                    format!(
                        "the lock of the next holder (token {}) to stay when one that is late gives back his own",
                        next.fencing_token
                    ),
                    "it was free again",
                );
                with_trace(judged, &traced, &point)?;
            }
        }
        Ok(())
    }

    fn rises(&self, last: &mut i64, held: &Held) -> Result<(), Stop> {
        let token = held.fencing_token;
        expect(
            token > *last,
            format!("a fencing token greater than the one before, {last}"),
            token.to_string(),
        )?;
        *last = token;
        Ok(())
    }

    pub(super) async fn traced(&self, begin: TraceBegin, name: &str) -> Result<Traced, Stop> {
        let traced = Traced::since(begin, &self.one.wiring, &self.about(name)).await?;
        expect(
            !traced.commands.is_empty(),
            format!("a command about `{name}`"),
            "none in the trace",
        )?;
        Ok(traced)
    }

    pub(super) fn told(&self, what: &str, traced: &Traced) {
        let commands = traced.commands.len();
        self.context
            .step(format!("{what}, held at each of its {commands} commands"));
    }

    /// Runs a request of the first instance; while it is held at that command, something else happens.
    pub(super) async fn while_held<T, U>(
        &self,
        point: &CrashPoint,
        name: &str,
        request: impl Future<Output = Result<T, Stop>>,
        meanwhile: impl Future<Output = Result<U, Stop>>,
    ) -> Result<(T, U), Stop> {
        let mut about = self.about(name).into_iter();
        let of_store = about.find(|(store, _)| *store == point.store);
        let (store, when) = of_store.ok_or_else(|| Stop::unknown("a command of no store"))?;
        let (of, when) = (&self.one.wiring, when.nth(point.nth));
        let hold = Hold::command(&self.environment, of, store, when, HOLD_LONGEST).await?;
        let past = async {
            let caught = hold.caught().await;
            caught.map_err(|timeout| Stop::unknown(timeout.to_string()))?;
            let done = meanwhile.await?;
            hold.release().await?;
            Ok::<_, Stop>(done)
        };
        let (late, past) = join(request, past).await;
        let past = past?;
        Ok((late?, past))
    }
}

/// A failure with the commands of the request that was held.
pub(super) fn with_trace(
    judged: Result<(), Stop>,
    traced: &Traced,
    point: &CrashPoint,
) -> Result<(), Stop> {
    judged.map_err(|stop| match stop {
        Stop::Fail(mut finding) => {
            let told = "a request was held at the arrow:".to_owned();
            finding.evidence.push(told);
            finding.evidence.extend(traced.told(Some(point.line)));
            Stop::Fail(finding)
        }
        other => other,
    })
}

/// Somebody who is not the holder, and looks like one.
fn other_holder(holder: &str) -> String {
    let turned: String = holder.chars().rev().collect();
    if turned == holder {
        format!("{holder}0")
    } else {
        turned
    }
}
