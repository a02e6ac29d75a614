//! Requests at a fixed rate while something breaks: each is sent when it is due, however long the ones
//! before it take.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use touchstone_engine::clock::Clock;
use touchstone_engine::scenario::Stop;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::{HttpClient, OperationName};

/// One request. Microseconds since the scenario began.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// When it was sent.
    pub(crate) called_us: u64,
    /// When it was answered, or given up.
    pub(crate) returned_us: u64,
    /// Whether it succeeded, and if not, what came instead.
    pub(crate) outcome: Result<(), String>,
}

impl Call {
    /// When it was sent and how it ended, for evidence.
    pub(crate) fn describe(&self) -> String {
        let outcome = self.outcome.as_ref().err().map_or("ok", String::as_str);
        format!("sent at {} ms: {outcome}", self.called_us / 1000)
    }
}

/// Requests under way. Dropping it ends them.
pub(crate) struct Load {
    calls: Arc<Mutex<Vec<Call>>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Load {
    /// Sends a request every `period`, all of one operation, with the values that writes need.
    pub(crate) fn start(
        http: &HttpClient,
        clock: Clock,
        operation: OperationName,
        period: Duration,
    ) -> Self {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (stop, mut stopped) = watch::channel(false);
        let (http, sink) = (http.clone(), Arc::clone(&calls));
        let task = tokio::spawn(async move {
            let mut under_way = JoinSet::new();
            let mut due = Instant::now();
            for number in 0_u64.. {
                tokio::select! {
                    _ = stopped.wait_for(|stopped| *stopped) => break,
                    () = tokio::time::sleep_until(due.into()) => {}
                }
                due += period;
                let (http, sink) = (http.clone(), Arc::clone(&sink));
                under_way.spawn(async move {
                    let made = call(&http, clock, operation, number).await;
                    lock(&sink).push(made);
                });
                while under_way.try_join_next().is_some() {}
            }
            while under_way.join_next().await.is_some() {}
        });
        Self { calls, stop, task }
    }

    /// Those that have ended so far.
    pub(crate) fn so_far(&self) -> Vec<Call> {
        let mut calls = lock(&self.calls).clone();
        calls.sort_by_key(|call| call.called_us);
        calls
    }

    /// Sends no more, waits for those under way, and returns all of them.
    pub(crate) async fn finish(mut self) -> Result<Vec<Call>, Stop> {
        self.stop.send_replace(true);
        let ended = (&mut self.task).await;
        ended.map_err(|error| Stop::unknown(format!("our own load failed: {error}")))?;
        Ok(self.so_far())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request, on a key that it shares with a few others.
pub(crate) async fn call(
    http: &HttpClient,
    clock: Clock,
    operation: OperationName,
    number: u64,
) -> Call {
    let key = format!("load-{}", number % 10);
    let value = format!("value {number}");
    let values: &[(&str, &[u8])] = &[("key", key.as_bytes()), ("value", value.as_bytes())];
    let called_us = clock.now_us();
    let answer = http.call(operation, values).await;
    let outcome = match answer {
        Ok(answer) if answer.kind() == AnswerKind::Ok => Ok(()),
        Ok(answer) => Err(answer.describe()),
        Err(error) => Err(error.to_string()),
    };
    Call {
        called_us,
        returned_us: clock.now_us(),
        outcome,
    }
}

/// Nothing under this lock can be left half done by a panic.
fn lock(calls: &Mutex<Vec<Call>>) -> std::sync::MutexGuard<'_, Vec<Call>> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}
