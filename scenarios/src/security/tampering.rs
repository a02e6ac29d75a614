//! SEC-2: whoever can write to Redis cannot have the subject serve what it did not put there.

use super::client::{Person, Persons};
use futures::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::Answer;
use touchstone_engine::subject::client::AnswerKind;

/// SEC-2.
pub(super) const REFUSED: Scenario = Scenario {
    criterion: Criterion {
        id: "SEC-2",
        statement: "A flipped bit, a value moved to another key, a truncated value: refused, never served",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| refused(context).boxed(),
};

/// Bytes under the key of a victim that the subject did not put there.
struct Edit {
    what: String,
    bytes: Vec<u8>,
}

struct Victim<'a> {
    persons: &'a Persons,
    instance: Arc<Instance>,
    person: Person,
    /// What must not be served: the data of the others.
    others: Vec<String>,
}

async fn refused(context: &Context) -> Result<(), Stop> {
    Persons::required(context)?;
    let (environment, instance) = context.start().await?;
    let persons = Persons::open(context, &environment).await?;
    let http = &instance.http;
    let person = persons.planted(http).await?;
    let other = persons.planted(http).await?;
    let other_entry = persons.cached(http, &other).await?;
    let mut moved = vec![("another person's entry", other_entry)];
    let mut others = vec![other.value.clone()];
    if persons.key(&person) != persons.key(&person.of_tenant("second")) {
        let mut same_id = person.of_tenant("second");
        let value = super::client::canary();
        persons.write(http, &mut same_id, value).await?;
        moved.push((
            "another tenant's entry",
            persons.cached(http, &same_id).await?,
        ));
        others.push(same_id.value);
    }
    let entry = persons.cached(http, &person).await?;
    let in_clear = persons.ask(http, &other).await?.body.to_vec();
    let victim = Victim {
        persons: &persons,
        instance: Arc::clone(&instance),
        person,
        others,
    };
    let edits = edits(&entry, moved, in_clear);
    context.step(format!(
        "{} edits of an entry of {} bytes",
        edits.len(),
        entry.len()
    ));
    let mut right = 0;
    for edit in &edits {
        right += usize::from(victim.is_not_served(edit).await?);
    }
    context.observe(format!(
        "{right} of {} edits answered with what was written, the others refused",
        edits.len()
    ));
    Ok(())
}

fn edits(entry: &[u8], moved: Vec<(&str, Vec<u8>)>, in_clear: Vec<u8>) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut add = |what: String, bytes: Vec<u8>| edits.push(Edit { what, bytes });
    for (what, bytes) in moved {
        add(what.to_owned(), bytes);
    }
    add("another person's data in clear".to_owned(), in_clear);
    for at in 0..entry.len() {
        // The lowest bit turns a letter or a digit into another one.
        let mut bytes = entry.to_vec();
        bytes[at] ^= 1;
        add(format!("bit 0 of byte {at} flipped"), bytes);
    }
    for length in [0, 1, entry.len() / 2, entry.len() - 16, entry.len() - 1] {
        let bytes = entry[..length].to_vec();
        add(format!("cut to {length} bytes"), bytes);
    }
    add("a byte more".to_owned(), [entry, &[0]].concat());
    add("twice".to_owned(), [entry, entry].concat());
    edits
}

impl Victim<'_> {
    /// Whether the right data were served; an error is as good.
    async fn is_not_served(&self, edit: &Edit) -> Result<bool, Stop> {
        let Self {
            persons, person, ..
        } = self;
        persons.plant(person, &edit.bytes).await?;
        let planted = persons.stored(person).await?;
        if planted.as_ref() != Some(&edit.bytes) {
            return Err(Stop::unknown(format!(
                "{}: it is not in the store",
                edit.what
            )));
        }
        let answer = persons.ask(&self.instance.http, person).await?;
        let right =
            answer.kind() == AnswerKind::Ok && answer.text().as_ref() == Some(&person.value);
        let expected = format!("{}: `{}`, or a refusal", edit.what, person.value);
        expect(
            right || self.is_refusal(&answer),
            expected,
            answer.describe(),
        )?;
        Ok(right)
    }

    fn is_refusal(&self, answer: &Answer) -> bool {
        let body = String::from_utf8_lossy(&answer.body);
        let tells = self.others.iter().any(|other| body.contains(other));
        answer.status >= 400 && answer.json().is_some() && !tells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_flipped_once_and_no_edit_is_the_entry_itself() {
        let entry: Vec<u8> = (0..60).collect();
        let edits = edits(&entry, Vec::new(), b"{}".to_vec());
        let flipped = edits.iter().filter(|edit| edit.what.contains("flipped"));
        assert_eq!(flipped.count(), 60);
        assert!(edits.iter().all(|edit| edit.bytes != entry));
    }
}
