//! Commands of one request: how many, and how often one of a kind follows another.
//!
//! A command belongs to a request of the harness if it was sent between that request's sending and its answer, to
//! the same instance, while no other request of the harness to that instance was under way. Requests that overlap
//! are not measured. What the subject does by itself at that time is counted with it; what it does after its answer
//! is not.

use super::pattern;
use super::{FINDINGS_MAX, Seen, Sent, Span, StoreName};
use crate::record::{RepeatedCommands, RequestCount};
use std::collections::BTreeMap;

/// Commands of a kind in a row, each sent after the answer to the one before, from which on it is a pattern: to read
/// a thing and then its two or three relations is ordinary, but whoever reads a fifth in the same way reads as many
/// as there are, and pays a round trip for each.
pub const REPEATED_MIN: usize = 5;

type Counts<'a> = BTreeMap<(&'a str, StoreName), Vec<u64>>;
type Repeats<'a> = BTreeMap<(&'a str, StoreName, &'a str, String), RepeatedCommands>;

/// Counts and repetitions of all requests of all instances.
pub(super) fn measure(instances: &[Seen]) -> (Vec<RequestCount>, Vec<RepeatedCommands>) {
    let (mut counts, mut repeats) = (Counts::new(), Repeats::new());
    for seen in instances {
        // Of what is not known any more nothing can be said.
        let known_from_us = match seen.dropped {
            0 => 0,
            _ => seen.commands.first().map_or(u64::MAX, |sent| sent.at_us),
        };
        let alone = alone(&seen.spans);
        for span in alone
            .into_iter()
            .filter(|span| span.from_us >= known_from_us)
        {
            let commands = of_span(&seen.commands, span);
            count(span, commands, &mut counts);
            for store in [StoreName::Redis, StoreName::Postgres] {
                repeat(span, store, commands, &mut repeats);
            }
        }
    }
    let mut counts: Vec<RequestCount> = counts.into_iter().filter_map(summed).collect();
    counts.truncate(FINDINGS_MAX);
    let mut repeats: Vec<RepeatedCommands> = repeats.into_values().collect();
    repeats.truncate(FINDINGS_MAX);
    (counts, repeats)
}

/// The answered requests during which there was no other.
fn alone(spans: &[Span]) -> Vec<&Span> {
    let mut sorted: Vec<&Span> = spans.iter().collect();
    sorted.sort_by_key(|span| (span.from_us, span.to_us));
    let mut alone = Vec::new();
    let mut busy_until_us = None;
    for (place, span) in sorted.iter().enumerate() {
        let is_first = busy_until_us.is_none_or(|until_us| until_us < span.from_us);
        let next = sorted.get(place + 1);
        let is_last = next.is_none_or(|next| next.from_us > span.to_us);
        if is_first && is_last && span.answered {
            alone.push(*span);
        }
        busy_until_us = busy_until_us.max(Some(span.to_us));
    }
    alone
}

/// The commands sent during a request; `commands` are sorted by their time.
fn of_span<'a>(commands: &'a [Sent], span: &Span) -> &'a [Sent] {
    let from = commands.partition_point(|sent| sent.at_us < span.from_us);
    let to = commands.partition_point(|sent| sent.at_us <= span.to_us);
    &commands[from..to.max(from)]
}

fn count<'a>(span: &'a Span, commands: &[Sent], counts: &mut Counts<'a>) {
    for store in [StoreName::Redis, StoreName::Postgres] {
        let number = commands.iter().filter(|sent| sent.store == store).count();
        let key = (&*span.operation, store);
        counts.entry(key).or_default().push(number as u64);
    }
}

fn summed(
    ((operation, store), mut numbers): ((&str, StoreName), Vec<u64>),
) -> Option<RequestCount> {
    numbers.sort_unstable();
    let most = *numbers.last().filter(|most| **most > 0)?;
    Some(RequestCount {
        operation: operation.to_owned(),
        store,
        requests: numbers.len() as u64,
        least: numbers[0],
        median: numbers[numbers.len() / 2],
        most,
    })
}

/// What a command is about, if it can be one of many: no PING, no BEGIN, nothing that is about several keys at once.
fn subject(sent: &Sent) -> Option<String> {
    let [first] = sent.keys.as_slice() else {
        return None;
    };
    match sent.store {
        StoreName::Redis => Some(pattern::of_key(first)),
        StoreName::Postgres => matches!(&*sent.name, "SELECT" | "INSERT" | "UPDATE" | "DELETE")
            .then(|| pattern::of_statement(first)),
    }
}

fn repeat<'a>(span: &'a Span, store: StoreName, commands: &'a [Sent], repeats: &mut Repeats<'a>) {
    let mut longest: BTreeMap<(&str, String), u64> = BTreeMap::new();
    let mut run: Option<(&Sent, String, u64)> = None;
    let of_store = commands.iter().filter(|sent| sent.store == store);
    for (sent, about) in of_store.filter_map(|sent| Some((sent, subject(sent)?))) {
        let length = match &run {
            Some((before, same, length)) if follows(before, sent) && *same == about => length + 1,
            _ => 1,
        };
        if length >= REPEATED_MIN as u64 {
            let key = (&*sent.name, about.clone());
            let so_far = longest.entry(key).or_default();
            *so_far = length.max(*so_far);
        }
        run = Some((sent, about, length));
    }
    for ((command, about), length) in longest {
        let key = (&*span.operation, store, command, about.clone());
        let entry = repeats.entry(key).or_insert_with(|| RepeatedCommands {
            operation: span.operation.clone().into_owned(),
            store,
            command: command.to_owned(),
            pattern: about,
            requests: 0,
            longest: 0,
        });
        entry.requests += 1;
        entry.longest = entry.longest.max(length);
    }
}

/// Whether a command of the same name was sent after the answer to the one before it: in a pipeline, or on several
/// connections side by side, many cost little more than one.
fn follows(before: &Sent, sent: &Sent) -> bool {
    let answered = before.answer.is_some_and(|(at_us, _)| at_us <= sent.at_us);
    before.name == sent.name && answered
}
