//! Faults of the line: they act on the bytes of a flow, or on how long it lasts, whatever the bytes mean.
//!
//! Such a fault is a [`LineFault`]: it says what it puts on one connection, and everything else (existing
//! connections and those to come, the heal, [`Partly`]) is the same for all.

use super::shaper::{FlowRule, Shaper, heal_flow_rule, install_flow_rule};
use super::{Claims, Evidence, Fault, Installed, Site};
use crate::proxy::connection::{Closing, Connection, TimedEnd};
use crate::proxy::error::ProxyError;
use rand::RngExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use touchstone_core::Seed;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the subject to the store.
    Up,
    /// From the store to the subject.
    Down,
    /// Both, each for itself; a round trip then meets the fault twice.
    Both,
}

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
            Direction::Both => "both",
        }
    }
}

/// A fault of the line. Every one is a [`Fault`], too.
pub trait LineFault: Copy + Send + 'static {
    /// What it leaves behind where it has bitten.
    type Bite: Evidence + Default + 'static;

    /// Its name in records.
    fn name(&self) -> &'static str;

    /// Its parameters, names with units.
    fn parameters(&self) -> BTreeMap<String, String>;

    /// Puts it on one connection.
    fn apply(&self, seat: &mut Seat<'_, Self::Bite>);
}

/// A fault of the line in force on one proxy, as seen from one connection.
pub struct Seat<'a, B> {
    pub(crate) fault_id: u64,
    pub(crate) bite: &'a Arc<B>,
    seed: Seed,
    connection: &'a mut Connection,
}

impl<B> Seat<'_, B> {
    /// Puts a shaper on each flow that the direction names. Each flow has a seed of its own: what one draws does
    /// not depend on the others.
    pub(crate) fn shape<S: Shaper + 'static>(
        &mut self,
        direction: Direction,
        shaper: impl Fn(Seed) -> S,
    ) {
        let id = self.connection.record.id;
        if direction != Direction::Down {
            let shaper = shaper(self.seed.derive(&format!("up {id}")));
            self.connection.up.shapers.push(Box::new(shaper));
        }
        if direction != Direction::Up {
            let shaper = shaper(self.seed.derive(&format!("down {id}")));
            self.connection.down.shapers.push(Box::new(shaper));
        }
    }

    /// Ends the connection after a time, and counts it then.
    pub(crate) fn end_after(&mut self, time: Duration, how: Closing, ended: Arc<AtomicU64>) {
        self.connection.end_at(TimedEnd {
            fault_id: self.fault_id,
            at: Instant::now() + time,
            how,
            ended,
        });
    }
}

/// A fault of the line on some connections only.
///
/// For each connection it is drawn once, from the seed of the proxy and the number of the connection, whether
/// the fault acts on it: the same seed chooses the same connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Partly<F> {
    /// The fault.
    pub fault: F,
    /// On which share of the connections: from 0, none, to 1, all.
    pub toxicity: f64,
}

impl<F: LineFault> LineFault for Partly<F> {
    type Bite = F::Bite;

    fn name(&self) -> &'static str {
        self.fault.name()
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        let mut parameters = self.fault.parameters();
        parameters.insert("toxicity".to_owned(), self.toxicity.to_string());
        parameters
    }

    fn apply(&self, seat: &mut Seat<'_, F::Bite>) {
        let label = format!("toxicity {}", seat.connection.record.id);
        let drawn: f64 = seat.seed.derive(&label).rng().random();
        if drawn < self.toxicity {
            self.fault.apply(seat);
        }
    }
}

struct LineRule<F: LineFault> {
    fault_id: u64,
    fault: F,
    seed: Seed,
    bite: Arc<F::Bite>,
}

impl<F: LineFault> FlowRule for LineRule<F> {
    fn fault_id(&self) -> u64 {
        self.fault_id
    }

    fn apply(&self, connection: &mut Connection) {
        self.fault.apply(&mut Seat {
            fault_id: self.fault_id,
            bite: &self.bite,
            seed: self.seed,
            connection,
        });
    }
}

impl<F: LineFault> Fault for F {
    fn name(&self) -> &'static str {
        LineFault::name(self)
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        LineFault::parameters(self)
    }

    fn claims(&self) -> Claims {
        Claims::NOTHING
    }

    fn install(self, site: &Site<'_>) -> Result<Installed, ProxyError> {
        let bite = Arc::new(F::Bite::default());
        let label = format!("{} {}", LineFault::name(&self), site.fault_id);
        let rule = LineRule {
            fault_id: site.fault_id,
            fault: self,
            seed: site.server.seed.derive(&label),
            bite: Arc::clone(&bite),
        };
        install_flow_rule(site, Box::new(rule));
        Ok(Installed {
            evidence: bite,
            heal: Some(Box::new(heal_flow_rule)),
        })
    }
}
