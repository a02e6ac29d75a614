//! The table: what was measured, each way beside the others, and how it stands to what was aimed at.

use super::faults::{DELAY, FaultSamples, Samples};
use super::round::{Latency, Round, Throughput};
use super::statistics::{Goal, Spread, Verdict, quantile};
use super::ways::Way;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// One line of the table.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What it is.
    pub what: String,
    /// The medians of the rounds, by way.
    pub medians: BTreeMap<Way, f64>,
    /// What the ratio, or figure, is of.
    pub compared: &'static str,
    /// The figure that the goal is about, round by round.
    pub spread: Option<Spread>,
    /// What is aimed at, if anything.
    pub goal: Option<Goal>,
    /// How the rounds stand to it.
    pub verdict: Option<Verdict>,
}

/// A figure of one way in one round.
type Figure<'a> = &'a dyn Fn(&Round, Way) -> Option<f64>;

/// A quantile of a kind of round trips.
type Quantile = fn(&Latency) -> f64;

/// The samples of one state of the thread.
type State = fn(&FaultSamples) -> &Samples;

/// One kind of load in a round.
type Kind<T> = fn(&Round) -> &BTreeMap<Way, T>;

/// A figure's way, by the way that it is compared with, and the goal for the ratio.
type Aim = (Way, Way, Goal);

const AGAINST_HAPROXY: (Way, Way) = (Way::PassThrough, Way::Haproxy);
const AGAINST_PASSING: (Way, Way) = (Way::Decoding, Way::PassThrough);

const ADDED: Goal = Goal::AtMost(0.8);
const PIPELINED: Goal = Goal::AtLeast(1.05);
const LARGE: Goal = Goal::AtLeast(0.9);
const DECODING: Goal = Goal::AtMost(1.25);
const IN_FORCE_US: Goal = Goal::AtMost(1_000.0);
const EXCESS_US: Goal = Goal::AtMost(300.0);

/// All lines.
pub(super) fn all(rounds: &[Round]) -> Vec<Row> {
    let mut rows = Vec::new();
    let pings: [(&str, Kind<Latency>); 2] = [
        ("c=1", |round| &round.ping_one),
        ("c=32", |round| &round.ping_many),
    ];
    let quantiles: [(&str, Quantile); 2] =
        [("p50", |seen| seen.p50_us), ("p99", |seen| seen.p99_us)];
    for (clients, of_round) in pings {
        for (name, quantile) in quantiles {
            let total = |round: &Round, way| of_round(round).get(&way).map(quantile);
            let what = format!("PING {clients} {name}, us");
            rows.push(Row::medians_of(rounds, what, &total));
            let added = |round: &Round, way| {
                let direct = total(round, Way::Direct)?;
                Some(total(round, way)? - direct).filter(|_| way != Way::Direct)
            };
            let what = format!("  added {name}, us");
            let aims = [aim(AGAINST_HAPROXY, ADDED), aim(AGAINST_PASSING, DECODING)];
            rows.extend(Row::compared(rounds, &what, &added, aims));
        }
    }
    let loads: [(&str, Kind<Throughput>, Goal, f64); 3] = [
        ("GET P=16, k/s", |round| &round.pipelined, PIPELINED, 1e3),
        ("GET 1 MiB, per s", |round| &round.large_get, LARGE, 1.0),
        ("SET 1 MiB, per s", |round| &round.large_set, LARGE, 1.0),
    ];
    for (what, of_round, goal, unit) in loads {
        let rate = |round: &Round, way| Some(of_round(round).get(&way)?.per_second / unit);
        rows.extend(Row::compared(
            rounds,
            what,
            &rate,
            [aim(AGAINST_HAPROXY, goal)],
        ));
        let cpu = |round: &Round, way| of_round(round).get(&way)?.cpu_us;
        let cost = aim(AGAINST_PASSING, DECODING);
        rows.extend(Row::compared(rounds, "  proxy CPU each, us", &cpu, [cost]));
    }
    rows.extend(faults(rounds));
    rows
}

fn aim((way, against): (Way, Way), goal: Goal) -> Aim {
    (way, against, goal)
}

