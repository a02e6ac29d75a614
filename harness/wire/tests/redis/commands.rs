//! What is told of commands.

use crate::exchange::{self, Exchange, array, command};
use touchstone_wire::redis::RedisDialogue;
use touchstone_wire::{Up, limits};

/// The head told of one command, in words, without its id.
#[track_caller]
fn head(words: &str) -> String {
    let told = Exchange::default().up(command(words));
    assert_eq!(told.len(), 2, "a head and an end: {told:?}");
    told[0].trim_start_matches("0 ").to_owned()
}

#[test]
fn a_command_is_told_by_its_name_in_capitals_and_its_keys() {
    assert_eq!(head("get k"), "GET k");
    assert_eq!(head("SeT k v EX 10"), "SET k");
    assert_eq!(head("MSET a 1 b 2 c 3"), "MSET a b c");
    assert_eq!(head("DEL a b"), "DEL a b");
    assert_eq!(head("BLPOP a b 0"), "BLPOP a b");
    assert_eq!(head("PING"), "PING");
    assert_eq!(head("ECHO k"), "ECHO");
    assert_eq!(head("BITOP AND d a b"), "BITOP d a b");
    assert_eq!(head("COPY a b DB 3"), "COPY a b");
}

#[test]
fn a_subcommand_is_part_of_the_name() {
    assert_eq!(head("client setname x"), "CLIENT SETNAME");
    assert_eq!(head("CLIENT SETINFO lib-name x"), "CLIENT SETINFO");
    assert_eq!(head("object encoding k"), "OBJECT ENCODING k");
    assert_eq!(head("XGROUP CREATE s g $"), "XGROUP CREATE s");
    assert_eq!(head("CLIENT"), "CLIENT");
    assert_eq!(head("COMMAND"), "COMMAND");
    assert_eq!(head("CONFIG frob x"), "CONFIG FROB");
}

#[test]
fn keys_are_found_by_their_count() {
    assert_eq!(head("EVAL script 2 a b c"), "EVAL a b");
    assert_eq!(head("EVALSHA sha 0 a"), "EVALSHA");
    assert_eq!(head("FCALL_RO f 1 a b"), "FCALL_RO a");
    assert_eq!(head("ZUNION 2 a b WITHSCORES"), "ZUNION a b");
    assert_eq!(head("ZINTERSTORE d 2 a b"), "ZINTERSTORE d a b");
    assert_eq!(head("SINTERCARD 2 a b LIMIT 1"), "SINTERCARD a b");
    assert_eq!(head("BLMPOP 0 2 a b LEFT"), "BLMPOP a b");
    assert_eq!(head("ZMPOP 1 a MIN"), "ZMPOP a");
    assert_eq!(head("MSETEX 2 a 1 b 2 EX 9"), "MSETEX a b");
}

#[test]
fn a_count_of_keys_that_cannot_be_finds_none() {
    assert_eq!(head("EVAL script 9 a b"), "EVAL");
    assert_eq!(head("EVAL script -1 a b"), "EVAL");
    assert_eq!(head("EVAL script x a b"), "EVAL");
    assert_eq!(head("EVAL script"), "EVAL");
}

#[test]
fn keys_are_found_behind_options() {
    assert_eq!(head("XREAD COUNT 2 STREAMS a b 0 0"), "XREAD a b");
    assert_eq!(head("XREAD BLOCK 0 streams a 0"), "XREAD a");
    assert_eq!(
        head("XREADGROUP GROUP streams c NOACK STREAMS a >"),
        "XREADGROUP a"
    );
    assert_eq!(head("XREAD STREAMS a b 0"), "XREAD a");
    assert_eq!(head("SORT k"), "SORT k");
    assert_eq!(head("SORT k BY store ALPHA STORE d"), "SORT k d");
    assert_eq!(head("SORT k STORE d STORE e"), "SORT k e");
    assert_eq!(head("SORT k STORE"), "SORT k");
    assert_eq!(head("SORT_RO k BY w"), "SORT_RO k");
    assert_eq!(head("GEORADIUS k 1 2 3 km STORE d"), "GEORADIUS k d");
    assert_eq!(
        head("GEORADIUSBYMEMBER k m 3 km STOREDIST d"),
        "GEORADIUSBYMEMBER k d"
    );
    assert_eq!(head("MIGRATE h 1 k 0 9"), "MIGRATE k");
    assert_eq!(head("MIGRATE h 1 k 0 9 AUTH keys"), "MIGRATE k");
}

#[test]
fn migrate_with_an_empty_key_moves_those_behind_keys() {
    let words: Vec<&[u8]> = [
        "MIGRATE", "h", "1", "", "0", "9", "COPY", "AUTH", "keys", "KEYS", "a", "b",
    ]
    .map(str::as_bytes)
    .to_vec();
    assert_eq!(Exchange::default().up(array(&words))[0], "0 MIGRATE a b");
}

#[test]
fn an_unknown_command_is_whole_and_has_no_key_that_is_known() {
    assert_eq!(head("ft.search idx q"), "FT.SEARCH");
}

#[test]
fn channels_are_no_keys() {
    assert_eq!(head("SUBSCRIBE a b"), "SUBSCRIBE");
    assert_eq!(head("SPUBLISH a b"), "SPUBLISH");
}

