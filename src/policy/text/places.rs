//! Where each key and value of a policy stands: what serde knows by its path gets its line and column from here.

use super::nearest::shown;
use saphyr_parser::Marker;

/// A line and a column of the policy, both from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from one.
    pub line: usize,
    /// Column in characters, from one.
    pub column: usize,
}

impl Place {
    /// Where a file begins.
    pub(in crate::policy) const START: Self = Self { line: 1, column: 1 };
}

impl From<Marker> for Place {
    fn from(mark: Marker) -> Self {
        Self { line: mark.line().max(1), column: mark.col() + 1 }
    }
}

/// What is wrong with the text, and where.
#[derive(Debug)]
pub(super) struct Trouble {
    pub message: String,
    pub place: Place,
}

impl Trouble {
    pub fn new(place: impl Into<Place>, message: impl Into<String>) -> Self {
        Self { message: message.into(), place: place.into() }
    }
}

/// A key of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub text: String,
    pub place: Place,
}

/// What stands at a place.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A text; `plain` without quotes, so that it may be a number, a truth value or nothing.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub place: Place,
    pub content: Content,
}

/// How large a tree is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// Keys and values.
    pub nodes: usize,
    /// Bytes of their texts.
    pub bytes: usize,
    /// Levels of lists and mappings.
    pub depth: usize,
}

impl Node {
    /// What stands at `path` (`rules[1].match.node`), or else the nearest thing around it.
    pub fn find(&self, path: &str) -> &Self {
        let mut node = self;
        for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
            let below = match (&node.content, step.strip_suffix(']')) {
                (Content::List(items), Some(index)) => index.parse().ok().and_then(|i: usize| items.get(i)),
                (Content::Mapping(_), None) => node.keys(step).next().map(|(_, value)| value),
                _ => None,
            };
            match below {
                Some(below) => node = below,
                None => break,
            }
        }
        node
    }

    /// Each key called `text`, with its value; nothing where this is no mapping.
    pub fn keys<'a>(&'a self, text: &str) -> impl Iterator<Item = (&'a Key, &'a Self)> {
        let entries = match &self.content {
            Content::Mapping(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().filter(move |(key, _)| key.text == text).map(|(key, value)| (key, value))
    }

    /// The value in a few words, for "found ...".
    pub fn describe(&self) -> String {
        const NULLS: [&str; 5] = ["", "~", "null", "Null", "NULL"];
        match &self.content {
            Content::Scalar { text, plain: true } if NULLS.contains(&text.as_str()) => "nothing".to_owned(),
            Content::Scalar { text, plain: true } => shown(text),
            Content::Scalar { text, plain: false } => format!("the quoted text {}", shown(text)),
            Content::List(items) => format!("a list of {}", items.len()),
            Content::Mapping(_) => "keys".to_owned(),
        }
    }

    /// How large the tree below is, the node itself included.
    pub fn extent(&self) -> Extent {
        let below = |sum: Extent, child: &Self| {
            let Extent { nodes, bytes, depth } = child.extent();
            Extent { nodes: sum.nodes + nodes, bytes: sum.bytes + bytes, depth: sum.depth.max(depth + 1) }
        };
        let nest = Extent { nodes: 1, bytes: 0, depth: 1 };
        match &self.content {
            Content::Scalar { text, .. } => Extent { nodes: 1, bytes: text.len(), depth: 0 },
            Content::List(items) => items.iter().fold(nest, below),
            Content::Mapping(entries) => entries.iter().fold(nest, |sum, (key, node)| {
                let Extent { nodes, bytes, depth } = below(sum, node);
                Extent { nodes: nodes + 1, bytes: bytes + key.text.len(), depth }
            }),
        }
    }
}
