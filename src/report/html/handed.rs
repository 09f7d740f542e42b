//! The integers that layers hand to each other, in a runtime.

use super::Document;
use super::text::{counted, escape, percent, shortened, table};
use crate::validate::{Comparison, HandedLayer, StepsApart};

/// Layers in the table of the worst.
const SHOWN: usize = 10;
/// Layers in the table of all: of larger models the JSON report has the rest.
const MOST_ROWS: usize = 2000;

/// The part of the section on layers, where a runtime was asked for.
pub fn handed(document: &Document<'_>) -> String {
    let Ok(Comparison { reference: Some(reference), .. }) = document.compared else { return String::new() };
    let Some(layers) = &reference.layers else { return String::new() };
    let runtime = escape(&reference.runtime);
    let summary = escape(&layers.summary());
    if layers.why_not.is_some() {
        return format!("<h3>In {runtime}</h3>\n<p>Not looked at: {summary}.</p>\n");
    }
    let mut text = format!(
        "<h3>In {runtime}</h3>\n<p>{}{}.</p>\n<p>The integers that layers hand to each other, in steps from those of the \
         re-execution, with the share of elements that differ, on {}. <b>Alone</b>: the layer is fed the integers of the \
         re-execution. <b>Accumulated</b>: as the whole model has them. <b>Plain</b> is without graph optimizations.</p>\n",
        summary.chars().take(1).flat_map(char::to_uppercase).collect::<String>(),
        summary.chars().skip(1).collect::<String>(),
        counted(layers.samples, "sample", "samples")
    );
    for refusal in &layers.refused {
        let (run, level, why) = (refusal.run, refusal.level.replace('_', " "), escape(&refusal.why));
        text.push_str(&format!("<p>Layers, {run}, at level {level}, are refused: {why}.</p>\n"));
    }
    let worst: Vec<&HandedLayer> = layers.worst().into_iter().take(SHOWN).collect();
    if !worst.is_empty() {
        text.push_str(&rows("Layers that are furthest off", &worst));
    }
    let all: Vec<&HandedLayer> = layers.layers.iter().take(MOST_ROWS).collect();
    let left = layers.layers.len() - all.len();
    let more = if left > 0 { format!(" ({left} more are not shown)") } else { String::new() };
    text.push_str(&format!("<details><summary>All {} values of integers{more}</summary>\n", layers.layers.len()));
    text.push_str(&rows("All, from input to output", &all));
    text.push_str("</details>\n");
    text
}

fn rows(caption: &str, layers: &[&HandedLayer]) -> String {
    let steps = |apart: Option<StepsApart>| match apart {
        None => "not run".to_owned(),
        Some(StepsApart { steps: 0, .. }) => "0".to_owned(),
        Some(StepsApart { steps, share }) => format!("{steps} ({})", percent(share, 3)),
    };
    let row = |layer: &&HandedLayer| {
        let mut row = vec![shortened(&layer.value, 72), escape(&layer.operators()), escape(&layer.verdict.to_string())];
        let levels = [layer.alone, layer.accumulated];
        row.extend(levels.into_iter().flat_map(|at| [at.disable_all, at.default]).map(steps));
        row
    };
    let rows: Vec<_> = layers.iter().map(row).collect();
    let headings = ["Value", "Layer", "What differs", "Alone, plain", "Alone", "Accumulated, plain", "Accumulated"];
    table(caption, &headings, 3, &rows)
}
