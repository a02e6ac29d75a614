//! Hand-written courses of commands, and properties of any.

use super::*;
use crate::record::{RepeatedCommands, WithoutExpiry};
use proptest::prelude::*;

/// A course of commands on one connection, each answered 10 us after it was sent.
#[derive(Default)]
struct Course(Vec<Sent>);

impl Course {
    fn and(mut self, words: &str, expiry: Option<Expiry>, answer: Option<Answer>) -> Self {
        let at_us = 1_000 * (self.0.len() as u64 + 1);
        let mut words = words.split(' ');
        let name = words.next().expect("a name").to_owned();
        self.0.push(Sent {
            store: StoreName::Redis,
            connection: 0,
            at_us,
            name: Cow::Owned(name),
            keys: words.map(|key| Box::from(key.as_bytes())).collect(),
            expiry,
            in_transaction: false,
            answer: answer.map(|answer| (at_us + 10, answer)),
        });
        self
    }

    fn ok(self, words: &str) -> Self {
        self.and(words, None, Some(Answer::Other))
    }

    fn number(self, words: &str, number: i64) -> Self {
        self.and(words, None, Some(Answer::Integer(number)))
    }

    fn expire(self, key: &str) -> Self {
        let words = format!("EXPIRE {key}");
        self.and(&words, Some(Expiry::Alone), Some(Answer::Integer(1)))
    }

    fn queued(mut self, words: &str, expiry: Option<Expiry>) -> Self {
        self = self.and(words, expiry, Some(Answer::Other));
        self.0.last_mut().expect("just pushed").in_transaction = true;
        self
    }

    fn gaps(self) -> Vec<WithoutExpiry> {
        self.audit().without_expiry
    }

    fn audit(self) -> AuditRecord {
        let seen = Seen {
            commands: self.0,
            ..Seen::default()
        };
        audit(vec![seen], &Policy::default())
    }
}

fn gap(pattern: &str, command: &str, times: u64, later: Option<u64>) -> WithoutExpiry {
    WithoutExpiry {
        pattern: pattern.to_owned(),
        command: command.to_owned(),
        times,
        given_later: u64::from(later.is_some()),
        longest_gap_us: later,
    }
}

#[test]
fn a_counter_that_gets_its_expiry_by_a_second_command_was_without_one_in_between() {
    let course = Course::default().number("INCR rate:1", 1).expire("rate:1");
    assert_eq!(course.gaps(), [gap("rate:*", "INCR", 1, Some(1_000))]);
}

#[test]
fn a_value_set_with_its_expiry_never_was_without_one() {
    let course = Course::default()
        .and("SET a", Some(Expiry::WithValue), Some(Answer::Other))
        .and("SETEX a", Some(Expiry::WithValue), Some(Answer::Other))
        .and("SET a", Some(Expiry::Kept), Some(Answer::Other))
        .number("INCR a", 5);
    assert_eq!(course.gaps(), []);
}

#[test]
fn a_plain_set_takes_the_expiry_away() {
    let course = Course::default()
        .and("SETEX a", Some(Expiry::WithValue), Some(Answer::Other))
        .ok("SET a");
    assert_eq!(course.gaps(), [gap("a", "SET", 1, None)]);
}

#[test]
fn what_is_sent_in_one_transaction_happens_at_one_instant() {
    let transaction = |answer| {
        Course::default()
            .ok("MULTI")
            .queued("INCR rate:1", None)
            .queued("EXPIRE rate:1", Some(Expiry::Alone))
            .and("EXEC", None, answer)
    };
    assert_eq!(transaction(Some(Answer::Aggregate)).gaps(), []);
    assert_eq!(transaction(Some(Answer::Nil)).gaps(), []);
    let open = transaction(None).number("INCR rate:1", 2);
    assert_eq!(open.gaps(), [], "nothing is said of what is not known");
}

#[test]
fn a_refused_or_unanswered_command_leaves_no_key() {
    let course = Course::default()
        .and("SET a", None, Some(Answer::Error))
        .and("SET b", None, Some(Answer::Nil))
        .and("SET c", None, None)
        .number("SETNX d", 0)
        .number("MSETNX e f", 0);
    assert_eq!(course.gaps(), []);
}

