//! Where two YAML parsers part: what serde_yaml would read otherwise than the parser that measures the text is refused.

use super::nearest::shown;
use super::places::{Place, Trouble};
use std::collections::HashSet;
use std::str::CharIndices;

/// Refuses the characters that YAML refuses, and the line breaks of YAML 1.1, which are none in YAML 1.2.
pub(super) fn check_characters(text: &str) -> Result<(), Trouble> {
    let mut place = Place::START;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' => place = Place { line: place.line + 1, column: 0 },
            '\r' if characters.peek() != Some(&'\n') => place = Place { line: place.line + 1, column: 0 },
            '\t' | '\r' => {}
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => return Err(refused(character, place)),
            _ if character.is_control() => return Err(refused(character, place)),
            _ => {}
        }
        place.column += 1;
    }
    Ok(())
}

fn refused(character: char, place: Place) -> Trouble {
    let code = u32::from(character);
    let message =
        format!("the character U+{code:04X} cannot stand here; in a text in double quotes it is written \\u{code:04x}");
    Trouble::new(place, message)
}

/// Refuses a plain `?text`: YAML 1.1 takes the question mark in a list or mapping with brackets for one of its signs.
pub(super) fn check_plain(text: &str, place: Place) -> Result<(), Trouble> {
    match text.starts_with('?') {
        true => Err(Trouble::new(place, "a text that begins with ? is put in quotes")),
        false => Ok(()),
    }
}

/// The names of the anchors so far.
pub(super) struct Names<'a> {
    text: &'a str,
    rest: CharIndices<'a>,
    passed: usize,
    seen: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, rest: text.char_indices(), passed: 0, seen: HashSet::new() }
    }

    /// Refuses the anchor at `index`, counted in characters, if its name is unusual or taken. YAML lets a name move on
    /// to another value, but serde_yaml then may take a third one's value for it.
    pub fn check(&mut self, index: usize, place: Place) -> Result<(), Trouble> {
        // Anchors come in the order of the text, so this goes through it once.
        let begin = self.rest.nth(index.saturating_sub(self.passed)).map_or(self.text.len(), |(byte, _)| byte);
        self.passed = index + 1;
        let after = self.text[begin..].strip_prefix('&').unwrap_or_default();
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        if after.starts_with(|c: char| !c.is_whitespace() && !",]}".contains(c)) {
            return Err(Trouble::new(place, "an anchor's name is made of letters, digits, - and _"));
        }
        if self.seen.insert(name) {
            return Ok(());
        }
        Err(Trouble::new(place, format!("the anchor {} is there already; give this one another name", shown(name))))
    }
}
