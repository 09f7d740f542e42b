//! "Did you mean": which known words and names lie nearest to one that is not known.

use std::cmp::Reverse;

/// What is shown of a text that someone else wrote: at most so many characters.
const SHOWN: usize = 60;

/// `text` in quotes, shortened where it is long.
pub(in crate::policy) fn shown(text: &str) -> String {
    if text.chars().nth(SHOWN).is_none() {
        return format!("{text:?}");
    }
    let head: String = text.chars().take(SHOWN).collect();
    format!("{:?}", head + "...")
}

/// The message for a word that is none of `known`: the nearest one where one is near, then all of them, the near ones
/// first.
pub(super) fn unknown(kind: &str, given: &str, known: &[&str]) -> String {
    // Distances take time by the product of the lengths, and a long text is no slip of the finger.
    let slip = given.chars().nth(SHOWN).is_none().then(|| given.to_lowercase());
    let distance = |word: &str| slip.as_ref().map(|given| strsim::osa_distance(given, word));
    let near = |distance: &usize| *distance <= (given.len() / 3).max(1);
    let mut ranked: Vec<(usize, &str)> =
        known.iter().map(|&word| (distance(word).filter(near).unwrap_or(usize::MAX), word)).collect();
    // Stable: what is not near keeps its order.
    ranked.sort_by_key(|(distance, _)| *distance);
    let list = ranked.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(", ");
    let hint = match ranked.first() {
        Some((distance, word)) if *distance != usize::MAX => format!("; did you mean {word:?}?"),
        _ => ".".to_owned(),
    };
    format!("unknown {kind} {}{hint} Known here: {list}", shown(given))
}

/// The `count` names most like `pattern`, each once, the most like first.
pub(in crate::policy) fn names<'a>(pattern: &str, all: impl Iterator<Item = &'a str>, count: usize) -> Vec<&'a str> {
    // What a glob or a regex adds to a name says nothing about likeness.
    let bare: String = pattern.chars().filter(|c| !matches!(c, '*' | '?' | '^' | '$' | '\\')).collect();
    // Paths share their first words with everything, so likeness of the whole counts, with a bonus for the beginning.
    let score = |name: &str| (strsim::jaro_winkler(&bare, name) * 1e6) as u64;
    let mut ranked: Vec<(Reverse<u64>, &str)> =
        all.filter(|name| !name.is_empty()).map(|name| (Reverse(score(name)), name)).collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.into_iter().take(count).map(|(_, name)| name).collect()
}
