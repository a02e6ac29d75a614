//! The shared test that every fault goes through, and what is particular to each.

use super::support::*;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use touchstone_engine::proxy::fault::Fault;
use touchstone_engine::proxy::{
    Blackhole, Cut, CutMode, Delay, Direction, Distribution, Ending, Latency, ProxyError, Refuse,
    Reject, Scope, Silence,
};

/// Makes the fault bite, while it is in force, and asserts what the subject sees. It is given a
/// connection that worked before.
pub(crate) type See = fn(&Rig, TcpStream);

/// Every fault is seen to pass before, to bite, to say so, and to heal: by `heal` and by drop.
pub(crate) fn goes_through_the_shared_test(fault: impl Fault + Copy, see: See) {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        for by_drop in [false, true] {
            let mut existing = rig.connect();
            ping(&mut existing).unwrap();
            let began = Instant::now();

            let mut guard = rig.inject(fault).await.unwrap();
            see(&rig, existing);
            let bite = guard.bite();
            assert!(bite.is_some(), "{} did not say that it bit", guard.name());

            if by_drop {
                drop(guard);
            } else {
                guard.heal().await.unwrap();
                let record = guard.record(began);
                assert_eq!(record.name, fault.name());
                assert_eq!(record.target, "proxy test");
                assert!(record.healed_at_us >= Some(record.injected_at_us));
                assert!(record.bite.is_some(), "the bite must outlast the heal");
            }
            ping(&mut rig.connect()).unwrap();
        }
    });
}

/// It says that it bit only if it did.
pub(crate) fn does_not_claim_to_bite_without_traffic(fault: impl Fault) {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let mut guard = rig.inject(fault).await.unwrap();
        assert_eq!(guard.bite(), None);
        guard.heal().await.unwrap();
        assert_eq!(guard.bite(), None);
    });
}

