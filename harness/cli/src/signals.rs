//! Signals that end a run: noted once, acted on by the run itself, so that teardown always happens.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Starts listening for SIGINT, SIGTERM and SIGHUP. The channel holds the first one's name.
pub(crate) fn listen() -> std::io::Result<watch::Receiver<Option<String>>> {
    let (sender, receiver) = watch::channel(None);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    drop(guard);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let name = tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                    _ = hang_up.recv() => "SIGHUP",
                };
                sender.send_replace(Some(name.to_owned()));
                // Later signals are swallowed: the teardown is under way and takes seconds at most.
                std::future::pending::<()>().await;
            });
        })?;
    Ok(receiver)
}
