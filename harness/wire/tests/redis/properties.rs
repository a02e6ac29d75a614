//! What holds for any bytes, and for any that are valid.

use proptest::collection::vec;
use proptest::prelude::*;
use touchstone_wire::redis::RedisDialogue;
use touchstone_wire::{Dialogue, Down, ReplyKind, Up};

use crate::exchange::{self, array};
use crate::samples::{self, Value};

#[derive(Debug, Clone)]
enum Said {
    Up(Vec<u8>),
    Down(Vec<u8>),
}

fn conversation() -> impl Strategy<Value = Vec<Said>> {
    let one = prop_oneof![
        samples::requests().prop_map(Said::Up),
        samples::replies().prop_map(Said::Down),
    ];
    vec(one, 0..6)
}

/// All that is told of a conversation, with the places, and the state it ends in.
fn told(conversation: &[Said], piece: usize) -> (Vec<String>, String) {
    let mut dialogue = RedisDialogue::default();
    let mut all = Vec::new();
    for said in conversation {
        match said {
            Said::Up(bytes) => {
                all.push(format!("{:?}", exchange::up(&mut dialogue, bytes, piece)));
            }
            Said::Down(bytes) => {
                all.push(format!("{:?}", exchange::down(&mut dialogue, bytes, piece)));
            }
        }
    }
    let state = format!(
        "{:?} {:?} {}",
        dialogue.lost(),
        dialogue.oldest_pending(),
        dialogue.down_is_between()
    );
    (all, state)
}

/// A command, and what its head must say.
fn command() -> impl Strategy<Value = (Vec<u8>, &'static str, Vec<Vec<u8>>)> {
    let key = vec(any::<u8>(), 0..50);
    let value = prop_oneof![
        vec(any::<u8>(), 0..50),
        (0..100_000_usize).prop_map(|n| vec![b'v'; n])
    ];
    let pairs = vec((key, value), 1..6);
    (0..5_usize, pairs).prop_map(|(which, pairs)| {
        let keys: Vec<Vec<u8>> = pairs.iter().map(|(key, _)| key.clone()).collect();
        let count = keys.len().to_string();
        let (name, words, keys) = match which {
            0 => ("GET", vec![&b"get"[..], &keys[0]], keys[..1].to_vec()),
            1 => (
                "SET",
                vec![&b"SET"[..], &keys[0], &pairs[0].1],
                keys[..1].to_vec(),
            ),
            2 => {
                let rest = keys.iter().map(Vec::as_slice);
                (
                    "DEL",
                    [&b"Del"[..]].into_iter().chain(rest).collect(),
                    keys.clone(),
                )
            }
            3 => {
                let head = [&b"EVAL"[..], b"return 1", count.as_bytes()];
                let rest = keys.iter().map(Vec::as_slice);
                ("EVAL", head.into_iter().chain(rest).collect(), keys.clone())
            }
            _ => ("ECHO", vec![&b"ECHO"[..], &pairs[0].1], vec![]),
        };
        (array(&words), name, keys)
    })
}

fn kind_of(value: &Value) -> ReplyKind {
    match value {
        Value::Attributed(_, value) => kind_of(value),
        Value::Text(b'!', text) => error(text),
        Value::Text(_, text) => ReplyKind::Bulk(text.len() as u64),
        Value::Aggregate(of, members) => {
            let each = if *of == b'%' { 2 } else { 1 };
            ReplyKind::Aggregate(members.len() as u64 / each)
        }
        Value::Line(line) => match line[0] {
            b'-' => error(&line[1..]),
            b'$' | b'*' | b'_' => ReplyKind::Nil,
            b':' => {
                let digits = str::from_utf8(&line[1..]).expect("digits");
                ReplyKind::Integer(digits.parse().expect("a number"))
            }
            _ => ReplyKind::Simple,
        },
    }
}

fn error(text: &[u8]) -> ReplyKind {
    ReplyKind::Error(String::from_utf8_lossy(text).into())
}

proptest! {
    #[test]
    fn any_bytes_are_told_of_the_same_however_they_are_cut(
        conversation in conversation(),
        piece in 1..40_usize,
    ) {
        let whole = told(&conversation, usize::MAX);
        prop_assert_eq!(&told(&conversation, 1), &whole);
        prop_assert_eq!(&told(&conversation, piece), &whole);
    }

    #[test]
    fn noise_is_told_of_the_same_however_it_is_cut(
        up in vec(any::<u8>(), 0..200),
        down in vec(any::<u8>(), 0..200),
    ) {
        let conversation = [Said::Up(up), Said::Down(down)];
        prop_assert_eq!(told(&conversation, 1), told(&conversation, usize::MAX));
    }

    #[test]
    fn valid_pipelines_decode_to_what_was_encoded(
        exchanges in vec((command(), samples::attributed(), any::<bool>()), 1..8),
        piece in 1..5000_usize,
    ) {
        let mut dialogue = RedisDialogue::default();
        let mut pipeline = Vec::new();
        let mut replies = Vec::new();
        for ((bytes, _, _), value, has_push) in &exchanges {
            pipeline.extend_from_slice(bytes);
            if *has_push {
                replies.extend_from_slice(b">2\r\n+invalidate\r\n_\r\n");
            }
            value.encode(&mut replies);
        }
        let up = exchange::up(&mut dialogue, &pipeline, piece);
        prop_assert_eq!(up.len(), 2 * exchanges.len());
        let mut down = exchange::down(&mut dialogue, &replies, piece).into_iter();
        for (at, ((sent, name, keys), value, has_push)) in exchanges.iter().enumerate() {
            let (Up::Head(head), Up::End { id, bytes }) = (&up[2 * at].1, &up[2 * at + 1].1) else {
                panic!("{up:?}")
            };
            prop_assert_eq!((head.id, *bytes), (*id, sent.len() as u64));
            let told: Vec<Vec<u8>> = head.keys.iter().map(|key| key.to_vec()).collect();
            prop_assert_eq!((head.name.as_ref(), &told, head.is_whole), (*name, keys, true));
            if *has_push {
                prop_assert_eq!(down.next().map(|(_, event)| event), Some(Down::Aside));
            }
            prop_assert_eq!(down.next().map(|(_, event)| event), Some(Down::Head(*id)));
            let Some((_, Down::End { id: ended, reply, is_last })) = down.next() else {
                panic!("an end")
            };
            prop_assert_eq!((ended, is_last), (*id, true));
            prop_assert_eq!(reply.bytes, value.bytes().len() as u64);
            prop_assert_eq!(reply.kind, kind_of(value));
        }
        prop_assert!(down.next().is_none() && dialogue.oldest_pending().is_none());
    }
}
