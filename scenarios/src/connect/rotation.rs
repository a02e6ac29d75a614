//! CONN-13: a password that changes under a service that runs.

use super::rotated_user::{Rotated, User};
use crate::reconnect::load::{Call, Load};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::store::redis::{foreign_clients, kill_foreign_clients};
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::manifest::{Overlay, PASSWORD_FILE};

const REQUEST_PERIOD: Duration = Duration::from_millis(10);
/// How many requests in a row have to succeed until something is believed to work.
const ENOUGH: usize = 20;
const POLL: Duration = Duration::from_millis(5);
const BITE_DEADLINE: Duration = Duration::from_secs(8);

/// CONN-13.
pub(super) const ROTATED: Scenario = Scenario {
    criterion: Criterion {
        id: "CONN-13",
        statement: "The Redis password is rotated on the server and in the source that the service reads it from: new connections use it, no restart, no failed request after the switch; where the server is first, the service is back once the source follows; no connection and no password leaks",
        profile: Profile::Release,
    },
    expected: Duration::from_secs(4),
    run: |context| rotated(context).boxed(),
};

async fn rotated(context: &Context) -> Result<(), Stop> {
    context.require(&[OperationName::KvSet])?;
    let ways = &context.manifest().credentials;
    context.section("credentials", ways.first())?;
    let environment = context.stores().await?;
    let user = User::create(context, &environment).await?;
    let mut story = Story {
        context,
        environment: &environment,
        user,
        instances: Vec::new(),
    };
    for way in ways {
        story.start(way).await?;
    }
    let before = story.processes();
    context.measure_from_now();
    story.with_both_valid().await?;
    story.server_first().await?;
    expect(
        story.processes() == before,
        "the same processes as before the rotations",
        "others: it was restarted",
    )?;
    story.nothing_leaks().await
}

struct Story<'a> {
    context: &'a Context,
    environment: &'a Environment,
    user: User,
    instances: Vec<(String, Arc<Instance>)>,
}

impl Story<'_> {
    async fn start(&mut self, way: &Overlay) -> Result<(), Stop> {
        let told = way.told();
        self.context.step(format!("start with {told}"));
        let placeholders = BTreeMap::from([
            ("redis.user".to_owned(), self.user.name.clone()),
            (PASSWORD_FILE.to_owned(), self.user.file_name()),
        ]);
        let wiring = self.environment.wire().await?;
        let overrides = way.overrides(placeholders);
        let instance = self.environment.launch(wiring, &overrides)?;
        instance.wait_ready().await?;
        self.instances.push((told, instance));
        Ok(())
    }

    /// The way without an outage: the server accepts both for as long as the source needs to follow.
    async fn with_both_valid(&mut self) -> Result<(), Stop> {
        let loads = self.loads();
        self.all_work(&loads, "before the rotation").await?;
        self.context
            .step("rotate: the server takes both passwords, the source follows, the old one ends");
        let Rotated { old, new } = self.user.add_password(self.environment).await?;
        self.user.write(&new)?;
        self.user.end_password(self.environment, &old).await?;
        let switched_us = self.context.clock().now_us();
        self.all_work(&loads, "on the connections that existed")
            .await?;
        self.none_failed(loads, switched_us).await?;
        self.context
            .step("end every connection: new ones need the new password");
        self.end_connections().await?;
        self.work_again(
            |d| d.replace_ms,
            "on a new connection, with the new password",
        )
        .await
    }

    /// The way with one: whoever connects in between is refused, and must look into the source again.
    async fn server_first(&mut self) -> Result<(), Stop> {
        self.context
            .step("rotate on the server alone, and end every connection");
        let Rotated { old, new } = self.user.add_password(self.environment).await?;
        self.user.end_password(self.environment, &old).await?;
        let before = self.user.refusals(self.environment).await?;
        self.end_connections().await?;
        let what = "a login to be refused";
        let refused = poll_until(what, BITE_DEADLINE, POLL, || async {
            match self.user.refusals(self.environment).await {
                Ok(seen) if seen > before => Look::Ready(()),
                Ok(_) => Look::NotYet("none in the server's ACL LOG".to_owned()),
                Err(stop) => Look::NotYet(format!("{stop:?}")),
            }
        });
        refused
            .await
            .or_fail(format!("{what}: an attempt to reconnect"))?;
        self.context.step("the source follows");
        self.user.write(&new)?;
        self.work_again(|d| d.recover_ms, "once the source holds the new password")
            .await
    }

    fn loads(&self) -> Vec<Load> {
        let (clock, operation) = (self.context.clock(), OperationName::KvSet);
        let load = |(_, instance): &(String, Arc<Instance>)| {
            Load::start(&instance.http, clock, operation, REQUEST_PERIOD)
        };
        self.instances.iter().map(load).collect()
    }

    /// Waits until each load has had some requests answered that were sent from now on.
    async fn all_work(&self, loads: &[Load], when: &str) -> Result<(), Stop> {
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

    async fn none_failed(&self, loads: Vec<Load>, since_us: u64) -> Result<(), Stop> {
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

    async fn end_connections(&self) -> Result<(), Stop> {
        let mut store = self.environment.store(StoreKind::Redis).redis(0).await?;
        let killed = kill_foreign_clients(&mut store).await?;
        if killed < self.instances.len() {
            return Err(Stop::unknown(format!(
                "the store knew {killed} connections of {} instances",
                self.instances.len()
            )));
        }
        Ok(())
    }

    /// From its first success on nothing may fail; until then it reconnects, within its deadline.
    async fn work_again(
        &self,
        deadline: impl Fn(&touchstone_engine::subject::manifest::Deadlines) -> u64 + Copy,
        when: &str,
    ) -> Result<(), Stop> {
        let from_us = self.context.clock().now_us();
        let loads = self.loads();
        let mut back_us = Vec::new();
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
            back_us.push(at_us);
        }
        let last_us = back_us.into_iter().max().unwrap_or(from_us);
        self.all_work(&loads, when).await?;
        self.none_failed(loads, last_us).await
    }

    fn processes(&self) -> Vec<Vec<(i32, u64)>> {
        let of = |(_, instance): &(String, Arc<Instance>)| instance.processes();
        self.instances.iter().map(of).collect()
    }

    async fn nothing_leaks(&self) -> Result<(), Stop> {
        for (told, instance) in &self.instances {
            expect(
                !self.user.is_told_in(&instance.log.text()),
                format!("{told}: no password, old or new, in the output"),
                "one of them",
            )?;
        }
        let Some(connections) = &self.context.manifest().connections else {
            return Ok(());
        };
        let allowed = connections.redis_max * self.instances.len();
        let mut store = self.environment.store(StoreKind::Redis).redis(0).await?;
        let clients = foreign_clients(&mut store).await?;
        let lines: Vec<&str> = clients.iter().map(|(_, line)| line.as_str()).collect();
        expect(
            clients.len() <= allowed,
            format!("at most {allowed} connections after the reconnects"),
            format!("{}:\n{}", clients.len(), lines.join("\n")),
        )
    }
}
