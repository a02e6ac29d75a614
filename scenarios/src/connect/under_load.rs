//! Instances under requests while a password is rotated beneath them.

use crate::reconnect::load::{Call, Load};
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::Finding;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Stop};
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::manifest::Deadlines;

const REQUEST_PERIOD: Duration = Duration::from_millis(10);
/// How many requests have to succeed until something is believed to work.
const ENOUGH: usize = 20;
const POLL: Duration = Duration::from_millis(5);

/// Instances, each with what it was told, and what is asked of them.
pub(super) struct UnderLoad<'a> {
    pub(super) context: &'a Context,
    pub(super) instances: Vec<(String, Arc<Instance>)>,
    pub(super) operation: OperationName,
}

impl UnderLoad<'_> {
    /// Requests to each instance, from now on.
    pub(super) fn begin(&self) -> Vec<Load> {
        let (clock, operation) = (self.context.clock(), self.operation);
        let load = |(_, instance): &(String, Arc<Instance>)| {
            Load::start(&instance.http, clock, operation, REQUEST_PERIOD)
        };
        self.instances.iter().map(load).collect()
    }

    /// Waits until each load has had some requests answered that were sent from now on.
    pub(super) async fn all_work(&self, loads: &[Load], when: &str) -> Result<(), Stop> {
        let from_us = self.context.clock().now_us();
        let limit = self.context.deadline(|d| d.answer_ms);
        for ((told, _), load) in self.instances.iter().zip(loads) {
            let what = format!("{told}: {ENOUGH} requests to succeed {when}");
            let worked = poll_until(&what, limit, POLL, || async {
                let calls = load.so_far();
                let mut since = calls.iter().filter(|call| call.called_us >= from_us);
                let good = since.clone().filter(|call| call.outcome.is_ok()).count();
                match since.rfind(|call| call.outcome.is_err()) {
                    _ if good >= ENOUGH => Look::Ready(()),
                    Some(failed) => Look::NotYet(format!("{good}; {}", failed.describe())),
                    None => Look::NotYet(format!("{good}")),
                }
            });
            worked.await.or_fail(&what)?;
        }
        Ok(())
    }

    /// Ends the requests; of those sent since then none may have failed.
    pub(super) async fn none_failed(&self, loads: Vec<Load>, since_us: u64) -> Result<(), Stop> {
        for ((told, _), load) in self.instances.iter().zip(loads) {
            let calls = load.finish().await?;
            let since = calls.iter().filter(|call| call.called_us >= since_us);
            let failed: Vec<&Call> = since.clone().filter(|call| call.outcome.is_err()).collect();
            self.context.observe(format!(
                "{told}: {} requests after the switch, {} of them failed",
                since.count(),
                failed.len()
            ));
            if let Some(first) = failed.first() {
                let expected = format!("{told}: no failed request after the switch");
                let mut finding = Finding::new(expected, first.describe());
                finding.evidence = failed.iter().take(12).map(|call| call.describe()).collect();
                return Err(Stop::Fail(finding));
            }
        }
        Ok(())
    }

    /// From its first success on nothing may fail; until then it reconnects, within its deadline.
    pub(super) async fn work_again(
        &self,
        deadline: impl Fn(&Deadlines) -> u64 + Copy,
        when: &str,
    ) -> Result<(), Stop> {
        let from_us = self.context.clock().now_us();
        let loads = self.begin();
        let mut last_us = from_us;
        for ((told, _), load) in self.instances.iter().zip(&loads) {
            let what = format!("{told}: requests to succeed {when}");
            let limit = self.context.deadline(deadline);
            let back = poll_until(&what, limit, POLL, || async {
                let calls = load.so_far();
                match (calls.iter().find(|call| call.outcome.is_ok()), calls.last()) {
                    (Some(first), _) => Look::Ready(first.called_us),
                    (None, Some(last)) => Look::NotYet(last.describe()),
                    (None, None) => Look::NotYet("no answer".to_owned()),
                }
            });
            let at_us = back.await.or_fail(&what)?;
            let took_ms = at_us.saturating_sub(from_us) / 1000;
            self.context
                .observe(format!("{told}: {when}, after {took_ms} ms"));
            last_us = last_us.max(at_us);
        }
        self.all_work(&loads, when).await?;
        self.none_failed(loads, last_us).await
    }

    /// Who runs, so that a restart is seen.
    pub(super) fn processes(&self) -> Vec<Vec<(i32, u64)>> {
        let of = |(_, instance): &(String, Arc<Instance>)| instance.processes();
        self.instances.iter().map(of).collect()
    }
}
