//! What the criteria of TLS share: stores with it, a subject that is told of it, and what the proxy saw of it.

use std::sync::Arc;
use std::time::Duration;
use touchstone_engine::environment::{Environment, Overrides, RedisLine, Topology};
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::{ConnectionRecord, Cut, CutMode, TlsSeen};
use touchstone_engine::scenario::{Context, OrFail, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::{Manifest, Overlay};
use touchstone_engine::tls::Shown;

const POLL: Duration = Duration::from_millis(5);
/// How long the subject's next attempt is waited for after its connection was cut.
const ATTEMPT_DEADLINE: Duration = Duration::from_secs(8);

/// Stores for a subject that is told of TLS like this: a certificate of the client is demanded if each way has one.
pub(super) fn topology(manifest: &Manifest) -> Topology {
    match manifest.tls.as_slice() {
        [] => Topology::Plain,
        ways => Topology::Tls {
            demands_client_certificate: ways.iter().all(|way| way.uses("tls.cert_file")),
        },
    }
}

/// The way that the criteria take that need only one.
pub(super) fn way(context: &Context) -> Result<&Overlay, Stop> {
    context.section("tls", context.manifest().tls.first())
}

/// Starts an instance that is told of TLS and meets this, and does not wait.
pub(super) async fn launch(
    environment: &Environment,
    way: &Overlay,
    line: RedisLine,
) -> Result<Arc<Instance>, Stop> {
    let wiring = environment.wire().await?;
    environment.set_redis_line(&wiring, line).await?;
    let overrides: Overrides = environment.told_of_tls(way)?;
    Ok(environment.launch(wiring, &overrides)?)
}

/// On no connection from that one on was anything heard: no command, so no password either.
pub(super) async fn said_nothing(
    instance: &Instance,
    first_connection: u64,
    met: &str,
) -> Result<(), Stop> {
    let trace = instance.proxy(StoreKind::Redis).trace(0).await?;
    let mut commands = trace.commands.iter();
    let first = commands.find(|command| command.connection >= first_connection);
    expect(
        first.is_none(),
        format!("not one command to {met}"),
        first.map(ToString::to_string).unwrap_or_default(),
    )
}

/// Cuts the connections of an instance that runs, once its next ones meet this, and waits until one of them has
/// come to its end. Returns it, and the number of the first of them.
pub(super) async fn meet(
    environment: &Environment,
    instance: &Instance,
    line: RedisLine,
    met: &str,
) -> Result<(ConnectionRecord, u64), Stop> {
    let (wiring, redis) = (&instance.wiring, StoreKind::Redis);
    let proxy = wiring.proxy(redis);
    environment.set_redis_line(wiring, line).await?;
    let first = proxy.counters().await?.accepted;
    let mode = CutMode::Reset;
    let cut = environment
        .network_fault(wiring, redis, Cut { mode })
        .await?;
    let what = format!("an attempt to reconnect, which meets {met}, to come to its end");
    let attempt = poll_until(&what, ATTEMPT_DEADLINE, POLL, || async {
        let connections = match proxy.connections().await {
            Ok(connections) => connections,
            Err(error) => return Look::NotYet(error.to_string()),
        };
        let mut attempts = connections.into_iter().filter(|c| c.id >= first);
        // One that goes on was accepted.
        let over = |c: &ConnectionRecord| c.closed_at.is_some() || c.down.bytes > 0;
        match attempts.find(over) {
            Some(attempt) => Look::Ready(attempt),
            None => Look::NotYet("no attempt that has ended".to_owned()),
        }
    });
    let attempt = attempt.await.or_fail(&what)?;
    cut.heal().await?;
    Ok((attempt, first))
}

/// With the right certificate back, the same process serves again.
pub(super) async fn serves_again(
    context: &Context,
    environment: &Environment,
    instance: &Instance,
) -> Result<(), Stop> {
    let line = RedisLine::Ended(Shown::Good);
    environment.set_redis_line(&instance.wiring, line).await?;
    let what = "the service to use TLS again, now that it can be trusted";
    let path = &context.manifest().subject.ready_path;
    let proxy = instance.proxy(StoreKind::Redis);
    let back = poll_until(what, context.deadline(|d| d.recover_ms), POLL, || async {
        let connections = proxy.connections().await.unwrap_or_default();
        let trusted = |c: &ConnectionRecord| c.ending.is_none() && c.tls == Some(TlsSeen::Done);
        match instance.http.get(path).await {
            Ok(answer) if answer.status != 200 => Look::NotYet(answer.describe()),
            Err(error) => Look::NotYet(error.to_string()),
            Ok(_) if connections.iter().any(trusted) => Look::Ready(()),
            Ok(_) => Look::NotYet("no connection with TLS".to_owned()),
        }
    });
    back.await.or_fail(what)
}
