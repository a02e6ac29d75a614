//! SEC-3: no nonce is used twice.
//!
//! Entries are read out and deleted, and read through the subject again, until so many have been written. Two instances
//! take turns: one that counts its nonces would not repeat one by itself.

use super::client::{Person, Persons};
use futures::FutureExt;
use futures::future::try_join_all;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use touchstone_core::{Criterion, Profile};
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::manifest::BytesAt;

/// How many values.
const VALUES: usize = 100_000;
/// Entries that are written, read out and deleted at once.
const PERSONS: usize = 500;
const AT_ONCE: usize = 50;
/// Less than a scenario may take.
const BUDGET: Duration = Duration::from_secs(150);
/// Reads of the same entry that may find none: another instance was filling it.
const EMPTY_MAX: usize = VALUES / 10;

/// SEC-3.
pub(super) const NEVER_REPEATED: Scenario = Scenario {
    criterion: Criterion {
        id: "SEC-3",
        statement: "Two encryptions of one value differ; no nonce repeats in 100,000",
        profile: Profile::Release,
    },
    expected: Duration::from_secs(60),
    run: |context| never_repeated(context).boxed(),
};

async fn never_repeated(context: &Context) -> Result<(), Stop> {
    Persons::required(context)?;
    let manifest = Arc::clone(context.manifest());
    let encryption = context.section("encryption", manifest.encryption.as_ref())?;
    let nonce = *context.section("encryption.nonce", encryption.nonce.as_ref())?;
    let environment = context.stores().await?;
    context.step("start two instances");
    let first = environment.start_instance(&BTreeMap::new()).await?;
    let second = environment.start_instance(&BTreeMap::new()).await?;
    let persons = Persons::open(context, &environment).await?;
    context.step("one value, encrypted ten times");
    let instances = [first, second];
    let one = persons.planted(&instances[0].http).await?;
    let mut seen = Seen::new(nonce);
    for round in 0..10 {
        let entry = persons.cached(&instances[round % 2].http, &one).await?;
        seen.take(entry)?;
        persons.store.delete(&persons.key(&one)).await?;
    }
    context.step(format!(
        "{VALUES} values of {PERSONS} persons on two instances"
    ));
    let mut planted: Vec<Person> = Vec::new();
    while planted.len() < PERSONS {
        let http = |number: usize| &instances[number % 2].http;
        let some = (0..AT_ONCE).map(|number| persons.planted(http(number)));
        planted.extend(try_join_all(some).await?);
    }
    let (began, mut empty) = (Instant::now(), 0);
    for round in 0.. {
        if seen.count >= VALUES {
            break;
        }
        if began.elapsed() > BUDGET {
            let took = BUDGET.as_secs();
            return Err(Stop::unknown(format!("{} values in {took} s", seen.count)));
        }
        empty += one_round(&persons, &planted, &instances, round, &mut seen).await?;
        if empty > EMPTY_MAX {
            let seen = format!("{empty} reads left no entry");
            return Err(Stop::fail("an entry after a read", seen));
        }
    }
    context.observe(format!(
        "{} values, {:.0} a second, no nonce twice",
        seen.count,
        seen.count as f64 / began.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Reads all of them, and takes their entries away. How many there were none of.
async fn one_round(
    persons: &Persons,
    planted: &[Person],
    instances: &[Arc<Instance>; 2],
    round: usize,
    seen: &mut Seen,
) -> Result<usize, Stop> {
    for some in planted.chunks(AT_ONCE) {
        let mut reads = Vec::new();
        for (number, person) in some.iter().enumerate() {
            let instance = &instances[(number + round) % 2];
            reads.push(persons.read(&instance.http, person));
        }
        try_join_all(reads).await?;
    }
    let mut take = redis::pipe();
    for person in planted {
        take.cmd("GETDEL").arg(persons.key(person));
    }
    let entries: Vec<Option<Vec<u8>>> = take.query_async(&mut persons.store.connection()).await?;
    let missing = entries.iter().filter(|entry| entry.is_none()).count();
    for entry in entries.into_iter().flatten() {
        seen.take(entry)?;
    }
    Ok(missing)
}

struct Seen {
    nonce: BytesAt,
    /// The number of the value that had it.
    nonces: HashMap<Vec<u8>, usize>,
    count: usize,
}

impl Seen {
    fn new(nonce: BytesAt) -> Self {
        Self {
            nonce,
            nonces: HashMap::new(),
            count: 0,
        }
    }

    fn take(&mut self, entry: Vec<u8>) -> Result<(), Stop> {
        let BytesAt { offset, length } = self.nonce;
        let nonce = self.nonce.of(&entry).map(<[u8]>::to_vec).ok_or_else(|| {
            let expected = format!("a nonce of {length} bytes at {offset}");
            Stop::fail(expected, format!("an entry of {} bytes", entry.len()))
        })?;
        self.count += 1;
        let earlier = self.nonces.insert(nonce.clone(), self.count);
        expect(
            earlier.is_none(),
            "a nonce of its own for every encryption",
            format!(
                "{} in value {} and in value {}",
                nonce.escape_ascii(),
                earlier.unwrap_or_default(),
                self.count
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_that_comes_again_and_an_entry_without_one_are_failures() {
        let place = BytesAt {
            offset: 1,
            length: 2,
        };
        let mut seen = Seen::new(place);
        assert!(seen.take(b"abcd".to_vec()).is_ok());
        assert!(seen.take(b"abXd".to_vec()).is_ok());
        assert!(matches!(seen.take(b"zbcz".to_vec()), Err(Stop::Fail(_))));
        assert!(matches!(seen.take(b"ab".to_vec()), Err(Stop::Fail(_))));
    }
}
