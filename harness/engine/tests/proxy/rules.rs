//! Rules, end to end: a real client, a real server; each is seen to bite, to say so, and to heal.

use super::redis_client::{RedisServer, client};
use super::support::*;
use redis::{Connection, RedisError, RedisResult};
use std::time::{Duration, Instant};
use touchstone_engine::proxy::{Action, Delay, ErrorReply, Protocol, ProxyError, Rule, Then, When};

const LONG: Duration = Duration::from_secs(10);

fn set(connection: &mut Connection, key: &str, value: &str) -> RedisResult<()> {
    redis::cmd("SET").arg(key).arg(value).query(connection)
}

fn get(connection: &mut Connection, key: &str) -> RedisResult<Option<String>> {
    redis::cmd("GET").arg(key).query(connection)
}

/// A server, a decoding proxy, and a client past it.
struct Bench {
    rig: Rig,
    direct: Connection,
    _server: RedisServer,
}

impl Bench {
    async fn start() -> Self {
        let server = RedisServer::start();
        let rig = Rig::decoding(Protocol::Redis, server.address()).await;
        let direct = client(server.address(), DEADLINE).unwrap();
        Self {
            rig,
            direct,
            _server: server,
        }
    }

    fn connect(&self) -> Connection {
        client(self.rig.address(), DEADLINE).unwrap()
    }

    /// A client that gives up soon, for what is never answered.
    fn impatient(&self) -> Connection {
        client(self.rig.address(), WATCH).unwrap()
    }
}

/// Makes the rule bite; given a connection that worked, and the server past the proxy.
type See = fn(&mut Bench, Connection);

/// Every rule is seen to pass before, to bite, to say so, and to heal: by `heal` and by drop.
fn goes_through_the_shared_test(when: fn() -> When, action: Action, see: See) {
    run(async {
        let mut bench = Bench::start().await;
        for by_drop in [false, true] {
            let mut existing = bench.impatient();
            set(&mut existing, "other", "before").unwrap();
            let mut guard = bench
                .rig
                .inject(Rule::new(when(), action.clone()))
                .await
                .unwrap();
            assert_eq!(guard.bite(), None, "it claims to bite without traffic");
            see(&mut bench, existing);
            assert!(
                guard.bite().is_some(),
                "{} did not say it bit",
                guard.name()
            );
            if by_drop {
                drop(guard);
            } else {
                guard.heal().await.unwrap();
                assert!(guard.bite().is_some(), "the bite must outlast the heal");
            }
            let mut after = bench.connect();
            set(&mut after, "k", "healed").unwrap();
            assert_eq!(get(&mut after, "k").unwrap().as_deref(), Some("healed"));
        }
    });
}

fn on_k() -> When {
    When::command("SET").key("k")
}

fn fails(outcome: RedisResult<()>) -> RedisError {
    outcome.expect_err("the command must not be answered as if nothing were")
}

fn stored(bench: &mut Bench) -> Option<String> {
    get(&mut bench.direct, "k").unwrap()
}

#[test]
fn a_noted_command_and_its_reply_pass_untouched() {
    goes_through_the_shared_test(on_k, Action::Note, |bench, mut existing| {
        set(&mut existing, "k", "noted").unwrap();
        assert_eq!(stored(bench).as_deref(), Some("noted"));
    });
}

#[test]
fn a_held_command_does_not_reach_the_server() {
    let action = Action::Hold { longest: LONG };
    goes_through_the_shared_test(on_k, action, |bench, mut existing| {
        let before = stored(bench);
        assert!(fails(set(&mut existing, "k", "held")).is_timeout());
        assert_eq!(stored(bench), before);
        set(&mut bench.connect(), "other", "not held").unwrap();
    });
}

#[test]
fn of_a_held_reply_the_server_has_applied_the_command() {
    let action = Action::HoldReply { longest: LONG };
    goes_through_the_shared_test(on_k, action, |bench, mut existing| {
        assert!(fails(set(&mut existing, "k", "applied")).is_timeout());
        assert_eq!(stored(bench).as_deref(), Some("applied"));
    });
}

