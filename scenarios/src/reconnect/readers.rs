//! Readers of many keys, whose values tell the keys: an answer with another key's value is a reply that reached the
//! wrong request.

use crate::store_view::StoreView;
use futures::future::join_all;
use rand::RngExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use touchstone_core::Seed;
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Stop};
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::Template;
use touchstone_engine::subject::{Answer, CallError, OperationName};

const KEYS: u64 = 200;
/// More than a subject's pool, so that replies to several requests are always under way.
const READERS: u64 = 32;
/// Between a refusal and the next try, as a client would. It is pace, no wait for a state.
const AFTER_REFUSAL: Duration = Duration::from_millis(5);

const POLL: Duration = Duration::from_millis(5);

/// The keys, and who reads them.
pub(super) struct Readers<'a> {
    context: &'a Context,
    instance: Arc<Instance>,
    refusal_status: Option<u16>,
}

/// What readers were answered.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// With the right value.
    pub(super) right: AtomicU64,
    /// Refused, as without Redis.
    pub(super) refused: AtomicU64,
    /// Given up by the client.
    pub(super) cancelled: AtomicU64,
}

/// How long readers go on, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stint {
    /// Until so many right answers have come.
    pub(super) answers: u64,
    /// But not for longer.
    pub(super) longest: Duration,
    /// Whether a refusal is allowed, as a fault is in force.
    pub(super) may_refuse: bool,
    /// Of a hundred requests, how many are given up while they are under way, and after how long at most.
    pub(super) cancel: Option<(u64, Duration)>,
}

impl<'a> Readers<'a> {
    /// Writes the keys, past the subject.
    pub(super) async fn open(
        context: &'a Context,
        environment: &Environment,
        instance: &Arc<Instance>,
        key: &Template,
    ) -> Result<Self, Stop> {
        let store = StoreView::open(environment).await?;
        for number in 0..KEYS {
            let stored = key.fill(|name| (name == "key").then(|| name_of(number)));
            store.set(&stored, value_of(number).as_bytes()).await?;
        }
        let degraded = &context.manifest().degraded;
        Ok(Self {
            context,
            instance: Arc::clone(instance),
            refusal_status: degraded.as_ref().map(|degraded| degraded.refusal_status),
        })
    }

    /// All read at the same time; fails at the first wrong answer.
    pub(super) async fn read(&self, stint: Stint, seed: Seed) -> Result<Tally, Stop> {
        let tally = Tally::default();
        let began = Instant::now();
        let readers = (0..READERS).map(|reader| {
            let rng = seed.derive(&format!("reader {reader}")).rng();
            self.reader(stint, rng, began, &tally)
        });
        for outcome in join_all(readers).await {
            outcome?;
        }
        Ok(tally)
    }

    /// Until one read is answered, and rightly.
    pub(super) async fn until_answered(&self, deadline: Duration) -> Result<(), Stop> {
        let (http, name) = (&self.instance.http, name_of(0));
        let values: &[(&str, &[u8])] = &[("key", name.as_bytes())];
        let answered = poll_until("a read to be answered", deadline, POLL, || async {
            match http.call(OperationName::KvGet, values).await {
                Ok(answer) if answer.kind() == AnswerKind::Ok => Look::Ready(()),
                Ok(answer) => Look::NotYet(answer.describe()),
                Err(error) => Look::NotYet(error.to_string()),
            }
        });
        answered.await.or_fail("reads to be answered again")
    }

    async fn reader(
        &self,
        stint: Stint,
        mut rng: impl RngExt,
        began: Instant,
        tally: &Tally,
    ) -> Result<(), Stop> {
        let http = self.instance.http.with_new_connection();
        while tally.right.load(Ordering::Relaxed) < stint.answers {
            if began.elapsed() > stint.longest {
                let right = tally.right.load(Ordering::Relaxed);
                let seen = format!("{right} right answers in {} ms", stint.longest.as_millis());
                return Err(Stop::fail(
                    format!("{} answered reads", stint.answers),
                    seen,
                ));
            }
            let number = rng.random_range(0..KEYS);
            let name = name_of(number);
            let values: &[(&str, &[u8])] = &[("key", name.as_bytes())];
            let call = http.call(OperationName::KvGet, values);
            let answered = match stint.cancel {
                Some((percent, longest)) if rng.random_range(0..100) < percent => {
                    let patience = longest.mul_f64(rng.random_range(0.05..1.0));
                    match tokio::time::timeout(patience, call).await {
                        Ok(answered) => answered,
                        Err(_) => {
                            tally.cancelled.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                    }
                }
                _ => call.await,
            };
            self.judge(number, answered, stint, tally).await?;
        }
        Ok(())
    }

    async fn judge(
        &self,
        number: u64,
        answered: Result<Answer, CallError>,
        stint: Stint,
        tally: &Tally,
    ) -> Result<(), Stop> {
        let expected = format!("`{}` for `{}`", value_of(number), name_of(number));
        let answer = answered.map_err(|error| Stop::fail("an answer", error.to_string()))?;
        let took = Duration::from_micros(answer.returned_us - answer.called_us);
        let longest = self.context.deadline(|d| d.degraded_answer_ms);
        if took > longest {
            let expected = format!("any answer within {} ms", longest.as_millis());
            return Err(Stop::fail(expected, format!("{} ms", took.as_millis())));
        }
        if answer.kind() == AnswerKind::Ok {
            let is_right = answer
                .bytes()
                .is_some_and(|seen| seen == value_of(number).as_bytes());
            if !is_right {
                return Err(Stop::fail(expected, answer.describe()));
            }
            tally.right.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if !stint.may_refuse || Some(answer.status) != self.refusal_status {
            return Err(Stop::fail(expected, answer.describe()));
        }
        tally.refused.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(AFTER_REFUSAL).await;
        Ok(())
    }
}

fn name_of(number: u64) -> String {
    format!("cross-{number}")
}

/// Of many lengths, so that a reply that is cut or shifted does not fit by chance.
fn value_of(number: u64) -> String {
    format!(
        "value of cross-{number} {}",
        "x".repeat((number % 17) as usize * 11)
    )
}
