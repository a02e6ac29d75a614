//! LOCK-1, the second half: what a lock protects, and writers that come too late.

use super::client::Locks;
use super::story::with_trace;
use futures::future::join;
use std::time::Duration;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Stop, expect};
use touchstone_engine::schedule::Traced;

const SENT_DEADLINE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(2);

impl Locks<'_> {
    /// A writer is held at each command of its write; meanwhile its lock expires, and another holder writes.
    pub(super) async fn late_writes(&self) -> Result<(), Stop> {
        let (one, other) = (&self.one.http, &self.other.http);
        let traced = self.trace_of_a_write().await?;
        self.told("a guarded write", &traced);
        for point in traced.crash_points() {
            let name = format!("late-{}", point.line);
            let late = self.acquire(one, &name, "nobody has it").await?;
            self.must_write(&name, "first", &late).await?;
            let meanwhile = async {
                self.expire(&name).await?;
                let next = self.acquire(other, &name, "it has expired").await?;
                let written = self.write(other, &name, "newer", &next).await?;
                expect(written, "the holder of a lock to write", "refused")
            };
            let writing = self.write(one, &name, "late", &late);
            let (written, ()) = self.while_held(&point, &name, writing, meanwhile).await?;
            let judged = self.was_refused(&name, written, "a late write").await;
            with_trace(judged, &traced, &point)?;
        }
        Ok(())
    }

    async fn trace_of_a_write(&self) -> Result<Traced, Stop> {
        let http = &self.one.http;
        let name = "write-traced";
        let held = self.acquire(http, name, "nobody has it").await?;
        // The first of all sends more: a statement that is prepared.
        self.must_write(name, "warm", &held).await?;
        let begin = Traced::begin(&self.one.wiring).await?;
        self.must_write(name, "traced", &held).await?;
        self.traced(begin, name).await
    }

    /// The instance of a holder stands still with a write in its hands. Its lock expires, the other instance takes
    /// over; then it goes on.
    pub(super) async fn frozen_holder(&self) -> Result<(), Stop> {
        let name = "frozen";
        self.context
            .step("the holder is frozen, its lock expires, another writes; the holder goes on");
        let (one, other) = (&self.one.http, &self.other.http);
        let frozen = self.acquire(one, name, "nobody has it").await?;
        self.must_write(name, "first", &frozen).await?;
        let freeze = self.environment.freeze_instance(&self.one).await?;
        let meanwhile = async {
            self.until_sent().await?;
            self.expire(name).await?;
            let next = self.acquire(other, name, "it has expired").await?;
            expect(
                next.fencing_token > frozen.fencing_token,
                format!("a fencing token greater than {}", frozen.fencing_token),
                next.fencing_token.to_string(),
            )?;
            let written = self.write(other, name, "newer", &next).await?;
            expect(written, "the holder of a lock to write", "refused")?;
            self.context.observe(freeze.bite().unwrap_or_default());
            freeze.heal().await?;
            Ok::<_, Stop>(next)
        };
        let (written, next) = join(self.write(one, name, "late", &frozen), meanwhile).await;
        let next = next?;
        self.was_refused(name, written?, "the write of a holder that was frozen")
            .await?;
        // The lock has not suffered either.
        let freed = self.release(one, name, &frozen.holder).await?;
        expect(
            !freed,
            "a lock that has expired not to be given back",
            "it was",
        )?;
        let freed = self.release(one, name, &next.holder).await?;
        expect(
            freed,
            "the next holder still to hold its lock",
            "it does not",
        )
    }

    /// The request lies with the frozen process: in its socket, or in the queue of connections that it has not
    /// accepted yet.
    async fn until_sent(&self) -> Result<(), Stop> {
        let under_way = poll_until("the write to be sent", SENT_DEADLINE, POLL, || async {
            match self.one.unread_bytes() {
                0 => Look::NotYet("no byte waits for the frozen process".to_owned()),
                _ => Look::Ready(()),
            }
        });
        let sent = under_way.await;
        sent.map_err(|timeout| Stop::unknown(timeout.to_string()))
    }

    async fn must_write(
        &self,
        name: &str,
        value: &str,
        by: &super::client::Held,
    ) -> Result<(), Stop> {
        let written = self.write(&self.one.http, name, value, by).await?;
        expect(written, "the holder of a lock to write", "refused")
    }

    async fn was_refused(&self, name: &str, written: bool, what: &str) -> Result<(), Stop> {
        expect(
            !written,
            format!("{what} to be refused once a newer holder has written"),
            "it was acknowledged",
        )?;
        self.reads(name, "newer", what).await
    }
}
