//! Our proxy in a process of its own, as HAProxy is: this program, started once more.

use super::faults::{self, FaultSamples};
use super::pinning::{Cores, pin_this_thread};
use super::ways::SEED;
use crate::BenchError;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use touchstone_engine::proxy::{Protocol, Proxy, ProxyConfig, ProxyThread};
use touchstone_engine::reaper::RUN_MARKER;

/// The first argument of a process that is to be the proxy.
pub const WORKER_ARGUMENT: &str = "--serve-as-proxy";

/// What the worker says once it serves.
#[derive(Debug, Serialize, Deserialize)]
struct Opened {
    pass_through: SocketAddr,
    decoding: SocketAddr,
}

/// The worker as its parent sees it. It ends when this is dropped, or its parent dies.
#[derive(Debug)]
pub(super) struct OwnProxy {
    pub(super) pass_through: SocketAddr,
    pub(super) decoding: SocketAddr,
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl OwnProxy {
    pub(super) fn start(
        run_id: &str,
        upstream: SocketAddr,
        password: &str,
        cores: Cores,
    ) -> Result<Self, BenchError> {
        let program = std::env::current_exe().unwrap_or_default();
        let failed = |source| BenchError::Child {
            program: program.clone(),
            source,
        };
        let mut child = Command::new(&program)
            .args([WORKER_ARGUMENT, &upstream.to_string(), password])
            .args([cores.load.to_string(), cores.server.to_string()])
            .env(RUN_MARKER, run_id)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let asks = child.stdin.take();
        let answers = child.stdout.take().expect("it is piped");
        let mut own = Self {
            pass_through: upstream,
            decoding: upstream,
            child,
            asks,
            answers: BufReader::new(answers),
        };
        let opened: Opened = own.answer()?;
        (own.pass_through, own.decoding) = (opened.pass_through, opened.decoding);
        Ok(own)
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Has it put faults in force, so many times, from another thread of its process.
    pub(super) fn inject(&mut self, count: usize) -> Result<FaultSamples, BenchError> {
        if let Some(asks) = &mut self.asks {
            writeln!(asks, "{count}").map_err(BenchError::Worker)?;
        }
        self.answer()
    }

    fn answer<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, BenchError> {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .map_err(BenchError::Worker)?;
        serde_json::from_str(&line).map_err(|error| BenchError::Worker(error.into()))
    }
}

impl Drop for OwnProxy {
    fn drop(&mut self) {
        drop(self.asks.take());
        // It ends by itself when its input does.
        let _ = self.child.wait();
    }
}

/// The worker's side: serves until its input ends.
pub(super) fn serve(arguments: &[String]) -> Result<(), BenchError> {
    let usage = || BenchError::wrong("UPSTREAM PASSWORD CORE CORE", arguments.join(" "));
    let [upstream, password, load, server] = arguments else {
        return Err(usage());
    };
    let upstream: SocketAddr = upstream.parse().map_err(|_| usage())?;
    let (load, server) = (load.parse(), server.parse());
    let (load, server) = (load.map_err(|_| usage())?, server.map_err(|_| usage())?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(BenchError::Runtime)?;
    // A thread begins on the core of the one that starts it.
    pin_this_thread(server)?;
    let thread = ProxyThread::spawn("proxy")?;
    pin_this_thread(load)?;
    let open = |protocol| runtime.block_on(open(&thread, upstream, protocol));
    let (pass_through, decoding) = (open(Protocol::Opaque)?, open(Protocol::Redis)?);
    say(&Opened {
        pass_through: pass_through.address(),
        decoding: decoding.address(),
    })?;
    for line in std::io::stdin().lines() {
        let line = line.map_err(BenchError::Worker)?;
        let count = line.parse().map_err(|_| usage())?;
        let proxies = [&pass_through, &decoding];
        let samples = faults::measure(&runtime, proxies, password, count)?;
        say(&samples)?;
    }
    Ok(())
}

async fn open(
    thread: &ProxyThread,
    upstream: SocketAddr,
    protocol: Protocol,
) -> Result<Proxy, BenchError> {
    let config = ProxyConfig {
        listen: None,
        name: format!("{protocol:?}"),
        seed: SEED,
        protocol,
    };
    let proxy = thread.open(config).await?;
    proxy.set_upstream(Some(upstream)).await?;
    Ok(proxy)
}

#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn say(what: &impl Serialize) -> Result<(), BenchError> {
    let line = serde_json::to_string(what).map_err(|error| BenchError::Worker(error.into()))?;
    println!("{line}");
    Ok(())
}
