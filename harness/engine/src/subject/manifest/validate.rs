//! What the form of the file cannot say: that its parts fit together.

use super::error::{ManifestError, Source};
use super::overlay::{validate_credentials, validate_tls};
use super::sections::environment_placeholders;
use super::{Manifest, Template};
use std::collections::BTreeMap;

pub(super) fn validate(manifest: &Manifest, source: &Source<'_>) -> Result<(), ManifestError> {
    if manifest.subject.command.is_empty() {
        return Err(source.error_at("subject.command", "expected a program and its arguments"));
    }
    if !(0..=15).contains(&manifest.stores.redis_database) {
        return Err(source.error_at("stores.redis_database", "expected 0 to 15"));
    }
    if let Some(case) = manifest
        .bad_configuration
        .iter()
        .find(|case| case.error_contains.is_empty())
    {
        let problem = format!(
            "{:?}: `error_contains` is empty; expected the variable's name, and what it accepts",
            case.env
        );
        return Err(source.error_at("bad_configuration", problem));
    }
    if let Some(structure) = &manifest.logs.structure {
        structure.validate(source)?;
    }
    environment(manifest, source)?;
    port(manifest, source)?;
    good_configuration(manifest, source)?;
    validate_tls(&manifest.tls, source)?;
    validate_credentials(&manifest.credentials, source)?;
    operations(manifest, source)?;
    if let Some(backoff) = &manifest.backoff {
        backoff.validate(source)?;
    }
    if let Some(cache) = &manifest.cache {
        cache.validate(source)?;
    }
    if let Some(scripts) = &manifest.scripts {
        scripts.validate(&manifest.operations, source)?;
    }
    if let Some(encryption) = &manifest.encryption {
        encryption.validate(source)?;
    }
    for class in &manifest.data_classes {
        class.validate(&manifest.operations, source)?;
    }
    if let Some(sessions) = &manifest.sessions {
        sessions.validate(source)?;
    }
    if let Some(limiter) = &manifest.limiter {
        limiter.validate(source)?;
    }
    if let Some(login) = &manifest.login {
        login.validate(source)?;
    }
    if let Some(tokens) = &manifest.tokens {
        tokens.validate(source)?;
    }
    if let Some(lock) = &manifest.lock {
        lock.validate(source)?;
    }
    if let Some(degraded) = &manifest.degraded {
        degraded.validate(&manifest.operations, source)?;
    }
    policy(manifest, source)
}

fn good_configuration(manifest: &Manifest, source: &Source<'_>) -> Result<(), ManifestError> {
    for case in &manifest.good_configuration {
        let known = environment_placeholders();
        only_known_placeholders(&case.env, "good_configuration", &known, source)?;
        if !(0..=15).contains(&case.redis_database) {
            let problem = format!(
                "`redis_database` is {}; expected 0 to 15",
                case.redis_database
            );
            return Err(source.error_at("good_configuration", problem));
        }
    }
    Ok(())
}

pub(super) fn only_known_placeholders(
    env: &BTreeMap<String, Template>,
    key: &str,
    known: &[String],
    source: &Source<'_>,
) -> Result<(), ManifestError> {
    for (name, template) in env {
        let unknown = template
            .placeholders()
            .find(|used| !known.iter().any(|known| known == used));
        if let Some(unknown) = unknown {
            let key = format!("{key}.{name}");
            return Err(source.error_at(&key, unknown_placeholder(unknown, known)));
        }
    }
    Ok(())
}

fn environment(manifest: &Manifest, source: &Source<'_>) -> Result<(), ManifestError> {
    let known = environment_placeholders();
    only_known_placeholders(&manifest.subject.env, "subject.env", &known, source)?;
    for (index, part) in manifest.subject.command.iter().enumerate() {
        let unknown = part.placeholders().find(|used| !used.starts_with("env."));
        if let Some(unknown) = unknown {
            let problem = format!(
                "argument {index} uses {{{unknown}}}; expected only {{env.NAME|default}}, a variable of our own environment"
            );
            return Err(source.error_at("subject.command", problem));
        }
    }
    Ok(())
}

/// The subject must be told where to listen, or it must be known where it does: anything else ends in "never ready".
fn port(manifest: &Manifest, source: &Source<'_>) -> Result<(), ManifestError> {
    const PLACEHOLDER: &str = "http.port";
    let subject = &manifest.subject;
    let mut used = subject.env.values().flat_map(Template::placeholders);
    match (used.any(|name| name == PLACEHOLDER), subject.port) {
        (false, None) => Err(source.error_at(
            "subject.env",
            "nothing tells the subject its port; expected {http.port} in a variable, or `subject.port`, the port that it always listens on",
        )),
        (true, Some(_)) => Err(source.error_at(
            "subject.port",
            "`subject.env` uses {http.port}, too; expected one of the two",
        )),
        _ => Ok(()),
    }
}

fn unknown_placeholder(unknown: &str, known: &[String]) -> String {
    let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
    format!(
        "unknown placeholder {{{unknown}}}; expected one of {}",
        known.join(", ")
    )
}

fn operations(manifest: &Manifest, source: &Source<'_>) -> Result<(), ManifestError> {
    for (name, operation) in &manifest.operations {
        let key = format!("operations.{}", name.key());
        let needed = name.placeholders();
        let known = needed.iter().chain(name.optional_placeholders());
        let known: Vec<String> = known.map(|known| (*known).to_owned()).collect();
        let used = operation.placeholders();
        if let Some(unknown) = used.iter().find(|used| !known.contains(used)) {
            return Err(source.error_at(&key, unknown_placeholder(unknown, &known)));
        }
        let is_used = |needed: &&str| used.iter().any(|used| used == needed);
        if let Some(unused) = needed.iter().find(|needed| !is_used(needed)) {
            let problem = format!("its request must use {{{unused}}} somewhere");
            return Err(source.error_at(&key, problem));
        }
        if operation.body.is_some() && operation.json.is_some() {
            return Err(source.error_at(&key, "has both `body` and `json`; expected one of them"));
        }
    }
    match manifest
        .absent
        .keys()
        .find(|name| manifest.operations.contains_key(name))
    {
        Some(both) => {
            let key = format!("absent.{}", both.key());
            Err(source.error_at(&key, "is also in `operations`; expected one of the two"))
        }
        None => Ok(()),
    }
}

fn policy(manifest: &Manifest, source: &Source<'_>) -> Result<(), ManifestError> {
    let known: Vec<&str> = manifest
        .deadlines
        .named()
        .iter()
        .map(|(name, ..)| *name)
        .collect();
    match manifest
        .policy
        .accept_looser
        .keys()
        .find(|name| !known.contains(&name.as_str()))
    {
        Some(unknown) => Err(source.error_at(
            &format!("policy.accept_looser.{unknown}"),
            format!("names no deadline; expected one of {}", known.join(", ")),
        )),
        None => Ok(()),
    }
}
