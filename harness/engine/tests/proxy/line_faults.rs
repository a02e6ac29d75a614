//! Faults of the line: each goes through the shared test, and then what is particular to it.

use super::faults::{does_not_claim_to_bite_without_traffic, goes_through_the_shared_test};
use super::faults::{is_reset, no_answer};
use super::support::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use touchstone_core::Seed;
use touchstone_engine::proxy::{
    Admit, Bandwidth, Delay, Direction, Ending, Latency, LimitData, Only, Partly, Protocol, Proxy,
    ProxyConfig, ProxyThread, ResetPeer, Slicer, SlowClose, Timeout,
};

const fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

#[test]
fn bandwidth_is_seen_to_bite_and_to_heal() {
    let fault = Bandwidth {
        bytes_per_second: 100_000,
        direction: Direction::Down,
    };
    goes_through_the_shared_test(fault, |rig, mut existing| {
        for stream in [&mut existing, &mut rig.connect()] {
            let sent_at = Instant::now();
            stream.write_all(&[7; 10_000]).unwrap();
            stream.read_exact(&mut [0; 10_000]).unwrap();
            let taken = sent_at.elapsed();
            assert!(taken >= ms(100), "10 kB at 100 kB/s took {taken:?}");
        }
    });
}

#[test]
fn a_bandwidth_of_nothing_stops_everything_and_loses_nothing() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let fault = Bandwidth {
            bytes_per_second: 0,
            direction: Direction::Down,
        };
        let mut subject = rig.connect();
        let mut guard = rig.inject(fault).await.unwrap();
        no_answer(&mut subject);
        assert_eq!(guard.bite().as_deref(), Some("4 bytes were stopped"));
        guard.heal().await.unwrap();
        // Byte by byte, as it was to pass.
        subject.read_exact(&mut [0; 4]).unwrap();
    });
}

#[test]
fn a_thin_line_makes_its_source_wait() {
    run(async {
        let (listener, address) = listen();
        let rig = Rig::toward(address).await;
        let fault = Bandwidth {
            bytes_per_second: 1_000,
            direction: Direction::Up,
        };
        let _guard = rig.inject(fault).await.unwrap();
        let mut subject = rig.connect();
        let _store = accept(&listener);
        fill(&mut subject);
        let taken = rig.counters().await.unwrap().bytes_up;
        assert!(taken <= 64 * 1024 + 256 * 1024, "it has taken {taken}");
    });
}

#[test]
fn slicer_is_seen_to_bite_and_to_heal() {
    let fault = Slicer {
        average_bytes: 10,
        variation_bytes: 5,
        pause: ms(2),
        direction: Direction::Down,
    };
    goes_through_the_shared_test(fault, |rig, mut existing| {
        for stream in [&mut existing, &mut rig.connect()] {
            let sent: Vec<u8> = (0..200).collect();
            stream.write_all(&sent).unwrap();
            let (mut received, mut reads) = (Vec::new(), 0);
            while received.len() < sent.len() {
                let mut piece = [0; 200];
                let count = stream.read(&mut piece).unwrap();
                assert_ne!(count, 0);
                received.extend_from_slice(&piece[..count]);
                reads += 1;
            }
            assert_eq!(received, sent);
            assert!(reads > 3, "200 bytes came in {reads} pieces");
        }
    });
}

#[test]
fn limit_data_is_seen_to_bite_and_to_heal() {
    let fault = LimitData {
        bytes: 10,
        direction: Direction::Down,
    };
    goes_through_the_shared_test(fault, |rig, mut existing| {
        for stream in [&mut existing, &mut rig.connect()] {
            stream.write_all(&[7; 8]).unwrap();
            stream.read_exact(&mut [0; 8]).unwrap();
            stream.write_all(&[7; 8]).unwrap();
            stream.read_exact(&mut [0; 2]).unwrap();
            assert_eq!(read_outcome(stream), Ok(0), "after 10 bytes it ends");
        }
    });
}

