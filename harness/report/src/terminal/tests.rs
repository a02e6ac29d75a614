//! The live terminal, seen through a terminal that remembers all that is written to it.

use super::*;
use crate::sample;
use indicatif::TermLike;
use std::sync::{Arc, Mutex};
use touchstone_core::RunEventKind;

#[derive(Debug, Clone, Default)]
struct Recorder(Arc<Mutex<String>>);

impl Recorder {
    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn push(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(text);
        Ok(())
    }
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(&String::from_utf8_lossy(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TermLike for Recorder {
    fn width(&self) -> u16 {
        80
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.push(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.push(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn live_at_80_columns() -> (Terminal, Recorder, Recorder) {
    let (screen, lines) = (Recorder::default(), Recorder::default());
    let options = TerminalOptions {
        width: Some(80),
        ..TerminalOptions::default()
    };
    let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
    let terminal = Terminal::live(options, target, Box::new(lines.clone()));
    (terminal, screen, lines)
}

#[test]
fn what_runs_is_drawn_with_its_step_and_the_faults_in_force() {
    let (mut terminal, screen, _) = live_at_80_columns();
    let events = sample::events(&sample::record());
    let is_injected = |event: &RunEvent| matches!(event.kind, RunEventKind::FaultInjected { .. });
    let injected = events.iter().position(is_injected).unwrap();
    for event in &events[..=injected] {
        terminal.on_event(event).unwrap();
    }
    let screen = screen.text();
    assert!(screen.contains("HLTH-2"), "{screen}");
    assert!(
        screen.contains("probe through the outage [stop redis]"),
        "{screen}"
    );
}

#[test]
fn lines_above_the_progress_are_those_of_the_plain_terminal_and_the_ending_follows() {
    let (mut terminal, _, lines) = live_at_80_columns();
    let plain_lines = Recorder::default();
    let options = TerminalOptions {
        width: Some(80),
        ..TerminalOptions::default()
    };
    let mut plain = Terminal::plain(options, Box::new(plain_lines.clone()));
    for event in sample::events(&sample::record()) {
        terminal.on_event(&event).unwrap();
        plain.on_event(&event).unwrap();
    }
    let first_words = |text: &str| -> Vec<String> {
        let words = text
            .lines()
            .map(|line| line.split(' ').next().unwrap_or_default());
        words.map(str::to_owned).collect()
    };
    assert_eq!(first_words(&lines.text()), first_words(&plain_lines.text()));
    assert!(lines.text().contains("NOT PASSED"), "{}", lines.text());
}

#[test]
fn foreign_text_draws_no_control_character_on_the_live_screen() {
    let (mut terminal, screen, lines) = live_at_80_columns();
    for event in sample::events(&sample::hostile()) {
        terminal.on_event(&event).unwrap();
    }
    drop(terminal);
    for text in [screen.text(), lines.text()] {
        // Indicatif ends what it styles with a reset, whatever the style.
        let text = text.replace("\u{1b}[0m", "");
        let control = text
            .chars()
            .find(|c| c.is_control() && !"\n\r".contains(*c));
        assert_eq!(control, None, "{text:?}");
    }
}

#[test]
fn an_interruption_is_told_at_once() {
    let (mut terminal, _, lines) = live_at_80_columns();
    let mut events = sample::events(&sample::record());
    events.truncate(1);
    let interrupted = RunEvent {
        kind: RunEventKind::Interrupted {
            signal: "SIGINT".to_owned(),
        },
        ..events[0].clone()
    };
    events.push(interrupted);
    for event in &events {
        terminal.on_event(event).unwrap();
    }
    let text = lines.text();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("STOPPING  SIGINT"), "{last}");
}

#[test]
fn a_reader_that_went_away_is_an_error_and_no_panic() {
    let full: &mut [u8] = &mut [];
    let no_room = io::Cursor::new(Box::<[u8]>::from(full));
    let mut terminal = Terminal::plain(TerminalOptions::default(), Box::new(no_room));
    let failed = sample::events(&sample::record())
        .iter()
        .filter(|event| terminal.on_event(event).is_err())
        .count();
    // The start, ten verdicts and the end.
    assert_eq!(failed, 12);
}
