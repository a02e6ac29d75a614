//! SESS-5: what one instance ends has ended on every other, at once.

use super::client::{Held, SessionClient};
use crate::health::story::late;
use futures::FutureExt;
use futures::future::{join, join_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::{Answer, HttpClient, OperationName};

const USER: &str = "ann";
const ROUNDS: usize = 3;
const READERS: usize = 4;
/// Reads on each instance before the end: what could be remembered, is.
const READS_BEFORE: usize = 2;
/// How late Redis's replies to the second instance are while it touches: longer than a logout takes.
const LATE: Duration = Duration::from_millis(30);
const TOUCHERS: usize = 4;

/// SESS-5.
pub(super) const ENDED_EVERYWHERE: Scenario = Scenario {
    criterion: Criterion {
        id: "SESS-5",
        statement: "A revoked or expired session is refused at once on every instance",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| ended_everywhere(context).boxed(),
};

/// How a session ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Logout,
    FromTheList,
    All,
    Expiry,
}

struct Two<'a> {
    context: &'a Context,
    sessions: SessionClient<'a>,
    instances: [Arc<Instance>; 2],
}

async fn ended_everywhere(context: &Context) -> Result<(), Stop> {
    use OperationName::{SessionEnd, SessionList, SessionRevoke, SessionRevokeAll};
    let operations = [SessionEnd, SessionList, SessionRevoke, SessionRevokeAll];
    let section = SessionClient::declared(context, &operations)?;
    let (environment, first) = context.start().await?;
    let second = environment.start_instance(&BTreeMap::new()).await?;
    context.measure_from_now();
    let sessions = SessionClient::open(&environment, section).await?;
    sessions.account(&first.http, USER).await?;
    let two = Two {
        context,
        sessions,
        instances: [first, second],
    };
    let mut reads = 0;
    for end in [End::Logout, End::FromTheList, End::All, End::Expiry] {
        context.step(format!(
            "{ROUNDS} sessions, ended on one instance ({end:?}), read on the other"
        ));
        for round in 0..ROUNDS {
            reads += two.is_refused_at_once(end, round).await?;
        }
    }
    context.observe(format!("{reads} reads while and after sessions were ended"));
    if context
        .manifest()
        .operations
        .contains_key(&OperationName::SessionTouch)
    {
        two.touch_brings_nothing_back(&environment).await?;
    }
    Ok(())
}

