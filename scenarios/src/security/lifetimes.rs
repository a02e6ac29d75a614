//! SEC-5: nothing stays in Redis for longer than its class allows.

use super::client::{TENANT, canary};
use crate::store_view::StoreView;
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::subject::client::{AnswerKind, Value};
use touchstone_engine::subject::manifest::DataClassSection;
use touchstone_engine::subject::{Answer, HttpClient, OperationName};

/// A value is there by then, or it was never made.
const MADE_DEADLINE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(10);
/// Between the write and our look.
const SLACK_MS: i64 = 5_000;

/// SEC-5.
pub(super) const BY_CLASS: Scenario = Scenario {
    criterion: Criterion {
        id: "SEC-5",
        statement: "TTL policy by class: session tokens 15-60 min where declared sensitive, OTP 5-10 min, temporary credentials at most 1 h, personal data at most 5 min; no key of a class without a TTL",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| by_class(context).boxed(),
};

/// What the criterion itself allows of a class whose name it knows, in seconds: a manifest may be stricter.
const POLICY: [(&str, u64, u64); 5] = [
    ("sensitive_session", 15 * 60, 60 * 60),
    ("otp", 5 * 60, 10 * 60),
    ("temporary_credential", 0, 60 * 60),
    ("password_reset", 0, 60 * 60),
    ("personal", 0, 5 * 60),
];

async fn by_class(context: &Context) -> Result<(), Stop> {
    let classes = &context.manifest().data_classes;
    let declared = (!classes.is_empty()).then_some(classes);
    context.section("data_classes", declared)?;
    for class in classes {
        within_policy(class)?;
    }
    let (environment, instance) = context.start().await?;
    let store = StoreView::open(&environment).await?;
    let mut tour = Tour::new(&instance.http);
    for class in classes {
        context.step(format!("a value of the class `{}`", class.name));
        for name in &class.made_by {
            tour.call(*name).await?;
        }
        let keys = made(&store, class).await?;
        let left_s = lifetimes(&store, class, &keys).await?;
        context.observe(format!(
            "{}: {} keys, {left_s:?} s left",
            class.name,
            keys.len()
        ));
    }
    context.step("every key of every class, once more");
    for class in classes {
        lifetimes(&store, class, &keys_of(&store, class).await?).await?;
    }
    Ok(())
}

fn within_policy(class: &DataClassSection) -> Result<(), Stop> {
    let known = POLICY.iter().find(|(name, ..)| *name == class.name);
    let Some((name, least_s, most_s)) = known else {
        return Ok(());
    };
    expect(
        class.ttl_min_seconds >= *least_s && class.ttl_max_seconds <= *most_s,
        format!("`{name}`: {least_s} to {most_s} s"),
        format!(
            "the manifest declares {} to {} s",
            class.ttl_min_seconds, class.ttl_max_seconds
        ),
    )
}

async fn keys_of(store: &StoreView, class: &DataClassSection) -> Result<Vec<Vec<u8>>, Stop> {
    let mut all = Vec::new();
    for pattern in &class.keys {
        all.extend(store.keys(pattern).await?);
    }
    Ok(all)
}

async fn made(store: &StoreView, class: &DataClassSection) -> Result<Vec<Vec<u8>>, Stop> {
    let what = format!("a key of the class `{}`", class.name);
    let found = poll_until(what.as_str(), MADE_DEADLINE, POLL, || async {
        match keys_of(store, class).await {
            Ok(keys) if keys.is_empty() => Look::NotYet(format!("none like {:?}", class.keys)),
            Ok(keys) => Look::Ready(Ok(keys)),
            Err(stop) => Look::Ready(Err(stop)),
        }
    });
    found.await.or_fail(what.clone())?
}

/// What is left to each key, in seconds.
async fn lifetimes(
    store: &StoreView,
    class: &DataClassSection,
    keys: &[Vec<u8>],
) -> Result<Vec<i64>, Stop> {
    let mut left_s = Vec::new();
    for key in keys {
        let mut ask = redis::cmd("PTTL");
        let left_ms: i64 = ask.arg(key).query_async(&mut store.connection()).await?;
        if left_ms == -2 {
            // Gone meanwhile, as it should some day.
            continue;
        }
        let name = &class.name;
        let (least_ms, most_ms) = (
            seconds_ms(class.ttl_min_seconds),
            seconds_ms(class.ttl_max_seconds),
        );
        let seen = format!("key \"{}\": PTTL {left_ms}", key.escape_ascii());
        expect(
            left_ms >= 0,
            format!("an expiry for every key of the class `{name}`"),
            &seen,
        )?;
        expect(
            (least_ms - SLACK_MS..=most_ms).contains(&left_ms),
            format!("{least_ms} to {most_ms} ms for a new value of the class `{name}`"),
            seen,
        )?;
        left_s.push(left_ms / 1000);
    }
    Ok(left_s)
}

fn seconds_ms(seconds: u64) -> i64 {
    i64::try_from(seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1000)
}

/// Operations one after the other; what one answers, the next may need.
struct Tour<'a> {
    http: &'a HttpClient,
    /// The result of the last operation that had one.
    result: String,
    value: String,
}

impl<'a> Tour<'a> {
    fn new(http: &'a HttpClient) -> Self {
        Self {
            http,
            result: "1".to_owned(),
            value: canary(),
        }
    }

    async fn call(&mut self, name: OperationName) -> Result<(), Stop> {
        let result = self.result.clone();
        let known = |placeholder: &&'static str| -> Value<'_> {
            let text: &[u8] = match *placeholder {
                "id" | "code" => result.as_bytes(),
                "value" => self.value.as_bytes(),
                "seconds" => b"60",
                "tenant" => TENANT.as_bytes(),
                "password" => b"correct horse battery staple",
                other => other.as_bytes(),
            };
            (placeholder, text)
        };
        let all = name
            .placeholders()
            .iter()
            .chain(name.optional_placeholders());
        let values: Vec<Value<'_>> = all.map(known).collect();
        let answer: Answer = self.http.call(name, &values).await?;
        expect(
            answer.kind() == AnswerKind::Ok,
            format!("`{}` to succeed with both stores up", name.key()),
            answer.describe(),
        )?;
        if name == OperationName::EntityCreate {
            self.result = answer.text().unwrap_or(result);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, ttl_min_seconds: u64, ttl_max_seconds: u64) -> DataClassSection {
        DataClassSection {
            name: name.to_owned(),
            keys: vec!["x:*".to_owned()],
            ttl_min_seconds,
            ttl_max_seconds,
            encrypted: false,
            made_by: Vec::new(),
        }
    }

    #[test]
    fn a_manifest_may_be_stricter_than_the_policy_and_not_looser() {
        assert!(within_policy(&class("personal", 0, 300)).is_ok());
        assert!(within_policy(&class("personal", 0, 301)).is_err());
        assert!(within_policy(&class("otp", 400, 500)).is_ok());
        assert!(within_policy(&class("otp", 200, 500)).is_err());
        assert!(within_policy(&class("profile", 0, 99_999)).is_ok());
    }
}
