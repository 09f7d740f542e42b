//! Names and numbers as they stand in the page.

use super::super::entities::entity;
use std::fmt::Write;

/// `text` as it may stand between tags and in quoted attributes. What a page may not hold is replaced: control characters by
/// their pictures, and what turns the direction of writing, with which a name could look like another, by U+FFFD.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if let Some(entity) = entity(c) {
            escaped.push_str(entity);
            continue;
        }
        match c {
            '\n' => escaped.push('\n'),
            '\0'..' ' => escaped.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER)),
            '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                escaped.push(char::REPLACEMENT_CHARACTER);
            }
            '\u{fdd0}'..='\u{fdef}' => escaped.push(char::REPLACEMENT_CHARACTER),
            c if u32::from(c) & 0xfffe == 0xfffe => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A name, which may be long: its beginning and its end, escaped.
pub fn shortened(name: &str, most: usize) -> String {
    let count = name.chars().count();
    if count <= most {
        return escape(name);
    }
    let (before, after) = (most / 3, most - most / 3 - 1);
    let start: String = name.chars().take(before).collect();
    let end: String = name.chars().skip(count - after).collect();
    escape(&format!("{start}…{end}"))
}

/// Decibels, with a true minus sign.
pub fn db(db: f64) -> String {
    // Not minus zero.
    minus(&format!("{:.1} dB", (db * 10.0).round() / 10.0 + 0.0))
}

/// A share as per cent.
pub fn percent(share: f64, digits: usize) -> String {
    minus(&format!("{:.digits$} %", share * 100.0))
}

/// A number to four significant digits.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    let text = match magnitude {
        0.0 => "0".to_owned(),
        _ if !magnitude.is_finite() => "not finite".to_owned(),
        1e-3..1e5 => {
            let digits = (3 - magnitude.log10().floor() as i64).clamp(0, 6) as usize;
            let text = format!("{value:.digits$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        }
        _ => format!("{value:.2e}"),
    };
    minus(&text)
}

/// Bytes in the unit that suits them, as a page has them: two sizes of one file's kind stand side by side.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..10_000_000 => format!("{:.2} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// A count with a thin space between thousands.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `count` of a thing called `one` or, in the plural, `many`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn minus(text: &str) -> String {
    text.replace('-', "\u{2212}")
}

/// `bytes` in base 64 (RFC 4648), as a data URI has them.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let of = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = of(0) << 16 | of(1) << 8 | of(2);
        for place in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * place) & 63) as usize]);
            text.push(if place <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

/// A table: its caption for those who do not see it, headings, and rows of cells that are markup already. Columns from
/// `numbers` on are aligned as numbers.
pub fn table(caption: &str, headings: &[&str], numbers: usize, rows: &[Vec<String>]) -> String {
    let mut text = format!(
        "<section class=\"scroll\" aria-label=\"{0}\" tabindex=\"0\"><table><caption>{0}</caption><thead><tr>",
        escape(caption)
    );
    let class = |index: usize| if index >= numbers { " class=\"n\"" } else { "" };
    for (index, heading) in headings.iter().enumerate() {
        let _ = write!(text, "<th scope=\"col\"{}>{}</th>", class(index), escape(heading));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        text.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let _ = write!(text, "<td{}>{cell}</td>", class(index));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody></table></section>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_is_markup() {
        assert_eq!(escape("<script>\"&'</script>"), "&lt;script&gt;&quot;&amp;&#39;&lt;/script&gt;");
        assert_eq!(escape("a\0b\u{1b}\t\r"), "a␀b␛␉␍");
        assert_eq!(escape("a\u{202e}b\u{85}\u{fffe}\u{1ffff}\u{fdd0}"), "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(escape("größe/层"), "größe/层");
    }

    #[test]
    fn a_long_name_keeps_both_ends_and_is_cut_before_it_is_escaped() {
        assert_eq!(shortened("short", 10), "short");
        assert_eq!(shortened("abcdefghijklmnop", 10), "abc…klmnop");
        assert_eq!(shortened(&"<".repeat(20), 4), "&lt;…&lt;&lt;");
    }

    #[test]
    fn numbers_have_four_digits() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (-0.5, "\u{2212}0.5"),
            (1234.56, "1235"),
            (0.0012345, "0.001234"),
            (31.25, "31.25"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(1.5e-7), "1.50e\u{2212}7");
        assert_eq!(number(f64::NAN), "not finite");
        assert_eq!(
            (count(1_234_567), count(12), db(-0.04)),
            ("1\u{202f}234\u{202f}567".into(), "12".into(), "0.0 dB".into())
        );
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfb]), "//77");
    }
}
