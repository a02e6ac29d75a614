//! Random bytes of the protocol: valid, mutated, and none at all.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::exchange::array;

/// A value as a store sends it.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Line(Vec<u8>),
    Text(u8, Vec<u8>),
    Aggregate(u8, Vec<Value>),
    Attributed(Vec<Value>, Box<Value>),
}

impl Value {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Line(line) => out.extend_from_slice(line),
            Self::Text(of, text) => {
                out.push(*of);
                out.extend_from_slice(format!("{}\r\n", text.len()).as_bytes());
                out.extend_from_slice(text);
            }
            Self::Aggregate(of, members) => {
                let count = members.len() / if *of == b'%' { 2 } else { 1 };
                out.push(*of);
                out.extend_from_slice(format!("{count}\r\n").as_bytes());
                members.iter().for_each(|member| member.encode(out));
                return;
            }
            Self::Attributed(attributes, value) => {
                out.extend_from_slice(format!("|{}\r\n", attributes.len() / 2).as_bytes());
                attributes.iter().for_each(|member| member.encode(out));
                value.encode(out);
                return;
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

fn line(pattern: &str) -> BoxedStrategy<Value> {
    let lines = proptest::string::string_regex(pattern).expect("a pattern");
    lines
        .prop_map(|line| Value::Line(line.into_bytes()))
        .boxed()
}

fn text(of: u8) -> BoxedStrategy<Value> {
    vec(any::<u8>(), 0..40)
        .prop_map(move |text| Value::Text(of, text))
        .boxed()
}

/// What both protocols have.
pub(crate) fn resp2() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        line("\\+[ -~]{0,20}"),
        line("-[A-Z]{1,6} [ -~]{0,20}"),
        line(":-?[1-9][0-9]{0,16}"),
        line("(\\$|\\*)-1"),
        text(b'$'),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        vec(inner, 0..6).prop_map(|members| Value::Aggregate(b'*', members))
    })
    .boxed()
}

fn pairs(of: u8, mut members: Vec<Value>) -> Value {
    if of == b'%' && members.len() % 2 == 1 {
        members.pop();
    }
    Value::Aggregate(of, members)
}

/// What only the newer has, besides.
pub(crate) fn resp3() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        resp2(),
        line("_"),
        line("#[tf]"),
        line(",-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,5})?(e[0-9]{1,2})?"),
        line(",-?inf"),
        line("\\([1-9][0-9]{0,40}"),
        vec(any::<u8>(), 0..20).prop_map(|text| Value::Text(b'=', [b"txt:", &text[..]].concat())),
        "[A-Z]{1,5} [ -~]{0,20}".prop_map(|text| Value::Text(b'!', text.into_bytes())),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        (prop::sample::select(b"*~%".as_slice()), vec(inner, 0..6))
            .prop_map(|(of, members)| pairs(of, members))
    })
    .boxed()
}

/// A value with attributes before it, or none.
pub(crate) fn attributed() -> BoxedStrategy<Value> {
    let plain = resp3();
    let attributes = vec((line("\\+[a-z]{1,5}"), resp2()), 1..3);
    let with = (attributes, resp3()).prop_map(|(pairs, value)| {
        let members = pairs.into_iter().flat_map(|(key, value)| [key, value]);
        Value::Attributed(members.collect(), Box::new(value))
    });
    prop_oneof![3 => plain, 1 => with].boxed()
}

/// Words of the protocol among random ones.
fn word() -> BoxedStrategy<Vec<u8>> {
    static KNOWN: &[&str] = &[
        "GET",
        "SET",
        "MSET",
        "DEL",
        "EVAL",
        "XREAD",
        "STREAMS",
        "SORT",
        "STORE",
        "MIGRATE",
        "KEYS",
        "CLIENT",
        "REPLY",
        "ON",
        "OFF",
        "SKIP",
        "MULTI",
        "EXEC",
        "DISCARD",
        "RESET",
        "HELLO",
        "3",
        "2",
        "1",
        "0",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "PSUBSCRIBE",
        "MONITOR",
        "ZUNIONSTORE",
        "a",
        "b",
    ];
    prop_oneof![
        4 => prop::sample::select(KNOWN).prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..30),
        1 => (0..3000_usize).prop_map(|length| vec![b'k'; length]),
    ]
    .boxed()
}

/// Bytes from a service: valid commands, lines, and damage.
pub(crate) fn requests() -> BoxedStrategy<Vec<u8>> {
    let array = vec(word(), 1..8).prop_map(|words| {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        array(&words)
    });
    let line = "[ -~\t]{0,30}\r?\n".prop_map(String::into_bytes);
    let one = prop_oneof![8 => array, 2 => line, 1 => vec(any::<u8>(), 0..8)];
    damaged(vec(one, 0..8).prop_map(|parts| parts.concat()).boxed())
}

/// Bytes from a store: valid replies, messages, and damage.
pub(crate) fn replies() -> BoxedStrategy<Vec<u8>> {
    static VERBS: &[&str] = &[
        "message",
        "subscribe",
        "unsubscribe",
        "psubscribe",
        "pmessage",
        "invalidate",
    ];
    let message =
        (prop::sample::select(VERBS), any::<bool>(), 0..4_u32).prop_map(|(verb, is_push, left)| {
            let head = if is_push { '>' } else { '*' };
            let length = verb.len();
            format!("{head}3\r\n${length}\r\n{verb}\r\n$1\r\na\r\n:{left}\r\n").into_bytes()
        });
    let value = attributed().prop_map(|value| value.bytes());
    let one = prop_oneof![6 => value, 3 => message, 1 => vec(any::<u8>(), 0..8)];
    damaged(vec(one, 0..8).prop_map(|parts| parts.concat()).boxed())
}

/// The same, and sometimes with a byte that is another.
pub(crate) fn damaged(bytes: BoxedStrategy<Vec<u8>>) -> BoxedStrategy<Vec<u8>> {
    let damage = (any::<prop::sample::Index>(), any::<u8>());
    (bytes, prop::option::weighted(0.3, damage))
        .prop_map(|(mut bytes, damage)| {
            if let Some((at, byte)) = damage.filter(|_| !bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
        .boxed()
}
