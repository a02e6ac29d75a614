//! SEC-1: whoever reads Redis reads no personal data.

use super::client::{Person, Persons, canary};
use crate::secrets::{Shape, forms};
use crate::store_contents::StoreContents;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::{HttpClient, OperationName};

const PERSONS: usize = 3;

/// SEC-1.
pub(super) const ENCRYPTED: Scenario = Scenario {
    criterion: Criterion {
        id: "SEC-1",
        statement: "Values of the sensitive classes are encrypted before they reach Redis (AES-256-GCM or ChaCha20-Poly1305): no planted canary is found in a dump of the keyspace",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| encrypted(context).boxed(),
};

async fn encrypted(context: &Context) -> Result<(), Stop> {
    Persons::required(context)?;
    let (environment, instance) = context.start().await?;
    let persons = Persons::open(context, &environment).await?;
    let http = &instance.http;
    if let Some(control) = plant_in_clear(context, http).await? {
        let contents = StoreContents::read(&environment).await?;
        if search(&contents, &control).is_none() {
            let reason = "what was written in clear through `kv_set` is not found either";
            return Err(Stop::unknown(reason));
        }
    }
    context.step(format!("{PERSONS} canaries, searched for after each step"));
    let mut planted: Vec<Person> = Vec::new();
    for _ in 0..PERSONS {
        planted.push(persons.planted(http).await?);
    }
    let looked = |when: &'static str| look(&environment, &planted, when);
    looked("after the write").await?;
    for person in &planted {
        persons.cached(http, person).await?;
    }
    looked("once it is cached").await?;
    for person in &planted {
        persons.read(http, person).await?;
    }
    let keys = looked("after a hit").await?;
    context.observe(format!("{keys} of Redis searched"));
    sessions_are_encrypted(context, &environment, http).await
}

/// Where the manifest declares sessions as encrypted: the name of a device is not found either.
async fn sessions_are_encrypted(
    context: &Context,
    environment: &Environment,
    http: &HttpClient,
) -> Result<(), Stop> {
    let (account, login) = (OperationName::AccountCreate, OperationName::SessionCreate);
    let mut classes = context.manifest().data_classes.iter();
    if !classes.any(|class| class.encrypted && class.made_by.contains(&login)) {
        context.observe("the manifest declares no class of encrypted sessions");
        return Ok(());
    }
    context.require(&[account, login])?;
    context.step("log in on a device whose name is a canary");
    let device = canary();
    let values: &[(&str, &[u8])] = &[
        ("user", b"searched"),
        ("password", b"correct horse 7 Battery staple"),
        ("device", device.as_bytes()),
    ];
    for name in [account, login] {
        let answer = http.call(name, values).await?;
        let expected = format!("`{}` to succeed with both stores up", name.key());
        expect(answer.kind() == AnswerKind::Ok, expected, answer.describe())?;
    }
    match search(&StoreContents::read(environment).await?, &device) {
        None => Ok(()),
        Some(place) => Err(Stop::fail("no session readable in Redis", place)),
    }
}

/// A canary that is meant to be readable: it proves that the search finds one.
async fn plant_in_clear(context: &Context, http: &HttpClient) -> Result<Option<String>, Stop> {
    let name = OperationName::KvSet;
    if !context.manifest().operations.contains_key(&name) {
        context.observe("no `kv_set`: nothing in clear was planted beside it");
        return Ok(None);
    }
    let control = canary();
    let values: &[(&str, &[u8])] = &[("key", b"control"), ("value", control.as_bytes())];
    let answer = http.call(name, values).await?;
    expect(
        answer.kind() == AnswerKind::Ok,
        "`kv_set` to succeed with both stores up",
        answer.describe(),
    )?;
    Ok(Some(control))
}

async fn look(environment: &Environment, planted: &[Person], when: &str) -> Result<String, Stop> {
    let contents = StoreContents::read(environment).await?;
    let found: Vec<String> = planted
        .iter()
        .filter_map(|person| search(&contents, &person.value))
        .collect();
    let Some(first) = found.first() else {
        return Ok(contents.of_redis());
    };
    let mut finding = Finding::new(
        format!("no personal data readable in Redis {when}"),
        format!("{} of {}: {first}", found.len(), planted.len()),
    );
    finding.evidence = found;
    Err(Stop::Fail(finding))
}

/// How a canary lies where.
fn search(contents: &StoreContents, canary: &str) -> Option<String> {
    shapes(canary).iter().find_map(|(shape, bytes)| {
        let place = contents.place_in_redis(bytes)?;
        Some(format!("the canary {shape} in {place}"))
    })
}

/// By itself, and in the middle of something that was encoded as a whole.
fn shapes(canary: &str) -> Vec<Shape> {
    let mut shapes = forms(canary);
    let reversed: Vec<u8> = canary.bytes().rev().collect();
    shapes.push(("backwards", reversed));
    for before in 0..3 {
        let whole = [&b"..."[..before], canary.as_bytes()].concat();
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let text = engine.encode(&whole).into_bytes();
            // The first and the last characters depend on what stands beside the canary.
            let inner = &text[(8 * before).div_ceil(6)..text.len() - 2];
            shapes.push(("in base64", inner.to_vec()));
        }
    }
    // One byte for all: what is often called encryption.
    for mask in 1..=u8::MAX {
        let masked = canary.bytes().map(|byte| byte ^ mask).collect();
        shapes.push(("under a mask of one byte", masked));
    }
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::contains;

    #[test]
    fn a_canary_is_found_wherever_it_stands_in_what_was_encoded() {
        for before in 0..7 {
            let json = format!("{}canary0123456789{}", "x".repeat(before), "y".repeat(5));
            let encoded = STANDARD_NO_PAD.encode(&json);
            let masked: Vec<u8> = json.bytes().map(|byte| byte ^ 0x5a).collect();
            for hay in [encoded.as_bytes(), &masked] {
                let shapes = shapes("canary0123456789");
                let found = |(_, bytes): &Shape| contains(hay, bytes);
                assert!(shapes.iter().any(found), "{before}: {encoded}");
            }
            let shapes = shapes_of_another();
            assert!(
                !shapes
                    .iter()
                    .any(|(_, bytes)| contains(encoded.as_bytes(), bytes))
            );
        }
    }

    fn shapes_of_another() -> Vec<Shape> {
        shapes("canary9876543210")
    }
}
