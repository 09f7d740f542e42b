//! How a rule picks names: a glob, or a regex between slashes.

use super::super::text::{Place, shown};
use globset::{GlobBuilder, GlobSet};
use regex::{Regex, RegexBuilder};

/// The longest pattern. What compiling one costs grows with its length.
const MAX_LENGTH: usize = 1000;
/// The most memory that a compiled regex takes, in bytes: `(\w{100}){100}` is short and would take far more.
const MAX_REGEX: usize = 1 << 20;

/// A compiled pattern and where it stands.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    place: Place,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Glob(GlobSet),
    Regex(Regex),
}

impl Pattern {
    /// A pattern from `text`, which stands at `place`. `/.../` is a regex that may match anywhere in a name. Anything
    /// else is a glob that matches a whole name, in which `*` crosses slashes.
    ///
    /// ONNX names commonly begin with a slash, so one slash makes no regex.
    ///
    /// # Errors
    /// A message, when the text is empty, too long or not a valid pattern.
    pub fn new(text: &str, place: Place) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(format!("a pattern has 1 to {MAX_LENGTH} characters; found {}", text.len()));
        }
        let inside = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|inside| !inside.is_empty());
        let matcher = match inside {
            Some(inside) => {
                let regex = RegexBuilder::new(inside).size_limit(MAX_REGEX).build();
                Matcher::Regex(regex.map_err(|e| format!("{} is no regex: {}", shown(text), last_line(&e)))?)
            }
            None => Matcher::Glob(glob(text).map_err(|e| format!("{} is no glob: {}", shown(text), e.kind()))?),
        };
        Ok(Self { text: text.to_owned(), place, matcher })
    }

    /// Whether `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Glob(glob) => glob.is_match(name),
            Matcher::Regex(regex) => regex.is_match(name),
        }
    }

    /// The pattern as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it stands in the policy.
    pub fn place(&self) -> Place {
        self.place
    }

    /// What may have gone wrong with the pattern itself when it matches nothing.
    pub(in crate::policy) fn hint(&self) -> &'static str {
        match self.matcher {
            Matcher::Glob(_) if self.text.contains('[') => {
                " (in a glob, [ ] is one of several characters; write [[] for a bracket)"
            }
            _ => "",
        }
    }
}

/// A set of one: unlike a single glob it gives an error where the pattern is too large to compile.
fn glob(text: &str) -> Result<GlobSet, globset::Error> {
    let glob = GlobBuilder::new(text).literal_separator(false).backslash_escape(true).build()?;
    GlobSet::builder().add(glob).build()
}

/// A regex error draws the pattern on several lines; the last one says what is wrong.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
