//! The reference backend beside the floor: a bare axum handler over one bare multiplexed connection.
//!
//! What a request costs above that is what the backend does for it: limits, figures, traces, checked input. Both
//! take turns within every round, on the same core, asked by the same `wrk`; a ratio is taken of the figures of one
//! round. Nothing fails on it.

mod floor;
mod load;
mod rows;
mod servers;

pub use floor::WORKER_ARGUMENT;
pub use load::{Asked, RedisSeen};
pub use rows::Row;

use crate::comparison::{all_rounds, show};
use crate::record::{commit, save_baseline};
use crate::side_by_side::Cores;
use crate::side_by_side::pinning::pin_this_thread;
use crate::{BenchError, BenchRun, Session, tell};
use serde::Serialize;
use servers::Servers;
use std::collections::BTreeMap;

/// Rises when a reader of old files would misread new ones.
const VERSION: u32 = 1;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Server {
    /// The bare handler.
    Floor,
    /// The reference backend.
    Ours,
}

impl Server {
    /// Both.
    pub const ALL: [Server; 2] = [Server::Floor, Server::Ours];
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A value of 100 bytes is read.
    Get,
    /// It is written.
    Set,
    /// An entity is read that lies in the cache.
    Hit,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Get, Kind::Set, Kind::Hit];
}

/// How much is measured.
#[derive(Debug, Clone, Serialize)]
pub struct Sizes {
    /// How often all is measured.
    pub rounds: usize,
    /// How long each kind of request is asked for, in seconds: `wrk` knows no shorter time.
    pub load_s: u64,
    /// Connections under load.
    pub clients: usize,
    /// How long one connection asks alone, in seconds.
    pub alone_s: u64,
    /// Commands that `redis-benchmark` sends.
    pub redis_requests: u32,
}

impl Sizes {
    /// For the numbers: about three minutes.
    pub const MEASURE: Sizes = Sizes {
        rounds: 9,
        load_s: 2,
        clients: 32,
        alone_s: 1,
        redis_requests: 20_000,
    };

    /// To see that all of it works.
    pub const SMOKE: Sizes = Sizes {
        rounds: 1,
        load_s: 1,
        clients: 4,
        alone_s: 1,
        redis_requests: 200,
    };
}

/// What the measurement is asked for.
#[derive(Debug)]
pub struct Request {
    /// How much.
    pub sizes: Sizes,
    /// The name in the file that keeps it; `None` keeps nothing.
    pub name: Option<String>,
    /// What a reader of the file has to know.
    pub remarks: Vec<String>,
}

/// What one round has shown.
#[derive(Debug, Serialize)]
pub struct Round {
    /// Runnable tasks, averaged over one minute, when it began: all of the machine's.
    pub load_average: f64,
    /// From many connections, the next request when the last was answered.
    pub loaded: BTreeMap<Kind, BTreeMap<Server, Asked>>,
    /// GET from one connection.
    pub alone: BTreeMap<Server, Asked>,
    /// GET from one connection, straight to Redis.
    pub redis: Option<RedisSeen>,
    /// From the start of the process to its first good answer, in milliseconds.
    pub ready_ms: f64,
    /// The memory of our process after the load, in MiB.
    pub rss_mib: f64,
}

/// What is kept of a measurement.
#[derive(Debug, Serialize)]
struct Kept {
    version: u32,
    commit: String,
    remarks: Vec<String>,
    run: BenchRun,
    cores: Cores,
    sizes: Sizes,
    rows: Vec<Row>,
    rounds: Vec<Round>,
}

/// Serves as the floor until the standard input ends.
pub fn serve_as_floor(arguments: &[String]) -> Result<(), BenchError> {
    floor::serve(arguments)
}

/// Measures, prints the table, keeps the rounds.
pub fn run(request: &Request) -> Result<(), BenchError> {
    let Some(tools) = load::Tools::find() else {
        tell("wrk is not installed; `make bench-backend` installs it. Nothing is measured.");
        return Ok(());
    };
    let session = Session::open("backend-load")?;
    let cores = Cores::choose()?;
    pin_this_thread(cores.load)?;
    let servers = session
        .runtime
        .block_on(Servers::start(&session, cores, &tools))?;
    let sizes = &request.sizes;
    let measured = all_rounds(
        sizes.rounds,
        |round: &Round| round.load_average,
        |number| measure_round(&servers, sizes, number),
    );
    session.runtime.block_on(servers.close())?;
    let rounds = measured?;
    let rows = rows::all(&rounds);
    show(&rows::table(&rows));
    let Some(name) = &request.name else {
        return Ok(());
    };
    let run = BenchRun {
        command: "make bench-backend".to_owned(),
        ..session.finished_note()
    };
    let kept = Kept {
        version: VERSION,
        commit: commit(),
        remarks: request.remarks.clone(),
        run,
        cores,
        sizes: request.sizes.clone(),
        rows,
        rounds,
    };
    let place = save_baseline(&kept.run, name, &kept)?;
    tell(&format!("wrote {}", place.display()));
    Ok(())
}

fn measure_round(servers: &Servers<'_>, sizes: &Sizes, number: usize) -> Result<Round, BenchError> {
    let load_average = crate::record::load_average();
    // Who comes second meets a warmer machine: each is first in every other round.
    let mut turns = Server::ALL;
    turns.rotate_left(number % 2);
    let mut loaded = BTreeMap::new();
    for kind in Kind::ALL {
        let mut of_kind = BTreeMap::new();
        for server in turns {
            of_kind.insert(
                server,
                servers.ask(server, kind, sizes.clients, sizes.load_s)?,
            );
        }
        loaded.insert(kind, of_kind);
    }
    let rss_mib = servers.rss_mib();
    let mut alone = BTreeMap::new();
    for server in turns {
        alone.insert(server, servers.ask(server, Kind::Get, 1, sizes.alone_s)?);
    }
    Ok(Round {
        load_average,
        loaded,
        alone,
        redis: servers.ask_redis(sizes.redis_requests)?,
        ready_ms: servers.ready_ms()?,
        rss_mib,
    })
}
