//! The story of a start that must fail: soon, with the right exit code, and the HTTP port never open.

use std::time::Duration;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Stop, expect};

/// Short enough to meet a port that is open for a moment.
const PORT_POLL: Duration = Duration::from_millis(2);
const GRACE: Duration = Duration::from_secs(3);

/// Watches an instance until it has ended by itself, and judges how.
pub(super) async fn see_refused_start(
    context: &Context,
    instance: &Instance,
    exit_code: i32,
) -> Result<(), Stop> {
    let deadline = context.deadline(|d| d.start_failure_ms);
    let what = "the start to be refused";
    let exit = poll_until(what, deadline + GRACE, PORT_POLL, || async {
        if instance.accepts_connections().await {
            return Look::Ready(Err(()));
        }
        instance.exit().map_or_else(
            || Look::NotYet("it still runs".to_owned()),
            |e| Look::Ready(Ok(e)),
        )
    })
    .await
    .or_fail(format!(
        "an end by itself within {} ms",
        deadline.as_millis()
    ))?;
    let took = instance.started().elapsed();
    let Ok(exit) = exit else {
        return Err(Stop::fail(
            "the HTTP port never opened",
            format!(
                "it accepts connections {} ms after the start",
                took.as_millis()
            ),
        ));
    };
    expect(
        exit.code == Some(exit_code),
        format!("exit code {exit_code}"),
        format!("{exit}; its log ends with:\n{}", instance.log.tail()),
    )?;
    context.met("the start is given up", |d| d.start_failure_ms, took)
}
