//! What the bytes of both files are.

use super::Document;
use super::chart::{Axis, Chart, ticks};
use super::text::{bytes as size, count, escape, number, percent, table};
use std::collections::BTreeSet;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 78.0;

/// The section.
pub fn sizes(document: &Document<'_>) -> String {
    let files = [document.float.bytes, document.quantized.bytes];
    let types = &document.details.types;
    let names: BTreeSet<&String> = types.iter().flat_map(|types| types.keys()).collect();
    let of = |file: usize, name: &str| types[file].get(name).copied().unwrap_or(0);
    let mut names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    // What both files together have most of comes first.
    names.sort_by_key(|name| std::cmp::Reverse(of(0, name) + of(1, name)));
    // A constant may be shorter in memory than in the file, never longer by much.
    let rest = |file: usize| files[file].saturating_sub(types[file].values().sum());
    let mut parts: Vec<(&str, [u64; 2])> = names.iter().map(|name| (*name, [of(0, name), of(1, name)])).collect();
    parts.push(("graph", [rest(0), rest(1)]));

    let most = files.into_iter().max().unwrap_or(0).max(1) as f64;
    let (unit, name) = if most < 1e4 {
        (1.0, "B")
    } else if most < 1e7 {
        (1e3, "kB")
    } else {
        (1e6, "MB")
    };
    let axis = Axis { from: (0.0, most / unit), to: (LEFT, WIDTH - 24.0) };
    let label = format!("Bytes by element type: float model {}, quantized model {}", size(files[0]), size(files[1]));
    let mut chart = Chart::new(WIDTH, 132.0, true, &label);
    for tick in ticks(0.0, most / unit, 6) {
        chart.line("grid", (axis.at(tick), 6.0), (axis.at(tick), 96.0));
        chart.words("m", (axis.at(tick), 112.0), &super::text::number(tick));
    }
    chart.words("m", (f64::midpoint(LEFT, WIDTH - 24.0), 129.0), &format!("size of the file ({name})"));
    for (file, title) in ["float", "quantized"].into_iter().enumerate() {
        let top = 12.0 + 42.0 * file as f64;
        chart.words("e", (LEFT - 8.0, top + 21.0), title);
        let mut from = 0u64;
        for (index, (name, bytes)) in parts.iter().enumerate() {
            let to = from + bytes[file];
            let [x1, x2] = [from, to].map(|bytes| axis.at(bytes as f64 / unit));
            if bytes[file] > 0 {
                let title = format!("{title}, {name}: {}", size(bytes[file]));
                chart.rect(&color(index, parts.len()), (x1, top), (x2, top + 32.0), &title);
            }
            from = to;
        }
    }
    let rows: Vec<_> = parts
        .iter()
        .enumerate()
        .map(|(index, (name, bytes))| {
            let what = if index + 1 == parts.len() { "graph, names and padding" } else { name };
            let key = format!("<span class=\"key {}\"></span>{}", color(index, parts.len()), escape(what));
            let mut row = vec![key];
            for file in 0..2 {
                row.extend([count(bytes[file]), percent(bytes[file] as f64 / files[file].max(1) as f64, 1)]);
            }
            row
        })
        .collect();
    let chart = chart.done();
    let headings = ["Stored as", "Float (bytes)", "Share", "Quantized (bytes)", "Share"];
    let table = table("Bytes by element type", &headings, 1, &rows);
    let (smaller, larger) = (files[0].min(files[1]), files[0].max(files[1]));
    format!(
        "<section id=\"size\" aria-labelledby=\"size-h\"><h2 id=\"size-h\">Size</h2>\n<p>{} became {}, {} times {}.</p>\n\
         <section class=\"scroll chart\" aria-label=\"Chart of sizes\" tabindex=\"0\">{chart}</section>\n{table}</section>\n",
        size(files[0]),
        size(files[1]),
        number((larger as f64 / smaller.max(1) as f64 * 10.0).round() / 10.0),
        if files[1] > files[0] { "larger" } else { "smaller" },
    )
}

/// The class of part `index`; the last is what is left.
fn color(index: usize, parts: usize) -> String {
    if index + 1 == parts { "c-rest".to_owned() } else { format!("c{}", index.min(5)) }
}
