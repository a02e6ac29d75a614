//! SEC-6: an id is an id, and names nothing of anybody else's.

use super::client::{Person, Persons, canary};
use futures::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::{Answer, OperationName};

/// SEC-6.
pub(super) const SEPARATE: Scenario = Scenario {
    criterion: Criterion {
        id: "SEC-6",
        statement: "Keys carry their namespace (`tenant:{id}:user:{id}:...`); an id with `*`, `:`, a newline, `..` or 10 KiB is refused, and reaches no other tenant's key",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| separate(context).boxed(),
};

const OTHER_TENANT: &str = "second";

async fn separate(context: &Context) -> Result<(), Stop> {
    Persons::required(context)?;
    let with_tenants = has_tenants(context);
    let (environment, instance) = context.start().await?;
    let persons = Persons::open(context, &environment).await?;
    let person = persons.planted(&instance.http).await?;
    persons.cached(&instance.http, &person).await?;
    carries_namespace(&persons, &person, with_tenants)?;
    let mut whose = vec![person.clone()];
    if with_tenants {
        context.step("the same id of two tenants");
        whose.push(two_tenants(&persons, &instance, &person).await?);
    } else {
        context.observe("no `{tenant}` in `personal_read`: ids only");
    }
    let ids = bad_ids(&person);
    context.step(format!("{} bad ids", ids.len()));
    let mut before = persons.store.snapshot().await?;
    for bad in &ids {
        let mut calls = vec![Person {
            id: bad.clone(),
            ..person.clone()
        }];
        // A header cannot carry a line end: no client sends it.
        let in_header = bad.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        // Nor the blanks around a value, which are no part of it.
        if with_tenants && in_header && bad.trim() == bad {
            calls.push(person.of_tenant(bad));
        }
        for bad in calls {
            for name in [OperationName::PersonalRead, OperationName::PersonalWrite] {
                let answer = call(&instance, name, &bad).await?;
                is_refused(name, &bad, &answer, &whose)?;
                let after = persons.store.snapshot().await?;
                let changes = after.changes_since(&before);
                expect(
                    changes.is_empty(),
                    format!("no key touched by a request for {}", shown(&bad)),
                    changes.join("; "),
                )?;
                before = after;
            }
        }
    }
    for person in &whose {
        persons.read(&instance.http, person).await?;
    }
    Ok(())
}

fn has_tenants(context: &Context) -> bool {
    let operation = context
        .manifest()
        .operations
        .get(&OperationName::PersonalRead);
    operation.is_some_and(|operation| operation.placeholders().iter().any(|name| name == "tenant"))
}

/// What comes before an id tells what it is the id of.
fn carries_namespace(persons: &Persons, person: &Person, tenants: bool) -> Result<(), Stop> {
    let key = persons.key(person);
    let prefixed = |id: &str| {
        let at = key.find(&format!(":{id}"));
        at.is_some_and(|at| at > 0)
    };
    expect(
        prefixed(&person.id) && (!tenants || prefixed(&person.tenant)),
        "a key with a namespace before each id, as in `tenant:{id}:user:{id}:...`",
        key,
    )
}

/// Another tenant's data of the same id: other data, under another key.
async fn two_tenants(
    persons: &Persons,
    instance: &Instance,
    person: &Person,
) -> Result<Person, Stop> {
    let http = &instance.http;
    let mut other = person.of_tenant(OTHER_TENANT);
    let unknown = persons.ask(http, &other).await?;
    let leaked = String::from_utf8_lossy(&unknown.body).contains(&person.value);
    expect(
        unknown.kind() != AnswerKind::Ok && !leaked,
        "nothing for a tenant that has written nothing, while another tenant's entry is cached",
        unknown.describe(),
    )?;
    persons.write(http, &mut other, canary()).await?;
    persons.cached(http, &other).await?;
    persons.read(http, person).await?;
    persons.read(http, &other).await?;
    let (one, two) = (persons.key(person), persons.key(&other));
    let stored = (persons.stored(person).await?, persons.stored(&other).await?);
    expect(
        one != two && stored.0.is_some() && stored.1.is_some() && stored.0 != stored.1,
        "an entry of its own for each tenant",
        format!("`{one}` and `{two}`"),
    )?;
    Ok(other)
}

fn bad_ids(person: &Person) -> Vec<String> {
    let (id, tenant) = (&person.id, &person.tenant);
    let mut ids = vec![
        "*".to_owned(),
        "?".to_owned(),
        "[a-z]".to_owned(),
        format!("{id}*"),
        format!("{id}:"),
        format!(":{id}"),
        format!("{id}:contact"),
        format!("{tenant}:user:{id}"),
        format!("{id}\n"),
        format!("{id}\r\nDEL {id}"),
        format!("{id}\0"),
        "..".to_owned(),
        format!("../{id}"),
        format!("..%2f{id}"),
        "{a}".to_owned(),
        " ".to_owned(),
        format!(" {id}"),
        "ä".to_owned(),
    ];
    ids.push("1".repeat(10 * 1024));
    ids.push("a".repeat(10 * 1024));
    ids
}

async fn call(
    instance: &Arc<Instance>,
    name: OperationName,
    person: &Person,
) -> Result<Answer, Stop> {
    let values: &[(&str, &[u8])] = &[
        ("id", person.id.as_bytes()),
        ("tenant", person.tenant.as_bytes()),
        ("value", b"must not be written"),
    ];
    Ok(instance.http.call(name, values).await?)
}

fn is_refused(
    name: OperationName,
    bad: &Person,
    answer: &Answer,
    whose: &[Person],
) -> Result<(), Stop> {
    let body = String::from_utf8_lossy(&answer.body);
    let leaked = whose.iter().any(|person| body.contains(&person.value));
    expect(
        (400..500).contains(&answer.status) && answer.json().is_some() && !leaked,
        format!(
            "4xx with a JSON error to `{}` of {}",
            name.key(),
            shown(bad)
        ),
        answer.describe(),
    )
}

fn shown(person: &Person) -> String {
    let text = |text: &str| {
        let start: String = text.chars().take(40).collect();
        format!("{start:?} ({} bytes)", text.len())
    };
    format!("id {}, tenant {}", text(&person.id), text(&person.tenant))
}
