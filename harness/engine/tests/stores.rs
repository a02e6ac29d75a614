//! Real servers from the process provider: each operation does what it says, seen by a client.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use touchstone_core::Seed;
use touchstone_engine::proxy::{PemIdentity, Protocol, ProxyConfig, ProxyThread, Tls, TlsClient};
use touchstone_engine::scope::RunScope;
use touchstone_engine::store::redis as redis_client;
use touchstone_engine::store::tools::Tools;
use touchstone_engine::store::{
    Provider, SUPERUSER, ServerSpec, ServerState, ServerTls, Store, StoreKind,
};
use touchstone_engine::tls::Authority;

type TestResult = Result<(), Box<dyn Error>>;

fn scope() -> Result<RunScope, Box<dyn Error>> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Ok(RunScope::create(
        &format!("stores-{}-{number}", std::process::id()),
        false,
    )?)
}

async fn launch(kind: StoreKind, scope: &RunScope) -> Result<Store, Box<dyn Error>> {
    let spec = ServerSpec {
        kind,
        run_id: scope.run_id().to_owned(),
        name: format!("test-{kind}"),
        password: "pw12345".to_owned(),
        user: SUPERUSER.to_owned(),
        database: "postgres".to_owned(),
        extra_args: Vec::new(),
        tls: None,
    };
    Ok(Store::launch(spec, &Provider::Process(Tools::find()?), scope).await?)
}

#[tokio::test]
async fn redis_keeps_its_data_through_a_stop_and_a_kill() -> TestResult {
    let scope = scope()?;
    let store = launch(StoreKind::Redis, &scope).await?;
    redis::cmd("SET")
        .arg("k")
        .arg("v")
        .exec_async(&mut store.redis(0).await?)
        .await?;
    store.stop().await?;
    assert_eq!(store.state().await?, ServerState::Gone);
    assert_eq!(store.address().await, None);
    store.start().await?;
    store.wait_ready().await?;
    store.kill().await?;
    assert_eq!(store.state().await?, ServerState::Gone);
    store.start().await?;
    store.wait_ready().await?;
    let value: String = redis::cmd("GET")
        .arg("k")
        .query_async(&mut store.redis(0).await?)
        .await?;
    assert_eq!(value, "v");
    assert!(
        store
            .version()
            .await?
            .starts_with(|first: char| first.is_ascii_digit())
    );
    Ok(store.remove().await?)
}

#[tokio::test]
async fn postgres_keeps_its_data_through_a_stop_and_a_kill() -> TestResult {
    let scope = scope()?;
    let store = launch(StoreKind::Postgres, &scope).await?;
    store
        .postgres()
        .await?
        .batch_execute("CREATE TABLE t AS SELECT 7 AS x")
        .await?;
    // With a session open: a polite SIGTERM would wait for it.
    let _session = store.postgres().await?;
    store.stop().await?;
    assert_eq!(store.state().await?, ServerState::Gone);
    store.start().await?;
    store.wait_ready().await?;
    store.kill().await?;
    store.start().await?;
    store.wait_ready().await?;
    let row = store
        .postgres()
        .await?
        .query_one("SELECT x FROM t", &[])
        .await?;
    assert_eq!(row.get::<_, i32>(0), 7);
    Ok(store.remove().await?)
}

#[tokio::test]
async fn a_frozen_server_is_silent_for_old_sessions_too_and_goes_on_when_thawed() -> TestResult {
    let scope = scope()?;
    for kind in StoreKind::ALL {
        let store = launch(kind, &scope).await?;
        store.freeze().await?;
        assert_eq!(store.state().await?, ServerState::Frozen, "{kind}");
        let session = async {
            match kind {
                StoreKind::Redis => store.redis(0).await.map(drop),
                StoreKind::Postgres => store.postgres().await.map(drop),
            }
        };
        assert!(session.await.is_err(), "{kind} answered while frozen");
        store.thaw().await?;
        assert_eq!(store.state().await?, ServerState::Running, "{kind}");
        store.wait_ready().await?;
        store.freeze().await?; // Removing a frozen server must not hang.
        store.remove().await?;
    }
    Ok(())
}

/// Through a proxy that speaks TLS for it, as the client that stores are looked into with speaks none.
async fn ping_by_tls(store: &Store, authority: &Authority) -> TestResult {
    let thread = ProxyThread::spawn("tls")?;
    let config = ProxyConfig {
        name: "tls".to_owned(),
        seed: Seed(1),
        protocol: Protocol::Redis,
        listen: None,
    };
    let proxy = thread.open(config).await?;
    let client = PemIdentity {
        chain: authority.client.certificate_pem.as_bytes(),
        key: authority.client.key_pem.as_bytes(),
    };
    let tls = TlsClient::from_pem(authority.ca_pem.as_bytes(), "localhost", Some(client))?;
    let tls = Tls {
        subject: None,
        store: Some(tls),
    };
    proxy.set_tls(tls).await?;
    proxy.set_upstream(store.tls_address().await).await?;
    let mut connection = redis_client::connect(proxy.address(), &store.spec().password, 0).await?;
    redis::cmd("PING").exec_async(&mut connection).await?;
    Ok(())
}

#[tokio::test]
async fn redis_speaks_tls_on_a_second_port_and_demands_a_certificate_also_after_a_restart()
-> TestResult {
    let scope = scope()?;
    let authority = scope.authority()?;
    let spec = ServerSpec {
        kind: StoreKind::Redis,
        run_id: scope.run_id().to_owned(),
        name: "tls".to_owned(),
        password: "pw12345".to_owned(),
        user: String::new(),
        database: String::new(),
        extra_args: Vec::new(),
        tls: Some(ServerTls {
            authority: Arc::clone(&authority),
            demands_client_certificate: true,
        }),
    };
    let store = Store::launch(spec, &Provider::Process(Tools::find()?), &scope).await?;
    ping_by_tls(&store, &authority).await?;
    store.stop().await?;
    assert_eq!(store.tls_address().await, None);
    store.start().await?;
    store.wait_ready().await?;
    ping_by_tls(&store, &authority).await?;
    store.remove().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why_with_its_own_words() -> TestResult {
    let scope = scope()?;
    let spec = ServerSpec {
        kind: StoreKind::Redis,
        run_id: scope.run_id().to_owned(),
        name: "broken".to_owned(),
        password: "pw".to_owned(),
        user: String::new(),
        database: String::new(),
        extra_args: vec!["--no-such-setting".to_owned(), "1".to_owned()],
        tls: None,
    };
    let error = Store::launch(spec, &Provider::Process(Tools::find()?), &scope).await;
    let text = error.err().ok_or("it started")?.to_string();
    assert!(
        text.contains("it ended") && text.contains("no-such-setting"),
        "{text}"
    );
    Ok(())
}
