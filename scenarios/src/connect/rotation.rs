//! CONN-13: a password that changes under a service that runs.

use super::rotated_role::rotate_postgres;
use super::rotated_user::{Rotated, User};
use super::under_load::UnderLoad;
use futures::FutureExt;
use std::collections::BTreeMap;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::store::redis::{foreign_clients, kill_foreign_clients};
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::manifest::{Overlay, REDIS_PASSWORD_FILE};

const POLL: Duration = Duration::from_millis(5);
const BITE_DEADLINE: Duration = Duration::from_secs(8);

/// CONN-13.
pub(super) const ROTATED: Scenario = Scenario {
    criterion: Criterion {
        id: "CONN-13",
        statement: "The password of a store is rotated on the server and in the source that the service reads it from: new connections use it, no restart, no failed request after the switch; where Redis is first, the service is back once the source follows; no connection and no password leaks",
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
    let (of_redis, of_postgres): (Vec<&Overlay>, Vec<&Overlay>) =
        ways.iter().partition(|way| way.uses(REDIS_PASSWORD_FILE));
    if !of_redis.is_empty() {
        rotate_redis(context, &environment, &of_redis).await?;
    }
    for way in of_postgres {
        rotate_postgres(context, &environment, way).await?;
    }
    Ok(())
}

async fn rotate_redis(
    context: &Context,
    environment: &Environment,
    ways: &[&Overlay],
) -> Result<(), Stop> {
    let user = User::create(context, environment).await?;
    let mut instances = Vec::new();
    for way in ways {
        let told = way.told();
        context.step(format!("start with {told}"));
        let placeholders = BTreeMap::from([
            ("redis.user".to_owned(), user.name.clone()),
            (REDIS_PASSWORD_FILE.to_owned(), user.file_name()),
        ]);
        let wiring = environment.wire().await?;
        let instance = environment.launch(wiring, &way.overrides(placeholders))?;
        instance.wait_ready().await?;
        instances.push((told, instance));
    }
    context.measure_from_now();
    let operation = OperationName::KvSet;
    let mut story = Story {
        environment,
        user,
        under_load: UnderLoad {
            context,
            instances,
            operation,
        },
    };
    let before = story.under_load.processes();
    story.with_both_valid().await?;
    story.server_first().await?;
    expect(
        story.under_load.processes() == before,
        "the same processes as before the rotations",
        "others: it was restarted",
    )?;
    story.nothing_leaks().await?;
    for (_, instance) in &story.under_load.instances {
        instance.kill();
    }
    Ok(())
}

struct Story<'a> {
    environment: &'a Environment,
    user: User,
    under_load: UnderLoad<'a>,
}

impl Story<'_> {
    fn step(&self, text: &str) {
        self.under_load.context.step(text);
    }

    /// The way without an outage: the server accepts both for as long as the source needs to follow.
    async fn with_both_valid(&mut self) -> Result<(), Stop> {
        let loads = self.under_load.begin();
        self.under_load
            .all_work(&loads, "before the rotation")
            .await?;
        self.step("rotate: the server takes both passwords, the source follows, the old one ends");
        let Rotated { old, new } = self.user.add_password(self.environment).await?;
        self.user.write(&new)?;
        self.user.end_password(self.environment, &old).await?;
        let switched_us = self.under_load.context.clock().now_us();
        self.under_load
            .all_work(&loads, "on the connections that existed")
            .await?;
        self.under_load.none_failed(loads, switched_us).await?;
        self.step("end every connection: new ones need the new password");
        self.end_connections().await?;
        let when = "on a new connection, with the new password";
        self.under_load.work_again(|d| d.replace_ms, when).await
    }

    /// The way with one: whoever connects in between is refused, and must look into the source again.
    async fn server_first(&mut self) -> Result<(), Stop> {
        self.step("rotate on the server alone, and end every connection");
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
        self.step("the source follows");
        self.user.write(&new)?;
        let when = "once the source holds the new password";
        self.under_load.work_again(|d| d.recover_ms, when).await
    }

    async fn end_connections(&self) -> Result<(), Stop> {
        let instances = self.under_load.instances.len();
        let mut store = self.environment.store(StoreKind::Redis).redis(0).await?;
        let killed = kill_foreign_clients(&mut store).await?;
        if killed < instances {
            return Err(Stop::unknown(format!(
                "the store knew {killed} connections of {instances} instances"
            )));
        }
        Ok(())
    }

    async fn nothing_leaks(&self) -> Result<(), Stop> {
        let UnderLoad {
            context, instances, ..
        } = &self.under_load;
        for (told, instance) in instances {
            expect(
                !self.user.is_told_in(&instance.log.text()),
                format!("{told}: no password, old or new, in the output"),
                "one of them",
            )?;
        }
        let Some(connections) = &context.manifest().connections else {
            return Ok(());
        };
        let allowed = connections.redis_max * instances.len();
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
