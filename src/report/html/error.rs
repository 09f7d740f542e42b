//! Where in the network the error arises: a chart of every value, and tables of those that matter.

use super::chart::{Axis, Chart, ticks};
use super::text::{counted, db, escape, number, percent, shortened, table};
use super::{Document, handed};
use crate::validate::{CutOff, LayerError, Layers, RARELY_CUT};

const HEIGHT: f64 = 300.0;
const LEFT: f64 = 54.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 250.0;
/// Widths of what one layer takes.
const WIDEST: f64 = 40.0;
const NARROWEST: f64 = 6.0;
const WIDTH: f64 = 940.0;
/// SQNR that needs no telling apart, in dB.
const MOST_DB: f64 = 80.0;
/// Layers in the table of the worst.
const SHOWN: usize = 10;
/// Layers in the table of all: of larger models the JSON report has the rest.
const MOST_ROWS: usize = 2000;

/// The section.
pub fn error(document: &Document<'_>) -> String {
    let mut text =
        "<section id=\"layers\" aria-labelledby=\"layers-h\"><h2 id=\"layers-h\">Error by layer</h2>\n".to_owned();
    match &document.details.layers {
        Err(why) => text.push_str(&format!("<p>Not known: {}.</p>\n", escape(why))),
        Ok(layers) if layers.layers.is_empty() => {
            text.push_str("<p>Not known: the two models have no value in common.</p>\n");
        }
        Ok(layers) => text.push_str(&shown(layers)),
    }
    text.push_str(&handed::handed(document));
    text.push_str("</section>\n");
    text
}

fn shown(layers: &Layers) -> String {
    let suspects = layers.suspects();
    let mut worst: Vec<&LayerError> = layers.layers.iter().filter(|layer| layer.alone_db.is_some()).collect();
    worst.sort_by(|a, b| noise(a.alone_db).total_cmp(&noise(b.alone_db)));
    worst.truncate(SHOWN);
    let mut text = format!(
        "<p>Each value that both models have, from input to output, on {}. <b>Alone</b>: the layer is fed what the float model \
         has there, so the error is its own. <b>Accumulated</b>: as the whole quantized model has it. Higher is better.</p>\n\
         <ul class=\"legend\"><li><span class=\"key alone\"></span>alone</li>\
         <li><span class=\"key accumulated\"></span>accumulated</li>\
         <li><span class=\"key suspect\"></span>suspect: off by more than its type explains</li></ul>\n\
         <section class=\"scroll chart\" aria-label=\"Chart of the error by layer\" tabindex=\"0\">",
        counted(layers.samples, "sample", "samples")
    );
    text.push_str(&chart(layers));
    text.push_str("</section>\n");
    if suspects.is_empty() {
        text.push_str("<p>No layer loses more than its types explain.</p>\n");
    } else {
        text.push_str(&rows("Suspects: off by more than the types explain", &suspects));
        if let Some(doubt) = layers.doubt() {
            text.push_str(&format!("<p>Few samples: {}.</p>\n", escape(doubt)));
        }
    }
    if !worst.is_empty() {
        text.push_str(&rows("The largest errors of their own", &worst));
    }
    let cut = layers.rarely_cut();
    if !cut.is_empty() {
        text.push_str(&cut_off(&cut));
    }
    if !layers.bodies.is_empty() {
        let lines = layers.bodies.iter().map(|note| format!("<li>{}</li>\n", escape(&note.shown(layers.samples))));
        text.push_str(&format!(
            "<p>Not all is known of what lies in bodies:</p>\n<ul>\n{}</ul>\n",
            lines.collect::<String>()
        ));
    }
    let all: Vec<&LayerError> = layers.layers.iter().take(MOST_ROWS).collect();
    let left = layers.layers.len() - all.len();
    let more = if left > 0 { format!(" ({left} more are not shown)") } else { String::new() };
    text.push_str(&format!("<details><summary>All {} values{more}</summary>\n", layers.layers.len()));
    text.push_str(&rows("All values, from input to output", &all));
    text.push_str("</details>\n");
    text
}

fn noise(sqnr: Option<f64>) -> f64 {
    sqnr.unwrap_or(f64::INFINITY)
}

/// An SQNR of `layer` in words.
fn noise_of(layer: &LayerError, noise: Option<f64>) -> String {
    let none = if layer.only_quantized { "not in the float model" } else { "no error" };
    noise.map_or(none.to_owned(), db)
}

fn rows(caption: &str, layers: &[&LayerError]) -> String {
    let columns = if layers.iter().any(|layer| layer.is_suspect()) { 6 } else { 5 };
    let rows: Vec<_> = layers
        .iter()
        .map(|layer| {
            let excess = layer.excess_db();
            let cause = layer.suspect.map_or(String::new(), |found| found.cause.to_string());
            let mut row = vec![
                shortened(&layer.value, 72),
                escape(maker(layer)),
                noise_of(layer, layer.alone_db),
                noise_of(layer, layer.accumulated_db),
                if excess.is_finite() { db(excess) } else { "–".to_owned() },
                cause,
            ];
            row.truncate(columns);
            row
        })
        .collect();
    let headings = ["Value", "Made by", "Alone", "Accumulated", "Beyond its types", "Cause"];
    table(caption, &headings[..columns], 2, &rows)
}

