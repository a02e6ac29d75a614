//! Text from subjects, stores and logs cannot break out of any format.

#![allow(clippy::unwrap_used)]

mod common;

use common::{plain_terminal, snapshot};
use quick_xml::Reader;
use quick_xml::events::Event;
use touchstone_core::{ExitCode, RunRecord};
use touchstone_report::{TerminalOptions, junit, markdown, sample};

/// The names of all elements; fails where the document is not well-formed.
fn elements(xml: &str) -> Vec<String> {
    let mut reader = Reader::from_str(xml);
    let mut names = Vec::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag) | Event::Empty(tag)) => {
                for attribute in tag.attributes() {
                    attribute.unwrap_or_else(|error| panic!("{error} in {tag:?}"));
                }
                names.push(String::from_utf8(tag.name().as_ref().to_vec()).unwrap());
            }
            Ok(Event::Eof) => return names,
            Ok(_) => {}
            Err(error) => panic!("not well-formed at {}: {error}", reader.error_position()),
        }
    }
}

fn junit(record: &RunRecord, exit_code: ExitCode) -> String {
    junit::render(record, exit_code).unwrap()
}

/// What neither XML nor a terminal may get, whatever it stands for.
fn unwanted(text: &str) -> Option<char> {
    let is_unwanted = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{fffe}')
    };
    text.chars().find(|c| is_unwanted(*c))
}

#[test]
fn on_the_terminal_it_neither_steers_nor_adds_lines() {
    let record = sample::hostile();
    let text = plain_terminal(&record, TerminalOptions::default());
    assert_eq!(unwanted(&text), None);
    snapshot("hostile-terminal.txt", &text);
}

#[test]
fn in_xml_it_stays_text() {
    for record in [sample::record(), sample::hostile()] {
        let xml = junit(&record, record.exit_code());
        assert_eq!(unwanted(&xml), None);
        let names = elements(&xml);
        let is_known = |name: &String| {
            let known = "testsuites testsuite properties property testcase failure error skipped \
                         system-out";
            known.split_whitespace().any(|known| known == name)
        };
        assert!(names.iter().all(is_known), "{names:?}");
        let cases = names.iter().filter(|name| *name == "testcase").count();
        assert_eq!(cases, record.scenarios.len());
    }
}

#[test]
fn in_markdown_it_is_neither_a_tag_nor_a_cell_nor_a_line() {
    let record = sample::hostile();
    let page = markdown::render(&record, record.exit_code());
    assert_eq!(unwanted(&page), None);
    snapshot("hostile-summary.md", &page);

    let mut fence: Option<String> = None;
    for line in page.lines() {
        let ticks: String = line.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if *open == line => fence = None,
            // In a block of code nothing is interpreted.
            Some(_) => {}
            None if ticks.len() >= 3 => fence = Some(ticks),
            None => assert_harmless(line),
        }
    }
    assert_eq!(fence, None, "a block of code was left open");
}

fn assert_harmless(line: &str) {
    let ours = ["details", "/details", "summary", "/summary", "b", "/b"];
    let mut rest = line;
    while let Some((_, tag)) = rest.split_once('<') {
        let (name, after) = tag.split_once('>').unwrap_or((tag, ""));
        assert!(ours.contains(&name), "<{name}> in {line}");
        rest = after;
    }
    if line.starts_with('|') {
        let bars = line.replace("\\|", "").matches('|').count();
        assert!([3, 6].contains(&bars), "{bars} bars in {line}");
    }
}

#[test]
fn a_junit_report_is_red_exactly_when_the_gate_is() {
    let whole = sample::record();
    for scenario in &whole.scenarios {
        let mut record = whole.clone();
        record.scenarios = vec![scenario.clone()];
        let exit_code = record.exit_code();
        let names = elements(&junit(&record, exit_code));
        let is_red = names
            .iter()
            .any(|name| name == "failure" || name == "error");
        assert_eq!(is_red, exit_code != ExitCode::Holds, "{scenario:?}");
    }
    let mut interrupted = whole.clone();
    interrupted.scenarios.truncate(1);
    interrupted.interrupted = true;
    let xml = junit(&interrupted, interrupted.exit_code());
    assert!(elements(&xml).contains(&"error".to_owned()), "{xml}");
}

#[test]
fn a_flaky_criterion_shows_every_attempt_and_is_not_green() {
    let record = sample::record();
    let xml = junit(&record, record.exit_code());
    for name in ["CACHE-3", "CACHE-3#2", "CACHE-3#3"] {
        assert!(xml.contains(&format!("<testcase name=\"{name}\"")), "{xml}");
    }
    assert!(
        xml.contains(r#"name="flaky" value="pass, fail, pass""#),
        "{xml}"
    );
}