fn refused(rig: &Rig) {
    let error = connect(rig.address()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

pub(crate) fn is_reset(mut stream: TcpStream) {
    assert_eq!(read_outcome(&mut stream), Err(ErrorKind::ConnectionReset));
}

pub(crate) fn no_answer(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(WATCH)).unwrap();
    stream.write_all(b"ping").unwrap();
    assert_eq!(read_outcome(stream), Err(ErrorKind::WouldBlock));
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
}

fn cannot_connect(rig: &Rig) {
    let error = TcpStream::connect_timeout(&rig.address(), WATCH).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn refuse_is_seen_to_bite_and_to_heal() {
    goes_through_the_shared_test(Refuse, |rig, existing| {
        is_reset(existing);
        refused(rig);
    });
}

/// Between fork and exec a child holds a copy of every descriptor of ours: closing the listener alone
/// would leave it listening in there for a moment.
#[test]
fn refuse_is_in_force_at_once_while_children_are_being_started() {
    let done = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&done);
    let starter = std::thread::spawn(move || {
        while !seen.load(Ordering::Relaxed) {
            std::process::Command::new("true").status().unwrap();
        }
    });
    run(async {
        let rig = Rig::toward(echo_store()).await;
        for round in 0..300 {
            let refused = rig.inject(Refuse).await;
            assert!(refused.is_ok(), "round {round}: {:?}", refused.err());
        }
    });
    done.store(true, Ordering::Relaxed);
    starter.join().unwrap();
}

#[test]
fn reject_is_seen_to_bite_and_to_heal() {
    goes_through_the_shared_test(Reject, |rig, mut existing| {
        assert_eq!(
            connect_and_read(rig.address()),
            Err(ErrorKind::ConnectionReset)
        );
        ping(&mut existing).unwrap();
    });
}

#[test]
fn cut_by_reset_is_seen_to_bite_and_to_be_over() {
    goes_through_the_shared_test(
        Cut {
            mode: CutMode::Reset,
        },
        |rig, existing| {
            is_reset(existing);
            ping(&mut rig.connect()).unwrap();
        },
    );
}

#[test]
fn cut_by_close_is_seen_to_bite_and_to_be_over() {
    goes_through_the_shared_test(
        Cut {
            mode: CutMode::Close,
        },
        |rig, mut existing| {
            assert_eq!(read_outcome(&mut existing), Ok(0));
            ping(&mut rig.connect()).unwrap();
        },
    );
}

#[test]
fn silence_is_seen_to_bite_and_to_heal() {
    goes_through_the_shared_test(Silence { scope: Scope::All }, |rig, mut existing| {
        no_answer(&mut existing);
        no_answer(&mut rig.connect());
    });
}

#[test]
fn silence_of_existing_connections_lets_new_ones_through() {
    goes_through_the_shared_test(
        Silence {
            scope: Scope::Existing,
        },
        |rig, mut existing| {
            no_answer(&mut existing);
            ping(&mut rig.connect()).unwrap();
        },
    );
}

#[test]
fn blackhole_is_seen_to_bite_and_to_heal() {
    goes_through_the_shared_test(Blackhole { scope: Scope::All }, |rig, mut existing| {
        no_answer(&mut existing);
        cannot_connect(rig);
    });
}

#[test]
fn blackhole_of_existing_connections_lets_new_ones_through() {
    goes_through_the_shared_test(
        Blackhole {
            scope: Scope::Existing,
        },
        |rig, mut existing| {
            // Long enough for the kernel to send again: one packet alone is no proof.
            existing.write_all(b"ping").unwrap();
            existing
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            assert_eq!(read_outcome(&mut existing), Err(ErrorKind::WouldBlock));
            ping(&mut rig.connect()).unwrap();
        },
    );
}

#[test]
fn latency_is_seen_to_bite_and_to_heal() {
    let delay = Duration::from_millis(30);
    let fault = Latency {
        delay: Delay::fixed(delay),
        direction: Direction::Both,
    };
    goes_through_the_shared_test(fault, |rig, mut existing| {
        for stream in [&mut existing, &mut rig.connect()] {
            let sent_at = Instant::now();
            ping(stream).unwrap();
            let taken = sent_at.elapsed();
            assert!(taken >= Duration::from_millis(60), "took {taken:?}");
        }
    });
}

#[test]
fn no_fault_claims_to_bite_before_it_does() {
    let delay = Duration::from_millis(1);
    does_not_claim_to_bite_without_traffic(Reject);
    does_not_claim_to_bite_without_traffic(Cut {
        mode: CutMode::Reset,
    });
    does_not_claim_to_bite_without_traffic(Silence { scope: Scope::All });
    does_not_claim_to_bite_without_traffic(Blackhole { scope: Scope::All });
    let fault = Latency {
        delay: Delay {
            base: delay,
            jitter: delay,
            distribution: Distribution::Uniform,
        },
        direction: Direction::Up,
    };
    does_not_claim_to_bite_without_traffic(fault);
}

#[test]
fn refuse_cuts_what_exists_and_keeps_the_port() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let mut existing = rig.connect();
        ping(&mut existing).unwrap();
        for _ in 0..20 {
            let mut guard = rig.inject(Refuse).await.unwrap();
            refused(&rig);
            let taken = std::net::TcpListener::bind(rig.address()).unwrap_err();
            assert_eq!(taken.kind(), ErrorKind::AddrInUse);
            guard.heal().await.unwrap();
            ping(&mut rig.connect()).unwrap();
        }
        is_reset(existing);
        let first = &rig.connections().await.unwrap()[0];
        assert_eq!(first.ending, Some(Ending::CutByFault));
    });
}

#[test]
fn connections_that_lost_bytes_to_silence_are_reset_on_heal_and_others_go_on() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let (mut lost, mut kept) = (rig.connect(), rig.connect());
        ping(&mut lost).unwrap();
        ping(&mut kept).unwrap();
        let mut guard = rig.inject(Silence { scope: Scope::All }).await.unwrap();
        let (mut new_lost, mut new_kept) = (rig.connect(), rig.connect());
        no_answer(&mut lost);
        no_answer(&mut new_lost);
        assert_eq!(rig.counters().await.unwrap().swallowed_bytes, 8);

        guard.heal().await.unwrap();
        is_reset(lost);
        is_reset(new_lost);
        ping(&mut kept).unwrap();
        ping(&mut new_kept).unwrap();
    });
}

