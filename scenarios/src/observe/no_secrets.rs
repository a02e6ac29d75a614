//! OBS-4: whatever goes wrong, no secret reaches the log.
//!
//! Canaries are planted through every operation that the manifest maps, on two instances, one of which logs all that
//! it can. Then things go wrong, with canaries under way: slow replies, lost ones, refusals, replies that make no sense,
//! values of another type, cut connections, outages of both stores, rows that Postgres refuses, requests that are no
//! good. At the end all output of both is searched.

use super::canaries::{Canaries, MARK, Values};
use super::malformed::malformed;
use crate::health::story::late;
use crate::store_view::StoreView;
use futures::FutureExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::{FaultGuard, RefusalKind, ServerFaultKind};
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::fault::Fault;
use touchstone_engine::proxy::{Action, Cut, CutMode, Rule, Scope, Silence, When};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::client::AnswerKind;

/// Longer than what services call a slow command.
const LATE: Duration = Duration::from_millis(120);
const HELD_DEADLINE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);

/// OBS-4.
pub(super) const NO_SECRETS: Scenario = Scenario {
    criterion: Criterion {
        id: "OBS-4",
        statement: "No password, token, session id or cached value in any log line of a whole run",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(5),
    run: |context| no_secrets(context).boxed(),
};

struct Run<'a> {
    context: &'a Context,
    environment: Arc<Environment>,
    instances: Vec<Arc<Instance>>,
    canaries: Canaries<'a>,
    /// What each instance has made while all was well.
    made: Vec<Values>,
    /// A value that Redis seems to hold. Planted first: it becomes a part of a fault, which must not depend on luck.
    held_value: String,
}

async fn no_secrets(context: &Context) -> Result<(), Stop> {
    let mapped = context.manifest().operations.keys().next();
    context.section("operations", mapped)?;
    let (environment, instance) = context.start().await?;
    let mut instances = vec![instance];
    let verbose = &context.manifest().logs.verbose;
    if verbose.is_empty() {
        context.observe("`logs.verbose` is not declared: only the usual log was searched");
    } else {
        context.step("start a second instance that logs all that it can");
        instances.push(environment.start_instance(verbose).await?);
    }
    let canaries = Canaries::new(context);
    let held_value = canaries.plant("a value that is read");
    let mut run = Run {
        context,
        environment,
        instances,
        canaries,
        made: Vec::new(),
        held_value,
    };
    run.as_usual().await?;
    run.bad_requests().await?;
    run.on_the_line().await?;
    run.refusals().await?;
    run.other_types().await?;
    run.refused_rows().await?;
    run.outages().await?;
    run.end().await?;
    run.search().await
}

