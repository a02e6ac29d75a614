//! Checks over a health timeline: every probe is answered in time, and the answers follow the faults.

use super::Check;
use crate::timeline::{HealthSeen, Probe, ProbeAnswer};
use crate::verdict::{Finding, Verdict};

/// Every probe has an answer within the deadline, and no gap between answers is longer than it.
#[derive(Debug, Clone)]
pub struct AnswersInTime {
    /// How long a probe may take.
    pub deadline_us: u64,
    /// How late our own sending may be before we are no witness of a gap any more.
    pub own_delay_max_us: u64,
}

impl Check for AnswersInTime {
    type Evidence = [Probe];

    fn check(&self, probes: &[Probe]) -> Verdict {
        if probes.is_empty() {
            return Verdict::unknown("no probe was sent");
        }
        if let Some(slow) = probes.iter().find(|probe| self.breaks_deadline(probe)) {
            if slow.sent_us.saturating_sub(slow.due_us) > self.own_delay_max_us {
                return self.no_witness(slow);
            }
            return Verdict::Fail(Finding {
                expected: format!("every probe answered within {} ms", self.deadline_us / 1000),
                seen: slow.describe(),
                evidence: around(probes, slow),
            });
        }
        let own_delay_us = |probe: &&Probe| probe.sent_us.saturating_sub(probe.due_us);
        match probes.iter().max_by_key(own_delay_us) {
            Some(late) if own_delay_us(&late) > self.own_delay_max_us => self.no_witness(late),
            _ => Verdict::Pass,
        }
    }
}

impl AnswersInTime {
    /// An answer that is no health document is none.
    fn breaks_deadline(&self, probe: &Probe) -> bool {
        !matches!(probe.answer, ProbeAnswer::Health(_)) || probe.latency_us() > self.deadline_us
    }

    fn no_witness(&self, probe: &Probe) -> Verdict {
        Verdict::unknown(format!(
            "our own prober was {} ms late, more than the {} ms that its witness allows",
            probe.sent_us.saturating_sub(probe.due_us) / 1000,
            self.own_delay_max_us / 1000
        ))
    }
}

/// The store that a fault window is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreSeen {
    /// Redis.
    Redis,
    /// Postgres.
    Postgres,
}

impl StoreSeen {
    /// Whether the answer says that this store is connected.
    pub fn is_connected_in(self, seen: &HealthSeen) -> bool {
        match self {
            StoreSeen::Redis => seen.redis_connected,
            StoreSeen::Postgres => seen.postgres_connected,
        }
    }
}

/// One outage, as the harness made it. Microseconds since the scenario began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultWindow {
    /// Until here the store was surely there.
    pub begins_us: u64,
    /// From here on health has to show the outage, without exception.
    pub shown_from_us: u64,
    /// Until here the store was surely gone.
    pub ends_us: u64,
    /// From here on health has to show the return, without exception.
    pub restored_from_us: u64,
}

/// The state of one store on the timeline changes with the fault windows, one to one.
#[derive(Debug, Clone)]
pub struct FollowsFaults {
    /// Whose state.
    pub store: StoreSeen,
    /// The outages, in order, not overlapping.
    pub windows: Vec<FaultWindow>,
}

impl Check for FollowsFaults {
    type Evidence = [Probe];

    fn check(&self, probes: &[Probe]) -> Verdict {
        let states: Vec<(&Probe, bool)> = probes
            .iter()
            .filter_map(|probe| match &probe.answer {
                ProbeAnswer::Health(seen) => Some((probe, self.store.is_connected_in(seen))),
                _ => None,
            })
            .collect();
        for (index, window) in self.windows.iter().enumerate() {
            if !states
                .iter()
                .any(|(probe, _)| self.is_judged_gone(probe, window))
            {
                return Verdict::unknown(format!(
                    "no probe was answered inside outage {}",
                    index + 1
                ));
            }
        }
        match states
            .iter()
            .find(|(probe, connected)| self.contradicts(probe, *connected))
        {
            Some((probe, connected)) => Verdict::Fail(Finding {
                expected: format!(
                    "{:?} reported {}",
                    self.store,
                    if *connected {
                        "disconnected"
                    } else {
                        "connected"
                    }
                ),
                seen: probe.describe(),
                evidence: around(probes, probe),
            }),
            None => self.count_transitions(&states),
        }
    }
}

impl FollowsFaults {
    /// Sent and answered while health has to show that the store is gone.
    fn is_judged_gone(&self, probe: &Probe, window: &FaultWindow) -> bool {
        probe.sent_us >= window.shown_from_us && probe.done_us <= window.ends_us
    }

    /// Sent and answered while health has to show that the store is there.
    fn is_judged_present(&self, probe: &Probe) -> bool {
        self.windows.iter().all(|window| {
            probe.done_us < window.begins_us || probe.sent_us >= window.restored_from_us
        })
    }

