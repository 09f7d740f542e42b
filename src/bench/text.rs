//! A benchmark as text: tables that begin with what most people ask for.

use super::{Benchmark, Measurement, Profile, Spread, Subject, Timed};
use crate::report::size;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// A process with a smaller share of a processor than this was kept waiting.
const BUSY: f64 = 0.95;
/// Of names of models that are longer the middle is left out ...
const LONGEST: usize = 48;
/// ... and of others.
const LONGEST_NODE: usize = 80;

fn short(text: &str, longest: usize) -> String {
    let flat: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if flat.len() <= longest {
        return flat.into_iter().collect();
    }
    let half = (longest - 3) / 2;
    let (start, end) = (&flat[..half], &flat[flat.len() - half..]);
    start.iter().chain(&['.'; 3]).chain(end).collect()
}

/// Milliseconds to four digits, or as many as stand before the point.
fn ms(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.2}"),
        v if v >= 1.0 => format!("{v:.3}"),
        v => format!("{v:.4}"),
    }
}

fn between(spread: &Spread, number: fn(f64) -> String) -> String {
    format!("{} .. {}", number(spread.p10), number(spread.p90))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Rows in columns two spaces apart; the first is flush left, the others right.
fn table(f: &mut Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let width = *width;
            line += &if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
        }
        writeln!(f, "  {}", line.trim_end())?;
    }
    Ok(())
}

/// What to call each model: its file, or its path where files of several are called alike.
fn names(models: &[Subject]) -> Vec<String> {
    let file = |model: &Subject| model.file.path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    let files: Vec<String> = models.iter().map(file).collect();
    let alike = |name: &String| files.iter().filter(|other| *other == name).count() > 1;
    files
        .iter()
        .zip(models)
        .map(|(name, model)| short(if alike(name) { &model.file.path } else { name }, LONGEST))
        .collect()
}

