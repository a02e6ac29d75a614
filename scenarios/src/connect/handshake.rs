//! CONN-2: nothing is sent before the explicit connect.

use futures::FutureExt;
use std::collections::BTreeMap;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::proxy::CommandRecord;
use touchstone_engine::scenario::{Context, Scenario, Stop};
use touchstone_engine::store::StoreKind;

/// What a client says of itself before it asks anything.
const HANDSHAKE: [&str; 6] = [
    "HELLO",
    "AUTH",
    "SELECT",
    "CLIENT SETINFO",
    "CLIENT SETNAME",
    "READONLY",
];
/// What the server is asked about itself, by an explicit connect.
const INTRODUCTION: &str = "INFO";

/// CONN-2.
pub(super) const HANDSHAKE_FIRST: Scenario = Scenario {
    criterion: Criterion {
        id: "CONN-2",
        statement: "Nothing is sent before the explicit connect: the first commands on a new connection are the handshake, and INFO on the first one",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| handshake_first(context).boxed(),
};

async fn handshake_first(context: &Context) -> Result<(), Stop> {
    let (_environment, instance) = context.start().await?;
    context.step("read what it has sent since its start");
    let proxy = instance.proxy(StoreKind::Redis);
    let undecoded = proxy.undecoded().await?;
    if let Some((connection, why)) = undecoded.first() {
        let reason = format!("connection {connection} could not be decoded: {why:?}");
        return Err(Stop::unknown(reason));
    }
    let mut connections: BTreeMap<u64, Vec<CommandRecord>> = BTreeMap::new();
    for command in proxy.trace(0).await?.commands {
        connections
            .entry(command.connection)
            .or_default()
            .push(command);
    }
    if connections.is_empty() {
        return Err(Stop::fail(
            "a command to Redis by the time it is ready",
            "none",
        ));
    }
    for (place, commands) in connections.values().enumerate() {
        judge(place == 0, commands)?;
        let told: Vec<_> = commands.iter().take(6).map(|c| c.name.as_ref()).collect();
        context.observe(format!("connection {place} began with {}", told.join(", ")));
    }
    Ok(())
}

fn judge(is_first: bool, commands: &[CommandRecord]) -> Result<(), Stop> {
    let is_handshake = |command: &&CommandRecord| HANDSHAKE.contains(&command.name.as_ref());
    let opening = commands.iter().take_while(is_handshake).count();
    let late = commands[opening..].iter().find(|command| {
        // A subject may take another database or name later on; credentials come first or never.
        matches!(command.name.as_ref(), "AUTH" | "HELLO")
    });
    let first_use = commands.get(opening);
    let introduces_itself = first_use.is_none_or(|command| command.name == INTRODUCTION);
    let (expected, seen) = match (late, first_use) {
        (Some(late), _) => ("credentials before anything else", late.to_string()),
        (None, Some(first)) if is_first && !introduces_itself => (
            "the handshake, then INFO, before any other command",
            first.to_string(),
        ),
        _ => return Ok(()),
    };
    let mut finding = Finding::new(expected, seen);
    finding.evidence = commands.iter().take(12).map(ToString::to_string).collect();
    Err(Stop::Fail(finding))
}