#[test]
fn slow_close_is_seen_to_bite_and_to_heal() {
    let fault = SlowClose {
        delay: ms(60),
        direction: Direction::Both,
    };
    goes_through_the_shared_test(fault, |rig, mut existing| {
        for stream in [&mut existing, &mut rig.connect()] {
            let asked_at = Instant::now();
            ping(stream).unwrap();
            half_close(stream);
            assert_eq!(read_outcome(stream), Ok(0));
            let taken = asked_at.elapsed();
            assert!(taken >= ms(120), "both ends came in {taken:?}");
        }
    });
}

#[test]
fn timeout_is_seen_to_bite_and_to_heal() {
    let fault = Timeout {
        after: ms(80),
        direction: Direction::Down,
    };
    goes_through_the_shared_test(fault, |rig, mut existing| {
        for stream in [&mut existing, &mut rig.connect()] {
            // It may be over already, when it is the second one's turn.
            let _ = stream.write_all(b"ping");
            assert_eq!(read_outcome(stream), Ok(0), "closed, without an answer");
        }
    });
}

#[test]
fn a_timeout_of_zero_never_closes_and_on_heal_only_whole_streams_go_on() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let fault = Timeout {
            after: Duration::ZERO,
            direction: Direction::Down,
        };
        let (mut lost, mut kept) = (rig.connect(), rig.connect());
        ping(&mut lost).unwrap();
        ping(&mut kept).unwrap();
        let mut guard = rig.inject(fault).await.unwrap();
        no_answer(&mut lost);
        guard.heal().await.unwrap();
        is_reset(lost);
        ping(&mut kept).unwrap();
    });
}

#[test]
fn reset_peer_is_seen_to_bite_and_to_heal() {
    goes_through_the_shared_test(ResetPeer { after: ms(60) }, |rig, existing| {
        let began = Instant::now();
        // Nothing is sent: idle connections are reset, too.
        is_reset(rig.connect());
        assert!(began.elapsed() >= ms(60), "{:?}", began.elapsed());
        is_reset(existing);
    });
}

#[test]
fn reset_peer_lets_bytes_pass_until_then_and_a_heal_saves_the_connection() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let mut subject = rig.connect();
        let hour = Duration::from_secs(3600);
        let mut guard = rig.inject(ResetPeer { after: hour }).await.unwrap();
        ping(&mut subject).unwrap();
        guard.heal().await.unwrap();
        ping(&mut subject).unwrap();
        assert_eq!(guard.bite(), None);
        let _at_once = rig.inject(ResetPeer { after: ms(0) }).await.unwrap();
        is_reset(subject);
        let record = &rig.connections().await.unwrap()[0];
        assert_eq!(record.ending, Some(Ending::CutByFault));
    });
}

#[test]
fn admit_of_existing_connections_is_seen_to_bite_and_to_heal() {
    let fault = Admit {
        only: Only::Existing,
    };
    goes_through_the_shared_test(fault, |rig, mut existing| {
        no_answer(&mut rig.connect());
        ping(&mut existing).unwrap();
    });
}

#[test]
fn admit_of_new_connections_is_seen_to_bite_and_to_heal() {
    goes_through_the_shared_test(Admit { only: Only::New }, |rig, mut existing| {
        no_answer(&mut existing);
        ping(&mut rig.connect()).unwrap();
    });
}

#[test]
fn what_admit_has_kept_waiting_is_answered_after_it() {
    run(async {
        for only in [Only::New, Only::Existing] {
            let rig = Rig::toward(echo_store()).await;
            let existing = rig.connect();
            eventually(async || rig.counters().await.unwrap().accepted, |n| *n == 1).await;
            let mut guard = rig.inject(Admit { only }).await.unwrap();
            let new = rig.connect();
            let mut waits = match only {
                Only::New => existing,
                Only::Existing => new,
            };
            no_answer(&mut waits);
            guard.heal().await.unwrap();
            assert_eq!(read_outcome(&mut waits), Ok(4), "{only:?}");
            ping(&mut waits).unwrap();
        }
    });
}