fn row(name: &str, timed: &Timed, first: bool) -> Vec<String> {
    let median = |spread: &Option<Spread>| spread.map_or_else(String::new, |s| ms(s.median));
    let ratio = |number: f64| format!("{number:.3}");
    let (share, shares, verdict) = match timed.ratio {
        Some(spread) if !first => {
            let verdict = if spread.leaves_open(1.0) { "within the noise" } else { "" };
            (ratio(spread.median), between(&spread, ratio), verdict)
        }
        _ => (String::new(), String::new(), ""),
    };
    let memory = timed.memory.map_or_else(|| "unknown".to_owned(), |memory| size(memory.peak_bytes));
    vec![
        name.to_owned(),
        median(&timed.latency_ms),
        timed.latency_ms.map_or_else(String::new, |s| between(&s, ms)),
        share,
        shares,
        median(&timed.load_ms),
        median(&timed.first_run_ms),
        memory,
        verdict.to_owned(),
    ]
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

impl Measurement {
    fn show(&self, f: &mut Formatter<'_>, names: &[String], shown: usize) -> fmt::Result {
        let Self { engine, threads, rounds, runs, models } = self;
        let (threads, rounds, runs) = (plural(*threads, "thread"), plural(*rounds, "round"), plural(*runs, "run"));
        writeln!(f, "\n{engine}, {threads}; {rounds}, {runs} of each")?;
        let head = ["", "median ms", "10 .. 90 %", "ratio", "10 .. 90 %", "load ms", "first ms", "peak memory"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        let ran = names.iter().zip(models).enumerate().filter(|(_, (_, timed))| timed.latency_ms.is_some());
        rows.extend(ran.map(|(index, (name, timed))| row(name, timed, index == 0)));
        if rows.len() > 1 {
            table(f, &rows)?;
        }
        busy(f, names, models)?;
        for (name, timed) in names.iter().zip(models) {
            if let Some(why) = &timed.error {
                writeln!(f, "  {name}: {why}")?;
            }
        }
        let profiles: Vec<_> =
            names.iter().zip(models).filter_map(|(name, timed)| Some((name, timed.profile.as_ref()?))).collect();
        operators(f, &profiles, shown)?;
        profiles.iter().try_for_each(|(name, profile)| nodes(f, name, profile, shown))
    }
}

/// Where others had the processor, that, and what does not count them.
fn busy(f: &mut Formatter<'_>, names: &[String], models: &[Timed]) -> fmt::Result {
    let shares = models.iter().filter_map(|model| model.processor_share);
    let Some(least) = shares.min_by(f64::total_cmp).filter(|&share| share < BUSY) else { return Ok(()) };
    writeln!(
        f,
        "  busy machine: others had the processor for {} of the time; in processor time",
        percent(1.0 - least)
    )?;
    let head = ["", "median ms", "ratio", "10 .. 90 %"].map(str::to_owned).to_vec();
    let mut rows = vec![head];
    for (index, (name, timed)) in names.iter().zip(models).enumerate() {
        let Some(own) = timed.processor_ms else { continue };
        let mut row = vec![name.clone(), ms(own.median)];
        let shares = timed.processor_ratio.filter(|_| index > 0);
        row.extend(shares.into_iter().flat_map(|s| [format!("{:.3}", s.median), between(&s, |n| format!("{n:.3}"))]));
        rows.push(row);
    }
    table(f, &rows)
}

/// The operators of all models beside each other, those that take longest in any of them first.
fn operators(f: &mut Formatter<'_>, profiles: &[(&String, &Profile)], shown: usize) -> fmt::Result {
    if profiles.is_empty() {
        return Ok(());
    }
    let mut most: BTreeMap<&str, f64> = BTreeMap::new();
    for operator in profiles.iter().flat_map(|(_, profile)| &profile.operators) {
        let entry = most.entry(&operator.op_type).or_default();
        *entry = entry.max(operator.ms);
    }
    let mut most: Vec<(&str, f64)> = most.into_iter().collect();
    most.sort_by(|a, b| b.1.total_cmp(&a.1));
    let cells = |name: &str| {
        let of = |(_, profile): &(&String, &Profile)| {
            let found = profile.operators.iter().find(|operator| operator.op_type == name);
            found.map_or_else(
                || [String::new(), String::new(), String::new()],
                |o| [o.nodes.to_string(), ms(o.ms), percent(o.share)],
            )
        };
        std::iter::once(name.to_owned()).chain(profiles.iter().flat_map(of)).collect()
    };
    let head = profiles.iter().flat_map(|_| ["nodes", "ms", "share"].map(str::to_owned));
    let mut rows: Vec<Vec<String>> = vec![std::iter::once("operator".to_owned()).chain(head).collect()];
    rows.extend(most.iter().take(shown).map(|(name, _)| cells(name)));
    let all: Vec<&str> = profiles.iter().map(|(name, _)| name.as_str()).collect();
    writeln!(f, "\n  where the time goes, mean of one run: {}", all.join(" | "))?;
    table(f, &rows)?;
    match most.len().saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(f, "  and {}", plural(more, "more operator")),
    }
}

fn nodes(f: &mut Formatter<'_>, name: &str, profile: &Profile, shown: usize) -> fmt::Result {
    let shown = shown.min(profile.nodes.len());
    writeln!(f, "\n  {name}: {shown} of {}", plural(profile.nodes.len(), "node"))?;
    let row = |node: &super::NodeCost| {
        vec![short(&node.node, LONGEST_NODE), node.op_type.clone(), ms(node.ms), percent(node.share)]
    };
    let rows: Vec<Vec<String>> = profile.nodes.iter().take(shown).map(row).collect();
    table(f, &rows)
}

impl Display for Benchmark {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let float = self.models.first().map_or(0, |model| model.file.bytes);
        for (index, Subject { file, .. }) in self.models.iter().enumerate() {
            let title = if index == 0 { "models" } else { "" };
            let share = file.bytes as f64 / float.max(1) as f64 * 100.0;
            let share = if index == 0 { String::new() } else { format!(" ({share:.0} %)") };
            writeln!(f, "{title:<12} {}  {}{share}", file.path, size(file.bytes))?;
        }
        let names = names(&self.models);
        writeln!(f, "inputs       {}", self.inputs)?;
        let fed = |model: &Subject| {
            let vary = if model.shapes_vary { "; shapes vary" } else { "" };
            let inputs: Vec<String> = model.inputs.iter().map(|input| short(input, LONGEST_NODE)).collect();
            format!("{}{vary}", inputs.join(", "))
        };
        let all: Vec<String> = self.models.iter().map(fed).collect();
        match all.split_first() {
            Some((first, others)) if others.iter().all(|other| other == first) => writeln!(f, "             {first}")?,
            _ => names.iter().zip(&all).try_for_each(|(name, fed)| writeln!(f, "             {name}: {fed}"))?,
        }
        let machine = &self.machine;
        let processors = plural(machine.processors, "processor");
        writeln!(f, "machine      {} {}, {processors}", machine.os, machine.arch)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note         {note}"))?;
        self.measurements.iter().try_for_each(|measurement| measurement.show(f, &names, self.shown))
    }
}
