//! Requests whose commands are let go one by one, in a given order.

use crate::environment::EnvironmentError;
use crate::instance::Wiring;
use crate::proxy::{Action, NetworkFault, Progress, ProxyError, Rule, RuleWatch, When};
use crate::store::StoreKind;
use futures::future::{BoxFuture, Either, join, join_all, select, select_all};
use std::time::Duration;
use tokio::sync::watch;

/// How long a command that was let go may take to be answered before the next one is let go all the same: it may
/// wait for a lock that another request of the order has, and then the order says who is to go on.
const BLOCKED_AFTER: Duration = Duration::from_millis(50);

/// All commands that one instance sends about something, on both stores, held until they are let go.
#[derive(Debug)]
#[must_use = "what is held is let go when this is dropped"]
pub struct Stepped {
    name: String,
    holds: Vec<(StoreKind, NetworkFault, RuleWatch)>,
    longest: Duration,
}

/// What came of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stepping {
    Passed,
    /// Let go, and waiting for something in the store.
    Blocked,
    /// There was nothing more to let go: the request ended before.
    Over,
}

impl Stepped {
    /// Holds, from now on, what matches on each of the stores.
    pub async fn hold(
        name: &str,
        of: &Wiring,
        about: &[(StoreKind, When)],
        longest: Duration,
    ) -> Result<Self, EnvironmentError> {
        let mut holds = Vec::new();
        for (store, when) in about {
            let rule = Rule::new(when.clone(), Action::Hold { longest });
            let watch = rule.watch();
            let guard = of.proxy(*store).inject(rule).await?;
            holds.push((*store, guard, watch));
        }
        Ok(Self {
            name: name.to_owned(),
            holds,
            longest,
        })
    }

    /// Commands that matched so far, on all stores.
    #[must_use]
    pub fn matched(&self) -> u64 {
        self.progress()
            .iter()
            .map(|progress| progress.matched)
            .sum()
    }

    /// Holds that ended by themselves.
    #[must_use]
    pub fn overdue(&self) -> u64 {
        self.progress()
            .iter()
            .map(|progress| progress.overdue)
            .sum()
    }

    fn progress(&self) -> Vec<Progress> {
        self.holds.iter().map(|(_, _, watch)| watch.now()).collect()
    }

    /// Lets the next command go, and waits for its reply.
    async fn step(
        &self,
        is_over: &watch::Receiver<bool>,
    ) -> Result<(Stepping, String), ProxyError> {
        let nothing = || (Stepping::Over, String::new());
        if !self.until_held(is_over).await {
            return Ok(nothing());
        }
        for (store, guard, watch) in &self.holds {
            let before = watch.now();
            let Some(next) = before.held.first() else {
                continue;
            };
            let line = format!("{}: {store} {next}", self.name);
            guard.release_one().await?;
            let answered = watch.until_replied(before.replied + 1, BLOCKED_AFTER);
            let stepping = match answered.await {
                Ok(_) => Stepping::Passed,
                Err(_) => Stepping::Blocked,
            };
            return Ok((stepping, line));
        }
        Ok(nothing())
    }

    /// Whether something is held; `false` if the request ended, or nothing came in time.
    async fn until_held(&self, is_over: &watch::Receiver<bool>) -> bool {
        let held = self
            .holds
            .iter()
            .map(|(_, _, watch)| Box::pin(watch.until_held(1, self.longest)));
        let mut is_over = is_over.clone();
        let over = Box::pin(is_over.wait_for(|over| *over));
        match select(select_all(held), over).await {
            Either::Left(((held, ..), _)) => held.is_ok(),
            Either::Right(_) => self
                .progress()
                .iter()
                .any(|progress| !progress.held.is_empty()),
        }
    }

    async fn release_all(&self) -> Result<(), ProxyError> {
        for (_, guard, _) in &self.holds {
            guard.release_all().await?;
        }
        Ok(())
    }
}

/// What came of an order.
#[derive(Debug, Clone, Default)]
pub struct Driven {
    /// The commands in the order in which they were let go, a line each.
    pub steps: Vec<String>,
    /// Steps of the order for which a request had no command any more.
    pub void: usize,
    /// Holds that ended by themselves: the order was not kept.
    pub overdue: u64,
}

/// Runs requests, one for each of `actors`, and lets their commands go in that order; what they send beyond it is
/// let go as it comes. Returns also what came of each request.
///
/// # Errors
/// The proxy is gone.
pub async fn run_order<T>(
    order: &[usize],
    actors: &[Stepped],
    requests: Vec<BoxFuture<'_, T>>,
) -> Result<(Driven, Vec<T>), ProxyError> {
    let flags: Vec<_> = requests.iter().map(|_| watch::Sender::new(false)).collect();
    let over: Vec<_> = flags.iter().map(watch::Sender::subscribe).collect();
    let running = join_all(
        requests
            .into_iter()
            .zip(&flags)
            .map(async |(request, flag)| {
                let outcome = request.await;
                flag.send_replace(true);
                outcome
            }),
    );
    let driving = async {
        let mut driven = Driven::default();
        for &next in order {
            match actors[next].step(&over[next]).await? {
                (Stepping::Over, _) => driven.void += 1,
                (Stepping::Passed, line) => driven.steps.push(line),
                (Stepping::Blocked, line) => driven.steps.push(format!("{line} (blocked)")),
            }
        }
        let_the_rest_go(actors, &over).await?;
        Ok(driven)
    };
    let (outcomes, driven) = join(running, driving).await;
    let mut driven: Driven = driven?;
    driven.overdue = actors.iter().map(Stepped::overdue).sum();
    Ok((driven, outcomes))
}

/// Until each request is over: whatever it still sends passes.
async fn let_the_rest_go(
    actors: &[Stepped],
    over: &[watch::Receiver<bool>],
) -> Result<(), ProxyError> {
    let each = actors.iter().zip(over).map(async |(actor, over)| {
        while !*over.borrow() {
            actor.until_held(over).await;
            actor.release_all().await?;
        }
        // What was sent before the answer and is not waited for, such as a fill of the cache.
        actor.release_all().await
    });
    join_all(each).await.into_iter().collect()
}