#[test]
fn what_the_store_sends_into_silence_arrives_after_it() {
    run(async {
        let (listener, address) = listen();
        let rig = Rig::toward(address).await;
        let mut subject = rig.connect();
        let mut store = accept(&listener);
        let mut guard = rig.inject(Silence { scope: Scope::All }).await.unwrap();
        store.write_all(b"push").unwrap();
        subject.set_read_timeout(Some(WATCH)).unwrap();
        assert_eq!(read_outcome(&mut subject), Err(ErrorKind::WouldBlock));
        guard.heal().await.unwrap();
        subject.set_read_timeout(Some(DEADLINE)).unwrap();
        assert_eq!(read_outcome(&mut subject), Ok(4));
    });
}

#[test]
fn streams_resume_intact_after_a_blackhole() {
    run(async {
        let (listener, address) = listen();
        let rig = Rig::toward(address).await;
        let mut subject = rig.connect();
        let mut store = accept(&listener);
        subject.write_all(b"before ").unwrap();
        let mut guard = rig.inject(Blackhole { scope: Scope::All }).await.unwrap();
        subject.write_all(b"during ").unwrap();
        store.write_all(b"answer").unwrap();
        drop(store.try_clone().unwrap());
        subject.set_read_timeout(Some(WATCH)).unwrap();
        assert_eq!(
            read_outcome(&mut subject),
            Err(ErrorKind::WouldBlock),
            "nothing is sent"
        );

        guard.heal().await.unwrap();
        subject.write_all(b"after").unwrap();
        half_close(&subject);
        let mut received = String::new();
        store.read_to_string(&mut received).unwrap();
        assert_eq!(received, "before during after");
        subject.set_read_timeout(Some(DEADLINE)).unwrap();
        assert_eq!(read_outcome(&mut subject), Ok(6));
    });
}

/// A client that gives up when its bytes are not acknowledged for a second.
fn impatient(stream: &TcpStream) {
    let user_timeout = Some(Duration::from_secs(1));
    socket2::SockRef::from(stream)
        .set_tcp_user_timeout(user_timeout)
        .unwrap();
}

#[test]
#[expect(clippy::print_stdout, reason = "what was not tested has to be said")]
fn the_user_timeout_fires_in_a_blackhole_as_packets_are_really_dropped() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let mut subject = rig.connect();
        impatient(&subject);
        ping(&mut subject).unwrap();
        let guard = rig
            .inject(Blackhole {
                scope: Scope::Existing,
            })
            .await
            .unwrap();
        if guard.parameters()["packets"] == "unread" {
            println!("not tested: this kernel lets only CAP_NET_ADMIN drop packets");
            return;
        }
        subject.write_all(b"ping").unwrap();
        assert_eq!(read_outcome(&mut subject), Err(ErrorKind::TimedOut));
        drop(subject);

        // It could not tell us, and does not know the connection any more when it is asked.
        drop(guard);
        let records = async || rig.connections().await.unwrap();
        let records = eventually(records, |records| records[0].closed_at.is_some()).await;
        assert_eq!(records[0].ending, Some(Ending::SubjectReset));
    });
}

#[test]
fn the_user_timeout_does_not_fire_in_silence_as_bytes_are_acknowledged() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let mut subject = rig.connect();
        impatient(&subject);
        ping(&mut subject).unwrap();
        let _guard = rig
            .inject(Silence {
                scope: Scope::Existing,
            })
            .await
            .unwrap();
        subject.write_all(b"ping").unwrap();
        subject
            .set_read_timeout(Some(Duration::from_secs(3)))
            .unwrap();
        assert_eq!(read_outcome(&mut subject), Err(ErrorKind::WouldBlock));
    });
}

#[test]
fn a_connection_attempt_in_a_blackhole_succeeds_when_the_kernel_tries_again() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let mut guard = rig.inject(Blackhole { scope: Scope::All }).await.unwrap();
        let address = rig.address();
        let attempt = std::thread::spawn(move || connect(address));
        eventually(async || guard.bite(), Option::is_some).await;
        guard.heal().await.unwrap();
        ping(&mut attempt.join().unwrap().unwrap()).unwrap();
    });
}

