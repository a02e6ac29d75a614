//! Container stores against the real engine. Where none answers, each test says so and ends.

#![allow(clippy::print_stderr)]

use futures::FutureExt;
use std::fs;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use testcontainers::ImageExt;
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use testcontainers_modules::postgres::Postgres;
use testcontainers_modules::redis::Redis;
use touchstone_engine::scope::RunScope;
use touchstone_engine::store::docker::{
    DockerServer, ImageOverrides, ImageRef, RUN_LABEL, choose_images, engine_answers, list_owned,
    remove_by_label,
};
use touchstone_engine::store::{Provider, ServerSpec, ServerState, Store, StoreKind};

const PASSWORD: &str = "pa55wordUnlikelyElsewhere";

/// One test's run: its own id, swept at the end whether the test passes or not.
struct Run {
    scope: RunScope,
    provider: Provider,
}

impl Run {
    fn spec(&self, kind: StoreKind, name: &str) -> ServerSpec {
        ServerSpec {
            kind,
            run_id: self.scope.run_id().to_owned(),
            name: format!("{name}-{kind}"),
            password: PASSWORD.to_owned(),
            user: "touchstone".to_owned(),
            database: "app".to_owned(),
            extra_args: Vec::new(),
            tls: None,
        }
    }

    async fn store(&self, kind: StoreKind) -> Store {
        let spec = self.spec(kind, "store");
        let launched = Store::launch(spec, &self.provider, &self.scope).await;
        launched.unwrap_or_else(|error| panic!("{}", touchstone_engine::error_chain(&error)))
    }
}

/// Runs `body` with a run of its own, or says why it cannot.
fn with_engine<F, Fut>(body: F)
where
    F: FnOnce(Run) -> Fut,
    Fut: Future<Output = Run>,
{
    static COUNTER: AtomicU32 = AtomicU32::new(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let images = match engine_answers().await {
            Ok(_) => choose_images(&ImageOverrides::default()).await,
            Err(why) => Err(why),
        };
        let images = match images {
            Ok(images) => images,
            Err(why) => return eprintln!("skipped: {why}"),
        };
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let run_id = format!("test-docker-{}-{number}", std::process::id());
        let run = Run {
            scope: RunScope::create(&run_id, true).expect("scope"),
            provider: Provider::Docker(images),
        };
        let outcome = AssertUnwindSafe(body(run)).catch_unwind().await;
        remove_by_label(&run_id).await.expect("swept");
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    });
}

async fn set(store: &Store, key: &str, value: &str) {
    let mut client = store.redis(0).await.expect("client");
    let mut command = redis::cmd("SET");
    let written = command.arg(key).arg(value).exec_async(&mut client).await;
    written.expect("written");
}

async fn get(store: &Store, key: &str) -> Option<String> {
    let mut client = store.redis(0).await.expect("client");
    let mut command = redis::cmd("GET");
    let read = command.arg(key).query_async(&mut client).await;
    read.expect("read")
}

async fn execute(store: &Store, sql: &str) {
    let client = store.postgres().await.expect("client");
    client.batch_execute(sql).await.expect("executed");
}

async fn count_rows(store: &Store) -> i64 {
    let client = store.postgres().await.expect("client");
    let row = client.query_one("SELECT count(*) FROM kept", &[]).await;
    row.expect("counted").get(0)
}

#[test]
fn redis_keeps_its_data_over_stop_and_kill_and_gets_an_address_after_each() {
    with_engine(|run| async {
        let store = run.store(StoreKind::Redis).await;
        set(&store, "kept", "yes").await;

        store.stop().await.expect("stopped");
        assert_eq!(store.state().await.expect("state"), ServerState::Gone);
        assert_eq!(store.address().await, None);
        store.start().await.expect("started");
        store.wait_ready().await.expect("ready");
        assert_eq!(get(&store, "kept").await.as_deref(), Some("yes"));

        store.kill().await.expect("killed");
        assert_eq!(store.state().await.expect("state"), ServerState::Gone);
        store.start().await.expect("started");
        store.wait_ready().await.expect("ready");
        assert_eq!(get(&store, "kept").await.as_deref(), Some("yes"));
        store.remove().await.expect("removed");
        run
    });
}

#[test]
fn postgres_keeps_its_table_over_stop_and_kill() {
    with_engine(|run| async {
        let store = run.store(StoreKind::Postgres).await;
        execute(
            &store,
            "CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)",
        )
        .await;

        // An open session: a smart shutdown would wait for it.
        let _session = store.postgres().await.expect("client");
        store.stop().await.expect("stopped");
        assert_eq!(store.state().await.expect("state"), ServerState::Gone);
        store.start().await.expect("started");
        store.wait_ready().await.expect("ready");
        assert_eq!(count_rows(&store).await, 1);

        store.kill().await.expect("killed");
        store.start().await.expect("started");
        store.wait_ready().await.expect("ready");
        assert_eq!(count_rows(&store).await, 1);
        store.remove().await.expect("removed");
        run
    });
}

