//! The table: the floor and ours beside each other, and how ours stands to what was aimed at.

use super::{Asked, Kind, Round, Server};
use crate::side_by_side::{Goal, Spread, Verdict};
use serde::Serialize;
use std::fmt::Write;

/// One line of the table.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What it is.
    pub what: String,
    /// The median of the floor, where it has such a figure.
    pub floor: Option<f64>,
    /// Ours.
    pub ours: Option<f64>,
    /// What is held to the goal.
    pub compared: &'static str,
    /// It, round by round.
    pub spread: Option<Spread>,
    /// What is aimed at.
    pub goal: Goal,
    /// How the rounds stand to it.
    pub verdict: Verdict,
}

/// What CPU a request costs above the floor.
const CPU_RATIO: Goal = Goal::AtMost(1.3);
/// A fifth of what the documented service needs at its best, on such a machine.
const CPU_US: Goal = Goal::AtMost(13.0);
/// A quarter of its best.
const P99_US: Goal = Goal::AtMost(1500.0);
const RSS_MIB: Goal = Goal::AtMost(30.0);
const READY_MS: Goal = Goal::AtMost(50.0);
/// One request at a time against one command at a time.
const ALONE_RATIO: Goal = Goal::AtMost(3.5);

type Figure = fn(&Asked) -> Option<f64>;

/// All lines.
pub(super) fn all(rounds: &[Round]) -> Vec<Row> {
    let cpu: Figure = |asked| asked.cpu_us;
    let p99: Figure = |asked| Some(asked.p99_us);
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        let asked = |round: &Round, server| round.loaded.get(&kind)?.get(&server).cloned();
        let both = |figure: Figure| {
            let of = move |server| {
                let figures = rounds
                    .iter()
                    .map(move |round| figure(&asked(round, server)?));
                figures.collect::<Vec<_>>()
            };
            (of(Server::Floor), of(Server::Ours))
        };
        let (floor, ours) = both(cpu);
        let what = format!("{kind:?}: CPU a request, us");
        rows.push(Row::ratio(&what, &floor, &ours, "ours / floor", CPU_RATIO));
        rows.push(Row::figure("", &ours, CPU_US));
        let (floor, ours) = both(p99);
        let what = format!("{kind:?}: p99, us");
        rows.push(Row::beside(&what, &floor, &ours, P99_US));
    }
    let alone = |server: Server| -> Vec<Option<f64>> {
        let p50 = |round: &Round| Some(round.alone.get(&server)?.p50_us);
        rounds.iter().map(p50).collect()
    };
    let redis: Vec<_> = rounds
        .iter()
        .map(|round| Some(round.redis.as_ref()?.p50_us))
        .collect();
    let mut row = Row::ratio(
        "Get, c=1: p50, us",
        &redis,
        &alone(Server::Ours),
        "ours / redis",
        ALONE_RATIO,
    );
    row.floor = median(&alone(Server::Floor));
    rows.push(row);
    let of = |figure: fn(&Round) -> f64| -> Vec<_> {
        rounds.iter().map(|round| Some(figure(round))).collect()
    };
    rows.push(Row::figure(
        "resident after the load, MiB",
        &of(|r| r.rss_mib),
        RSS_MIB,
    ));
    rows.push(Row::figure(
        "ready after its start, ms",
        &of(|r| r.ready_ms),
        READY_MS,
    ));
    rows
}

fn median(figures: &[Option<f64>]) -> Option<f64> {
    Some(Spread::of(figures.iter().copied().flatten().collect())?.median)
}

impl Row {
    fn new(
        what: &str,
        (floor, ours): (Option<f64>, Option<f64>),
        (compared, held): (&'static str, Vec<f64>),
        goal: Goal,
    ) -> Self {
        let spread = Spread::of(held);
        Self {
            what: what.to_owned(),
            floor,
            ours,
            compared,
            verdict: Verdict::of(goal, spread.as_ref()),
            spread,
            goal,
        }
    }

    /// Ours by another figure of the same round.
    fn ratio(
        what: &str,
        other: &[Option<f64>],
        ours: &[Option<f64>],
        compared: &'static str,
        goal: Goal,
    ) -> Self {
        let pairs = ours.iter().zip(other);
        let ratio = |(ours, other): (&Option<f64>, &Option<f64>)| {
            Some((*ours)? / other.filter(|other| *other > 0.0)?)
        };
        let held = pairs.filter_map(ratio).collect();
        Self::new(what, (median(other), median(ours)), (compared, held), goal)
    }

    /// Ours alone is held to the goal; the floor stands beside it.
    fn beside(what: &str, floor: &[Option<f64>], ours: &[Option<f64>], goal: Goal) -> Self {
        let held = ours.iter().copied().flatten().collect();
        Self::new(what, (median(floor), median(ours)), ("ours", held), goal)
    }

    fn figure(what: &str, ours: &[Option<f64>], goal: Goal) -> Self {
        Self::beside(what, &[], ours, goal)
    }
}

/// The table as text.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<32}{:>9}{:>9}  {:<13}{:>8}  {:<19}{:>9}  verdict\n",
        "median of the rounds", "floor", "ours", "compared", "median", "spread", "goal"
    );
    for row in rows {
        let shown = |figure: Option<f64>| figure.map(|it| format!("{it:.2}")).unwrap_or_default();
        let range = row.spread.as_ref();
        let range = range.map(|it| format!("{:.2} .. {:.2}", it.low, it.high));
        let _ = writeln!(
            text,
            "{:<32}{:>9}{:>9}  {:<13}{:>8}  {:<19}{:>9}  {}",
            row.what,
            shown(row.floor),
            shown(row.ours),
            row.compared,
            shown(row.spread.as_ref().map(|spread| spread.median)),
            range.unwrap_or_default(),
            row.goal.to_string(),
            row.verdict
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_of_the_figures_of_one_round() {
        let (floor, ours) = (
            [Some(10.0), None, Some(20.0)],
            [Some(12.0), Some(9.0), Some(22.0)],
        );
        let row = Row::ratio("x", &floor, &ours, "ours / floor", CPU_RATIO);
        assert_eq!(row.spread.map(|spread| spread.rounds), Some(vec![1.2, 1.1]));
        assert_eq!((row.floor, row.ours), (Some(15.0), Some(12.0)));
    }
}
