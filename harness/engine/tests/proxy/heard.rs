//! What a proxy tells for an audit, of a real client on a real server.

use super::redis_client::{RedisServer, client};
use super::support::*;
use touchstone_engine::proxy::{Action, ErrorReply, Heard, Protocol, Rule, When};
use touchstone_wire::{ClientNote, Expiry};

fn ask(connection: &mut redis::Connection, words: &str) {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    // Some are meant to be refused.
    let _ = command.query::<redis::Value>(connection);
}

fn expiries(heard: &Heard, name: &str) -> Vec<Option<Expiry>> {
    let commands = heard.trace.commands.iter();
    let of_name = commands.filter(|command| command.name == name);
    of_name.map(|command| command.expiry).collect()
}

#[test]
fn commands_are_totalled_by_name_with_their_errors_and_sizes() {
    run(async {
        let server = RedisServer::start();
        let rig = Rig::decoding(Protocol::Redis, server.address()).await;
        let mut connection = client(rig.address(), DEADLINE).unwrap();
        for words in ["SET k v", "INCR k", "INCR n", "INCR n"] {
            ask(&mut connection, words);
        }
        let heard = rig.heard().await.unwrap();
        let incr = heard.names.iter().find(|of| of.name == "INCR").unwrap();
        assert_eq!((incr.count, incr.answered, incr.errors), (3, 3, 1));
        assert_eq!(
            incr.sent_bytes,
            3 * "*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n".len() as u64
        );
        assert!(incr.received_bytes > 0 && incr.slowest.is_some());
        assert!(heard.undecoded.is_empty());
    });
}

#[test]
fn a_record_says_whether_value_and_expiry_were_set_in_one() {
    run(async {
        let server = RedisServer::start();
        let rig = Rig::decoding(Protocol::Redis, server.address()).await;
        let mut connection = client(rig.address(), DEADLINE).unwrap();
        for words in ["SET k v", "SET k v EX 10", "EXPIRE k 5", "SETEX k 9 v"] {
            ask(&mut connection, words);
        }
        let heard = rig.heard().await.unwrap();
        assert_eq!(expiries(&heard, "SET"), [None, Some(Expiry::WithValue)]);
        assert_eq!(expiries(&heard, "EXPIRE"), [Some(Expiry::Alone)]);
        assert_eq!(expiries(&heard, "SETEX"), [Some(Expiry::WithValue)]);
    });
}

#[test]
fn a_client_is_known_by_what_it_says_of_itself() {
    run(async {
        let server = RedisServer::start();
        let rig = Rig::decoding(Protocol::Redis, server.address()).await;
        let mut connection = client(rig.address(), DEADLINE).unwrap();
        ask(&mut connection, "CLIENT SETNAME checkout");
        let heard = rig.heard().await.unwrap();
        let name = ClientNote::Name("checkout".into());
        assert!(heard.clients.contains(&(0, name)), "{:?}", heard.clients);
    });
}

#[test]
fn what_a_rule_answered_counts_as_unanswered_and_makes_nothing_slow() {
    run(async {
        let server = RedisServer::start();
        let rig = Rig::decoding(Protocol::Redis, server.address()).await;
        let mut connection = client(rig.address(), DEADLINE).unwrap();
        let rule = Rule::new(When::command("SET"), Action::Answer(ErrorReply::ReadOnly));
        let guard = rig.inject(rule).await.unwrap();
        ask(&mut connection, "SET k v");
        drop(guard);
        let heard = rig.heard().await.unwrap();
        let set = heard.names.iter().find(|of| of.name == "SET").unwrap();
        assert_eq!((set.count, set.answered, set.slowest), (1, 0, None));
    });
}
