//! Colours, widths and the few drawn characters.

use crate::view::Outcome;
use console::{Style, measure_text_width, pad_str, truncate_str};

/// What can be shown where the text goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Canvas {
    pub(super) color: bool,
    pub(super) unicode: bool,
    /// Columns; `None` where lines have no limit, as in a file.
    pub(super) width: Option<usize>,
}

impl Canvas {
    pub(super) fn paint(&self, style: Style, text: &str) -> String {
        style.force_styling(self.color).apply_to(text).to_string()
    }

    pub(super) fn bold(&self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    pub(super) fn dim(&self, text: &str) -> String {
        self.paint(Style::new().dim(), text)
    }

    /// A text in the colour of an outcome.
    pub(super) fn outcome(&self, outcome: Outcome, text: &str) -> String {
        let style = match outcome {
            Outcome::Pass => Style::new().green(),
            Outcome::Fail | Outcome::SkippedUndeclared => Style::new().red().bold(),
            Outcome::Unknown => Style::new().yellow().bold(),
            Outcome::Flaky => Style::new().magenta().bold(),
            Outcome::SkippedDeclared => Style::new().dim(),
        };
        self.paint(style, text)
    }

    /// The text, cut at the right edge when it begins at `column`.
    pub(super) fn cut(&self, text: &str, column: usize) -> String {
        let ellipsis = if self.unicode { "…" } else { "..." };
        match self.width {
            Some(width) => truncate_str(text, width.saturating_sub(column), ellipsis).into_owned(),
            None => text.to_owned(),
        }
    }

    /// The text broken between words so that it fits when it begins at `column`. A longer word
    /// stays whole: the terminal breaks it where it can still be copied as one.
    pub(super) fn wrap(&self, text: &str, column: usize) -> Vec<String> {
        let Some(width) = self.width else {
            return vec![text.to_owned()];
        };
        // On a very narrow terminal readable lines are worth more than the right edge.
        let room = width.saturating_sub(column).max(20);
        let indent = &text[..text.len() - text.trim_start().len()];
        let mut lines = vec![indent.to_owned()];
        let mut is_empty = true;
        for word in text.split_whitespace() {
            let current = lines.last_mut().expect("begins with one line");
            let space = usize::from(!is_empty);
            let fits = measure_text_width(current) + space + measure_text_width(word) <= room;
            if fits || is_empty {
                current.push_str(&" ".repeat(space));
                current.push_str(word);
            } else {
                lines.push(format!("{indent}{word}"));
            }
            is_empty = false;
        }
        lines
    }

    /// `label` in a column of its own, and the text beside it, wrapped under itself.
    pub(super) fn entry(
        &self,
        indent: usize,
        label: &str,
        label_width: usize,
        text: &str,
    ) -> String {
        let column = indent + label_width;
        let mut entry = String::new();
        for (number, line) in self.wrap(text, column).iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            let label = pad(label, label_width);
            entry += format!("{:indent$}{label}{line}", "").trim_end();
            entry.push('\n');
        }
        entry
    }
}

/// The text filled with spaces on its right; colours count as nothing.
pub(super) fn pad(text: &str, width: usize) -> String {
    pad_str(text, width, console::Alignment::Left, None).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: Canvas = Canvas {
        color: false,
        unicode: true,
        width: Some(30),
    };

    #[test]
    fn text_is_wrapped_between_words_and_under_itself() {
        let entry = NARROW.entry(2, "seen", 6, "no answer at all in a long time");
        assert_eq!(entry, "  seen  no answer at all in a\n        long time\n");
    }

    #[test]
    fn a_long_word_is_not_broken_and_no_limit_means_no_break() {
        let word = "x".repeat(40);
        let wrapped = NARROW.wrap(&format!("a {word} b"), 2);
        assert_eq!(wrapped, ["a", word.as_str(), "b"]);
        let endless = Canvas {
            width: None,
            ..NARROW
        };
        assert_eq!(endless.wrap("a  b", 2), ["a  b"]);
    }

    #[test]
    fn a_cut_text_ends_at_the_edge_and_says_that_it_was_cut() {
        assert_eq!(NARROW.cut("0123456789", 25), "0123…");
        assert_eq!(NARROW.cut("01234", 25), "01234");
    }

    #[test]
    fn colours_are_written_only_when_asked_for() {
        let colored = Canvas {
            color: true,
            ..NARROW
        };
        assert_eq!(NARROW.bold("a"), "a");
        assert_eq!(colored.bold("a"), "\u{1b}[1ma\u{1b}[0m");
    }
}
