//! Messages of both sides, and a conversation that is told as lines.

use bytes::BytesMut;
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use touchstone_wire::postgres::PostgresDialogue;
use touchstone_wire::{Advance, Command, CommandId, Dialogue, Down, ReplyKind, Up};

/// A dialogue, and the checks that hold for every step of it.
#[derive(Default)]
pub(crate) struct Talk {
    pub(crate) dialogue: PostgresDialogue,
}

fn drain<E>(mut input: &[u8], mut step: impl FnMut(&[u8]) -> Advance<E>) -> Vec<E> {
    let mut events = Vec::new();
    let mut idle = 0;
    loop {
        let advance = step(input);
        assert!(
            advance.consumed <= input.len(),
            "more consumed than there is"
        );
        idle = if advance.consumed == 0 { idle + 1 } else { 0 };
        assert!(idle < 8, "no progress");
        input = &input[advance.consumed..];
        match advance.event {
            Some(event) => events.push(event),
            None => break,
        }
    }
    assert!(
        input.is_empty(),
        "without an event all of the input is consumed"
    );
    events
}

impl Talk {
    /// After a start-up without encryption, by trust.
    pub(crate) fn ready() -> Self {
        let mut talk = Self::default();
        assert_eq!(talk.up(&startup()), [Up::Aside]);
        let greeting = [auth_ok(), parameter("client_encoding", "UTF8"), ready(b'I')].concat();
        assert_eq!(
            talk.down(&greeting),
            [Down::Aside, Down::Aside, Down::Aside]
        );
        talk
    }

    pub(crate) fn up(&mut self, input: &[u8]) -> Vec<Up> {
        drain(input, |input| self.dialogue.up(input))
    }

    pub(crate) fn down(&mut self, input: &[u8]) -> Vec<Down> {
        drain(input, |input| self.dialogue.down(input))
    }

    /// The command of the only cycle in this input.
    pub(crate) fn command(&mut self, input: &[u8]) -> Command {
        match self.up(input).as_slice() {
            [Up::Head(command), Up::End { id, bytes }] => {
                assert_eq!(*id, command.id);
                assert_eq!(*bytes, input.len() as u64);
                command.clone()
            }
            events => panic!("expected a cycle, seen {events:?}"),
        }
    }

    /// The kind of the only reply in this input.
    pub(crate) fn reply(&mut self, input: &[u8]) -> ReplyKind {
        let (id, kind) = self.reply_to(input);
        assert!(id.0 < u64::MAX);
        kind
    }

    /// The only reply in this input, and to what it answers.
    pub(crate) fn reply_to(&mut self, input: &[u8]) -> (CommandId, ReplyKind) {
        match self.down(input).as_slice() {
            [Down::Head(begun), Down::End { id, reply, is_last }] => {
                assert_eq!(begun, id);
                assert!(is_last);
                assert_eq!(reply.bytes, input.len() as u64);
                (*id, reply.kind.clone())
            }
            events => panic!("expected a reply, seen {events:?}"),
        }
    }
}

/// The keys of a command as text.
pub(crate) fn keys(command: &Command) -> Vec<String> {
    let texts = command.keys.iter();
    texts
        .map(|key| String::from_utf8_lossy(key).into_owned())
        .collect()
}

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    encode(&mut buffer);
    buffer.to_vec()
}

pub(crate) fn startup() -> Vec<u8> {
    encoded(|buffer| {
        frontend::startup_message([("user", "app"), ("database", "app")], buffer).unwrap()
    })
}

pub(crate) fn ssl_request() -> Vec<u8> {
    encoded(frontend::ssl_request)
}

pub(crate) fn gssenc_request() -> Vec<u8> {
    [8u32.to_be_bytes(), 80_877_104u32.to_be_bytes()].concat()
}

pub(crate) fn cancel_request() -> Vec<u8> {
    encoded(|buffer| frontend::cancel_request(1, 2, buffer))
}