#[test]
fn a_pipeline_is_told_command_by_command_with_its_sizes() {
    let mut exchange = Exchange::default();
    let told = exchange.up([command("SET k v"), command("GET k")].concat());
    assert_eq!(told, ["0 SET k", "end 0 of 27", "1 GET k", "end 1 of 20"]);
    assert_eq!(exchange.heads()[0].argument_count, 3);
}

#[test]
fn inline_commands_are_commands() {
    let mut exchange = Exchange::default();
    assert_eq!(exchange.up("PING\r\n"), ["0 PING", "end 0 of 6"]);
    assert_eq!(exchange.up(" get\t'a b' \n"), ["1 GET a b", "end 1 of 12"]);
    let told = exchange.up("SET \"\\x41\\n\\\"\" 'it\\'s'\n");
    assert_eq!(told, ["2 SET A\n\"", "end 2 of 23"]);
    assert_eq!(exchange.heads()[0].argument_count, 3);
}

#[test]
fn what_asks_nothing_is_an_aside() {
    let told = Exchange::default().up("\r\n\n  \r\n*0\r\n*-1\r\nPING\r\n");
    assert_eq!(told[..5], ["aside"; 5]);
    assert_eq!(told[5], "0 PING");
}

#[test]
fn the_head_comes_before_the_value_it_does_not_need() {
    let mut dialogue = RedisDialogue::default();
    let bytes = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nxx";
    let told = exchange::up(&mut dialogue, bytes, usize::MAX);
    let [(20, Up::Head(head))] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!(head.is_whole && head.name == "SET");
}

#[test]
fn a_key_longer_than_is_kept_is_cut_and_says_so() {
    let key = vec![b'k'; limits::KEY_BYTES_MAX + 1];
    let mut exchange = Exchange::default();
    exchange.up(array(&[b"GET", &key]));
    let head = &exchange.heads()[0];
    assert_eq!(head.keys[0].len(), limits::KEY_BYTES_MAX);
    assert_eq!(head.key_count, 1);
    assert!(!head.is_whole);
}

#[test]
fn of_many_keys_the_first_are_kept_and_all_are_counted() {
    let mut words = vec![b"DEL".as_slice()];
    words.extend([b"k".as_slice(); 1000]);
    let mut exchange = Exchange::default();
    exchange.up(array(&words));
    let head = &exchange.heads()[0];
    assert_eq!(
        (head.keys.len(), head.key_count, head.is_whole),
        (limits::KEYS_MAX, 1000, false)
    );
    words.truncate(1 + limits::KEYS_MAX);
    exchange.up(array(&words));
    assert!(exchange.heads()[0].is_whole, "as many as are kept");
}

#[test]
fn a_head_that_is_too_long_is_told_as_it_is_known_by_then() {
    let value = vec![b'v'; limits::HEAD_BYTES_MAX];
    let bytes = array(&[b"MSET", b"a", &value, b"b", &value]);
    let mut dialogue = RedisDialogue::default();
    let told = exchange::up(&mut dialogue, &bytes, usize::MAX);
    let [
        (limits::HEAD_BYTES_MAX, Up::Head(head)),
        (_, Up::End { .. }),
    ] = told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert_eq!((head.keys.len(), head.key_count), (1, 2));
    assert!(!head.is_whole);
    let mut bytewise = RedisDialogue::default();
    assert_eq!(exchange::up(&mut bytewise, &bytes, 1), told);
}

#[test]
fn a_script_within_the_limit_does_not_hide_the_keys_behind_it() {
    let script = vec![b's'; limits::HEAD_BYTES_MAX - 100];
    let mut exchange = Exchange::default();
    exchange.up(array(&[b"EVAL", &script, b"1", b"k"]));
    assert_eq!(exchange.heads()[0].keys[0].as_ref(), b"k");
    assert!(exchange.heads()[0].is_whole);
    exchange.up(array(&[
        b"EVAL",
        &[script, vec![b's'; 100]].concat(),
        b"1",
        b"k",
    ]));
    assert!(exchange.heads()[0].keys.is_empty());
    assert!(!exchange.heads()[0].is_whole);
}

#[test]
fn bytes_that_are_no_command_end_the_decoding() {
    for bytes in [
        "*1\r\n:4\r\n",
        "*x\r\n",
        "*01\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$4\r\nPINGxx",
        "*2147483648\r\n",
        "*1\r\n$99999999999999999999\r\n",
        "PING \"a\r\n",
        "PING 'a'b\r\n",
        "PI\0NG\r\n",
        "\u{80}",
    ] {
        let mut exchange = Exchange::default();
        assert_eq!(exchange.up(bytes), ["lost NotTheProtocol"], "of {bytes:?}");
        assert!(exchange.up("PING\r\n").is_empty(), "it comes once");
        assert!(exchange.down("+PONG\r\n").is_empty(), "and for both");
    }
    let endless = vec![b'x'; limits::HEAD_BYTES_MAX + 1];
    assert_eq!(Exchange::default().up(endless), ["lost NotTheProtocol"]);
}

#[test]
fn encryption_is_recognised_at_the_first_byte_of_either_side() {
    let hello = b"\x16\x03\x01\x02\x00";
    assert_eq!(Exchange::default().up(hello), ["lost Encrypted"]);
    assert_eq!(Exchange::default().down(hello), ["lost Encrypted"]);
    let mut later = Exchange::default();
    later.up("PING\r\n");
    assert_eq!(later.up(hello), ["lost NotTheProtocol"]);
}
