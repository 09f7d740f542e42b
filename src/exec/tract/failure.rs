//! Why tract cannot run a model, on one line: which node stands in the way, and the cause at the bottom of its chain.

use super::super::quiet;
use super::bounds::TooLarge;
use crate::error::{Error, Result};
use std::collections::HashMap;
use tract_onnx::prelude::*;

/// A node as the model calls it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label {
    /// Its name, or that of its first output where it has none.
    pub name: String,
    /// The operator.
    pub op_type: String,
}

/// The nodes of the model by the names that tract has for its own.
pub type Labels = HashMap<String, Label>;

/// The longest reason that is passed on, in characters. tract's may quote whole tensors.
const LONGEST: usize = 300;

/// What went wrong, and at which node if that is known.
#[derive(Debug)]
pub struct Failure {
    node: Option<Label>,
    why: String,
    /// Whether no other way to run the model can help.
    is_final: bool,
}

impl From<TractError> for Failure {
    fn from(error: TractError) -> Self {
        Self { node: None, why: root(&error), is_final: error.root_cause().is::<TooLarge>() }
    }
}

impl Failure {
    /// A reason that lies in one node.
    pub fn at(node: Label, why: impl ToString) -> Self {
        Self { node: Some(node), why: why.to_string(), is_final: false }
    }

    /// tract's error, about the node that it names.
    pub fn of(error: &TractError, labels: &Labels) -> Self {
        let node = error.chain().find_map(|cause| named(&cause.to_string(), labels));
        Self { node, why: root(error), is_final: error.root_cause().is::<TooLarge>() }
    }

    /// Whether no other way to run the model can help.
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    fn into_error(self) -> Error {
        match self.node {
            Some(Label { name, op_type }) => Error::node(name, op_type, self.why),
            None => Error::Engine(format!("tract cannot run it: {}", self.why)),
        }
    }

    /// A panic of tract's.
    fn of_panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let why = format!("it panicked: {}", one_line(text.unwrap_or("without saying why")));
        Self { node: None, why, is_final: false }
    }
}

/// tract panics on some malformed models; a converter must not.
pub fn guarded<T>(f: impl FnOnce() -> std::result::Result<T, Failure>) -> Result<T> {
    guarded_at(f, || None)
}

/// As [`guarded`]; `node` tells where tract was when it panicked.
pub fn guarded_at<T>(
    f: impl FnOnce() -> std::result::Result<T, Failure>,
    node: impl FnOnce() -> Option<Label>,
) -> Result<T> {
    let caught = quiet::catch(f);
    let failed = |panic: Box<dyn std::any::Any + Send>| Failure { node: node(), ..Failure::of_panic(&*panic) };
    caught.unwrap_or_else(|panic| Err(failed(panic))).map_err(Failure::into_error)
}

/// The cause at the bottom: those above it say where tract was, not what is wrong.
fn root(error: &TractError) -> String {
    one_line(&error.root_cause().to_string())
}

fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

/// The node of the model in a text like `Translating node #3 "name.part" Operator`, or `Building node name (Operator)`.
fn named(text: &str, labels: &Labels) -> Option<Label> {
    let quoted = || {
        let (_, rest) = text.split_once(" #").or_else(|| text.split_once('#'))?;
        let (number, rest) = rest.split_once(" \"")?;
        number.parse::<usize>().ok()?;
        Some(rest.split_once('"')?.0)
    };
    let built = || Some(text.strip_prefix("Building node ")?.rsplit_once(" (")?.0);
    labelled(quoted().or_else(built)?, labels)
}

/// The node of the model that tract's node `name` comes from: what it makes of one is called after it, with a suffix.
pub fn labelled(mut name: &str, labels: &Labels) -> Option<Label> {
    loop {
        match labels.get(name) {
            Some(label) => return Some(label.clone()),
            None => name = name.rsplit_once('.')?.0,
        }
    }
}
