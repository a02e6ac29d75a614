//! HLTH-1: the document when all is well.

use futures::FutureExt;
use std::time::Duration;
use touchstone_core::timeline::ProbeAnswer;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::manifest::JsonPointer;

/// How far the document's time may be from ours.
const TIMESTAMP_TOLERANCE: Duration = Duration::from_secs(2);

/// HLTH-1.
pub(super) const BOTH_UP: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-1",
        statement: "Both stores up: 200, JSON, state ok, both connected, and a timestamp in ISO 8601 UTC within 2 s of now",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(3),
    run: |context| both_up(context).boxed(),
};

async fn both_up(context: &Context) -> Result<(), Stop> {
    let health = context.health()?.clone();
    let (_environment, instance) = context.start().await?;
    context.step("read the health document");
    let answer = instance.http.get(&health.path).await?;
    let described = answer.describe();
    let content_type = answer.header("content-type").unwrap_or("none").to_owned();
    match health.read(&Ok(answer)) {
        ProbeAnswer::Health(seen)
            if seen.overall_ok && seen.redis_connected && seen.postgres_connected => {}
        _ => {
            return Err(Stop::fail(
                "200, state ok, redis and postgres connected",
                described,
            ));
        }
    }
    expect(
        is_json(&content_type),
        "content type application/json, or application/*+json",
        content_type,
    )?;
    context.observe(described);
    let pointer = context.section("health.timestamp", health.timestamp.as_ref())?;
    timestamp_moves(context, &instance, &health.path, pointer).await
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.starts_with("application/")
        && (essence.ends_with("/json") || essence.ends_with("+json"))
}

/// Read twice, further apart than the tolerance: a time that was taken at start is found out.
async fn timestamp_moves(
    context: &Context,
    instance: &Instance,
    path: &str,
    pointer: &JsonPointer,
) -> Result<(), Stop> {
    check_timestamp(instance, path, pointer).await?;
    context.step("let the tolerance pass, then read again");
    // Not a wait for a state: the passing of time is what is tested.
    tokio::time::sleep(TIMESTAMP_TOLERANCE).await;
    check_timestamp(instance, path, pointer).await
}

async fn check_timestamp(
    instance: &Instance,
    path: &str,
    pointer: &JsonPointer,
) -> Result<(), Stop> {
    let before = jiff::Timestamp::now();
    let answer = instance.http.get(path).await?;
    let after = jiff::Timestamp::now();
    let document = answer.json().unwrap_or_default();
    let text = pointer.get(&document).and_then(serde_json::Value::as_str);
    let Some(text) = text else {
        return Err(Stop::fail(
            format!("a text at `{}`", pointer.as_str()),
            answer.describe(),
        ));
    };
    let utc = text.ends_with('Z') || text.ends_with("+00:00");
    let Some(timestamp) = text.parse::<jiff::Timestamp>().ok().filter(|_| utc) else {
        return Err(Stop::fail(
            "a timestamp in ISO 8601, UTC",
            format!("`{text}`"),
        ));
    };
    let near =
        timestamp >= before - TIMESTAMP_TOLERANCE && timestamp <= after + TIMESTAMP_TOLERANCE;
    expect(near, format!("a timestamp within 2 s of {after}"), text)
}