#[test]
fn an_expiry_that_does_not_take_closes_nothing() {
    let course = Course::default().ok("SET a").and(
        "EXPIRE a",
        Some(Expiry::Alone),
        Some(Answer::Integer(0)),
    );
    assert_eq!(course.gaps(), [gap("a", "SET", 1, None)]);
}

#[test]
fn a_counter_that_starts_again_after_its_expiry_is_without_one_again() {
    let course = Course::default()
        .number("INCR a", 1)
        .expire("a")
        .number("INCR a", 2)
        .number("INCR a", 1);
    let found = course.gaps();
    assert_eq!((found[0].times, found[0].given_later), (2, 1));
}

#[test]
fn of_what_a_script_touched_nothing_is_said_until_something_tells() {
    let course = Course::default().ok("EVALSHA a").ok("HSET a").expire("a");
    assert_eq!(course.gaps(), []);
    let course = Course::default()
        .ok("EVALSHA a")
        .and("GET a", None, Some(Answer::Nil))
        .ok("HSET a");
    assert_eq!(course.gaps(), [gap("a", "HSET", 1, None)]);
}

#[test]
fn a_deleted_key_is_made_anew() {
    let course = Course::default()
        .and("SETEX a", Some(Expiry::WithValue), Some(Answer::Other))
        .number("DEL a", 1)
        .number("SADD a", 1);
    assert_eq!(course.gaps(), [gap("a", "SADD", 1, None)]);
}

fn span(operation: &'static str, from_us: u64, to_us: u64) -> Span {
    Span {
        operation: Cow::Borrowed(operation),
        from_us,
        to_us,
        answered: true,
    }
}

fn of_requests(course: Course, spans: &[Span]) -> AuditRecord {
    let seen = Seen {
        commands: course.0,
        spans: spans.to_vec(),
        ..Seen::default()
    };
    audit(vec![seen], &Policy::default())
}

#[test]
fn commands_are_counted_for_requests_that_were_under_way_alone() {
    let course = || {
        Course::default()
            .ok("GET a")
            .ok("SET a")
            .ok("GET b")
            .ok("PING")
    };
    let spans = [span("read", 900, 2_100), span("read", 2_900, 3_100)];
    let counted = of_requests(course(), &spans).per_request;
    assert_eq!(counted.len(), 1);
    let read = &counted[0];
    assert_eq!((read.requests, read.least, read.most), (2, 1, 2));

    let overlapping = [
        span("read", 900, 2_100),
        span("health", 2_000, 2_500),
        span("x", 2_400, 9_000),
    ];
    assert_eq!(of_requests(course(), &overlapping).per_request, []);
}

fn reads(number: usize) -> Course {
    (0..number).fold(Course::default(), |course, nth| {
        course.ok(&format!("GET user:{nth}"))
    })
}

#[test]
fn the_same_read_again_and_again_in_one_request_is_a_pattern() {
    let whole = [span("list", 0, 100_000)];
    assert_eq!(of_requests(reads(4), &whole).repeated, []);
    let expected = RepeatedCommands {
        operation: "list".to_owned(),
        store: StoreName::Redis,
        command: "GET".to_owned(),
        pattern: "user:*".to_owned(),
        requests: 1,
        longest: 7,
    };
    assert_eq!(of_requests(reads(7), &whole).repeated, [expected]);
    let each: Vec<Span> = (1..8)
        .map(|nth| span("read", nth * 1_000, nth * 1_000 + 50))
        .collect();
    assert_eq!(of_requests(reads(7), &each).repeated, []);
}

#[test]
fn commands_on_several_keys_at_once_are_no_such_pattern() {
    let batches = (0..9).fold(Course::default(), |course, nth| {
        course.ok(&format!("UNLINK user:{nth} user:1{nth}"))
    });
    let whole = [span("list", 0, 100_000)];
    assert_eq!(of_requests(batches, &whole).repeated, []);
}

#[test]
fn a_pipeline_is_no_such_pattern() {
    let mut course = reads(9);
    for sent in &mut course.0 {
        sent.answer = Some((90_000, Answer::Other));
    }
    let whole = [span("list", 0, 100_000)];
    assert_eq!(of_requests(course, &whole).repeated, []);
}

#[test]
fn something_else_in_between_ends_the_row_but_a_ping_does_not() {
    let whole = [span("list", 0, 100_000)];
    let broken = reads(4).ok("SET x").ok("GET user:5");
    assert_eq!(of_requests(broken, &whole).repeated, []);
}

