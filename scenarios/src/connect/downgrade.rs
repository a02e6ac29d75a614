//! CONN-9: whoever was told to encrypt does not talk in the clear.

use super::encrypted::{launch, meet, said_nothing, serves_again, topology, way};
use super::refused_start::see_refused_start;
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::{Environment, RedisLine};
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::Overlay;
use touchstone_engine::tls::Shown;

const MET: &str = "a server without TLS";

/// CONN-9.
pub(super) const NO_DOWNGRADE: Scenario = Scenario {
    criterion: Criterion {
        id: "CONN-9",
        statement: "A server without TLS where TLS was asked for is refused, at start and at a reconnect: not one command is sent in the clear",
        profile: Profile::Release,
    },
    expected: Duration::from_secs(4),
    run: |context| no_downgrade(context).boxed(),
};

async fn no_downgrade(context: &Context) -> Result<(), Stop> {
    let way = way(context)?;
    let environment = context.stores_like(topology(context.manifest())).await?;
    at_start(context, &environment, way).await?;
    at_reconnect(context, &environment, way).await
}

async fn at_start(context: &Context, environment: &Environment, way: &Overlay) -> Result<(), Stop> {
    context.step("start with the store's plain port");
    let instance = launch(environment, way, RedisLine::Plain).await?;
    let refused =
        see_refused_start(context, &instance, context.manifest().exit_codes.failure).await;
    said_nothing(&instance, 0, MET).await?;
    refused?;
    // What it did send was no Redis, or it would have been read.
    let proxy = instance.proxy(StoreKind::Redis);
    let (attempts, undecoded) = (proxy.connections().await?, proxy.undecoded().await?);
    expect(
        attempts.iter().any(|attempt| attempt.up.bytes > 0) && !undecoded.is_empty(),
        format!("an attempt to encrypt, which {MET} cannot answer"),
        format!("{} connections, none with TLS", attempts.len()),
    )
}

async fn at_reconnect(
    context: &Context,
    environment: &Environment,
    way: &Overlay,
) -> Result<(), Stop> {
    context.step("start with TLS, and reconnect to the plain port");
    let instance = launch(environment, way, RedisLine::Ended(Shown::Good)).await?;
    instance.wait_ready().await?;
    let (_, first) = meet(environment, &instance, RedisLine::Plain, MET).await?;
    said_nothing(&instance, first, MET).await?;
    context.step("offer TLS again");
    serves_again(context, environment, &instance).await?;
    nothing_in_the_clear(&instance, first).await
}

/// Once more, of every attempt that there was meanwhile.
async fn nothing_in_the_clear(instance: &Instance, first: u64) -> Result<(), Stop> {
    let proxy = instance.proxy(StoreKind::Redis);
    let connections = proxy.connections().await?;
    let is_plain = |id: u64| connections.iter().any(|c| c.id == id && c.tls.is_none());
    let trace = proxy.trace(0).await?;
    let mut commands = trace.commands.iter();
    let said = commands.find(|command| command.connection >= first && is_plain(command.connection));
    expect(
        said.is_none(),
        format!("not one command to {MET}"),
        said.map(ToString::to_string).unwrap_or_default(),
    )
}
