//! Histories that pass, that fail, and that cannot be told; and that chance decides nothing.

use super::*;
use proptest::prelude::*;

const MS: u64 = 1000;

const SCHEDULE: Schedule = Schedule {
    base_us: 50 * MS,
    factor: 2.0,
    cap_us: 5000 * MS,
    jitter: Jitter {
        low: 0.5,
        high: 1.0,
        extra_us: 0,
    },
    first_us: None,
};

const SLACK: Slack = Slack {
    early_us: 10 * MS,
    late_us: 100 * MS,
};

const CHECK: FollowsSchedule = FollowsSchedule {
    schedule: SCHEDULE,
    slack: SLACK,
};

const HERD: NoHerd = NoHerd {
    from_attempt: 5,
    window_us: 50 * MS,
};

const EXHAUSTION: AfterExhaustion = AfterExhaustion {
    attempts_max: 3,
    cap_us: 100 * MS,
    early_us: 10 * MS,
};

/// Delays at these places of their envelopes, 0 the shortest and 1 the longest.
fn outage(schedule: &Schedule, places: &[f64]) -> Outage {
    let mut at_us = 1_000_000;
    let began_us = at_us;
    let mut attempts_us = Vec::new();
    for (number, place) in (1..).zip(places) {
        let (shortest_us, longest_us) = schedule.envelope_us(number);
        at_us += shortest_us + ((longest_us - shortest_us) as f64 * place) as u64;
        attempts_us.push(at_us);
    }
    Outage {
        began_us,
        attempts_us,
        observed_until_us: at_us,
    }
}

/// As many outages as a fleet has, each delay at another place.
fn fleet(count: usize, attempts: usize) -> Vec<Outage> {
    let place = |instance: usize, attempt: usize| {
        ((instance * 7 + attempt * 3) % count) as f64 / count as f64
    };
    let places = |instance| {
        (0..attempts)
            .map(|attempt| place(instance, attempt))
            .collect::<Vec<_>>()
    };
    (0..count)
        .map(|instance| outage(&SCHEDULE, &places(instance)))
        .collect()
}

#[test]
fn delays_inside_the_envelope_that_differ_pass() {
    assert_eq!(CHECK.check(&fleet(20, 8)), Verdict::Pass);
}

#[test]
fn the_envelope_doubles_up_to_the_cap_and_may_begin_with_another_delay() {
    let longest = |schedule: Schedule| {
        (1..=9)
            .map(|n| schedule.envelope_us(n).1 / MS)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        longest(SCHEDULE),
        [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]
    );
    let at_once = Schedule {
        first_us: Some(0),
        ..SCHEDULE
    };
    assert_eq!(longest(at_once)[..4], [0, 50, 100, 200]);
    assert_eq!((SCHEDULE.first_capped(), at_once.first_capped()), (8, 9));
    assert_eq!(SCHEDULE.latest_us(8), 11_350 * MS);
}

#[test]
fn attempts_without_a_delay_fail() {
    let mut outages = fleet(20, 8);
    outages[3].attempts_us = (1..100).map(|n| 1_000_000 + n * MS).collect();
    assert_eq!(CHECK.check(&outages).word(), "fail");
}

#[test]
fn a_delay_beyond_the_cap_fails_also_while_it_lasts() {
    let mut outages = fleet(20, 8);
    let last_us = outages[7].attempts_us[7];
    outages[7].observed_until_us = last_us + 5100 * MS;
    assert_eq!(CHECK.check(&outages), Verdict::Pass);
    outages[7].observed_until_us = last_us + 5101 * MS;
    assert_eq!(CHECK.check(&outages).word(), "fail");
}

#[test]
fn a_service_that_makes_no_attempt_fails() {
    let dead = Outage {
        began_us: 0,
        attempts_us: Vec::new(),
        observed_until_us: 12_000 * MS,
    };
    assert_eq!(CHECK.check(&vec![dead; 20]).word(), "fail");
}

#[test]
fn the_same_delays_everywhere_fail_and_so_does_a_schedule_that_promises_them() {
    let same = vec![outage(&SCHEDULE, &[0.5; 8]); 20];
    assert_eq!(CHECK.check(&same).word(), "fail");
    let promised = Schedule {
        jitter: Jitter {
            low: 1.0,
            high: 1.0,
            extra_us: 0,
        },
        ..SCHEDULE
    };
    let check = FollowsSchedule {
        schedule: promised,
        slack: SLACK,
    };
    assert_eq!(
        check.check(&vec![outage(&promised, &[0.0; 8]); 20]).word(),
        "fail"
    );
}

#[test]
fn a_constant_delay_is_no_exponential_backoff_even_when_it_is_declared() {
    let check = FollowsSchedule {
        schedule: Schedule {
            factor: 1.0,
            ..SCHEDULE
        },
        slack: SLACK,
    };
    assert_eq!(check.check(&fleet(20, 8)).word(), "fail");
}

#[test]
fn few_outages_short_ones_and_a_harness_that_is_late_are_unknown() {
    assert_eq!(CHECK.check(&fleet(9, 8)).word(), "unknown");
    assert_eq!(CHECK.check(&fleet(20, 3)).word(), "unknown");
    let late = FollowsSchedule {
        slack: Slack {
            early_us: 10 * MS,
            late_us: 2000 * MS,
        },
        ..CHECK
    };
    assert_eq!(late.check(&fleet(20, 8)).word(), "unknown");
}

#[test]
fn a_fleet_that_has_spread_passes_and_one_in_step_fails() {
    assert_eq!(HERD.check(&fleet(20, 7)), Verdict::Pass);
    let in_step = vec![outage(&SCHEDULE, &[0.7; 7]); 20];
    assert_eq!(HERD.check(&in_step).word(), "fail");
}

