//! Random valid conversations, with what they mean.

use crate::support::*;
use proptest::prelude::*;
use std::collections::HashMap;
use touchstone_wire::{Command, Dialogue, Down, Reply, ReplyKind, Up};

/// A cycle, its reply, and what they mean.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    up: Vec<u8>,
    down: Vec<u8>,
    name: String,
    keys: Vec<String>,
    kind: ReplyKind,
    is_whole: bool,
}

impl Turn {
    pub(crate) fn up(&self) -> &[u8] {
        &self.up
    }

    pub(crate) fn down(&self) -> &[u8] {
        &self.down
    }

    pub(crate) fn assert_told(&self, (command, reply): &(Command, Reply)) {
        assert_eq!(command.name, self.name);
        assert_eq!(keys(command), self.keys);
        assert_eq!(command.is_whole, self.is_whole);
        assert_eq!(reply.kind, self.kind);
        assert_eq!(reply.bytes, self.down.len() as u64);
    }
}

/// What a client does in one cycle.
#[derive(Debug, Clone)]
enum Step {
    /// Statements in one text.
    Simple(Vec<Statement>),
    Prepare(u8, Statement),
    Refuse(u8, Statement),
    Run(u8),
    /// Parse, Bind, Execute, so many times.
    Typed(Vec<Statement>),
    Close(u8),
    Nothing,
}

#[derive(Debug, Clone)]
struct Statement {
    text: String,
    word: &'static str,
    outcome: Outcome,
}

#[derive(Debug, Clone)]
enum Outcome {
    Rows(u8),
    Done,
    Fails,
    Suspended(u8),
}