#[test]
fn what_is_forbidden_is_told_with_its_reason_unless_it_is_allowed() {
    let count = |name: &str| CommandCount {
        store: StoreName::Redis,
        name: name.to_owned(),
        count: 2,
        errors: 0,
        unanswered: 0,
        sent_bytes: 0,
        received_bytes: 0,
        slowest_us: None,
    };
    let counts = ["GET", "KEYS", "SMEMBERS", "FLUSHALL"].map(count);
    let why = || "because".to_owned();
    let policy = Policy {
        allowed: BTreeMap::from([("FLUSHALL".to_owned(), why())]),
        forbidden: BTreeMap::from([("SMEMBERS".to_owned(), why())]),
    };
    let found = policy.forbidden(&counts);
    let names: Vec<_> = found.iter().map(|found| &*found.name).collect();
    assert_eq!(names, ["KEYS", "SMEMBERS"]);
    assert_eq!((found[0].count, &*found[1].reason), (2, "because"));
}

#[test]
fn the_reasons_are_in_the_order_of_their_commands() {
    assert!(forbidden::FORBIDDEN.is_sorted());
}

fn any_sent() -> impl Strategy<Value = Sent> {
    let names = prop_oneof![
        Just("SET"),
        Just("INCR"),
        Just("EXPIRE"),
        Just("DEL"),
        Just("GET"),
        Just("MULTI"),
        Just("EXEC"),
        Just("EVAL"),
        Just("HSET")
    ];
    let answer = prop_oneof![
        Just(None),
        Just(Some(Answer::Nil)),
        Just(Some(Answer::Error)),
        Just(Some(Answer::Aggregate)),
        (-2_i64..3).prop_map(|number| Some(Answer::Integer(number))),
    ];
    let expiry = prop_oneof![
        Just(None),
        Just(Some(Expiry::WithValue)),
        Just(Some(Expiry::Alone)),
        Just(Some(Expiry::Kept))
    ];
    (names, 0_u8..3, answer, expiry, any::<bool>(), 0_u64..2_000).prop_map(
        |(name, key, answer, expiry, in_transaction, at_us)| Sent {
            store: StoreName::Redis,
            connection: u64::from(key % 2),
            at_us,
            name: Cow::Borrowed(name),
            keys: vec![Box::from(format!("k:{key}").as_bytes())],
            expiry,
            in_transaction,
            answer: answer.map(|answer| (at_us + 5, answer)),
        },
    )
}

proptest! {
    #[test]
    fn a_gap_is_closed_at_most_as_often_as_it_was_opened(
        commands in proptest::collection::vec(any_sent(), 0..60),
        spans in proptest::collection::vec((0_u64..2_000, 0_u64..300), 0..10),
    ) {
        let spans: Vec<Span> = spans.into_iter().map(|(from, took)| span("x", from, from + took)).collect();
        let total = commands.len() as u64;
        let record = of_requests(Course(commands), &spans);
        for found in &record.without_expiry {
            prop_assert!(found.given_later <= found.times);
            prop_assert!(found.times <= total);
            // Of commands without an answer it is not known how long.
            prop_assert!(found.longest_gap_us.is_none() || found.given_later > 0);
        }
        for count in &record.per_request {
            prop_assert!(count.least <= count.median && count.median <= count.most);
            prop_assert!(count.most <= total);
        }
    }

    #[test]
    fn keys_that_always_get_value_and_expiry_in_one_are_never_reported(
        commands in proptest::collection::vec(any_sent(), 0..60),
    ) {
        let careful = commands.into_iter().filter(|sent| sent.name != "INCR" && sent.name != "HSET").map(|mut sent| {
            if sent.name == "SET" {
                sent.expiry = Some(Expiry::WithValue);
            }
            sent
        });
        prop_assert_eq!(Course(careful.collect()).gaps(), []);
    }

    #[test]
    fn a_total_of_one_audit_is_that_audit(commands in proptest::collection::vec(any_sent(), 0..60)) {
        let record = Course(commands).audit();
        prop_assert_eq!(total([&record]), record.clone());
        let twice = total([&record, &record]);
        for (one, two) in record.without_expiry.iter().zip(&twice.without_expiry) {
            prop_assert_eq!(2 * one.times, two.times);
        }
    }
}