/// What grids cut off.
fn cut_off(cut: &[(&LayerError, CutOff)]) -> String {
    let row = |(layer, cut): &(&LayerError, CutOff)| {
        let reach = cut.reach.map_or("–".to_owned(), |reach| format!("{reach:.2} times"));
        let made = escape(maker(layer));
        vec![shortened(&layer.value, 72), made, percent(cut.share, 3), reach, db(cut.sqnr_db)]
    };
    let rows: Vec<_> = cut.iter().take(SHOWN).map(row).collect();
    let headings = ["Value", "Made by", "Beyond its grid", "Reaching as far", "That alone leaves"];
    format!("{}<p>Cut off, {RARELY_CUT}.</p>\n", table("Cut off by their grids", &headings, 2, &rows))
}

/// The operator that makes a value.
fn maker(layer: &LayerError) -> &str {
    if layer.node.is_empty() { "an input" } else { &layer.op_type }
}

fn chart(layers: &Layers) -> String {
    let count = layers.layers.len();
    let step = ((WIDTH - LEFT - 10.0) / count as f64).clamp(NARROWEST, WIDEST);
    let width = LEFT + step * count as f64 + 10.0;
    let known = layers.layers.iter().flat_map(|layer| [layer.alone_db, layer.accumulated_db]).flatten();
    let (low, high) = known.fold((0f64, 10f64), |(low, high), db| (low.min(db), high.max(db)));
    let (low, high) = (low.max(-20.0), (high * 1.04).min(MOST_DB));
    let axis = Axis { from: (low, high), to: (BOTTOM, TOP) };
    let label = format!(
        "SQNR in dB of {count} values from input to output, each alone and accumulated; accumulated at the end {}",
        layers.layers.last().and_then(|last| last.accumulated_db).map_or("without error".to_owned(), db)
    );
    let mut chart = Chart::new(width.max(320.0), HEIGHT, true, &label);
    for tick in ticks(low, high, 6) {
        chart.line("grid", (LEFT, axis.at(tick)), (width - 10.0, axis.at(tick)));
        chart.words("e", (LEFT - 6.0, axis.at(tick) + 4.0), &number(tick));
    }
    chart.upwards((14.0, f64::midpoint(TOP, BOTTOM)), "SQNR (dB)");
    let middle = |index: usize| LEFT + step * (index as f64 + 0.5);
    let zero = axis.at(0.0);
    let half = (step * 0.36).min(9.0);
    for (index, layer) in layers.layers.iter().enumerate() {
        let [alone, accumulated] = [layer.alone_db, layer.accumulated_db].map(|noise| noise_of(layer, noise));
        let suspect = layer.suspect.map_or(String::new(), |found| format!("; suspect: {}", found.cause));
        let title = format!(
            "{}. {} ({}): alone {alone}, accumulated {accumulated}{suspect}",
            index + 1,
            layer.value,
            maker(layer)
        );
        let class = if layer.is_suspect() { "suspect" } else { "alone" };
        match layer.alone_db {
            Some(noise) => {
                let place = axis.at(noise);
                // A value near zero dB would not be seen.
                let place = if (place - zero).abs() < 1.5 { zero - 1.5 } else { place };
                chart.rect(class, (middle(index) - half, place), (middle(index) + half, zero), &title);
            }
            None => chart.dot("none", (middle(index), TOP), 2.0, &title),
        }
    }
    let mut runs: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    for (index, layer) in layers.layers.iter().enumerate() {
        match (layer.accumulated_db, runs.last_mut()) {
            (Some(noise), Some(run)) => run.push((middle(index), axis.at(noise))),
            _ => runs.push(Vec::new()),
        }
    }
    for run in &runs {
        match run.as_slice() {
            [] => {}
            [one] => chart.dot("accumulated", *one, 2.0, ""),
            many => {
                // An edge in the colour of the page tells the line from the bars behind it.
                chart.path("casing", many);
                chart.path("accumulated", many);
            }
        }
    }
    chart.line("axis", (LEFT, zero), (width - 10.0, zero));
    for tick in ticks(1.0, count as f64, ((width / 90.0) as usize).min(count)) {
        if tick >= 1.0 && tick.fract() == 0.0 {
            let x = middle(tick as usize - 1);
            chart.line("axis", (x, BOTTOM), (x, BOTTOM + 5.0));
            chart.words("m", (x, BOTTOM + 18.0), &number(tick));
        }
    }
    chart.words("", (LEFT, BOTTOM + 38.0), "value, in the order from input to output");
    chart.done()
}