#[test]
fn a_delayed_command_and_a_delayed_reply_take_as_long_and_no_other_does() {
    let delay = Duration::from_millis(40);
    for action in [
        Action::Delay(Delay::fixed(delay)),
        Action::DelayReply(Delay::fixed(delay)),
    ] {
        goes_through_the_shared_test(on_k, action, |bench, mut existing| {
            let began = Instant::now();
            set(&mut existing, "k", "late").unwrap();
            assert!(began.elapsed() >= Duration::from_millis(40));
            assert_eq!(stored(bench).as_deref(), Some("late"));
        });
    }
}

#[test]
fn a_swallowed_command_never_arrives_and_nothing_after_it_does() {
    goes_through_the_shared_test(on_k, Action::Swallow, |bench, mut existing| {
        let before = stored(bench);
        assert!(fails(set(&mut existing, "k", "swallowed")).is_timeout());
        assert!(get(&mut existing, "other").is_err());
        assert_eq!(stored(bench), before);
    });
}

#[test]
fn cut_before_a_command_the_server_never_sees_it() {
    for then in [Then::Close, Then::Reset] {
        goes_through_the_shared_test(on_k, Action::CutBefore(then), |bench, mut existing| {
            let before = stored(bench);
            assert!(fails(set(&mut existing, "k", "cut")).is_connection_dropped());
            assert_eq!(stored(bench), before);
        });
    }
}

#[test]
fn cut_after_a_command_there_is_no_reply() {
    for then in [Then::Close, Then::Reset] {
        goes_through_the_shared_test(on_k, Action::CutAfter(then), |_, mut existing| {
            assert!(fails(set(&mut existing, "k", "cut")).is_connection_dropped());
        });
    }
}

#[test]
fn of_a_lost_reply_the_server_has_applied_the_command_and_none_follows() {
    let lost = Action::CutReply {
        after_bytes: 0,
        then: Then::Silence,
    };
    goes_through_the_shared_test(on_k, lost, |bench, mut existing| {
        assert!(fails(set(&mut existing, "k", "lost")).is_timeout());
        assert_eq!(stored(bench).as_deref(), Some("lost"));
        assert!(get(&mut existing, "other").is_err(), "a later reply came");
    });
}

#[test]
fn a_reply_that_is_cut_short_is_no_reply() {
    for then in [Then::Close, Then::Reset, Then::Silence] {
        let action = Action::CutReply {
            after_bytes: 3,
            then,
        };
        goes_through_the_shared_test(on_k, action, |bench, mut existing| {
            fails(set(&mut existing, "k", "cut short"));
            assert_eq!(stored(bench).as_deref(), Some("cut short"));
        });
    }
}

#[test]
fn bytes_instead_of_a_reply_are_what_the_client_reads() {
    let action = Action::ReplaceReply(b"?what\r\n".to_vec());
    goes_through_the_shared_test(on_k, action, |bench, mut existing| {
        fails(set(&mut existing, "k", "replaced"));
        assert_eq!(stored(bench).as_deref(), Some("replaced"));
    });
}

#[test]
fn each_error_reply_is_what_a_real_client_sees_and_the_server_sees_nothing() {
    let moved = ErrorReply::Moved {
        slot: 7,
        address: "127.0.0.1:1".to_owned(),
    };
    let ask = ErrorReply::Ask {
        slot: 7,
        address: "127.0.0.1:1".to_owned(),
    };
    let own = ErrorReply::Other("WRONGPASS no".to_owned());
    for error in ErrorReply::FIXED.into_iter().chain([moved, ask, own]) {
        run(async {
            let mut bench = Bench::start().await;
            let mut subject = bench.connect();
            let rule = Rule::new(on_k(), Action::Answer(error.clone()));
            let _guard = bench.rig.inject(rule).await.unwrap();
            let seen = fails(set(&mut subject, "k", "refused"));
            let code = error.text().split(' ').next().unwrap().to_owned();
            // A code that the client has a word for is told by that word.
            let told = seen.code().map_or_else(|| seen.to_string(), str::to_owned);
            assert_eq!(told, code, "{error:?} was seen as {seen:?}");
            assert_eq!(stored(&mut bench), None);
            let goes_on = get(&mut subject, "other").is_ok();
            assert_eq!(goes_on, error != ErrorReply::MaxClients, "{error:?}");
        });
    }
}