#[test]
fn pipelined_bytes_are_each_delayed_and_not_one_after_the_other() {
    run(async {
        let delay = Duration::from_millis(100);
        let rig = Rig::toward(echo_store()).await;
        let mut subject = rig.connect();
        let fault = Latency {
            delay: Delay::fixed(delay),
            direction: Direction::Up,
        };
        let guard = rig.inject(fault).await.unwrap();
        let began = Instant::now();
        for index in 0..50_u8 {
            subject.write_all(&[index]).unwrap();
            std::thread::sleep(Duration::from_micros(200));
        }
        let mut received = [0; 50];
        subject.read_exact(&mut received).unwrap();
        let taken = began.elapsed();
        assert_eq!(received.to_vec(), (0..50).collect::<Vec<u8>>());
        assert!(taken >= delay, "took {taken:?}");
        assert!(
            taken < delay * 20,
            "took {taken:?}: the delays were added up"
        );
        assert!(guard.bite().is_some());
        assert!(rig.counters().await.unwrap().delayed_chunks > 1);
    });
}

#[test]
fn jitter_never_changes_the_order_nor_goes_below_the_delay() {
    run(async {
        let (delay, jitter) = (Duration::from_millis(5), Duration::from_millis(10));
        let rig = Rig::toward(echo_store()).await;
        let fault = Latency {
            delay: Delay {
                base: delay,
                jitter,
                distribution: Distribution::Uniform,
            },
            direction: Direction::Down,
        };
        let _guard = rig.inject(fault).await.unwrap();
        let mut subject = rig.connect();
        let mut slower = 0;
        for round in 0..40_u8 {
            let sent_at = Instant::now();
            subject.write_all(&[round, 1]).unwrap();
            std::thread::sleep(Duration::from_millis(1));
            subject.write_all(&[round, 2]).unwrap();
            let mut received = [0; 4];
            subject.read_exact(&mut received).unwrap();
            assert_eq!(received, [round, 1, round, 2]);
            assert!(sent_at.elapsed() >= delay + Duration::from_millis(1));
            slower += u8::from(sent_at.elapsed() > delay + Duration::from_millis(4));
        }
        assert!(slower > 0, "no jitter was seen");
    });
}

#[test]
fn latencies_add_up_and_heal_one_by_one() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let (low, high) = (Duration::from_millis(10), Duration::from_millis(40));
        let fault = |delay| Latency {
            delay: Delay::fixed(delay),
            direction: Direction::Up,
        };
        let mut first = rig.inject(fault(low)).await.unwrap();
        let second = rig.inject(fault(high)).await.unwrap();
        let mut subject = rig.connect();
        let mut round_trip = || {
            let sent_at = Instant::now();
            ping(&mut subject).unwrap();
            sent_at.elapsed()
        };
        assert!(round_trip() >= low + high);
        first.heal().await.unwrap();
        assert!(round_trip() >= high);
        drop(second);
        let fastest = (0..20).map(|_| round_trip()).min().unwrap();
        assert!(fastest < low, "healed, and yet {fastest:?}");
    });
}

#[test]
fn a_delayed_end_comes_after_delayed_bytes() {
    run(async {
        let delay = Duration::from_millis(50);
        let (listener, address) = listen();
        let rig = Rig::toward(address).await;
        let fault = Latency {
            delay: Delay::fixed(delay),
            direction: Direction::Down,
        };
        let _guard = rig.inject(fault).await.unwrap();
        let mut subject = rig.connect();
        let mut store = accept(&listener);
        let sent_at = Instant::now();
        store.write_all(b"last words").unwrap();
        drop(store);
        let mut received = String::new();
        subject.read_to_string(&mut received).unwrap();
        assert_eq!(received, "last words");
        assert!(sent_at.elapsed() >= delay);
    });
}