fn statement() -> impl Strategy<Value = Statement> {
    let word = prop::sample::select(vec![
        "SELECT", "INSERT", "UPDATE", "TABLE", "VALUES", "WITH",
    ]);
    let before = prop::sample::select(vec!["", "-- ;\n", "/* ; /* */ */", "(", " \t"]);
    let inner = prop::sample::select(vec![
        "1",
        "';'",
        "$$;$$",
        "\"a;b\"",
        "E'\\';'",
        "$t$;$$;$t$",
        "a -- ;\n, b",
    ]);
    let outcome = prop_oneof![
        4 => any::<u8>().prop_map(Outcome::Rows),
        2 => Just(Outcome::Done),
        1 => Just(Outcome::Fails),
        1 => any::<u8>().prop_map(Outcome::Suspended),
    ];
    (word, before, inner, any::<bool>(), outcome).prop_map(
        |(word, before, inner, is_lower, outcome)| {
            let shown = if is_lower {
                word.to_lowercase()
            } else {
                word.to_owned()
            };
            let after = if before == "(" { ")" } else { "" };
            Statement {
                text: format!("{before}{shown} {inner}{after}").trim().to_owned(),
                word,
                outcome,
            }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::collection::vec(statement(), 1..4).prop_map(Step::Simple),
        3 => (0..4u8, statement()).prop_map(|(number, statement)| Step::Prepare(number, statement)),
        1 => (0..4u8, statement()).prop_map(|(number, statement)| Step::Refuse(number, statement)),
        5 => (0..4u8).prop_map(Step::Run),
        3 => prop::collection::vec(statement(), 1..4).prop_map(Step::Typed),
        1 => (0..4u8).prop_map(Step::Close),
        1 => Just(Step::Nothing),
    ]
}

/// A client and a server that play by the rules. A statement that fails fails when it is executed.
#[derive(Default)]
struct Players {
    statements: HashMap<u8, Statement>,
}

impl Players {
    fn play(&mut self, step: &Step) -> Turn {
        match step {
            Step::Simple(statements) => simple(statements),
            Step::Prepare(number, statement) => self.prepare(*number, statement),
            Step::Refuse(number, statement) => self.refuse(*number, statement),
            Step::Run(number) => self.run(*number),
            Step::Typed(statements) => typed(statements),
            Step::Close(number) => {
                self.statements.remove(number);
                let up = [close(b'S', &format!("s{number}")), sync()].concat();
                let down = [message(b'3', &[]), ready(b'I')].concat();
                turn(up, down, "CLOSE", &[], ReplyKind::Done)
            }
            Step::Nothing => turn(sync(), ready(b'I'), "SYNC", &[], ReplyKind::Done),
        }
    }

    /// What exists by that name is closed first, or the server would refuse.
    fn prepare(&mut self, number: u8, statement: &Statement) -> Turn {
        let name = format!("s{number}");
        let (mut up, mut down) = (Vec::new(), Vec::new());
        if self.statements.insert(number, statement.clone()).is_some() {
            up.extend(close(b'S', &name));
            down.extend(message(b'3', &[]));
        }
        up.extend([parse(&name, &statement.text), describe(b'S', &name), sync()].concat());
        down.extend(
            [
                parse_complete(),
                message(b't', &[0, 0]),
                row_description(),
                ready(b'I'),
            ]
            .concat(),
        );
        turn(up, down, "PARSE", &[statement], ReplyKind::Done)
    }

    /// Parses what cannot be parsed, in front of what is skipped because of that.
    fn refuse(&mut self, number: u8, statement: &Statement) -> Turn {
        self.statements.remove(&number);
        let name = format!("s{number}");
        let up = [close(b'S', &name), parse("bad", &statement.text), sync()].concat();
        let down = [message(b'3', &[]), error("42601", "syntax"), ready(b'I')].concat();
        let kind = ReplyKind::Error("42601 syntax".into());
        turn(up, down, "PARSE", &[statement], kind)
    }

    fn run(&mut self, number: u8) -> Turn {
        let up = [bind("", &format!("s{number}")), execute(""), sync()].concat();
        match self.statements.get(&number) {
            Some(statement) => {
                let mut down = bind_complete();
                let kind = outcome(statement, &mut down);
                down.extend(ready(b'I'));
                turn(up, down, statement.word, &[statement], kind)
            }
            None => {
                let down = [error("26000", "none"), ready(b'I')].concat();
                let kind = ReplyKind::Error("26000 none".into());
                Turn {
                    is_whole: false,
                    ..turn(up, down, "EXECUTE", &[], kind)
                }
            }
        }
    }
}

fn turn(
    up: Vec<u8>,
    down: Vec<u8>,
    name: &str,
    statements: &[&Statement],
    kind: ReplyKind,
) -> Turn {
    Turn {
        up,
        down,
        name: name.to_owned(),
        keys: statements
            .iter()
            .map(|statement| statement.text.clone())
            .collect(),
        kind,
        is_whole: true,
    }
}

/// Appends what the server says to a statement that it executes.
fn outcome(statement: &Statement, down: &mut Vec<u8>) -> ReplyKind {
    match statement.outcome {
        Outcome::Rows(count) => {
            down.extend(row_description());
            down.extend((0..count).flat_map(|bytes| row(bytes.into())));
            down.extend(complete(&format!("SELECT {count}")));
            ReplyKind::Rows(count.into())
        }
        Outcome::Suspended(count) => {
            down.extend((0..count).flat_map(|bytes| row(bytes.into())));
            down.extend(message(b's', &[]));
            ReplyKind::Rows(count.into())
        }
        Outcome::Done => {
            down.extend(notice("done"));
            down.extend(complete("CREATE TABLE"));
            ReplyKind::Done
        }
        Outcome::Fails => {
            down.extend(error("22012", "division by zero"));
            ReplyKind::Error("22012 division by zero".into())
        }
    }
}

fn simple(statements: &[Statement]) -> Turn {
    let texts: Vec<_> = statements
        .iter()
        .map(|statement| statement.text.as_str())
        .collect();
    let up = query(&texts.join(" ; "));
    // A notice before anything else would stand between two replies.
    let mut down = row_description();
    let mut kind = ReplyKind::Done;
    for statement in statements {
        kind = outcome(statement, &mut down);
        if matches!(kind, ReplyKind::Error(_)) {
            break;
        }
    }
    down.extend(ready(b'I'));
    let last = statements
        .last()
        .map_or("QUERY", |statement| statement.word);
    turn(up, down, last, &statements.iter().collect::<Vec<_>>(), kind)
}

fn typed(statements: &[Statement]) -> Turn {
    let one =
        |statement: &Statement| [parse("", &statement.text), bind("", ""), execute("")].concat();
    let mut up: Vec<u8> = statements.iter().flat_map(one).collect();
    up.extend(sync());
    let (mut down, mut kind) = (Vec::new(), ReplyKind::Done);
    for statement in statements {
        down.extend([parse_complete(), bind_complete()].concat());
        kind = outcome(statement, &mut down);
        if matches!(kind, ReplyKind::Error(_)) {
            break;
        }
    }
    down.extend(ready(b'I'));
    let last = statements
        .last()
        .map_or("QUERY", |statement| statement.word);
    turn(up, down, last, &statements.iter().collect::<Vec<_>>(), kind)
}

/// Some cycles and their replies.
pub(crate) fn conversation() -> impl Strategy<Value = Vec<Turn>> {
    prop::collection::vec(step(), 1..20).prop_map(|steps| {
        let mut players = Players::default();
        steps.iter().map(|step| players.play(step)).collect()
    })
}

/// What the server says before the first command.
pub(crate) fn greeting() -> Vec<u8> {
    [
        auth_ok(),
        parameter("a", "b"),
        message(b'K', &[0; 8]),
        ready(b'I'),
    ]
    .concat()
}

/// Feeds both sides in pieces and notes every command with its reply.
pub(crate) fn record(
    talk: &mut Talk,
    up: &[u8],
    down: &[u8],
    pieces: &[usize],
    told: &mut Vec<(Command, Reply)>,
) {
    let mut commands = Vec::new();
    for piece in split(up, pieces) {
        for event in talk.up(piece) {
            match event {
                Up::Head(command) => commands.push(command),
                Up::End { .. } => {}
                event => panic!("unexpected {event:?}"),
            }
        }
    }
    let mut commands = commands.into_iter();
    assert_eq!(
        talk.dialogue.oldest_pending(),
        commands.as_slice().first().map(|command| command.id)
    );
    for piece in split(down, pieces) {
        for event in talk.down(piece) {
            if let Down::End { id, reply, .. } = event {
                let command = commands.next().expect("a reply has its command");
                assert_eq!(command.id, id);
                told.push((command, reply));
            }
        }
    }
}

fn split<'a>(mut bytes: &'a [u8], pieces: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = pieces.iter().copied().cycle();
    std::iter::from_fn(move || {
        let length = lengths.next()?.min(bytes.len());
        let (piece, rest) = bytes.split_at(length);
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}
