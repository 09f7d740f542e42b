//! The top of the page: the answer, the three numbers that carry it, what was checked, and what to look at.

use super::Document;
use super::text::{bytes, counted, db, escape, number, percent, table};
use super::verdict::{Verdict, named};
use crate::validate::{LimitOf, Outcome};
use std::fmt::Write;

/// One of the three numbers.
struct Tile {
    label: String,
    value: String,
    under: String,
}

/// The section.
pub fn summary(document: &Document<'_>, verdict: &Verdict) -> String {
    let (class, words) = (verdict.answer.class(), verdict.answer.words());
    let mut text = format!("<section id=\"verdict\" class=\"verdict {class}\" aria-labelledby=\"answer\">\n");
    let _ = writeln!(text, "<p class=\"question\">May I ship this?</p>\n<h1 id=\"answer\">{words}</h1>");
    let _ = writeln!(text, "<p class=\"why\">{}</p>", escape(&verdict.sentence));
    text.push_str("<dl class=\"tiles\">\n");
    for Tile { label, value, under } in [quality(document), sizes(document), work(document)] {
        let (label, value, under) = (escape(&label), escape(&value), escape(&under));
        let _ = writeln!(text, "<div><dt>{label}</dt><dd><b>{value}</b><span>{under}</span></dd></div>");
    }
    text.push_str("</dl>\n");
    if !verdict.notes.is_empty() {
        let _ = writeln!(
            text,
            "<h2>{} to look at</h2>\n<ul class=\"notes\">",
            counted(verdict.notes.len(), "note", "notes")
        );
        for note in &verdict.notes {
            let _ = writeln!(text, "<li>{}</li>", escape(note));
        }
        text.push_str("</ul>\n");
    }
    if !verdict.checks.is_empty() {
        let rows: Vec<_> = verdict
            .checks
            .iter()
            .map(|check| {
                let (name, wanted) = named(check, check.wanted);
                let side = if check.bounds_above() { "at most" } else { "at least" };
                let found = check.found.map_or("not measured".to_owned(), |found| named(check, found).1);
                let mark = match check.outcome {
                    Outcome::Met => "<span class=\"good\">✓ met</span>",
                    Outcome::Missed => "<span class=\"bad\">✗ missed</span>",
                    Outcome::Unsettled => "<span class=\"care\">? not settled</span>",
                };
                let usual = if check.limit_of == LimitOf::Field { ", as is usual" } else { "" };
                let name = check.output.as_ref().map_or(name.to_owned(), |output| format!("{name} ({output})"));
                vec![mark.to_owned(), escape(&name), escape(&found), format!("{side} {}{usual}", escape(&wanted))]
            })
            .collect();
        text.push_str(&table(
            &format!("Limits of {}", verdict.limits),
            &["Limit", "Measure", "Measured", "Wanted"],
            2,
            &rows,
        ));
    }
    text.push_str("</section>\n");
    text
}

/// What accuracy became, or what comes nearest to it.
fn quality(document: &Document<'_>) -> Tile {
    let Ok(comparison) = document.compared else {
        let (label, value) = ("Accuracy".to_owned(), "not known".to_owned());
        return Tile { label, value, under: "the models were not compared".to_owned() };
    };
    let samples = counted(comparison.samples, "sample", "samples");
    if let Some(classes) = comparison.classes() {
        if let (Some(float), Some(quantized)) = (classes.top1_float, classes.top1_quantized) {
            let points = (quantized - float) * 100.0;
            let sign = if points > 0.0 { "+" } else { "" };
            return Tile {
                label: "Top-1 accuracy".to_owned(),
                value: percent(quantized, 2),
                under: format!(
                    "{sign}{} points from {}, {samples}",
                    number((points * 100.0).round() / 100.0),
                    percent(float, 2)
                ),
            };
        }
        return Tile {
            label: "Same first guess".to_owned(),
            value: percent(classes.top1_agreement, 1),
            under: format!("as the float model, {samples}"),
        };
    }
    let worst = comparison.outputs.iter().filter(|output| !output.identical);
    let worst = worst.min_by(|a, b| {
        let noise = |sqnr: Option<f64>| sqnr.unwrap_or(f64::NEG_INFINITY);
        noise(a.sqnr_db).total_cmp(&noise(b.sqnr_db))
    });
    let label = "Signal to noise".to_owned();
    match worst {
        None => Tile { label, value: "no difference".to_owned(), under: samples },
        Some(output) => Tile {
            label,
            value: output.sqnr_db.map_or("no signal".to_owned(), db),
            under: match comparison.outputs.len() {
                1 => format!("SQNR of the output, {samples}"),
                count => format!("SQNR of the worst of {count} outputs, {samples}"),
            },
        },
    }
}

fn sizes(document: &Document<'_>) -> Tile {
    let (before, after) = (document.float.bytes, document.quantized.bytes);
    let share = percent(after as f64 / before.max(1) as f64, 0);
    Tile { label: "Size".to_owned(), value: bytes(after), under: format!("{share} of {}", bytes(before)) }
}

/// How much of the work runs on integers, or in what else it is done.
fn work(document: &Document<'_>) -> Tile {
    let tile = |label: &str, value: String, under: String| Tile { label: label.to_owned(), value, under };
    let Some(placement) = document.placement() else {
        if let Ok(comparison) = document.compared {
            let cosine = comparison.outputs.iter().filter_map(|output| output.cosine).reduce(f64::min);
            let value = cosine.map_or("not known".to_owned(), |cosine| format!("{cosine:.5}"));
            return tile("Cosine", value, "mean over samples, of the worst output".to_owned());
        }
        return tile("Work on integers", "not known".to_owned(), "nothing was planned for this model".to_owned());
    };
    let nodes = placement.nodes;
    if placement.integer == 0 && placement.half > 0 {
        return tile(
            "In 16 bits",
            format!("{} of {nodes}", placement.half),
            "nodes that compute with floats".to_owned(),
        );
    }
    if placement.integer == 0 && placement.stored > 0 {
        let under = "nodes read weights stored as integers and compute in float".to_owned();
        return tile("Stored smaller", format!("{} of {nodes}", placement.stored), under);
    }
    let under = format!("of the multiply-accumulates, for {}", placement.target);
    match placement.integer_work {
        Some(share) => tile("Work on integers", percent(share, 1), under),
        None => {
            let done = placement.integer + placement.absorbed;
            tile("On integers", format!("{done} of {nodes}"), format!("nodes, for {}", placement.target))
        }
    }
}
