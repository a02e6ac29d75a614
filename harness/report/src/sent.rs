//! What a subject sent, in words that all formats share.

use crate::text;
use touchstone_core::RunRecord;
use touchstone_core::audit::{REPEATED_MIN, StoreName};
use touchstone_core::record::{AuditRecord, CommandCount};

/// Commands named beside a store's total; the record has all.
const NAMED: usize = 6;
/// Lines told of one kind of finding; the record has all.
const TOLD: usize = 8;

/// `redis 5986 (GET 3000, SET 2986); postgres 12 (SELECT 12)`.
pub(crate) fn totals(audit: &AuditRecord) -> String {
    let stores = [StoreName::Redis, StoreName::Postgres];
    let told = stores.map(|store| {
        let commands = most_sent(audit, |count| count.store == store);
        let names: Vec<String> = commands
            .iter()
            .take(NAMED)
            .map(|count| format!("{} {}", text::one_line(&count.name), count.count))
            .collect();
        let more = commands.len().saturating_sub(NAMED);
        let more = and_more(more, "");
        match number_to(audit, store) {
            0 => format!("{store} 0"),
            number => format!("{store} {number} ({}{more})", names.join(", ")),
        }
    });
    told.join("; ")
}

/// How many commands went to a store.
pub(crate) fn number_to(audit: &AuditRecord, store: StoreName) -> u64 {
    let counts = audit.commands.iter();
    let to_store = counts.filter(|count| count.store == store);
    to_store.map(|count| count.count).sum()
}

/// Names by their count, most first.
pub(crate) fn most_sent(
    audit: &AuditRecord,
    wanted: impl Fn(&CommandCount) -> bool,
) -> Vec<&CommandCount> {
    let mut counts: Vec<_> = audit
        .commands
        .iter()
        .filter(|count| wanted(count))
        .collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.count));
    counts
}

/// What a reader should know beside the verdicts: commands that are forbidden, and what is in no number.
pub(crate) fn notes(record: &RunRecord) -> Vec<String> {
    let Some(audit) = &record.audit else {
        return Vec::new();
    };
    let mut notes = forbidden(audit);
    notes.extend(undecoded(audit));
    notes
}

/// Everything that an audit found, a line each, the gravest first.
pub(crate) fn findings(audit: &AuditRecord) -> Vec<String> {
    let mut lines = forbidden(audit);
    lines.extend(limited(repeated(audit)));
    lines.extend(limited(without_expiry(audit)));
    lines.extend(undecoded(audit));
    lines
}

/// What an audit has to tell that is no finding.
pub(crate) fn facts(audit: &AuditRecord) -> Vec<String> {
    let mut lines = limited(per_request(audit));
    lines.extend(left(audit));
    lines.extend(limited(clients(audit)));
    if audit.unseen_commands > 0 {
        lines.push(format!(
            "the first {} commands are counted, but were too many to be looked at for requests, rows and expiries",
            audit.unseen_commands
        ));
    }
    lines
}

/// A span in microseconds for people.
pub(crate) fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => text::duration(us / 1_000),
    }
}

/// A size for people.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes / 1_024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

/// `, 3 more patterns`, or nothing.
fn and_more(number: usize, of: &str) -> String {
    match number {
        0 => String::new(),
        _ => format!(", {number} more{of}"),
    }
}

fn limited(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(TOLD);
    lines.truncate(TOLD);
    if more > 0 {
        lines.push(format!("{more} more like the last one in record.json"));
    }
    lines
}

fn forbidden(audit: &AuditRecord) -> Vec<String> {
    let lines = audit.forbidden.iter().map(|found| {
        text::one_line(&format!(
            "forbidden: {} sent to {} {} times: {}",
            found.name, found.store, found.count, found.reason
        ))
    });
    lines.collect()
}

fn repeated(audit: &AuditRecord) -> Vec<String> {
    let lines = audit.repeated.iter().map(|found| {
        text::one_line(&format!(
            "one by one: {} `{}` up to {} times in a row in one {} ({} from {REPEATED_MIN} times on)",
            found.command,
            found.pattern,
            found.longest,
            found.operation,
            text::count(usize::try_from(found.requests).unwrap_or(usize::MAX), "request"),
        ))
    });
    lines.collect()
}

fn without_expiry(audit: &AuditRecord) -> Vec<String> {
    let lines = audit.without_expiry.iter().map(|found| {
        let later = match found.longest_gap_us {
            Some(us) => format!(
                "{} got one by a second command, up to {} later",
                found.given_later,
                micros(us)
            ),
            None => "none got one later".to_owned(),
        };
        text::one_line(&format!(
            "without expiry: `{}` after {}, {} times; {later}",
            found.pattern, found.command, found.times
        ))
    });
    lines.collect()
}

fn undecoded(audit: &AuditRecord) -> Vec<String> {
    let lines = audit.undecoded.iter().map(|lost| {
        text::one_line(&format!(
            "not decoded to the end: {} to {} ({}); what they carried after that is in no number",
            text::count(
                usize::try_from(lost.connections).unwrap_or(usize::MAX),
                "connection"
            ),
            lost.store,
            lost.reason
        ))
    });
    lines.collect()
}

fn per_request(audit: &AuditRecord) -> Vec<String> {
    let lines = audit.per_request.iter().map(|found| {
        text::one_line(&format!(
            "commands to {} in one {}: {} to {}, median {}, of {} that were under way alone",
            found.store,
            found.operation,
            found.least,
            found.most,
            found.median,
            text::count(
                usize::try_from(found.requests).unwrap_or(usize::MAX),
                "request"
            ),
        ))
    });
    lines.collect()
}

fn left(audit: &AuditRecord) -> Option<String> {
    let left = audit.left_without_expiry.as_ref()?;
    let patterns: Vec<String> = left
        .iter()
        .take(TOLD)
        .map(|(pattern, keys)| format!("`{pattern}` {keys}"))
        .collect();
    let more = left.len().saturating_sub(TOLD);
    let more = and_more(more, " patterns");
    let told = match patterns.is_empty() {
        true => "none".to_owned(),
        false => format!("{}{more}", patterns.join(", ")),
    };
    Some(text::one_line(&format!(
        "keys without expiry at the end: {told}"
    )))
}

fn clients(audit: &AuditRecord) -> Vec<String> {
    let lines = audit.clients.iter().map(|client| {
        let or = |text: &Option<String>, none: &str| text.clone().unwrap_or(none.to_owned());
        let name = client.name.as_ref().map(|name| format!(", named `{name}`"));
        text::one_line(&format!(
            "client: {} {}{} on {}",
            or(&client.library, "of no name"),
            or(&client.version, "of no version"),
            name.unwrap_or_default(),
            text::count(
                usize::try_from(client.connections).unwrap_or(usize::MAX),
                "connection"
            ),
        ))
    });
    lines.collect()
}
