//! Text for YAML: comments of a readable width, and strings that are read back as what they were.

/// The width of comments, in characters.
const WIDTH: usize = 110;

/// A comment, wrapped, each line `indent` spaces in.
pub fn comment(out: &mut String, indent: usize, words: &str) {
    let lead = format!("{}#", " ".repeat(indent));
    let mut width = usize::MAX;
    for word in words.split_whitespace() {
        let own = word.chars().count();
        if width.saturating_add(own + 1) > WIDTH {
            if width != usize::MAX {
                out.push('\n');
            }
            out.push_str(&lead);
            width = lead.len();
        }
        out.push(' ');
        out.push_str(word);
        width += own + 1;
    }
    out.push('\n');
}

/// `text` as a YAML string: bare where no reader could take it for anything else, in quotation marks otherwise.
pub fn string(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    // A file name with a dot or a slash between letters is neither number nor boolean nor null.
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '.');
    let told_apart = text.contains(['.', '/']) && text.contains(|c: char| c.is_ascii_alphabetic());
    let special = [".inf", ".nan", "..."].iter().any(|s| text.eq_ignore_ascii_case(s));
    if begins && told_apart && !special && text.chars().all(word) {
        return text.to_owned();
    }
    // A JSON string is a YAML string.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_back_as_they_were() {
        let texts = [
            "a.onnx",
            "../a b/c.onnx",
            "yes",
            "1.5",
            "1e3.5",
            "null",
            "~",
            "a: b",
            "#x",
            "x #y",
            "",
            ".",
            "..",
            ".inf",
            ".NaN",
            "...",
            "a\\b",
            "a\"b",
            "ä.onnx",
            "a\nb",
            "'a'",
            "[x]",
            "-a.b",
            "/abs/p.onnx",
            "0x1f.a",
            "a,b",
            "x[1]",
        ];
        for text in texts {
            let read: String = serde_yaml::from_str(&string(text)).expect("YAML");
            assert_eq!(read, text, "{}", string(text));
            let flow: Vec<String> = serde_yaml::from_str(&format!("[{}]", string(text))).expect("YAML");
            assert_eq!(flow, [text]);
        }
    }

    #[test]
    fn comments_are_wrapped_between_words() {
        let mut out = String::new();
        comment(&mut out, 2, &"word ".repeat(60));
        assert!(out.lines().all(|line| line.starts_with("  # word") && line.len() <= WIDTH), "{out}");
        assert_eq!(out.split_whitespace().filter(|word| *word == "word").count(), 60);
        assert!(out.lines().count() < 5 && out.ends_with("word\n"));
    }
}
