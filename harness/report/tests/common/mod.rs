//! Snapshots as plain files that open in the viewer of their format, and a terminal to read from.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use touchstone_core::RunRecord;
use touchstone_core::event::EventSink;
use touchstone_report::{Terminal, TerminalOptions, sample};

/// Compares with the committed file, or rewrites it when `UPDATE_SNAPSHOTS` is set.
pub(crate) fn snapshot(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let path = folder.join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, text).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if text == expected {
        return;
    }
    let (mut seen, mut wanted) = (text.lines(), expected.lines());
    let mut number = 1;
    loop {
        let (seen, wanted) = (seen.next(), wanted.next());
        assert!(
            seen == wanted && seen.is_some(),
            "{name} differs in line {number}:\n  expected {wanted:?}\n  seen     {seen:?}\n\
             if it is meant: UPDATE_SNAPSHOTS=1 cargo test -p touchstone-report"
        );
        number += 1;
    }
}

/// All that a plain terminal prints for the run of a record.
pub(crate) fn plain_terminal(record: &RunRecord, options: TerminalOptions) -> String {
    let screen = Screen::default();
    let mut terminal = Terminal::plain(options, Box::new(screen.clone()));
    for event in sample::events(record) {
        terminal.on_event(&event).unwrap();
    }
    String::from_utf8(screen.0.lock().unwrap().clone()).unwrap()
}

#[derive(Debug, Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
