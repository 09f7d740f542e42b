//! A policy as text, with the rules that a search added and their reasons as comments: to review, to commit, and to run without
//! searching.

use super::raw::{Activations, BudgetType, Mode, Raw, TypeName, WeightTypeName, Weights};
use super::settings::{Pattern, Rule, Settings};
use super::text::Place;
use crate::error::{Error, Result};
use serde_json::{Value, json};
use std::path::Path;

/// What every rule says that a search added, in lists of what stays in float.
const REASON: &str = "the budget asks for it";

/// A rule that a search added.
#[derive(Debug, Clone)]
pub struct FoundRule {
    /// The node, by its whole name.
    pub node: String,
    /// What it becomes.
    pub kind: BudgetType,
    /// Why, in a few words.
    pub why: String,
}

impl FoundRule {
    /// The rule, as if it stood in a policy. `None` where no pattern can name the node.
    pub fn rule(&self) -> Option<Rule> {
        let (mut activations, mut weights) = (Activations::default(), Weights::default());
        let (mut mode, mut quantize) = (None, None);
        match self.kind {
            BudgetType::Int4 => (mode, weights.dtype) = (Some(Mode::WeightOnly), Some(WeightTypeName::Int4)),
            BudgetType::Int16 => activations.dtype = Some(TypeName::Uint16),
            BudgetType::Float16 => mode = Some(Mode::Float16),
            BudgetType::Float32 => quantize = Some(false),
        }
        Some(Rule {
            node: Some(Pattern::new(&self.pattern(), Place::START).ok()?),
            op_types: Vec::new(),
            value: None,
            mode,
            quantize,
            reason: Some(REASON.to_owned()),
            activations,
            weights,
            between: None,
            range: None,
            grid: None,
            place: Place::START,
        })
    }

    /// A glob that matches the node's name and no other.
    fn pattern(&self) -> String {
        let escaped = globset::escape(&self.node);
        // Between slashes it would be a regex.
        match escaped.strip_prefix('/') {
            Some(rest) if rest.ends_with('/') => format!("[/]{rest}"),
            _ => escaped,
        }
    }

    /// The rule as an item of the list, each line behind `indent`.
    fn text(&self, indent: &str) -> String {
        let what = match self.kind {
            BudgetType::Int4 => "mode: weight-only, weights: { type: int4 }",
            BudgetType::Int16 => "activations: { type: uint16 }",
            BudgetType::Float16 => "mode: float16",
            BudgetType::Float32 => "quantize: false",
        };
        let (node, why) = (json!(self.pattern()), self.why.replace(['\n', '\r'], " "));
        format!("{indent}# {why}\n{indent}- {{ match: {{ node: {node} }}, {what}, reason: {REASON} }}\n")
    }
}

/// The policy of `settings`, which are without `found`, without its budget and with these rules behind its own. Where `settings` are of a file in the
/// folder of `path` and no flag changed what decides the bytes, that file's text is kept, but for its budget; otherwise it is
/// written anew, with paths from `named`.
///
/// # Errors
/// When the text would not be read as what it is made of.
pub fn recipe(
    settings: &Settings,
    found: &[FoundRule],
    path: &Path,
    named: &dyn Fn(&Path) -> Result<String>,
) -> Result<String> {
    let mut wanted = settings.clone();
    wanted.rules.extend(found.iter().filter_map(FoundRule::rule));
    let says_so = |text: &String| {
        let read = Raw::parse(text, path).and_then(|raw| raw.settings());
        read.is_ok_and(|read| read.canonical() == wanted.canonical() && read.model.is_some() == wanted.model.is_some())
    };
    let own = settings.path().filter(|own| own.parent() == path.parent());
    let own = own.and_then(|own| std::fs::read_to_string(own).ok());
    if let Some(text) = own.and_then(|own| edited(&own, found)).filter(says_so) {
        return Ok(text);
    }
    let anew = anew(settings, found, named)?;
    match says_so(&anew) {
        true => Ok(anew),
        false => Err(Error::file(path, "cannot be written: this policy cannot be told in a file of its own")),
    }
}

/// The text of a policy without its budget and with more rules; `None` where its rules are not a list of one item below another.
fn edited(text: &str, found: &[FoundRule]) -> Option<String> {
    let key = |line: &str, key: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'));
    let continues = |line: &str| line.is_empty() || line.starts_with([' ', '-', '\t']);
    let (mut lines, mut in_budget) = (Vec::new(), false);
    for line in text.lines() {
        in_budget = key(line, "budget") || in_budget && continues(line);
        if !in_budget {
            lines.push(line.to_owned());
        }
    }
    let Some(at) = lines.iter().position(|line| key(line, "rules")) else {
        let rules: String = found.iter().map(|rule| rule.text("  ")).collect();
        let rules = if found.is_empty() { String::new() } else { format!("rules:\n{rules}") };
        return Some(format!("{}\n{rules}", lines.join("\n")));
    };
    let first = lines[at + 1..].iter().find(|line| line.trim_start().starts_with("- "))?;
    let indent = " ".repeat(first.len() - first.trim_start().len());
    let length = lines[at + 1..].iter().take_while(|line| continues(line) && !line.is_empty()).count();
    let rules: String = found.iter().map(|rule| rule.text(&indent)).collect();
    let (before, behind) = lines.split_at(at + 1 + length);
    let end = if behind.is_empty() { "" } else { "\n" };
    Some(format!("{}\n{rules}{}{end}", before.join("\n"), behind.join("\n")))
}

/// The policy as text, whatever it came from.
fn anew(settings: &Settings, found: &[FoundRule], named: &dyn Fn(&Path) -> Result<String>) -> Result<String> {
    let mut moved = settings.clone();
    let data = [moved.calibration.as_mut(), moved.validation.samples_mut()];
    let sources = data.into_iter().flatten().map(|data| &mut data.source);
    let of_data = sources.flat_map(|source| [Some(&mut source.path), source.labels.as_mut()]);
    let others = [moved.model.as_mut(), moved.output.as_mut(), moved.encodings.as_mut()];
    for path in of_data.chain(others).flatten() {
        *path = named(path)?.into();
    }
    let mut written = moved.written();
    let own = match written.get_mut("rules").map(Value::take) {
        Some(Value::Array(own)) => own,
        _ => Vec::new(),
    };
    if let Value::Object(keys) = &mut written {
        keys.remove("rules");
    }
    let mut text = serde_yaml::to_string(&written).map_err(Error::other)?;
    if !own.is_empty() || !found.is_empty() {
        text.push_str("rules:\n");
    }
    if !own.is_empty() {
        text.push_str(&serde_yaml::to_string(&own).map_err(Error::other)?);
    }
    text.extend(found.iter().map(|rule| rule.text("")));
    Ok(text)
}