#[test]
fn a_store_of_a_name_used_before_starts_empty_and_stays_when_the_memory_of_others_is_given_back() {
    with_engine(|run| async {
        // One more than are given back at once: the last must survive the deletion of the others.
        for _ in 0..9 {
            let store = run.store(StoreKind::Postgres).await;
            execute(&store, "CREATE TABLE kept (id int)").await;
            store.remove().await.expect("removed");
        }
        let store = run.store(StoreKind::Postgres).await;
        execute(&store, "CREATE TABLE kept (id int)").await;
        assert_eq!(count_rows(&store).await, 0);
        store.remove().await.expect("removed");
        run
    });
}

#[test]
fn a_frozen_store_accepts_but_does_not_answer_until_it_is_thawed() {
    with_engine(|run| async {
        for kind in StoreKind::ALL {
            let store = run.store(kind).await;
            store.freeze().await.expect("frozen");
            assert_eq!(store.state().await.expect("state"), ServerState::Frozen);
            let address = store.address().await.expect("still published");
            tokio::net::TcpStream::connect(address)
                .await
                .expect("accepted");
            let asked = async {
                match kind {
                    StoreKind::Redis => store.redis(0).await.map(|_| ()),
                    StoreKind::Postgres => store.postgres().await.map(|_| ()),
                }
            };
            let answered = tokio::time::timeout(Duration::from_millis(300), asked).await;
            assert!(
                !matches!(answered, Ok(Ok(()))),
                "{kind} answered while frozen"
            );

            store.thaw().await.expect("thawed");
            assert_eq!(store.state().await.expect("state"), ServerState::Running);
            store.wait_ready().await.expect("ready");
            store.remove().await.expect("removed");
        }
        run
    });
}

#[test]
fn a_frozen_store_can_be_stopped_killed_and_removed_without_waiting_for_it() {
    with_engine(|run| async {
        let limit = Duration::from_secs(8);
        let start = Instant::now();
        let store = run.store(StoreKind::Redis).await;
        store.freeze().await.expect("frozen");
        store.stop().await.expect("stopped");
        assert_eq!(store.state().await.expect("state"), ServerState::Gone);
        store.start().await.expect("started");
        store.freeze().await.expect("frozen");
        store.kill().await.expect("killed");
        assert_eq!(store.state().await.expect("state"), ServerState::Gone);
        store.start().await.expect("started");
        store.freeze().await.expect("frozen");
        store.remove().await.expect("removed");
        // The engine's own deadline for a stop that is not heard is 10 s.
        assert!(start.elapsed() < limit, "{:?}", start.elapsed());
        run
    });
}

#[test]
fn a_store_that_has_only_just_been_started_hears_the_stop() {
    with_engine(|run| async {
        for kind in StoreKind::ALL {
            let store = run.store(kind).await;
            store.stop().await.expect("stopped");
            let start = Instant::now();
            store.start().await.expect("started");
            store.stop().await.expect("stopped");
            assert_eq!(store.state().await.expect("state"), ServerState::Gone);
            assert!(
                start.elapsed() < Duration::from_secs(8),
                "{:?}",
                start.elapsed()
            );
            store.remove().await.expect("removed");
        }
        run
    });
}

#[test]
fn nothing_of_a_run_is_left_after_its_end() {
    with_engine(|run| async {
        let run_id = run.scope.run_id().to_owned();
        let redis = run.store(StoreKind::Redis).await;
        let _left_running = run.store(StoreKind::Postgres).await;
        redis.remove().await.expect("removed");
        redis.remove().await.expect("a second time is fine");

        let owned = list_owned().await.expect("listed");
        let own: Vec<_> = owned.iter().filter(|c| c.run_id == run_id).collect();
        assert_eq!(
            own.len(),
            2,
            "Postgres and the keeper of its memory: {own:?}"
        );
        assert!(
            own.iter()
                .all(|c| touchstone_engine::scope::owner_lives(&c.owner))
        );

        let held = own.iter().map(|c| c.id.as_str()).collect::<Vec<_>>();
        let mounts = ["inspect", "-f", "{{range .Mounts}}{{.Name}} {{end}}"];
        let names = Command::new("docker").args(mounts).args(&held).output();
        let names = String::from_utf8(names.expect("docker").stdout).expect("text");
        assert!(names.split_whitespace().count() >= 2, "{names}");

        remove_by_label(&run_id).await.expect("swept");
        let owned = list_owned().await.expect("listed");
        assert!(owned.iter().all(|c| c.run_id != run_id), "{owned:?}");
        for name in names.split_whitespace() {
            let found = Command::new("docker")
                .args(["volume", "inspect", name])
                .output();
            assert!(
                !found.expect("docker").status.success(),
                "volume {name} is left"
            );
        }
        run
    });
}

