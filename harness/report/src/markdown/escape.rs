//! Foreign text in Markdown: shown as it is, never interpreted.

use crate::text;

/// Text within a line, a list item or a table cell.
pub(super) fn inline(text: &str) -> String {
    let mut escaped = String::new();
    for character in text::one_line(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // `$` begins a formula and `~` a strike-through on GitHub.
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' | '#' => {
                escaped.push('\\');
                escaped.push(character);
            }
            // `@name` notifies somebody when the page becomes a comment.
            '@' => escaped.push_str("&#64;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Text within a block of HTML, where Markdown's own escapes do not apply.
pub(super) fn html(text: &str) -> String {
    let mut escaped = String::new();
    for character in text::one_line(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Clean lines as a block of code, fenced with more backticks than the text holds in a row.
pub(super) fn code_block(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{text}\n{fence}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_be_ended_or_filled_with_markup() {
        assert_eq!(
            inline("a|b `c` <script>\n# $x$ @all"),
            r"a\|b \`c\` &lt;script&gt;\\n\# \$x\$ &#64;all"
        );
        assert_eq!(html("</summary>\"&`"), "&lt;/summary&gt;&quot;&amp;`");
    }

    #[test]
    fn a_block_of_code_cannot_be_ended_from_inside() {
        let block = code_block("text", "a\n````\nb");
        assert_eq!(block, "`````text\na\n````\nb\n`````\n");
    }
}
