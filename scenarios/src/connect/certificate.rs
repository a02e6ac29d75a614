//! CONN-8: whoever cannot prove to be the server is not talked to.

use super::encrypted::{launch, meet, said_nothing, serves_again, topology, way};
use super::refused_start::see_refused_start;
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::{Environment, RedisLine};
use touchstone_engine::instance::Instance;
use touchstone_engine::proxy::{ConnectionRecord, TlsSeen};
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::Overlay;
use touchstone_engine::tls::Shown;

/// CONN-8.
pub(super) const VERIFIED: Scenario = Scenario {
    criterion: Criterion {
        id: "CONN-8",
        statement: "TLS to Redis verifies the certificate: an unknown authority, another host name and an expired one are each refused at start, and at a reconnect; nothing is said to such a server, and the right one is accepted",
        profile: Profile::Release,
    },
    expected: Duration::from_secs(3),
    run: |context| verified(context).boxed(),
};

/// One of these stands in what every TLS library says of a certificate that it refuses.
const WORDS: [&str; 5] = ["certificat", "tls", "ssl", "x509", "pkix"];

async fn verified(context: &Context) -> Result<(), Stop> {
    let way = way(context)?;
    let environment = context.stores_like(topology(context.manifest())).await?;
    accepts_the_store_itself(context, &environment, way).await?;
    for shown in Shown::BAD {
        refuses(context, &environment, way, shown).await?;
    }
    refuses_at_reconnect(context, &environment, way).await
}

/// So that what is refused next is refused for its certificate, and not because TLS does not work at all.
async fn accepts_the_store_itself(
    context: &Context,
    environment: &Environment,
    way: &Overlay,
) -> Result<(), Stop> {
    context.step("start with the store's own TLS, passed on untouched");
    let instance = launch(environment, way, RedisLine::Passed).await?;
    instance.wait_ready().await?;
    let proxy = instance.proxy(StoreKind::Redis);
    let (trace, undecoded) = (proxy.trace(0).await?, proxy.undecoded().await?);
    let first = trace.commands.first().map(ToString::to_string);
    expect(
        first.is_none() && !undecoded.is_empty(),
        "a connection to Redis that cannot be read without its keys",
        first.unwrap_or_else(|| "nothing that is encrypted".to_owned()),
    )?;
    instance.kill();
    Ok(())
}

async fn refuses(
    context: &Context,
    environment: &Environment,
    way: &Overlay,
    shown: Shown,
) -> Result<(), Stop> {
    let told = shown.told();
    context.step(format!("start with {told}"));
    let instance = launch(environment, way, RedisLine::Ended(shown)).await?;
    let refused =
        see_refused_start(context, &instance, context.manifest().exit_codes.failure).await;
    let attempts = instance.proxy(StoreKind::Redis).connections().await?;
    said_nothing(&instance, 0, &format!("a server with {told}")).await?;
    for attempt in &attempts {
        judge(attempt, told)?;
    }
    refused?;
    expect(
        !attempts.is_empty(),
        format!("an attempt to connect to a server with {told}"),
        "none",
    )?;
    says_why(&instance, told)
}

fn judge(attempt: &ConnectionRecord, told: &str) -> Result<(), Stop> {
    let refused = matches!(attempt.tls, Some(TlsSeen::NotBySubject(_)));
    expect(
        refused,
        format!("{told} to be refused in the handshake"),
        format!("connection {}: {:?}", attempt.id, attempt.tls),
    )
}

/// Whoever has to repair it must learn that it is the certificate.
fn says_why(instance: &Instance, told: &str) -> Result<(), Stop> {
    let output = instance.log.text().to_lowercase();
    expect(
        WORDS.iter().any(|word| output.contains(word)),
        format!("{told}: an error that says so"),
        format!("the output ends with:\n{}", instance.log.tail()),
    )
}

async fn refuses_at_reconnect(
    context: &Context,
    environment: &Environment,
    way: &Overlay,
) -> Result<(), Stop> {
    let shown = Shown::UnknownAuthority;
    context.step("start with the right certificate, and reconnect to an unknown authority's");
    let instance = launch(environment, way, RedisLine::Ended(Shown::Good)).await?;
    instance.wait_ready().await?;
    let (attempt, first) = meet(
        environment,
        &instance,
        RedisLine::Ended(shown),
        shown.told(),
    )
    .await?;
    judge(&attempt, shown.told())?;
    said_nothing(&instance, first, &format!("a server with {}", shown.told())).await?;
    context.step("show the right certificate again");
    serves_again(context, environment, &instance).await
}
