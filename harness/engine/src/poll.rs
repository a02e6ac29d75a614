//! Waiting for a state: ask again until it is there or the deadline is over, and then say what was
//! last seen. Nothing in the harness sleeps for a state instead.

use std::future::Future;
use std::time::{Duration, Instant};

/// What one look showed.
#[derive(Debug)]
pub enum Look<T> {
    /// It is there.
    Ready(T),
    /// Not yet; this is what was seen instead.
    NotYet(String),
}

/// The deadline passed.
#[derive(Debug, thiserror::Error)]
#[error("waited {} ms for {what}; last seen: {last_seen}", waited.as_millis())]
pub struct TimedOut {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub waited: Duration,
    /// What the last look showed.
    pub last_seen: String,
}

/// Looks every `interval` until ready. A look itself may take long: it is cut off at the deadline.
pub async fn poll_until<T, F, Fut>(
    what: &str,
    deadline: Duration,
    interval: Duration,
    mut look: F,
) -> Result<T, TimedOut>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Look<T>>,
{
    let start = Instant::now();
    let mut last_seen = "nothing".to_owned();
    loop {
        let left = deadline.saturating_sub(start.elapsed());
        match tokio::time::timeout(left, look()).await {
            Ok(Look::Ready(value)) => return Ok(value),
            Ok(Look::NotYet(seen)) => last_seen = seen,
            Err(_) if last_seen == "nothing" => last_seen = "no answer".to_owned(),
            Err(_) => {}
        }
        if start.elapsed() + interval >= deadline {
            return Err(TimedOut {
                what: what.to_owned(),
                waited: start.elapsed(),
                last_seen,
            });
        }
        tokio::time::sleep(interval).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_timeout_says_what_was_last_seen() {
        let mut looks = 0;
        let result: Result<(), TimedOut> = poll_until(
            "the moon",
            Duration::from_millis(30),
            Duration::from_millis(5),
            || {
                looks += 1;
                let seen = format!("cloud {looks}");
                async { Look::NotYet(seen) }
            },
        )
        .await;
        let error = result.expect_err("never ready").to_string();
        assert!(
            error.contains("the moon") && error.contains("last seen: cloud"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_cut_off_at_the_deadline() {
        let hang = || async {
            std::future::pending::<()>().await;
            Look::Ready(())
        };
        let limit = Duration::from_millis(20);
        let error = poll_until("it", limit, Duration::from_millis(5), hang).await;
        assert!(error.expect_err("hangs").to_string().contains("no answer"));
    }
}
