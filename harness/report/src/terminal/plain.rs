//! Plain lines for pipes, files and CI logs: nothing is ever redrawn.

use super::{Manner, ending, line};
use std::fmt;
use std::io::{self, Write};
use touchstone_core::event::{RunEvent, RunEventKind};

pub(super) struct Plain {
    out: Box<dyn Write + Send>,
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain").finish_non_exhaustive()
    }
}

impl Plain {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out }
    }

    pub(super) fn on_event(&mut self, manner: &Manner, event: &RunEvent) -> io::Result<()> {
        if let Some(line) = line::of_event(manner, event) {
            writeln!(self.out, "{line}")?;
        }
        if let RunEventKind::RunFinished { record, exit_code } = &event.kind {
            let ending = ending::render(manner, record, *exit_code);
            self.out.write_all(ending.as_bytes())?;
        }
        self.out.flush()
    }
}