#[test]
fn an_answer_in_the_servers_stead_takes_its_place_among_the_replies() {
    run(async {
        let bench = Bench::start().await;
        let mut subject = bench.connect();
        let rule = Rule::new(on_k(), Action::Answer(ErrorReply::OutOfMemory));
        let _guard = bench.rig.inject(rule).await.unwrap();
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        for key in ["a", "k", "b", "k", "k", "c"] {
            pipeline.cmd("SET").arg(key).arg(key);
            pipeline.cmd("GET").arg(key);
        }
        let replies: Vec<RedisResult<redis::Value>> = pipeline.query(&mut subject).unwrap();
        for (at, key) in ["a", "k", "b", "k", "k", "c"].into_iter().enumerate() {
            let (written, read) = (&replies[2 * at], &replies[2 * at + 1]);
            assert_eq!(written.is_err(), key == "k", "{replies:?}");
            let expected = match key {
                "k" => redis::Value::Nil,
                _ => redis::Value::BulkString(key.into()),
            };
            assert_eq!(read.as_ref().unwrap(), &expected, "{replies:?}");
        }
    });
}

#[test]
fn only_the_nth_is_acted_on_whichever_connection_it_comes_from() {
    run(async {
        let mut bench = Bench::start().await;
        let rule = Rule::new(on_k().nth(3), Action::Answer(ErrorReply::ReadOnly));
        let watch = rule.watch();
        let _guard = bench.rig.inject(rule).await.unwrap();
        let outcomes: Vec<_> = (0..5)
            .map(|n| set(&mut bench.connect(), "k", &n.to_string()).is_ok())
            .collect();
        assert_eq!(outcomes, [true, true, false, true, true]);
        assert_eq!((watch.now().matched, watch.now().acted), (5, 1));
        assert_eq!(stored(&mut bench).as_deref(), Some("4"));
    });
}

#[test]
fn a_hold_tells_when_it_has_caught_something_and_lets_go_one_by_one() {
    run(async {
        let mut bench = Bench::start().await;
        let rule = Rule::new(on_k(), Action::Hold { longest: LONG });
        let watch = rule.watch();
        let guard = bench.rig.inject(rule).await.unwrap();
        let writers: Vec<_> = ["one", "two"]
            .map(|value| {
                let mut subject = bench.connect();
                std::thread::spawn(move || set(&mut subject, "k", value))
            })
            .into();
        let held = watch.until_held(2, DEADLINE).await.unwrap();
        assert_eq!(held.held[0].key.as_deref(), Some("k"));
        assert_eq!(stored(&mut bench), None);

        assert!(guard.release_one().await.unwrap());
        watch.until_replied(1, DEADLINE).await.unwrap();
        let first = stored(&mut bench).unwrap();
        assert!(guard.release_one().await.unwrap());
        watch.until_replied(2, DEADLINE).await.unwrap();
        assert_ne!(stored(&mut bench).unwrap(), first);
        assert!(!guard.release_one().await.unwrap());
        for writer in writers {
            writer.join().unwrap().unwrap();
        }
        assert_eq!((watch.now().released, watch.now().overdue), (2, 0));
    });
}

#[test]
fn a_hold_ends_by_itself_after_its_longest_time_and_says_so() {
    run(async {
        let mut bench = Bench::start().await;
        let longest = Duration::from_millis(30);
        let rule = Rule::new(on_k(), Action::Hold { longest });
        let watch = rule.watch();
        let _guard = bench.rig.inject(rule).await.unwrap();
        let began = Instant::now();
        set(&mut bench.connect(), "k", "late").unwrap();
        assert!(began.elapsed() >= longest);
        assert_eq!(watch.now().overdue, 1);
        assert_eq!(stored(&mut bench).as_deref(), Some("late"));
    });
}

#[test]
fn a_held_command_whose_client_has_gone_is_held_no_more() {
    run(async {
        let mut bench = Bench::start().await;
        let rule = Rule::new(on_k(), Action::HoldReply { longest: LONG });
        let watch = rule.watch();
        let _guard = bench.rig.inject(rule).await.unwrap();
        let mut subject = bench.impatient();
        assert!(fails(set(&mut subject, "k", "gone")).is_timeout());
        drop(subject);
        watch
            .until("nothing to be held", DEADLINE, |now| {
                now.matched == 1 && now.held.is_empty()
            })
            .await
            .unwrap();
        assert_eq!(stored(&mut bench).as_deref(), Some("gone"));
    });
}

