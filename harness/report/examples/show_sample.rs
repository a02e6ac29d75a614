//! Shows the sample record in a format: `live` (default), `plain`, `verbose`, `markdown`, `junit`
//! or `json`. For people who change a format and want to see it.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;
use touchstone_core::event::EventSink;
use touchstone_report::terminal::{ProgressChoice, Verbosity};
use touchstone_report::{Terminal, TerminalOptions, json, junit, markdown, sample};

fn main() -> io::Result<()> {
    let format = std::env::args().nth(1).unwrap_or_else(|| "live".to_owned());
    let record = sample::record();
    let exit_code = record.exit_code();
    let text = match format.as_str() {
        "json" => json::render(&record)?,
        "junit" => junit::render(&record, exit_code).map_err(io::Error::other)?,
        "markdown" => markdown::render(&record, exit_code),
        "plain" => return replay(ProgressChoice::Plain, Verbosity::Normal),
        "verbose" => return replay(ProgressChoice::Auto, Verbosity::Verbose),
        _ => return replay(ProgressChoice::Auto, Verbosity::Normal),
    };
    io::stdout().write_all(text.as_bytes())
}

/// Sends the events of the sample at the pace of the run that they tell of.
fn replay(progress: ProgressChoice, verbosity: Verbosity) -> io::Result<()> {
    let record = sample::record();
    let report_folder = format!("reports/runs/{}", record.run_id);
    let mut terminal = Terminal::stdout(TerminalOptions {
        progress,
        verbosity,
        report_folder: Some(report_folder.into()),
        ..TerminalOptions::default()
    });
    let mut now_us = 0;
    for event in sample::events(&record) {
        thread::sleep(Duration::from_micros(event.elapsed_us - now_us));
        now_us = event.elapsed_us;
        terminal.on_event(&event)?;
    }
    Ok(())
}