#[test]
fn no_fault_of_the_line_claims_to_bite_before_it_does() {
    let direction = Direction::Both;
    does_not_claim_to_bite_without_traffic(Bandwidth {
        bytes_per_second: 1,
        direction,
    });
    does_not_claim_to_bite_without_traffic(Slicer {
        average_bytes: 1,
        variation_bytes: 0,
        pause: ms(1),
        direction,
    });
    does_not_claim_to_bite_without_traffic(LimitData {
        bytes: 0,
        direction,
    });
    does_not_claim_to_bite_without_traffic(SlowClose {
        delay: ms(1),
        direction,
    });
    does_not_claim_to_bite_without_traffic(Timeout {
        after: ms(1),
        direction,
    });
    does_not_claim_to_bite_without_traffic(ResetPeer { after: ms(0) });
    for only in [Only::New, Only::Existing] {
        does_not_claim_to_bite_without_traffic(Admit { only });
    }
}

/// Which of forty connections, one after the other, a reset hits that acts on half of them.
async fn hit(seed: u64) -> Vec<bool> {
    let thread = ProxyThread::spawn("test-proxy").unwrap();
    let proxy = open(&thread, seed, None).await;
    proxy.set_upstream(Some(echo_store())).await.unwrap();
    let fault = ResetPeer {
        after: Duration::ZERO,
    };
    let toxicity = 0.5;
    let guard = proxy.inject(Partly { fault, toxicity }).await.unwrap();
    let hits = (0..40).map(|_| {
        // The reset may come so early that connecting itself reports it.
        let mut stream = connect(proxy.address());
        stream.as_mut().map_or(true, |stream| ping(stream).is_err())
    });
    let hits: Vec<bool> = hits.collect();
    assert_eq!(guard.parameters()["toxicity"], "0.5");
    assert!(guard.bite().is_some());
    hits
}

async fn open(thread: &ProxyThread, seed: u64, listen: Option<SocketAddr>) -> Proxy {
    let config = ProxyConfig {
        name: "test".to_owned(),
        seed: Seed(seed),
        protocol: Protocol::Opaque,
        listen,
    };
    thread.open(config).await.unwrap()
}

#[test]
fn toxicity_chooses_some_connections_and_the_same_ones_from_the_same_seed() {
    run(async {
        let hits = hit(1).await;
        let count = hits.iter().filter(|hit| **hit).count();
        assert!((8..=32).contains(&count), "{count} of 40");
        assert_eq!(hits, hit(1).await);
        assert_ne!(hits, hit(2).await);
    });
}

#[test]
fn toxicity_goes_from_none_to_all() {
    run(async {
        let rig = Rig::toward(echo_store()).await;
        let fault = Latency {
            delay: Delay::fixed(ms(30)),
            direction: Direction::Down,
        };
        for (toxicity, is_hit) in [(0.0, false), (1.0, true)] {
            let guard = rig.inject(Partly { fault, toxicity }).await.unwrap();
            ping(&mut rig.connect()).unwrap();
            assert_eq!(guard.bite().is_some(), is_hit);
        }
    });
}

#[test]
fn a_proxy_listens_where_it_is_asked_to_and_not_where_somebody_listens() {
    run(async {
        let thread = ProxyThread::spawn("test-proxy").unwrap();
        // An address of this process alone: a port that is free on the common one may be taken a moment later.
        let [.., high, low] = std::process::id().to_be_bytes();
        let free = SocketAddr::from((Ipv4Addr::new(127, 9, high, low), 17_000));
        let first = open(&thread, 1, Some(free)).await;
        assert_eq!(first.address(), free);
        first.set_upstream(Some(echo_store())).await.unwrap();
        ping(&mut connect(free).unwrap()).unwrap();

        // Neither of ours, although it could share the port, nor of anybody else.
        let (_somebody, taken) = listen();
        for address in [free, taken] {
            let config = ProxyConfig {
                name: "second".to_owned(),
                seed: Seed(1),
                protocol: Protocol::Opaque,
                listen: Some(address),
            };
            let error = thread.open(config).await.unwrap_err();
            let cause = std::error::Error::source(&error).unwrap();
            let cause = cause.downcast_ref::<std::io::Error>().unwrap();
            assert_eq!(cause.kind(), ErrorKind::AddrInUse);
        }

        // Connections that we ended ourselves keep the port for a minute, but not from us.
        let mut ended = connect(free).unwrap();
        ping(&mut ended).unwrap();
        drop(first);
        assert_eq!(read_outcome(&mut ended), Ok(0));
        drop(ended);
        let again = open(&thread, 1, Some(free)).await;
        assert_eq!(again.address(), free);
    });
}
