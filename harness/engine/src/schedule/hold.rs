//! `hold this until that`.

use crate::environment::{Environment, EnvironmentError};
use crate::fault::FaultGuard;
use crate::instance::Wiring;
use crate::poll::TimedOut;
use crate::proxy::{Action, Rule, RuleWatch, When};
use crate::scenario::Stop;
use crate::store::StoreKind;
use futures::future::{Either, join, select};
use std::time::Duration;

/// One command, or its reply, that is held until something else has happened.
#[derive(Debug)]
#[must_use = "what is held is let go when the hold is dropped"]
pub struct Hold {
    what: String,
    guard: FaultGuard,
    watch: RuleWatch,
    longest: Duration,
}

impl Hold {
    /// Holds a command of an instance: the store does not see it yet.
    pub async fn command(
        environment: &Environment,
        of: &Wiring,
        store: StoreKind,
        when: When,
        longest: Duration,
    ) -> Result<Self, EnvironmentError> {
        Self::put(
            environment,
            of,
            store,
            when,
            Action::Hold { longest },
            longest,
        )
        .await
    }

    /// Holds the reply to a command of an instance: the store has applied it, the instance does not know.
    pub async fn reply(
        environment: &Environment,
        of: &Wiring,
        store: StoreKind,
        when: When,
        longest: Duration,
    ) -> Result<Self, EnvironmentError> {
        let action = Action::HoldReply { longest };
        Self::put(environment, of, store, when, action, longest).await
    }

    async fn put(
        environment: &Environment,
        of: &Wiring,
        store: StoreKind,
        when: When,
        action: Action,
        longest: Duration,
    ) -> Result<Self, EnvironmentError> {
        let rule = Rule::new(when, action);
        let what = format!("{rule} ({store} of instance {})", of.index);
        let watch = rule.watch();
        let guard = environment.network_fault(of, store, rule).await?;
        Ok(Self {
            what,
            guard,
            watch,
            longest,
        })
    }

    /// Waits until it holds something, while the request that is to be held runs.
    ///
    /// # Errors
    /// It came to nothing in time: the request took another way, so that the order could not be forced.
    pub async fn caught(&self) -> Result<(), TimedOut> {
        // Whatever is to be held comes within the time for which it could be held.
        self.watch.until_held(1, self.longest).await.map(|_| ())
    }

    /// Ends the hold: what was to happen meanwhile has. Returns when the reply has passed.
    ///
    /// # Errors
    /// Unknown: nothing was held, the hold had ended by itself before, or there is no reply.
    pub async fn release(self) -> Result<(), Stop> {
        let held = self.watch.now();
        self.guard.release().await?;
        let replied = self.watch.until_replied(1, self.longest).await;
        self.guard.heal().await?;
        if held.overdue > 0 {
            return Err(not_kept(&self.what, self.longest));
        }
        match replied {
            Ok(_) if !held.held.is_empty() => Ok(()),
            Ok(_) => Err(Stop::unknown(format!("nothing was held: {}", self.what))),
            Err(timeout) => Err(Stop::unknown(timeout.to_string())),
        }
    }

    /// Runs a request that is to be held, and lets `crash` happen while it is. Returns whether the request came that far: it
    /// may have taken a shorter way this time.
    ///
    /// # Errors
    /// Those of `crash`, and unknown if the hold had ended by itself before.
    pub async fn crash_while_held(
        self,
        request: impl Future,
        crash: impl Future<Output = Result<(), Stop>>,
    ) -> Result<bool, Stop> {
        let request = std::pin::pin!(request);
        let caught = std::pin::pin!(self.watch.until_held(1, self.longest));
        match select(request, caught).await {
            Either::Left(_) if self.watch.now().acted == 0 => {
                self.guard.withdraw("the request ended before").await?;
                Ok(false)
            }
            Either::Left(_) => Err(not_kept(&self.what, self.longest)),
            Either::Right((Err(timeout), _)) => Err(Stop::unknown(timeout.to_string())),
            Either::Right((Ok(_), request)) => {
                let (_, crashed) = join(request, async {
                    crash.await?;
                    self.crashed().await
                })
                .await;
                crashed.map(|()| true)
            }
        }
    }

    /// Ends the hold after what was held has gone with its connection.
    ///
    /// # Errors
    /// Unknown: the hold had ended by itself before, so that the crash came too late.
    async fn crashed(&self) -> Result<(), Stop> {
        match self.watch.now().overdue {
            0 => Ok(()),
            _ => Err(not_kept(&self.what, self.longest)),
        }
    }
}

fn not_kept(what: &str, longest: Duration) -> Stop {
    let longest_ms = longest.as_millis();
    Stop::unknown(format!(
        "not kept: {what} ended by itself after {longest_ms} ms"
    ))
}