#[test]
fn a_store_that_is_gone_already_is_removed_without_complaint() {
    with_engine(|run| async {
        let store = run.store(StoreKind::Redis).await;
        remove_by_label(run.scope.run_id()).await.expect("swept");
        assert_eq!(store.state().await.expect("state"), ServerState::Gone);
        store.remove().await.expect("removed");
        run
    });
}

#[test]
fn a_failed_start_leaves_no_container_and_tells_no_password() {
    with_engine(|run| async {
        let spec = run.spec(StoreKind::Redis, "failed");
        let missing = ImageRef::parse("touchstone/no-such-image:0");
        let error = DockerServer::launch(&spec, &missing, run.scope.owner())
            .await
            .expect_err("no image");
        let text = touchstone_engine::error_chain(&error);
        assert!(text.contains("no-such-image"), "{text}");
        assert!(
            !text.contains(PASSWORD) && !format!("{error:?}").contains(PASSWORD),
            "{text}"
        );
        let owned = list_owned().await.expect("listed");
        assert!(owned.iter().all(|c| c.run_id != spec.run_id), "{owned:?}");
        run
    });
}

#[test]
fn a_server_that_will_not_start_is_reported_with_its_own_words() {
    with_engine(|run| async {
        let mut spec = run.spec(StoreKind::Postgres, "refused");
        spec.extra_args = ["-c", "shared_buffers=nonsense"].map(str::to_owned).into();
        let start = Instant::now();
        let error = Store::launch(spec, &run.provider, &run.scope)
            .await
            .expect_err("bad setting");
        let text = touchstone_engine::error_chain(&error);
        assert!(text.contains("shared_buffers"), "{text}");
        assert!(!text.contains(PASSWORD), "{text}");
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "{:?}",
            start.elapsed()
        );
        run
    });
}

#[test]
fn the_password_is_on_no_command_line_of_the_machine() {
    with_engine(|run| async {
        let stores = [
            run.store(StoreKind::Redis).await,
            run.store(StoreKind::Postgres).await,
        ];
        let processes = fs::read_dir("/proc").expect("proc").flatten();
        let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        for line in lines {
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            assert!(!line.contains(PASSWORD), "{line}");
        }
        for store in stores {
            assert!(!store.logs().await.expect("logs").contains(PASSWORD));
            store.remove().await.expect("removed");
        }
        run
    });
}

#[test]
fn a_wrong_password_is_refused() {
    with_engine(|run| async {
        for kind in StoreKind::ALL {
            let store = run.store(kind).await;
            let address = store.address().await.expect("address");
            let refused = match kind {
                StoreKind::Redis => {
                    touchstone_engine::store::redis::is_ready(address, "wrong").await
                }
                StoreKind::Postgres => {
                    let mut spec = store.spec().clone();
                    spec.password = "wrong".to_owned();
                    touchstone_engine::store::postgres::is_ready(address, &spec).await
                }
            };
            assert!(refused.is_err(), "{kind} let a wrong password in");
            store.remove().await.expect("removed");
        }
        run
    });
}

#[test]
fn an_image_that_cannot_be_had_is_named_with_what_to_do() {
    with_engine(|run| async {
        let overrides = ImageOverrides {
            redis: Some("localhost:1/no/redis:1".to_owned()),
            ..ImageOverrides::default()
        };
        let why = choose_images(&overrides)
            .await
            .expect_err("no registry there");
        assert!(why.what.contains("localhost:1/no/redis:1"), "{why}");
        assert!(why.remedy.contains("docker pull"), "{why}");
        run
    });
}

#[test]
fn the_modules_work_with_the_images_unchanged_readiness_by_log_text_included() {
    with_engine(|run| async {
        let Provider::Docker(images) = &run.provider else {
            unreachable!("the provider is Docker");
        };
        let label = (RUN_LABEL, run.scope.run_id().to_owned());
        let redis = Redis::default()
            .with_name(&images.redis.name)
            .with_tag(&images.redis.tag)
            .with_labels([label.clone()])
            .start();
        let postgres = Postgres::default()
            .with_init_sql("CREATE TABLE kept (id int)".to_owned().into_bytes())
            .with_name(&images.postgres.name)
            .with_tag(&images.postgres.tag)
            .with_labels([label])
            .start();
        let (redis, postgres) = tokio::join!(redis, postgres);
        let (redis, postgres) = (redis.expect("redis"), postgres.expect("postgres"));
        for (container, port) in [
            (redis.ports().await, 6379_u16),
            (postgres.ports().await, 5432),
        ] {
            let published = container.expect("ports").map_to_host_port_ipv4(port.tcp());
            assert!(published.is_some(), "{port} is not published");
        }
        redis.rm().await.expect("removed");
        postgres.rm().await.expect("removed");
        run
    });
}
