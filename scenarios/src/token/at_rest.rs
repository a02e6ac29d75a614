//! TOK-4: whoever reads the stores learns no code.

use super::client::{Codes, kinds, wrong};
use crate::secrets::{forms, hashes};
use crate::store_contents::StoreContents;
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop};

/// A code of six digits may stand somewhere by chance, three hardly do.
const CODES: usize = 3;
const FOUND_MIN: usize = 2;
/// Of a shorter one all values can be tried, so that a hash without a key is as good as the code.
const LONG_CHARS: usize = 20;

/// TOK-4.
pub(super) const NEVER_IN_CLEAR: Scenario = Scenario {
    criterion: Criterion {
        id: "TOK-4",
        statement: "The store never holds the code in clear",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| never_in_clear(context).boxed(),
};

/// A code that was issued, and what was offered in its place.
struct Planted {
    user: String,
    code: String,
    wrong: String,
}

async fn never_in_clear(context: &Context) -> Result<(), Stop> {
    let kinds = kinds(context)?;
    let (environment, instance) = context.start().await?;
    for codes in &kinds {
        context.step(format!(
            "{}: {CODES} codes, searched for in both stores",
            codes.name()
        ));
        let planted = plant(codes, &instance).await?;
        let before = StoreContents::read(&environment).await?;
        search(codes, &planted, &before, "after it was issued")?;
        for planted in &planted {
            let Planted { user, wrong, .. } = planted;
            let http = &instance.http;
            codes.refused(http, user, wrong, "a wrong code").await?;
        }
        let guessed = StoreContents::read(&environment).await?;
        search(codes, &planted, &guessed, "after a wrong guess")?;
        for Planted { user, code, .. } in &planted {
            let what = "the right code";
            codes.accepted(&instance.http, user, code, what).await?;
        }
        let used = StoreContents::read(&environment).await?;
        search(codes, &planted, &used, "after it was used")?;
        context.observe(format!(
            "{}: {} of Redis and {} of Postgres searched",
            codes.name(),
            before.of_redis(),
            before.of_postgres()
        ));
    }
    Ok(())
}

async fn plant(codes: &Codes<'_>, instance: &Instance) -> Result<Vec<Planted>, Stop> {
    let mut planted = Vec::new();
    for number in 0..CODES {
        let user = format!("planted-{number}");
        let code = codes.issue(&instance.http, &user).await?;
        let wrong = wrong(&code);
        planted.push(Planted { user, code, wrong });
    }
    Ok(planted)
}

fn search(
    codes: &Codes<'_>,
    planted: &[Planted],
    contents: &StoreContents,
    when: &str,
) -> Result<(), Stop> {
    let found: Vec<String> = planted
        .iter()
        .filter_map(|planted| found(planted, contents))
        .collect();
    if found.len() < FOUND_MIN {
        return Ok(());
    }
    let expected = format!("{}: no code in a store {when}", codes.name());
    let seen = format!("{} of {}: {}", found.len(), planted.len(), found[0]);
    let mut finding = Finding::new(expected, seen);
    finding.evidence = found;
    Err(Stop::Fail(finding))
}

/// How a code, or the wrong one that was offered, lies where.
fn found(planted: &Planted, contents: &StoreContents) -> Option<String> {
    let Planted { user, code, wrong } = planted;
    [("the code", code), ("a wrong guess", wrong)]
        .into_iter()
        .find_map(|(what, code)| {
            let mut shapes = forms(code);
            if code.chars().count() < LONG_CHARS {
                shapes.extend(hashes(code, user));
            }
            shapes.iter().find_map(|(form, bytes)| {
                let place = contents.place_of(bytes)?;
                Some(format!("{what} of `{user}` {form} in {place}"))
            })
        })
}