    fn contradicts(&self, probe: &Probe, connected: bool) -> bool {
        let judged_gone = self
            .windows
            .iter()
            .any(|window| self.is_judged_gone(probe, window));
        (connected && judged_gone) || (!connected && self.is_judged_present(probe))
    }

    fn count_transitions(&self, states: &[(&Probe, bool)]) -> Verdict {
        let losses = states
            .windows(2)
            .filter(|pair| pair[0].1 && !pair[1].1)
            .count();
        if losses == self.windows.len() {
            return Verdict::Pass;
        }
        Verdict::fail(
            format!(
                "{} changes to disconnected, one for each outage",
                self.windows.len()
            ),
            format!("{losses}"),
        )
    }
}

/// The probes next to one, as evidence.
fn around(probes: &[Probe], probe: &Probe) -> Vec<String> {
    let at = probes
        .iter()
        .position(|other| std::ptr::eq(other, probe))
        .unwrap_or(0);
    let from = at.saturating_sub(3);
    probes[from..].iter().take(7).map(Probe::describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1000;

    fn probe(at_ms: u64, took_ms: u64, redis_connected: bool) -> Probe {
        Probe {
            due_us: at_ms * MS,
            sent_us: at_ms * MS,
            done_us: (at_ms + took_ms) * MS,
            answer: ProbeAnswer::Health(HealthSeen {
                status: if redis_connected { 200 } else { 503 },
                overall_ok: redis_connected,
                redis_connected,
                postgres_connected: true,
            }),
        }
    }

    fn in_time() -> AnswersInTime {
        AnswersInTime {
            deadline_us: 1000 * MS,
            own_delay_max_us: 100 * MS,
        }
    }

    fn one_outage() -> FollowsFaults {
        FollowsFaults {
            store: StoreSeen::Redis,
            windows: vec![FaultWindow {
                begins_us: 100 * MS,
                shown_from_us: 1100 * MS,
                ends_us: 2000 * MS,
                restored_from_us: 2600 * MS,
            }],
        }
    }

    #[test]
    fn prompt_answers_pass() {
        assert_eq!(
            in_time().check(&[probe(0, 5, true), probe(50, 900, true)]),
            Verdict::Pass
        );
    }

    #[test]
    fn a_slow_or_missing_answer_fails() {
        let mut silent = probe(50, 1000, true);
        silent.answer = ProbeAnswer::TimedOut;
        let mut no_document = probe(50, 5, true);
        no_document.answer = ProbeAnswer::Unreadable {
            status: 500,
            problem: "no JSON".into(),
        };
        for bad in [probe(50, 1001, true), silent, no_document] {
            assert_eq!(in_time().check(&[probe(0, 5, true), bad]).word(), "fail");
        }
    }

    #[test]
    fn our_own_lateness_is_unknown_not_a_pass() {
        let mut late = probe(300, 5, true);
        late.due_us = 50 * MS;
        assert_eq!(in_time().check(&[late.clone()]).word(), "unknown");
        late.done_us = 2000 * MS; // Slow as well, but who made it slow?
        assert_eq!(in_time().check(&[late]).word(), "unknown");
        assert_eq!(in_time().check(&[]).word(), "unknown");
    }

    #[test]
    fn a_timeline_that_follows_the_outage_passes() {
        let probes = [
            probe(0, 5, true),
            probe(150, 5, true), // not noticed yet
            probe(200, 5, false),
            probe(1200, 5, false),
            probe(2200, 5, false), // not recovered yet
            probe(2700, 5, true),
        ];
        assert_eq!(one_outage().check(&probes), Verdict::Pass);
    }

    #[test]
    fn an_outage_that_health_does_not_show_fails() {
        let probes = [
            probe(0, 5, true),
            probe(1200, 5, true),
            probe(2700, 5, true),
        ];
        assert_eq!(one_outage().check(&probes).word(), "fail");
    }

    #[test]
    fn a_loss_without_an_outage_fails() {
        let probes = [
            probe(0, 5, true),
            probe(1200, 5, false),
            probe(2700, 5, true),
            probe(2800, 5, false),
        ];
        assert_eq!(one_outage().check(&probes).word(), "fail");
        // Within the time that recovery may take, but a second change all the same.
        let flapping = [
            probe(0, 5, true),
            probe(1200, 5, false),
            probe(2150, 5, true),
            probe(2200, 5, false),
            probe(2700, 5, true),
        ];
        assert_eq!(one_outage().check(&flapping).word(), "fail");
    }

    #[test]
    fn an_outage_without_a_probe_inside_is_unknown() {
        let probes = [probe(0, 5, true), probe(2700, 5, true)];
        assert_eq!(one_outage().check(&probes).word(), "unknown");
    }
}
