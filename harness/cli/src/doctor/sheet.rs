//! The sheet that the doctor fills in: aligned, one thing a line, what to do under what is missing.

use crate::output::Paint;
use console::Style;

const NAME_WIDTH: usize = 16;

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Note,
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone)]
pub(super) struct Line {
    state: State,
    name: String,
    found: String,
    remedy: Option<String>,
}

impl Line {
    /// All is well.
    pub(super) fn ok(name: &str, found: impl Into<String>) -> Self {
        Self {
            state: State::Ok,
            name: name.to_owned(),
            found: found.into(),
            remedy: None,
        }
    }

    /// It works, or may, and there is something to know.
    pub(super) fn note(name: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            state: State::Note,
            remedy: Some(remedy.into()),
            ..Self::ok(name, found)
        }
    }

    /// It does not work.
    pub(super) fn missing(name: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            state: State::Missing,
            ..Self::note(name, found, remedy)
        }
    }
}

/// All that was looked at.
#[derive(Debug)]
pub(super) struct Sheet {
    paint: Paint,
    text: String,
}

impl Sheet {
    /// An empty one.
    pub(super) fn new(paint: Paint) -> Self {
        let text = String::new();
        Self { paint, text }
    }

    /// Adds a section.
    pub(super) fn section(&mut self, title: &str, lines: Vec<Line>) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text += &self.paint.paint(Style::new().bold(), title);
        self.text.push('\n');
        for line in lines {
            let (word, style) = match line.state {
                State::Ok => ("ok", Style::new().green()),
                State::Note => ("note", Style::new().yellow()),
                State::Missing => ("missing", Style::new().red().bold()),
            };
            // Padded before it is coloured: escape sequences have a length, too.
            let word = self.paint.paint(style, &format!("{word:<7}"));
            let found = line.found.replace('\n', "; ");
            self.text += &format!("  {word}  {:<NAME_WIDTH$}  {found}\n", line.name);
            if let Some(remedy) = line.remedy {
                self.text += &format!("  {:<7}  {:<NAME_WIDTH$}  -> {remedy}\n", "", "");
            }
        }
    }

    /// All of it.
    pub(super) fn text(self) -> String {
        self.text
    }
}
