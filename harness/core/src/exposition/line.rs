//! One line of an exposition.

use super::Series;
use std::collections::BTreeMap;

/// What a line says.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// Empty, or a comment.
    Nothing,
    /// `# TYPE name kind`
    Type { name: String, kind: String },
    /// A value.
    Sample(SampleLine),
}

/// `name{label="value"} 1 timestamp # exemplar`
#[derive(Debug, PartialEq)]
pub(super) struct SampleLine {
    pub(super) series: Series,
    pub(super) value: f64,
}

pub(super) fn parse(line: &str) -> Result<Line, String> {
    let line = line.trim_end();
    if let Some(comment) = line.strip_prefix('#') {
        return Ok(comment_line(comment));
    }
    if line.trim().is_empty() {
        return Ok(Line::Nothing);
    }
    let (series, rest) = series(line)?;
    let rest = rest
        .strip_prefix([' ', '\t'])
        .ok_or("expected a space and a value behind the name")?;
    let mut words = rest.split_ascii_whitespace();
    let value = words.next().ok_or("expected a value")?;
    let value = number(value).ok_or_else(|| format!("`{value}` is no number"))?;
    match words.next() {
        None | Some("#") => {}
        Some(timestamp) => {
            number(timestamp).ok_or_else(|| format!("`{timestamp}` is no timestamp"))?;
        }
    }
    Ok(Line::Sample(SampleLine { series, value }))
}

fn comment_line(comment: &str) -> Line {
    let mut words = comment.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("TYPE"), Some(name), Some(kind)) => Line::Type {
            name: name.to_owned(),
            kind: kind.to_owned(),
        },
        _ => Line::Nothing,
    }
}

/// A name, its labels, and what stands behind them.
pub(super) fn series(text: &str) -> Result<(Series, &str), String> {
    let (name, rest) = word(text, true);
    if name.is_empty() {
        return Err("expected the name of a metric".to_owned());
    }
    let name = name.to_owned();
    let Some(mut rest) = rest.strip_prefix('{') else {
        let labels = BTreeMap::new();
        return Ok((Series { name, labels }, rest));
    };
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((Series { name, labels }, after));
        }
        let (label, after) = word(rest, false);
        let after = after.trim_start().strip_prefix('=').map(str::trim_start);
        let after = after.filter(|_| !label.is_empty());
        let quoted = after.and_then(|after| after.strip_prefix('"'));
        let quoted = quoted.ok_or("expected a label, like name=\"value\"")?;
        let (value, after) = unquoted(quoted)?;
        if labels.insert(label.to_owned(), value).is_some() {
            return Err(format!("the label `{label}` stands there twice"));
        }
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => {}
            None => return Err("expected `,` or `}` behind a label".to_owned()),
        }
    }
}

/// The longest beginning that can be a name.
fn word(text: &str, colons: bool) -> (&str, &str) {
    let fits = |(place, letter): (usize, char)| {
        letter.is_ascii_alphabetic()
            || letter == '_'
            || (colons && letter == ':')
            || (place > 0 && letter.is_ascii_digit())
    };
    let end = text.char_indices().find(|at| !fits(*at));
    text.split_at(end.map_or(text.len(), |(place, _)| place))
}

fn unquoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '"' => return Ok((value, &text[place + 1..])),
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, same @ ('\\' | '"'))) => value.push(same),
                _ => return Err("an escape that is none of \\\\, \\\" and \\n".to_owned()),
            },
            other => value.push(other),
        }
    }
    Err("a label's value without an end".to_owned())
}

/// As Go writes them: also `+Inf` and `NaN`.
pub(super) fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}
