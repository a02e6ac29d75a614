//! Words, numbers and foreign text, the same in every format.

use console::strip_ansi_codes;
use std::collections::BTreeMap;

/// A span of time for people: `412 ms`, `2.10 s`, `2 min 05 s`.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        // Up to 59.99 s; the next hundredth would round to `60.00 s`.
        1_000..59_995 => format!("{}.{:02} s", (ms + 5) / 1_000, (ms + 5) % 1_000 / 10),
        _ => {
            let seconds = (ms + 500) / 1_000;
            format!("{} min {:02} s", seconds / 60, seconds % 60)
        }
    }
}

/// The same in seconds with a fixed number of decimals, for columns that programs read.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{:03}s", ms / 1_000, ms % 1_000)
}

/// `1 scenario`, `2 scenarios`.
pub(crate) fn count(number: usize, singular: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {singular}{plural}")
}

/// `name=value, name=value`.
pub(crate) fn pairs(map: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}={v}")).collect();
    pairs.join(", ")
}

/// Foreign text on one line, unable to move a cursor, recolour a terminal or reorder what is read:
/// escape sequences go, other control characters show as escapes (`\n`, `\u{7}`).
pub(crate) fn one_line(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for character in strip_ansi_codes(text.trim()).chars() {
        match character {
            '\t' => cleaned.push(' '),
            _ if character.is_control() || misleads(character) => {
                cleaned.extend(character.escape_default());
            }
            _ => cleaned.push(character),
        }
    }
    cleaned
}

/// Foreign text line by line, each as in [`one_line`] but with its indentation kept.
pub(crate) fn lines(text: &str) -> Vec<String> {
    text.trim_end().lines().map(indented_line).collect()
}

fn indented_line(line: &str) -> String {
    let content = line.trim_start_matches([' ', '\t']);
    let indent = line[..line.len() - content.len()].replace('\t', "    ");
    indent + &one_line(content)
}

/// Line separators, marks that reorder text (Trojan Source), and what XML cannot hold.
fn misleads(character: char) -> bool {
    matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// The first `limit` of some lines, and how many were left out.
pub(crate) fn limited<T>(lines: &[T], limit: usize) -> (&[T], usize) {
    let shown = lines.len().min(limit);
    (&lines[..shown], lines.len() - shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_told_in_the_unit_that_a_person_would_use() {
        let table = [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1.00 s"),
            (2_104, "2.10 s"),
            (9_995, "10.00 s"),
            (59_994, "59.99 s"),
            (59_995, "1 min 00 s"),
            (125_400, "2 min 05 s"),
        ];
        for (ms, expected) in table {
            assert_eq!(duration(ms), expected, "{ms}");
        }
    }

    #[test]
    fn foreign_text_cannot_steer_a_terminal() {
        let table = [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("a\nb\r\nc", r"a\nb\r\nc"),
            ("bell\u{7} c1\u{9b}31m \u{85}.", r"bell\u{7} c1 \u{85}."),
            ("open \u{1b}", r"open \u{1b}"),
            ("a\u{202e}b", r"a\u{202e}b"),
            (" größer → 1\t2 ", "größer → 1 2"),
        ];
        for (text, expected) in table {
            assert_eq!(one_line(text), expected, "{text:?}");
        }
    }

    #[test]
    fn several_lines_stay_several_and_keep_their_indentation() {
        assert_eq!(lines("{\r\n\t\"a\": 1\n}\n"), ["{", "    \"a\": 1", "}"]);
    }
}