pub(crate) fn password(text: &str) -> Vec<u8> {
    encoded(|buffer| frontend::password_message(text.as_bytes(), buffer).unwrap())
}

pub(crate) fn query(text: &str) -> Vec<u8> {
    encoded(|buffer| frontend::query(text, buffer).unwrap())
}

pub(crate) fn parse(name: &str, text: &str) -> Vec<u8> {
    encoded(|buffer| frontend::parse(name, text, [], buffer).unwrap())
}

/// A Bind with one parameter of so many bytes.
pub(crate) fn bind_with(portal: &str, statement: &str, parameter_bytes: usize) -> Vec<u8> {
    encoded(|buffer| {
        let parameter = |(): (), buffer: &mut BytesMut| {
            buffer.extend_from_slice(&vec![b'x'; parameter_bytes]);
            Ok(IsNull::No)
        };
        let bound = frontend::bind(portal, statement, [1], [()], parameter, [1], buffer);
        assert!(bound.is_ok(), "a Bind of this size can be encoded");
    })
}

pub(crate) fn bind(portal: &str, statement: &str) -> Vec<u8> {
    bind_with(portal, statement, 3)
}

pub(crate) fn execute(portal: &str) -> Vec<u8> {
    encoded(|buffer| frontend::execute(portal, 0, buffer).unwrap())
}

/// `S` for a statement, `P` for a portal.
pub(crate) fn describe(target: u8, name: &str) -> Vec<u8> {
    encoded(|buffer| frontend::describe(target, name, buffer).unwrap())
}

/// `S` for a statement, `P` for a portal.
pub(crate) fn close(target: u8, name: &str) -> Vec<u8> {
    encoded(|buffer| frontend::close(target, name, buffer).unwrap())
}

pub(crate) fn sync() -> Vec<u8> {
    encoded(frontend::sync)
}

pub(crate) fn flush() -> Vec<u8> {
    message(b'H', &[])
}

pub(crate) fn terminate() -> Vec<u8> {
    encoded(frontend::terminate)
}

pub(crate) fn copy_data(bytes: usize) -> Vec<u8> {
    message(b'd', &vec![b'x'; bytes])
}

pub(crate) fn copy_done() -> Vec<u8> {
    encoded(frontend::copy_done)
}

pub(crate) fn copy_fail(text: &str) -> Vec<u8> {
    encoded(|buffer| frontend::copy_fail(text, buffer).unwrap())
}

/// A message of any type and body.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

pub(crate) fn auth_ok() -> Vec<u8> {
    message(b'R', &0u32.to_be_bytes())
}

pub(crate) fn parameter(name: &str, value: &str) -> Vec<u8> {
    message(b'S', format!("{name}\0{value}\0").as_bytes())
}

pub(crate) fn notice(text: &str) -> Vec<u8> {
    message(b'N', format!("SNOTICE\0C00000\0M{text}\0\0").as_bytes())
}

pub(crate) fn error(code: &str, text: &str) -> Vec<u8> {
    message(
        b'E',
        format!("SERROR\0VERROR\0C{code}\0M{text}\0\0").as_bytes(),
    )
}

pub(crate) fn ready(state: u8) -> Vec<u8> {
    message(b'Z', &[state])
}

pub(crate) fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

pub(crate) fn row(bytes: usize) -> Vec<u8> {
    let column = u32::try_from(bytes).unwrap().to_be_bytes();
    message(b'D', &[&[0, 1][..], &column, &vec![b'v'; bytes]].concat())
}

/// A RowDescription without columns.
pub(crate) fn row_description() -> Vec<u8> {
    message(b'T', &[0, 0])
}

pub(crate) fn parse_complete() -> Vec<u8> {
    message(b'1', &[])
}

pub(crate) fn bind_complete() -> Vec<u8> {
    message(b'2', &[])
}

/// A CopyInResponse of text, without columns.
pub(crate) fn copy_in_response() -> Vec<u8> {
    message(b'G', &[0, 0, 0])
}