impl Run<'_> {
    async fn as_usual(&mut self) -> Result<(), Stop> {
        self.context.step("every operation, twice");
        for round in ["one", "two"] {
            self.made = self.call_all(round).await?;
        }
        for (instance, made) in self.instances.iter().zip(&mut self.made) {
            let round = format!("two-{}", instance.wiring.index);
            self.canaries.log_in(&instance.http, &round, made).await?;
        }
        Ok(())
    }

    async fn bad_requests(&self) -> Result<(), Stop> {
        self.context
            .step("bodies that end in the middle, with secrets in them and in the headers");
        for instance in &self.instances {
            for name in self.canaries.mapped() {
                malformed(&self.canaries, instance, name, self.context.manifest()).await?;
            }
        }
        Ok(())
    }

    /// What a line can do to commands and replies.
    async fn on_the_line(&self) -> Result<(), Stop> {
        let nonsense = format!("${}\r\n{}\r\n", self.held_value.len(), self.held_value);
        self.line("slow", || late(LATE)).await?;
        self.line("nonsense", || {
            let replaced = Action::ReplaceReply(nonsense.clone().into_bytes());
            Rule::new(When::any().key("*"), replaced)
        })
        .await?;
        self.line("silent", || Silence {
            scope: Scope::Existing,
        })
        .await?;
        self.cut_in_flight().await
    }

    /// Calls with a fault on the line to Redis of each instance, and waits until it works again.
    async fn line<F: Fault>(&self, round: &str, fault: impl Fn() -> F) -> Result<(), Stop> {
        self.context.step(format!("{round} replies of Redis"));
        let mut faults = Vec::new();
        for instance in &self.instances {
            faults.push(self.fault_on(instance, fault()).await?);
        }
        self.call_all_at_once(round).await?;
        for fault in faults {
            fault.heal().await?;
        }
        self.works_again().await
    }

    /// The connection ends while commands are under way on it.
    async fn cut_in_flight(&self) -> Result<(), Stop> {
        self.context.step("connections cut in flight");
        for instance in &self.instances {
            let slow = self.fault_on(instance, late(LATE)).await?;
            let calls = self.canaries.call_all_at_once(
                &instance.http,
                "cut",
                &self.made[instance.wiring.index],
            );
            let cut = async {
                let under_way = poll_until("commands on the line", HELD_DEADLINE, POLL, || async {
                    match slow.bite() {
                        Some(_) => Look::Ready(()),
                        None => Look::NotYet("no reply was held back".to_owned()),
                    }
                });
                under_way
                    .await
                    .map_err(|timeout| Stop::unknown(timeout.to_string()))?;
                let mode = CutMode::Reset;
                let cut = self.fault_on(instance, Cut { mode }).await?;
                Ok::<_, Stop>(cut.heal().await?)
            };
            let (called, cut) = futures::join!(calls, cut);
            called?;
            cut?;
            slow.heal().await?;
        }
        self.works_again().await
    }

    async fn fault_on(&self, instance: &Instance, fault: impl Fault) -> Result<FaultGuard, Stop> {
        let (wiring, store) = (&instance.wiring, StoreKind::Redis);
        Ok(self.environment.network_fault(wiring, store, fault).await?)
    }

    /// Redis answers with errors, which some clients log together with the command.
    async fn refusals(&self) -> Result<(), Stop> {
        self.context.step("Redis refuses writes, then everything");
        for kind in [RefusalKind::Memory, RefusalKind::Permission] {
            let refusal = self.environment.refusal(kind).await?;
            self.call_all_at_once(kind.name()).await?;
            refusal.heal().await?;
            self.works_again().await?;
        }
        Ok(())
    }

    /// A list with a secret where the subject expects its own value.
    async fn other_types(&self) -> Result<(), Stop> {
        self.context.step("keys that hold another type");
        self.call_all("types").await?;
        let kv_set = self
            .canaries
            .mapped()
            .find(|name| *name == OperationName::KvSet);
        for (instance, made) in self.instances.iter().zip(&self.made) {
            if let Some(name) = kv_set {
                // The round has deleted it.
                let round = format!("types-{}", instance.wiring.index);
                self.canaries
                    .call(&instance.http, name, &round, made)
                    .await?;
            }
        }
        let store = StoreView::open(&self.environment).await?;
        let secret = self.canaries.plant("an element of a list in the store");
        for key in store.keys("*types*").await? {
            let mut connection = store.connection();
            let mut replace = redis::pipe();
            replace.del(&key).rpush(&key, &secret);
            let _: redis::Value = replace.query_async(&mut connection).await?;
        }
        self.call_all_at_once("types").await?;
        self.works_again().await
    }

    /// Every table refuses what holds a secret: the server's error quotes the whole row.
    async fn refused_rows(&self) -> Result<(), Stop> {
        self.context.step("rows that Postgres refuses");
        let postgres = self
            .environment
            .store(StoreKind::Postgres)
            .postgres()
            .await?;
        let columns = postgres.query(TEXT_COLUMNS, &[]).await?;
        for (change, clause) in [
            ("ADD", format!(" CHECK (%I NOT LIKE '%{MARK}%') NOT VALID")),
            ("DROP", String::new()),
        ] {
            for (number, column) in columns.iter().enumerate() {
                let (table, name): (String, String) = (column.get(0), column.get(1));
                let clause = clause.replace("%I", &name);
                let alter =
                    format!("ALTER TABLE {table} {change} CONSTRAINT refuses_{number}{clause}");
                postgres.batch_execute(&alter).await?;
            }
            if change == "ADD" {
                self.call_all_at_once("refused-rows").await?;
            }
        }
        self.works_again().await
    }

    async fn outages(&self) -> Result<(), Stop> {
        for store in [StoreKind::Redis, StoreKind::Postgres] {
            self.context.step(format!("{store} stopped"));
            let stop = self.environment.fault(store, ServerFaultKind::Stop).await?;
            for again in ["at-once", "later"] {
                self.call_all_at_once(&format!("{store}-{again}")).await?;
            }
            stop.heal().await?;
            self.environment.store(store).wait_ready().await?;
            self.works_again().await?;
        }
        Ok(())
    }

    /// What is told on the way out counts, too.
    async fn end(&self) -> Result<(), Stop> {
        self.context.step("stop the instances");
        let deadline = self.context.deadline(|d| d.shutdown_ms);
        for instance in &self.instances {
            instance.signal(nix::sys::signal::Signal::SIGTERM)?;
        }
        for instance in &self.instances {
            let ended = instance.wait_exit(deadline).await;
            ended.or_fail("an end after SIGTERM")?;
        }
        Ok(())
    }

    async fn search(&self) -> Result<(), Stop> {
        self.context.step("search all output");
        let instances = self.environment.instances();
        let logs: Vec<(String, String)> = instances
            .iter()
            .map(|instance| {
                let log = format!("the log of instance {}", instance.wiring.index);
                (log, instance.log.text())
            })
            .collect();
        let lines: usize = logs.iter().map(|(_, text)| text.lines().count()).sum();
        if lines == 0 {
            return Err(Stop::unknown("nothing was logged, so nothing was searched"));
        }
        let redactor = self.environment.redactor();
        let leaked = logs.iter().find(|(_, text)| redactor.finds_secret_in(text));
        let line = leaked.and_then(|(log, text)| {
            let line = text.lines().find(|line| redactor.finds_secret_in(line))?;
            Some(format!("in {log}: {}", redactor.redact(line)))
        });
        expect(
            line.is_none(),
            "no password of a store, and no secret of the environment, in any line of the log",
            line.unwrap_or_default(),
        )?;
        self.canaries.search(&logs).await?;
        self.context.observe(format!(
            "{} secrets, none of them in {lines} lines",
            self.canaries.count()
        ));
        Ok(())
    }

    /// One after the other, on each instance; what they have made.
    async fn call_all(&self, round: &str) -> Result<Vec<Values>, Stop> {
        let rounds = self.instances.iter().map(async |instance| {
            let round = format!("{round}-{}", instance.wiring.index);
            self.canaries.call_all(&instance.http, &round).await
        });
        let made = futures::future::join_all(rounds).await;
        made.into_iter().collect()
    }

    /// At once, with what was made before.
    async fn call_all_at_once(&self, round: &str) -> Result<(), Stop> {
        let rounds = self
            .instances
            .iter()
            .zip(&self.made)
            .map(async |(instance, made)| {
                let round = format!("{round}-{}", instance.wiring.index);
                self.canaries
                    .call_all_at_once(&instance.http, &round, made)
                    .await
            });
        let called = futures::future::join_all(rounds).await;
        called.into_iter().collect()
    }

    /// Every instance has both stores back: the next fault meets a service that works.
    async fn works_again(&self) -> Result<(), Stop> {
        let deadline = self.context.deadline(|d| d.recover_ms);
        let tried = [OperationName::KvSet, OperationName::EntityCreate];
        let canaries = &self.canaries;
        for instance in &self.instances {
            for name in canaries.mapped().filter(|name| tried.contains(name)) {
                let what = format!("`{}` to work again", name.key());
                let works = poll_until(&what, deadline, POLL, || async {
                    let values = canaries.values_of(name, "again", &BTreeMap::new());
                    let values: Vec<(&str, &[u8])> = values
                        .iter()
                        .map(|(placeholder, value)| (*placeholder, value.as_bytes()))
                        .collect();
                    match instance.http.call(name, &values).await {
                        Ok(answer) if answer.kind() == AnswerKind::Ok => Look::Ready(()),
                        Ok(answer) => Look::NotYet(answer.describe()),
                        Err(error) => Look::NotYet(error.to_string()),
                    }
                });
                works.await.or_fail(&what)?;
            }
        }
        Ok(())
    }
}

const TEXT_COLUMNS: &str = "SELECT format('%I.%I', c.table_schema, c.table_name), format('%I', c.column_name) \
    FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name) \
    WHERE t.table_type = 'BASE TABLE' AND c.data_type IN ('text', 'character varying') \
    AND c.table_schema NOT IN ('pg_catalog', 'information_schema')";