#[test]
fn an_end_without_bytes_is_delayed_too() {
    run(async {
        let delay = Duration::from_millis(50);
        let (listener, address) = listen();
        let rig = Rig::toward(address).await;
        let fault = Latency {
            delay: Delay::fixed(delay),
            direction: Direction::Down,
        };
        let _guard = rig.inject(fault).await.unwrap();
        let mut subject = rig.connect();
        let store = accept(&listener);
        let closed_at = Instant::now();
        drop(store);
        assert_eq!(read_outcome(&mut subject), Ok(0));
        assert!(closed_at.elapsed() >= delay);
    });
}

#[test]
fn cut_by_close_is_orderly_also_with_bytes_that_nobody_has_read() {
    run(async {
        let (listener, address) = listen();
        let rig = Rig::toward(address).await;
        let mut subject = rig.connect();
        let _store = accept(&listener);
        fill(&mut subject);
        let guard = rig
            .inject(Cut {
                mode: CutMode::Close,
            })
            .await
            .unwrap();
        assert_eq!(read_outcome(&mut subject), Ok(0));
        assert_eq!(guard.bite().as_deref(), Some("1 connections were closed"));
    });
}

#[test]
fn healing_a_latency_lets_go_of_what_it_held() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let hour = Duration::from_secs(3600);
        let fault = Latency {
            delay: Delay::fixed(hour),
            direction: Direction::Up,
        };
        let mut subject = rig.connect();
        let mut guard = rig.inject(fault).await.unwrap();
        no_answer(&mut subject);
        guard.heal().await.unwrap();
        assert_eq!(read_outcome(&mut subject), Ok(4));
    });
}

#[test]
fn a_delayed_flow_holds_back_a_bounded_amount() {
    run(async {
        let (listener, address) = listen();
        let rig = Rig::toward(address).await;
        let hour = Duration::from_secs(3600);
        let fault = Latency {
            delay: Delay::fixed(hour),
            direction: Direction::Up,
        };
        let mut guard = rig.inject(fault).await.unwrap();
        let mut subject = rig.connect();
        let mut store = accept(&listener);
        let sent = 32 * 1024 * 1024;
        let writer = std::thread::spawn(move || {
            subject.write_all(&vec![7; sent]).unwrap();
            subject
        });
        let limit = 4 * 1024 * 1024;
        let taken = async || rig.counters().await.unwrap().bytes_up;
        eventually(taken, |bytes| *bytes >= limit).await;
        tokio::time::sleep(WATCH).await;
        assert!(
            taken().await <= limit + 256 * 1024,
            "it has taken {}",
            taken().await
        );
        guard.heal().await.unwrap();
        let mut received = vec![0; sent];
        store.read_exact(&mut received).unwrap();
        writer.join().unwrap();
    });
}

#[test]
fn faults_that_would_hide_each_other_are_refused_by_name() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let blackhole = rig
            .inject(Blackhole {
                scope: Scope::Existing,
            })
            .await
            .unwrap();
        for error in [
            rig.inject(Refuse).await.unwrap_err(),
            rig.inject(Cut {
                mode: CutMode::Reset,
            })
            .await
            .unwrap_err(),
            rig.inject(Silence { scope: Scope::All }).await.unwrap_err(),
        ] {
            let ProxyError::Conflict { in_force, .. } = error else {
                panic!("{error}")
            };
            assert_eq!(in_force, "blackhole");
        }
        let reject = rig.inject(Reject).await.unwrap();
        assert!(matches!(
            rig.inject(Refuse).await,
            Err(ProxyError::Conflict { .. })
        ));
        drop((blackhole, reject));
        drop(rig.inject(Refuse).await.unwrap());
        ping(&mut rig.connect()).unwrap();
    });
}

#[test]
fn guards_may_outlive_their_proxy_and_its_thread() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let mut guard = rig.inject(Reject).await.unwrap();
        let second = rig
            .inject(Blackhole {
                scope: Scope::Existing,
            })
            .await
            .unwrap();
        drop(rig);
        assert!(matches!(guard.heal().await, Err(ProxyError::Gone)));
        drop(second);
    });
}