impl Two<'_> {
    fn http(&self, number: usize) -> &HttpClient {
        &self.instances[number % 2].http
    }

    /// Returns how many reads there were meanwhile.
    async fn is_refused_at_once(&self, end: End, round: usize) -> Result<usize, Stop> {
        let (sessions, here, there) = (&self.sessions, self.http(round), self.http(round + 1));
        let (held, key) = sessions.login_and_find(here, USER, "ended").await?;
        for http in [here, there].into_iter().cycle().take(2 * READS_BEFORE) {
            sessions.known(http, &held, "on each instance").await?;
        }
        let over = AtomicBool::new(false);
        let ending = async {
            let ended_us = self.end(end, here, &held, &key).await;
            over.store(true, Ordering::Relaxed);
            ended_us
        };
        let readers = join_all((0..READERS).map(|reader| self.read_until(&held, reader, &over)));
        let (ended_us, read) = join(ending, readers).await;
        let ended_us = ended_us?;
        let mut count = 0;
        for (known, answer) in read.into_iter().collect::<Result<Vec<_>, _>>()?.concat() {
            count += 1;
            expect(
                !known || answer.called_us <= ended_us,
                format!("every read refused that began after the end ({end:?}) at {ended_us} us"),
                format!("{}, begun at {} us", answer.describe(), answer.called_us),
            )?;
        }
        for http in [there, here] {
            sessions
                .refused(http, &held, &format!("after its end ({end:?})"))
                .await?;
        }
        let kept = sessions.store.exists(&key).await?;
        expect(
            !kept,
            format!("no session in the store after its end ({end:?})"),
            "its key is there",
        )?;
        Ok(count)
    }

    /// Reads on both instances until it is over, and once more.
    async fn read_until(
        &self,
        held: &Held,
        reader: usize,
        over: &AtomicBool,
    ) -> Result<Vec<(bool, Answer)>, Stop> {
        let mut reads = Vec::new();
        let mut number = reader;
        loop {
            let last = over.load(Ordering::Relaxed);
            reads.push(self.sessions.is_known(self.http(number), held).await?);
            if last {
                return Ok(reads);
            }
            number += 1;
        }
    }

    /// Ends it; returns by when it must have ended.
    async fn end(&self, end: End, http: &HttpClient, held: &Held, key: &str) -> Result<u64, Stop> {
        let sessions = &self.sessions;
        let answer = match end {
            End::Logout => {
                sessions
                    .call(http, OperationName::SessionEnd, &held.id)
                    .await?
            }
            End::All => {
                sessions
                    .call(http, OperationName::SessionRevokeAll, &held.id)
                    .await?
            }
            End::FromTheList => {
                let other = sessions.login(http, USER, "the one that ends it").await?;
                let (listed, answer) = sessions.list(self.context, http, &other).await?;
                let entry = listed.iter().find(|entry| entry.device == held.device);
                let entry = entry.ok_or_else(|| {
                    Stop::fail(format!("`{}` in the list", held.device), answer.describe())
                })?;
                sessions.revoke(http, &other.id, &entry.id).await?
            }
            End::Expiry => {
                sessions.store.expire_now(key).await?;
                return Ok(self.context.clock().now_us());
            }
        };
        let ended = answer.kind() == AnswerKind::Ok;
        expect(
            ended,
            format!("the session to be ended ({end:?})"),
            answer.describe(),
        )?;
        Ok(answer.returned_us)
    }

    /// Whoever reads a session and writes it back may write back one that was ended in between.
    async fn touch_brings_nothing_back(&self, environment: &Environment) -> Result<(), Stop> {
        let (sessions, here, there) = (&self.sessions, self.http(0), self.http(1));
        let touching = &self.instances[1].wiring;
        self.context.step(format!(
            "{ROUNDS} sessions, ended while the other instance, {} ms from Redis, touches them",
            LATE.as_millis()
        ));
        let fault = environment
            .network_fault(touching, StoreKind::Redis, late(LATE))
            .await?;
        for _ in 0..ROUNDS {
            let (held, key) = sessions.login_and_find(here, USER, "touched").await?;
            let over = AtomicBool::new(false);
            let ending = async {
                // Until the touches are under way, whatever their number of round trips.
                tokio::time::sleep(LATE + LATE / 4 * 3).await;
                let ended_us = self.end(End::Logout, here, &held, &key).await;
                over.store(true, Ordering::Relaxed);
                ended_us
            };
            let touchers =
                join_all((0..TOUCHERS).map(|toucher| {
                    self.touch_until(there, &held, LATE / 2 * toucher as u32, &over)
                }));
            let (ended, touched) = join(ending, touchers).await;
            ended?;
            touched.into_iter().collect::<Result<Vec<_>, _>>()?;
            let when = "that was touched while it was ended";
            for http in [here, there] {
                sessions.refused(http, &held, when).await?;
            }
            let kept = sessions.store.exists(&key).await?;
            expect(
                !kept,
                format!("no session in the store {when}"),
                "its key is there",
            )?;
        }
        fault.heal().await?;
        Ok(())
    }

    async fn touch_until(
        &self,
        http: &HttpClient,
        held: &Held,
        begin_after: Duration,
        over: &AtomicBool,
    ) -> Result<(), Stop> {
        // So that they do not go in step.
        tokio::time::sleep(begin_after).await;
        while !over.load(Ordering::Relaxed) {
            let answer = self
                .sessions
                .call(http, OperationName::SessionTouch, &held.id)
                .await?;
            let either = matches!(answer.kind(), AnswerKind::Ok | AnswerKind::Denied);
            expect(
                either,
                "a touch to work or to be refused",
                answer.describe(),
            )?;
        }
        Ok(())
    }
}
