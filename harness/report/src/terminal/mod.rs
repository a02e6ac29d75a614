//! The terminal: live progress where somebody watches, plain lines where nobody does, and the same
//! ending for both.

mod canvas;
mod choice;
mod ending;
mod explain;
mod line;
mod live;
mod plain;
#[cfg(test)]
mod tests;

pub use choice::{ColorChoice, ProgressChoice, Verbosity};

use canvas::Canvas;
use choice::Surroundings;
use console::Term;
use indicatif::ProgressDrawTarget;
use live::Live;
use plain::Plain;
use std::io::{self, Write};
use std::path::PathBuf;
use touchstone_core::event::{EventSink, RunEvent};

const REDRAWS_PER_SECOND: u8 = 10;

/// How the terminal is written to.
#[derive(Debug, Clone, Default)]
pub struct TerminalOptions {
    /// Whether to colour.
    pub color: ColorChoice,
    /// Whether to draw live progress.
    pub progress: ProgressChoice,
    /// How much is told while the run goes on.
    pub verbosity: Verbosity,
    /// Columns; by default those of the terminal, and no limit where there is none.
    pub width: Option<usize>,
    /// Where the run's reports are, to name them at the end.
    pub report_folder: Option<PathBuf>,
}

/// The sink that people read.
#[derive(Debug)]
pub struct Terminal {
    manner: Manner,
    mode: Mode,
    /// Asked for its width at each event, since people resize windows while they wait.
    window: Option<Term>,
}

#[derive(Debug)]
enum Mode {
    Live(Live),
    Plain(Plain),
}

/// How a run is told, in both modes.
#[derive(Debug)]
struct Manner {
    canvas: Canvas,
    verbosity: Verbosity,
    report_folder: Option<PathBuf>,
}

impl Manner {
    fn new(options: TerminalOptions, color: bool, unicode: bool) -> Self {
        Self {
            canvas: Canvas {
                color,
                unicode,
                width: options.width,
            },
            verbosity: options.verbosity,
            report_folder: options.report_folder,
        }
    }
}

impl Terminal {
    /// Writes to standard output.
    pub fn stdout(options: TerminalOptions) -> Self {
        let terminal = Term::stdout();
        let surroundings = Surroundings::of(&terminal);
        let is_live = options.progress.is_live(&surroundings);
        let color = options.color.is_on(&surroundings);
        let follows = surroundings.is_terminal && options.width.is_none();
        let window = follows.then(|| terminal.clone());
        let out = Box::new(io::stdout());
        let mode = if is_live {
            let target = ProgressDrawTarget::term(terminal, REDRAWS_PER_SECOND);
            Mode::Live(Live::new(target, out))
        } else {
            Mode::Plain(Plain::new(out))
        };
        Self {
            // A log of plain lines is read with tools and in places that nobody foresees.
            manner: Manner::new(options, color, is_live && surroundings.is_utf8),
            mode,
            window,
        }
    }

    /// Writes plain lines to any writer. Colours only with [`ColorChoice::Always`].
    pub fn plain(options: TerminalOptions, out: Box<dyn Write + Send>) -> Self {
        let color = options.color == ColorChoice::Always;
        Self {
            manner: Manner::new(options, color, false),
            mode: Mode::Plain(Plain::new(out)),
            window: None,
        }
    }

    /// Draws live progress on any terminal; `out` takes the lines above it.
    #[cfg(test)]
    fn live(
        options: TerminalOptions,
        target: ProgressDrawTarget,
        out: Box<dyn Write + Send>,
    ) -> Self {
        Self {
            manner: Manner::new(options, false, true),
            mode: Mode::Live(Live::new(target, out)),
            window: None,
        }
    }
}

impl EventSink for Terminal {
    fn on_event(&mut self, event: &RunEvent) -> io::Result<()> {
        if let Some(window) = &self.window {
            self.manner.canvas.width = Some(usize::from(window.size().1));
        }
        match &mut self.mode {
            Mode::Live(live) => live.on_event(&self.manner, event),
            Mode::Plain(plain) => plain.on_event(&self.manner, event),
        }
    }
}
