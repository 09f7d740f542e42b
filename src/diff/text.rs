//! A difference as text: the worst of each kind, and how many more there are.

use super::{Changed, ConstantChange, Difference, GridChange, GridOf, NodeOf};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// So many of each kind are shown.
const SHOWN: usize = 10;
/// Of longer texts the middle is left out.
const LONGEST: usize = 72;

/// Names come from files, and what a terminal would take for a command, or for a line of its own, may stand in them.
fn flat(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn short(text: &str) -> String {
    let flat = flat(text);
    let ends: Vec<usize> = flat.char_indices().map(|(at, _)| at).collect();
    if ends.len() <= LONGEST {
        return flat;
    }
    let half = (LONGEST - 3) / 2;
    format!("{}...{}", &flat[..ends[half]], &flat[ends[ends.len() - half]..])
}

/// The first of `all` in lines of their own, under `title`.
fn list<T>(f: &mut Formatter<'_>, title: &str, all: &[T], line: impl Fn(&T) -> String) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title:<12} {}", all.len())?;
    all.iter().take(SHOWN).try_for_each(|one| writeln!(f, "  {}", line(one)))?;
    match all.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more"),
    }
}

fn changed(change: &Changed) -> String {
    let side = |side: &Option<String>| side.as_deref().map_or("not there".to_owned(), short);
    format!("{}: {} -> {}", short(&change.what), side(&change.a), side(&change.b))
}

/// How many there are of each operator.
fn operators(nodes: &[NodeOf]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    nodes.iter().for_each(|node| *counts.entry(&node.operator).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let rest = counts.len().saturating_sub(SHOWN);
    let mut texts: Vec<String> =
        counts.iter().take(SHOWN).map(|(name, count)| format!("{count} {}", short(name))).collect();
    texts.extend((rest > 0).then(|| format!("{rest} more operators")));
    texts.join(", ")
}

fn nodes(f: &mut Formatter<'_>, title: &str, all: &[NodeOf]) -> fmt::Result {
    let title = format!("{title:<12} {}", operators(all));
    if all.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}")?;
    for NodeOf { node, operator, part_of } in all.iter().take(SHOWN) {
        let part = part_of.map_or(String::new(), |whole| format!(", part of a {whole}"));
        writeln!(f, "  {} {}{part}", short(operator), short(node))?;
    }
    match all.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more"),
    }
}

impl Display for GridOf {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:e} {}", self.r#type, self.scale, self.zero_point)
    }
}

fn grid(change: &GridChange) -> String {
    let GridChange { value, a, b, scale_ratio } = change;
    let ratio = scale_ratio.map_or_else(String::new, |ratio| format!(", scale x {ratio:.4}"));
    format!("{}: {a} -> {b}{ratio}", short(value))
}

fn constant(change: &ConstantChange) -> String {
    let ConstantChange { name, b_name, a, b, count, differing, not_finite, max_abs, sqnr_db, scale_ratio } = change;
    let mut text = short(name);
    if let Some(other) = b_name {
        text += &format!(" ({} in the second)", short(other));
    }
    text += ": ";
    match (a, b) {
        (Some(a), Some(b)) if a == b => text += a,
        (a, b) => {
            let side = |side: &Option<String>| side.clone().unwrap_or("not there".to_owned());
            text += &format!("{} -> {}", side(a), side(b));
        }
    }
    if let Some(differing) = differing {
        text += &format!("; {differing} of {count} stored numbers differ");
    }
    if *not_finite > 0 {
        text += &format!("; {not_finite} infinite or NaN in one alone");
    }
    match (max_abs, sqnr_db) {
        (Some(most), _) if *most == 0.0 && *not_finite > 0 => {}
        (Some(most), _) if *most == 0.0 => text += "; the same numbers",
        (Some(most), Some(db)) => text += &format!("; {db:.1} dB, max abs {most:.3e}"),
        (Some(most), None) => text += &format!("; max abs {most:.3e}"),
        (None, _) => {}
    }
    match scale_ratio {
        Some([low, high]) if low == high && *low != 1.0 => text += &format!("; scale x {low:.4}"),
        Some([low, high]) if low != high => text += &format!("; scales x {low:.4} to {high:.4}"),
        _ => {}
    }
    text
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        list(f, "file", &self.around, changed)?;
        list(f, "interface", &self.interface, changed)?;
        nodes(f, "removed", &self.removed)?;
        nodes(f, "added", &self.added)?;
        list(f, "changed", &self.changed, |node| {
            let all: Vec<String> = node.changes.iter().take(SHOWN).map(changed).collect();
            let more = node.changes.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            format!("{} {}: {}{more}", short(&node.operator), short(&node.node), all.join("; "))
        })?;
        list(f, "renamed", &self.renamed, changed)?;
        list(f, "one-sided", &self.one_sided, |one| {
            format!("{} {}: {} -> {}", one.kind, short(&one.name), one.a, one.b)
        })?;
        list(f, "grids", &self.grids, grid)?;
        list(f, "constants", &self.constants, constant)?;
        list(f, "not compared", &self.notes, |note| flat(note))?;
        let super::Compared { nodes, grids, constants } = self.compared;
        let what = match (self.is_empty(), self.is_all_but_names()) {
            (true, _) => "no difference",
            (_, true) => "other names",
            _ => "different",
        };
        writeln!(f, "{what:<12} {nodes} nodes, {grids} grids and {constants} constants are in both")
    }
}
