//! `hold this until that`.

use crate::environment::{Environment, EnvironmentError};
use crate::fault::FaultGuard;
use crate::instance::Wiring;
use crate::poll::TimedOut;
use crate::proxy::{Action, Rule, RuleWatch, When};
use crate::scenario::Stop;
use crate::store::StoreKind;
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

    /// Ends the hold: what was to happen meanwhile has.
    ///
    /// # Errors
    /// Unknown: nothing was held, or the hold had ended by itself before.
    pub async fn release(self) -> Result<(), Stop> {
        let progress = self.watch.now();
        self.guard.heal().await?;
        if progress.overdue > 0 {
            let longest_ms = self.longest.as_millis();
            let reason = format!(
                "not kept: {} ended by itself after {longest_ms} ms",
                self.what
            );
            return Err(Stop::unknown(reason));
        }
        if progress.held.is_empty() {
            return Err(Stop::unknown(format!("nothing was held: {}", self.what)));
        }
        Ok(())
    }
}