fn faults(rounds: &[Round]) -> Vec<Row> {
    let states: [(&str, State); 2] = [
        ("idle", |faults| &faults.idle),
        ("busy", |faults| &faults.busy),
    ];
    let mut rows = Vec::new();
    for (state, of) in states {
        let mut row = |what: &str, goal, figure: &dyn Fn(&Samples) -> f64| {
            let figures = rounds.iter().map(|round| figure(of(&round.faults)));
            rows.push(Row::figure(
                format!("{what}, us ({state})"),
                figures.collect(),
                goal,
            ));
        };
        row("fault in force after, p99", IN_FORCE_US, &|samples| {
            quantile(samples.in_force_us.iter().copied(), 0.99)
        });
        // Not even the shortest may be too short.
        row(
            "injected 10 ms: least excess",
            Goal::AtLeast(0.0),
            &|samples| quantile(excess(samples, 0.0), 0.0),
        );
        row("injected 10 ms: excess p99", EXCESS_US, &|samples| {
            quantile(excess(samples, 0.5), 0.99)
        });
    }
    rows
}

/// What delayed round trips took beyond the delay and this quantile of the round's others.
fn excess(samples: &Samples, part: f64) -> Vec<f64> {
    let usual = quantile(samples.plain_us.iter().copied(), part);
    let delay = DELAY.as_secs_f64() * 1e6;
    let delayed = samples.delayed_us.iter();
    delayed.map(|took| took - delay - usual).collect()
}

impl Row {
    fn medians_of(rounds: &[Round], what: String, figure: Figure<'_>) -> Self {
        let median = |way: &Way| {
            let figures = rounds.iter().filter_map(|round| figure(round, *way));
            Some((*way, Spread::of(figures.collect())?.median))
        };
        Self {
            what,
            medians: Way::ALL.iter().filter_map(median).collect(),
            compared: "",
            spread: None,
            goal: None,
            verdict: None,
        }
    }

    /// The medians, and one line for each comparison.
    fn compared<const N: usize>(
        rounds: &[Round],
        what: &str,
        figure: Figure<'_>,
        aims: [Aim; N],
    ) -> Vec<Self> {
        let compare = |(index, (way, against, goal)): (usize, Aim)| {
            let ratio = |round: &Round| {
                // Nothing added by the other: there is no ratio, only noise.
                let other = figure(round, against).filter(|figure| *figure > 0.0)?;
                Some(figure(round, way)? / other)
            };
            let spread = Spread::of(rounds.iter().filter_map(ratio).collect());
            let medians = Self::medians_of(rounds, what.to_owned(), figure);
            Self {
                what: if index == 0 {
                    what.to_owned()
                } else {
                    String::new()
                },
                medians: if index == 0 {
                    medians.medians
                } else {
                    BTreeMap::new()
                },
                compared: match against {
                    Way::Haproxy => "passing / HAProxy",
                    _ => "decoding / passing",
                },
                verdict: Some(Verdict::of(goal, spread.as_ref())),
                spread,
                goal: Some(goal),
            }
        };
        aims.into_iter().enumerate().map(compare).collect()
    }

    fn figure(what: String, figures: Vec<f64>, goal: Goal) -> Self {
        let spread = Spread::of(figures);
        Self {
            what,
            medians: BTreeMap::new(),
            compared: "ours alone",
            verdict: Some(Verdict::of(goal, spread.as_ref())),
            spread,
            goal: Some(goal),
        }
    }
}

/// The table as text.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<38}{:>9}{:>9}{:>9}{:>9}  {:<19}{:>8}  {:<17}{:>8}  {}\n",
        "median of the rounds",
        "direct",
        "HAProxy",
        "passing",
        "decoding",
        "compared",
        "median",
        "spread",
        "goal",
        "verdict"
    );
    for row in rows {
        let _ = write!(text, "{:<38}", row.what);
        for way in Way::ALL {
            let median = row.medians.get(&way).map(|median| short(*median));
            let _ = write!(text, "{:>9}", median.unwrap_or_default());
        }
        if let Some(goal) = row.goal {
            let median = row.spread.as_ref().map(|spread| short(spread.median));
            let range = row.spread.as_ref();
            let range = range.map(|it| format!("{} .. {}", short(it.low), short(it.high)));
            let verdict = row.verdict.as_ref().map(ToString::to_string);
            let _ = write!(
                text,
                "  {:<19}{:>8}  {:<17}{:>8}  {}",
                row.compared,
                median.unwrap_or_default(),
                range.unwrap_or_default(),
                goal.to_string(),
                verdict.unwrap_or_default()
            );
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn short(value: f64) -> String {
    match value.abs() {
        0.0..20.0 => format!("{value:.2}"),
        20.0..1_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
