//! No trailing window admits more than the limit, and nobody is refused whom the window has room for.

use super::Check;
use super::window_limit::LimitedCall;
use crate::verdict::{Finding, Verdict};

/// For a sliding window. When a limiter decided is known only to lie between the sending of a request and its answer:
/// nothing is held against it that another moment in between would explain.
#[derive(Debug, Clone, Copy)]
pub struct TrailingLimit {
    /// How many a window admits.
    pub limit: u64,
    /// How long a window is.
    pub window_us: u64,
    /// How exactly a limiter has to measure time: it may count in whole milliseconds, for instance.
    pub slack_us: u64,
}

impl Check for TrailingLimit {
    type Evidence = [LimitedCall];

    fn check(&self, calls: &[LimitedCall]) -> Verdict {
        if calls.is_empty() {
            return Verdict::unknown("there is no request");
        }
        if let Some(neither) = calls.iter().find(|call| call.admitted.is_none()) {
            return Verdict::Fail(Finding::new(
                "each request answered with yes or no",
                format!("neither, at {} ms", neither.called_us / 1000),
            ));
        }
        match self.too_many(calls).or_else(|| self.too_few(calls)) {
            Some(finding) => Verdict::Fail(finding),
            None => Verdict::Pass,
        }
    }
}

impl TrailingLimit {
    /// More admissions than the limit that surely lie within one window: from the sending of the first to the answer to
    /// the last it is shorter.
    fn too_many(&self, calls: &[LimitedCall]) -> Option<Finding> {
        let mut admitted: Vec<&LimitedCall> = of(calls, true).collect();
        admitted.sort_by_key(|call| call.returned_us);
        let mut begins: Vec<u64> = admitted.iter().map(|call| call.called_us).collect();
        begins.sort_unstable();
        let within = |begin_us: u64| {
            let end_us = begin_us + self.window_us.saturating_sub(self.slack_us);
            let inside = admitted
                .iter()
                .filter(move |call| call.called_us >= begin_us && call.returned_us < end_us);
            inside.count() as u64
        };
        let counted = begins
            .into_iter()
            .map(|begin_us| (within(begin_us), begin_us));
        let (most, begin_us) = counted.max()?;
        (most > self.limit).then(|| {
            let window_ms = self.window_us / 1000;
            let expected = format!("at most {} admitted in any {window_ms} ms", self.limit);
            Finding::new(expected, format!("{most} admitted")).with_evidence(format!(
                "the window begins {} ms after the first request",
                since_first(calls, begin_us)
            ))
        })
    }

    /// A refusal with fewer admissions than the limit that can have lain in the window before it.
    fn too_few(&self, calls: &[LimitedCall]) -> Option<Finding> {
        let mut refusals = of(calls, false);
        refusals.find_map(|refused| {
            let could_count = |call: &&LimitedCall| {
                let may_still =
                    refused.called_us < call.returned_us + self.window_us + self.slack_us;
                may_still && call.called_us <= refused.returned_us
            };
            let counted = of(calls, true).filter(could_count).count() as u64;
            (counted < self.limit).then(|| {
                let (limit, window_ms) = (self.limit, self.window_us / 1000);
                let at_ms = since_first(calls, refused.called_us);
                Finding::new(
                    format!("an admission with {counted} of {limit} in the last {window_ms} ms"),
                    format!("a refusal {at_ms} ms after the first request"),
                )
            })
        })
    }
}

fn of(calls: &[LimitedCall], admitted: bool) -> impl Iterator<Item = &LimitedCall> {
    let was = move |call: &&LimitedCall| call.admitted == Some(admitted);
    calls.iter().filter(was)
}

fn since_first(calls: &[LimitedCall], at_us: u64) -> u64 {
    let first_us = calls
        .iter()
        .map(|call| call.called_us)
        .min()
        .unwrap_or(at_us);
    (at_us - first_us) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: TrailingLimit = TrailingLimit {
        limit: 3,
        window_us: 1000,
        slack_us: 0,
    };

    /// Each: sent at, admitted. Answered 10 later.
    fn calls(all: &[(u64, bool)]) -> Vec<LimitedCall> {
        let call = |(called_us, admitted): &(u64, bool)| LimitedCall {
            called_us: *called_us,
            returned_us: called_us + 10,
            admitted: Some(*admitted),
        };
        all.iter().map(call).collect()
    }

    #[test]
    fn a_burst_around_the_seam_of_two_fixed_windows_is_too_many() {
        let seam = calls(&[
            (0, true),
            (900, true),
            (920, true),
            (1005, true),
            (1020, true),
        ]);
        let Verdict::Fail(finding) = LIMIT.check(&seam) else {
            panic!("not found");
        };
        assert_eq!(finding.seen, "4 admitted");
    }

    #[test]
    fn as_many_as_leave_may_come() {
        let fair = calls(&[
            (0, true),
            (500, true),
            (600, true),
            (700, false),
            (1011, true),
            (1020, false),
            (1511, true),
        ]);
        assert_eq!(LIMIT.check(&fair), Verdict::Pass);
    }

    #[test]
    fn a_refusal_with_room_left_fails() {
        let early = calls(&[(0, true), (500, true), (700, false)]);
        assert_eq!(LIMIT.check(&early).word(), "fail");
        let locked_out = calls(&[(0, true), (500, true), (600, true), (1011, false)]);
        assert_eq!(LIMIT.check(&locked_out).word(), "fail");
    }

    #[test]
    fn what_another_moment_between_request_and_answer_explains_is_not_held_against_it() {
        let mut slow = calls(&[(0, true), (500, true), (600, true), (1005, false)]);
        assert_eq!(
            LIMIT.check(&slow),
            Verdict::Pass,
            "the first was admitted at 10, perhaps"
        );
        slow[3].admitted = Some(true);
        assert_eq!(
            LIMIT.check(&slow),
            Verdict::Pass,
            "the first was admitted at 0, perhaps"
        );
        slow[0].called_us = 300;
        slow[0].returned_us = 310;
        assert_eq!(LIMIT.check(&slow).word(), "fail");
    }

    #[test]
    fn no_request_tells_nothing_and_neither_yes_nor_no_fails() {
        assert_eq!(LIMIT.check(&[]).word(), "unknown");
        let mut neither = calls(&[(0, true)]);
        neither[0].admitted = None;
        assert_eq!(LIMIT.check(&neither).word(), "fail");
    }
}
