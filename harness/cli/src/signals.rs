//! Signals that end a run: noted once, acted on by the run itself, so that teardown always happens.

use crate::output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use touchstone_core::ExitCode;

/// What listens for SIGINT, SIGTERM and SIGHUP.
pub(crate) struct Signals {
    first: watch::Receiver<Option<String>>,
    run_has_begun: Arc<AtomicBool>,
}

impl Signals {
    /// Starts listening. Until a run has begun there is nothing to tear down, and a signal ends the
    /// process at once.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let (sender, first) = watch::channel(None);
        let run_has_begun = Arc::new(AtomicBool::new(false));
        let tears_down = Arc::clone(&run_has_begun);
        let runtime = crate::runtime()?;
        let guard = runtime.enter();
        let mut wait = Wait::new()?;
        drop(guard);
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread.spawn(move || {
            runtime.block_on(async move {
                let name = wait.next().await;
                sender.send_replace(Some(name.to_owned()));
                if !tears_down.load(Ordering::SeqCst) {
                    output::complain(&format!("{name}: nothing was started yet"));
                    std::process::exit(ExitCode::Interrupted.number().into());
                }
                // Later signals are swallowed: the teardown is under way and takes seconds at most.
                std::future::pending::<()>().await;
            });
        })?;
        Ok(Self {
            first,
            run_has_begun,
        })
    }

    /// Leaves signals to the run that is about to begin. The channel holds the first one's name.
    pub(crate) fn hand_over(self) -> watch::Receiver<Option<String>> {
        self.run_has_begun.store(true, Ordering::SeqCst);
        self.first
    }
}

struct Wait {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Option<Signal>,
}

impl Wait {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            // Under `nohup` it is ignored, and must stay so.
            hang_up: if is_ignored(SignalKind::hangup()) {
                None
            } else {
                Some(signal(SignalKind::hangup())?)
            },
        })
    }

    async fn next(&mut self) -> &'static str {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hang_up => "SIGHUP",
        }
    }
}

/// Whether whoever started us has told us to ignore a signal.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (kind.as_raw_value() - 1)) != 0)
}