#[test]
fn a_rule_that_comes_in_the_middle_of_a_command_leaves_that_one_alone() {
    use std::io::{Read, Write};
    run(async {
        let bench = Bench::start().await;
        let mut subject = bench.rig.connect();
        subject.write_all(b"*3\r\n$3\r\nSET\r\n$1").unwrap();
        until_passed(&bench.rig, 15).await;
        let rule = Rule::new(on_k(), Action::Answer(ErrorReply::Busy));
        let _guard = bench.rig.inject(rule).await.unwrap();
        let rest = b"\r\nk\r\n$1\r\nv\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
        subject.write_all(rest).unwrap();
        let mut replies = [0; 10];
        subject.read_exact(&mut replies).unwrap();
        assert_eq!(&replies, b"+OK\r\n-BUSY");
    });
}

#[test]
fn what_was_held_back_for_a_decision_passes_when_its_sender_ends() {
    use std::io::{Read, Write};
    run(async {
        let (listener, address) = listen();
        let rig = Rig::decoding(Protocol::Redis, address).await;
        let _guard = rig.inject(Rule::new(on_k(), Action::Note)).await.unwrap();
        let mut subject = rig.connect();
        let mut store = accept(&listener);
        subject.write_all(b"*3\r\n$3\r\nSE").unwrap();
        subject.shutdown(std::net::Shutdown::Write).unwrap();
        let mut arrived = Vec::new();
        store.read_to_end(&mut arrived).unwrap();
        assert_eq!(arrived, b"*3\r\n$3\r\nSE");
    });
}

#[test]
fn bytes_that_are_no_protocol_pass_untouched_also_under_a_rule() {
    use std::io::{Read, Write};
    run(async {
        let rig = Rig::decoding(Protocol::Redis, echo_store()).await;
        let _guard = rig
            .inject(Rule::new(When::any(), Action::Swallow))
            .await
            .unwrap();
        let mut subject = rig.connect();
        let sent: Vec<u8> = (0..=255).cycle().skip(1).take(100_000).collect();
        subject
            .write_all(&[&b"\x16\x03\x01"[..], &sent].concat())
            .unwrap();
        let mut back = vec![0; sent.len() + 3];
        subject.read_exact(&mut back).unwrap();
        assert_eq!(&back[3..], sent);
        assert_eq!(rig.undecoded().await.unwrap().len(), 1);
    });
}

#[test]
fn a_rule_needs_a_proxy_that_decodes() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let error = rig
            .inject(Rule::new(on_k(), Action::Note))
            .await
            .unwrap_err();
        assert!(matches!(error, ProxyError::NotDecoded { .. }), "{error}");
    });
}

#[test]
fn the_trace_tells_commands_in_order_with_their_replies() {
    run(async {
        let bench = Bench::start().await;
        let mut subject = bench.connect();
        let since = bench.rig.trace_mark().await.unwrap();
        set(&mut subject, "k", "value").unwrap();
        get(&mut subject, "k").unwrap();
        redis::cmd("INCR")
            .arg("k")
            .query::<i64>(&mut subject)
            .unwrap_err();
        let trace = bench.rig.trace(since).await.unwrap();
        let told: Vec<_> = trace.commands.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "SET k -> ok",
                "GET k -> 5 bytes",
                "INCR k -> error ERR value is not an integer or out of range"
            ]
        );
        assert_eq!(trace.dropped, 0);
    });
}

#[test]
fn commands_that_are_owed_no_reply_do_not_shift_those_that_are() {
    use std::io::{Read, Write};
    run(async {
        let bench = Bench::start().await;
        let rule = Rule::new(on_k(), Action::Note);
        let watch = rule.watch();
        let _guard = bench.rig.inject(rule).await.unwrap();
        let mut subject = bench.rig.connect();
        subject
            .write_all(b"CLIENT REPLY SKIP\r\nSET other 1\r\nSET k 2\r\n")
            .unwrap();
        let mut reply = [0; 5];
        subject.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"+OK\r\n");
        watch.until_replied(1, DEADLINE).await.unwrap();
        let trace = bench.rig.trace(0).await.unwrap();
        let told: Vec<_> = trace.commands.iter().map(ToString::to_string).collect();
        assert_eq!(told[1..], ["SET other -> no reply", "SET k -> ok [note]"]);
    });
}