#[test]
fn half_of_the_fleet_is_a_herd_and_one_fewer_is_none() {
    let mut outages = fleet(20, 4);
    for (index, outage) in (0..).zip(&mut outages) {
        let apart = if index < 10 { index } else { index * 1000 };
        outage.attempts_us.push(10_000_000 + apart * 5 * MS);
    }
    assert_eq!(HERD.check(&outages).word(), "fail");
    outages[9].attempts_us[4] += 10 * MS;
    assert_eq!(HERD.check(&outages), Verdict::Pass);
}

#[test]
fn a_fleet_that_is_small_or_did_not_get_that_far_is_unknown() {
    assert_eq!(HERD.check(&fleet(7, 7)).word(), "unknown");
    let mut outages = fleet(20, 7);
    outages[0].attempts_us.truncate(4);
    assert_eq!(HERD.check(&outages).word(), "unknown");
}

fn long(attempts_ms: &[u64], reported_ms: Option<u64>, until_ms: u64) -> LongOutage {
    LongOutage {
        outage: Outage {
            began_us: 0,
            attempts_us: attempts_ms.iter().map(|ms| ms * MS).collect(),
            observed_until_us: until_ms * MS,
        },
        reported_us: reported_ms.map(|ms| ms * MS),
    }
}

#[test]
fn at_most_one_attempt_per_cap_after_the_report_passes() {
    let calm = long(&[10, 20, 40, 145, 250, 340], Some(42), 400);
    assert_eq!(EXHAUSTION.check(&calm), Verdict::Pass);
}

#[test]
fn no_report_a_late_one_and_attempts_on_demand_fail() {
    let silent = long(&[10, 20, 40, 145, 250, 340], None, 400);
    assert_eq!(EXHAUSTION.check(&silent).word(), "fail");
    let late = long(&[10, 20, 40, 145, 250, 340], Some(150), 500);
    assert_eq!(EXHAUSTION.check(&late).word(), "fail");
    let hammered = long(&[10, 20, 40, 145, 150, 250], Some(42), 400);
    assert_eq!(EXHAUSTION.check(&hammered).word(), "fail");
}

#[test]
fn a_short_look_after_the_report_is_unknown() {
    let short = long(&[10, 20, 40, 145], Some(42), 200);
    assert_eq!(EXHAUSTION.check(&short).word(), "unknown");
}

prop_compose! {
    fn schedules()(
        base_ms in 20_u64..200,
        factor in 1.5..3.0_f64,
        cap_factor in 20_u64..100,
        low in 0.0..0.8_f64,
        wide in 0.2..1.0_f64,
        extra_ms in 0_u64..100,
        first_ms in proptest::option::of(0_u64..50),
    ) -> Schedule {
        Schedule {
            base_us: base_ms * MS,
            factor,
            cap_us: base_ms * cap_factor * MS,
            jitter: Jitter { low, high: low + wide, extra_us: extra_ms * MS },
            first_us: first_ms.map(|ms| ms * MS),
        }
    }
}

fn places() -> impl Strategy<Value = Vec<Vec<f64>>> {
    proptest::collection::vec(proptest::collection::vec(0.0..1.0_f64, 9), 20)
}

proptest! {
    #[test]
    fn no_delay_that_its_schedule_allows_is_called_a_violation(schedule in schedules(), places in places()) {
        let check = FollowsSchedule { schedule, slack: SLACK };
        let outages: Vec<Outage> = places.iter().map(|places| outage(&schedule, places)).collect();
        prop_assert_eq!(check.violation(&outages), None);
        prop_assert_ne!(check.check(&outages).word(), "fail");
    }

    #[test]
    fn a_delay_that_leaves_its_envelope_by_more_than_our_slack_always_is(
        schedule in schedules(),
        places in places(),
        instance in 0_usize..20,
        attempt in 0_usize..9,
        by_us in 1_u64..1_000_000,
        early: bool,
    ) {
        let check = FollowsSchedule { schedule, slack: SLACK };
        let mut outages: Vec<Outage> = places.iter().map(|places| outage(&schedule, places)).collect();
        let (shortest_us, longest_us) = schedule.envelope_us(attempt + 1);
        prop_assume!(!early || shortest_us > SLACK.early_us + by_us);
        let wrong_us = if early { shortest_us - SLACK.early_us - by_us } else { longest_us + SLACK.late_us + by_us };
        let broken = &mut outages[instance];
        let right_us = delays_us(broken).nth(attempt).expect("nine attempts");
        for at_us in &mut broken.attempts_us[attempt..] {
            *at_us = *at_us - right_us + wrong_us;
        }
        broken.observed_until_us = *broken.attempts_us.last().expect("nine attempts");
        prop_assert!(check.violation(&outages).is_some());
    }

    #[test]
    fn the_densest_window_is_the_one_that_counting_all_of_them_finds(
        attempts_ms in proptest::collection::vec(proptest::collection::vec(0_u64..600, 5..9), 8..24),
    ) {
        let outages: Vec<Outage> = attempts_ms
            .into_iter()
            .map(|mut attempts_ms| {
                attempts_ms.sort_unstable();
                long(&attempts_ms, None, 600).outage
            })
            .collect();
        let holds = |outage: &&Outage, from_us: u64| {
            let mut counted = outage.attempts_us.iter().skip(HERD.from_attempt - 1);
            counted.any(|at_us| (from_us..=from_us + HERD.window_us).contains(at_us))
        };
        let count = |from_us: u64| outages.iter().filter(|outage| holds(outage, from_us)).count();
        let most = (0..600).map(|ms| count(ms * MS)).max();
        prop_assert_eq!(HERD.densest(&outages).map(|(_, count)| count), most);
    }
}
