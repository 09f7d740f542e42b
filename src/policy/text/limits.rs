//! What a policy must not be before serde_yaml sees it, and the places of what it is.
//!
//! The parser here gives events, so nothing recurses into the text: how deep and how large a policy may grow is
//! bounded while it grows, aliases included, and a hostile file costs no more than an honest one of its size. What
//! the two parsers would read differently is refused, so that what was measured is what serde_yaml reads.

use super::differences::{Names, check_characters, check_plain};
use super::places::{Content, Extent, Key, Node, Place, Trouble};
use saphyr_parser::{Event, Parser, ScalarStyle};
use std::collections::HashMap;

/// Deeper than any policy: rules, an item, activations, a value are four.
const MAX_DEPTH: usize = 32;
/// Keys and values of one policy, aliases counted as what they stand for.
const MAX_NODES: usize = 100_000;
/// Bytes in all keys and values, aliases counted as what they stand for.
const MAX_TEXT: usize = 4 << 20;

/// A list or mapping that is still open.
struct Frame {
    node: Node,
    anchor: usize,
    key: Option<Key>,
}

/// The tree as far as it has been read.
#[derive(Default)]
struct Builder {
    open: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    bytes: usize,
    root: Option<Node>,
}

/// The places of one YAML document that keeps all limits.
pub(super) fn places(text: &str) -> Result<Node, Trouble> {
    check_characters(text)?;
    let mut parser = Parser::new_from_str(text);
    let mut names = Names::new(text);
    let mut builder = Builder::default();
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) =
            event.map_err(|e| Trouble::new(*e.marker(), format!("this is not valid YAML: {}", e.info())))?;
        let place = Place::from(span.start);
        if let Event::Scalar(_, _, 1.., None) | Event::SequenceStart(1.., None) | Event::MappingStart(1.., None) = event
        {
            names.check(span.start.index(), place)?;
        }
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    let message = "a second document begins here; a policy is one document, without ---";
                    return Err(Trouble::new(place, message));
                }
            }
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                let message = "tags (!...) have no meaning in a policy; remove it, or quote the text";
                return Err(Trouble::new(place, message));
            }
            Event::Scalar(text, style, anchor, None) => {
                let plain = style == ScalarStyle::Plain;
                if plain {
                    check_plain(&text, place)?;
                }
                let content = Content::Scalar { text: text.into_owned(), plain };
                builder.scalar(Node { place, content }, anchor)?;
            }
            Event::SequenceStart(anchor, None) => builder.open(place, Content::List(Vec::new()), anchor)?,
            Event::MappingStart(anchor, None) => builder.open(place, Content::Mapping(Vec::new()), anchor)?,
            Event::SequenceEnd | Event::MappingEnd => builder.close()?,
            Event::Alias(anchor) => builder.alias(place, anchor)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }
    let nothing = || Content::Scalar { text: String::new(), plain: true };
    Ok(builder.root.unwrap_or_else(|| Node { place: Place::START, content: nothing() }))
}

impl Builder {
    /// Counts `more` at `place`.
    fn grow(&mut self, place: Place, more: Extent) -> Result<(), Trouble> {
        self.nodes += more.nodes;
        self.bytes += more.bytes;
        if self.nodes > MAX_NODES {
            let message = format!("the policy has more than {MAX_NODES} keys and values, aliases written out");
            return Err(Trouble::new(place, message));
        }
        if self.bytes > MAX_TEXT {
            return Err(Trouble::new(place, "the policy has more than 4 MiB of text, aliases written out"));
        }
        if self.open.len() + more.depth > MAX_DEPTH {
            return Err(Trouble::new(place, format!("the policy is nested more than {MAX_DEPTH} deep")));
        }
        Ok(())
    }

    fn scalar(&mut self, node: Node, anchor: usize) -> Result<(), Trouble> {
        self.grow(node.place, node.extent())?;
        self.add(node, anchor)
    }

    fn open(&mut self, place: Place, content: Content, anchor: usize) -> Result<(), Trouble> {
        self.check_key(place)?;
        let node = Node { place, content };
        self.grow(place, node.extent())?;
        self.open.push(Frame { node, anchor, key: None });
        Ok(())
    }

    /// Refuses a list, a mapping or an alias where a key should stand.
    fn check_key(&self, place: Place) -> Result<(), Trouble> {
        match self.open.last() {
            Some(Frame { node: Node { content: Content::Mapping(_), .. }, key: None, .. }) => {
                Err(Trouble::new(place, "a key is a plain word, not a list, keys or an alias"))
            }
            _ => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), Trouble> {
        match self.open.pop() {
            Some(frame) => self.add(frame.node, frame.anchor),
            None => Ok(()),
        }
    }

    fn alias(&mut self, place: Place, anchor: usize) -> Result<(), Trouble> {
        self.check_key(place)?;
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(Trouble::new(place, "this alias stands inside what it names"));
        };
        self.grow(place, node.extent())?;
        self.add(node, 0)
    }

    /// Puts a finished node where it belongs: as a key, under the key before it, into a list, or at the root.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Trouble> {
        let place = node.place;
        if anchor != 0 {
            // The copy kept for aliases counts too: nested anchors would otherwise multiply what is kept.
            self.grow(place, node.extent())?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut frame.node.content, frame.key.take(), node.content) {
            (Content::List(items), _, content) => items.push(Node { place, content }),
            (Content::Mapping(entries), Some(key), content) => entries.push((key, Node { place, content })),
            (Content::Mapping(_), None, Content::Scalar { text, .. }) => frame.key = Some(Key { text, place }),
            // A list or mapping as a key was refused when it opened, and a scalar is never open.
            (Content::Mapping(_) | Content::Scalar { .. }, _, _) => {}
        }
        Ok(())
    }
}
