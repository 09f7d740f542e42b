//! What the worst values look like, and the range that each got.

use super::Document;
use super::chart::{Axis, Chart, power_of_ten, ticks};
use super::text::{counted, db, escape, number, percent, shortened};
use crate::report::details::Distribution;
use std::fmt::Write;

const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 176.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 330.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 134.0;
/// Columns of a histogram.
const COLUMNS: usize = 58;

/// The section; empty where nothing was calibrated.
pub fn histograms(document: &Document<'_>) -> String {
    let values = &document.details.values;
    if values.is_empty() {
        return String::new();
    }
    let by_error = values.iter().any(|value| value.alone_db.is_some());
    let why = if by_error { "with the largest error of their own" } else { "whose range cuts the most" };
    let mut text = format!(
        "<section id=\"ranges\" aria-labelledby=\"ranges-h\"><h2 id=\"ranges-h\">Ranges of the worst values</h2>\n\
         <p>The {} {why}, as calibration saw them. The range that was chosen is shaded; what lies outside is cut off. Counts \
         are on a logarithmic scale.</p>\n\
         <ul class=\"legend\"><li><span class=\"key bar\"></span>numbers inside the range</li>\
         <li><span class=\"key cut\"></span>numbers outside</li><li><span class=\"key range\"></span>range</li></ul>\n\
         <div class=\"cards\">\n",
        counted(values.len(), "activation", "activations")
    );
    for value in values {
        let name = shortened(&value.name, 60);
        let total = value.histogram.total().max(1) as f64;
        let outside = outside(value);
        let params = &value.params;
        let alone = value.alone_db.map_or(String::new(), |noise| format!("{} alone · ", db(noise)));
        let _ = write!(text, "<figure><figcaption><b>{name}</b><span>{alone}{}", escape(&params.dtype.to_string()));
        if !params.dtype.is_float() {
            let _ = write!(text, ", step {}", number(params.scale.into()));
        }
        let range = format!("[{}, {}]", number(value.range.0.into()), number(value.range.1.into()));
        let seen = format!("[{}, {}]", number(value.seen.0.into()), number(value.seen.1.into()));
        let zeros = percent(value.histogram.zeros() as f64 / total, 1);
        let cut = if outside > 0.0 { share(outside / total) } else { "nothing".to_owned() };
        let _ = write!(
            text,
            "</span><span>range {range}</span><span>seen {seen}</span><span>{cut} outside, {zeros} zeros</span>"
        );
        let _ = write!(text, "</figcaption>\n{}</figure>\n", chart(value, &format!("{range}, {cut} outside")));
    }
    text.push_str("</div>\n</section>\n");
    text
}

/// A share that may be small.
fn share(share: f64) -> String {
    if share < 1e-4 { "less than 0.01 %".to_owned() } else { percent(share, 2) }
}

/// How many numbers lie outside the range, to the width of a bin.
fn outside(value: &Distribution) -> f64 {
    let bins = value.histogram.bins().filter(|&(edge, _)| is_outside(value, edge));
    bins.map(|(_, count)| count as f64).sum()
}

/// Whether a bin lies outside the range, all of it.
fn is_outside(value: &Distribution, edge: f64) -> bool {
    edge + value.histogram.width() <= f64::from(value.range.0) || edge > f64::from(value.range.1)
}

fn chart(value: &Distribution, what: &str) -> String {
    let [low, high, from, to] = [value.range.0, value.range.1, value.seen.0, value.seen.1].map(f64::from);
    let (from, to) = (from.min(low), to.max(high));
    let slack = ((to - from) * 0.02).max(value.histogram.width());
    let (from, to) = (from - slack, to + slack);
    let width = (to - from) / COLUMNS as f64;
    let mut columns = vec![[0f64; 2]; COLUMNS];
    let bin = value.histogram.width();
    for (edge, count) in value.histogram.bins() {
        // A bin wider than a column is spread over all that it covers.
        let place = |number: f64| (((number - from) / width).max(0.0) as usize).min(COLUMNS - 1);
        let middle = edge + bin / 2.0;
        let (first, last) = (place(edge), place(edge + bin * 0.999_999));
        let side = usize::from(is_outside(value, edge));
        let (first, last) = if bin < width { (place(middle), place(middle)) } else { (first, last) };
        for column in &mut columns[first..=last] {
            column[side] += count as f64 / (last - first + 1) as f64;
        }
    }
    let most = columns.iter().map(|column| column[0] + column[1]).fold(1.0, f64::max).log10();
    let most = most.ceil().max(1.0);
    let (x, y) = (Axis { from: (from, to), to: (LEFT, RIGHT) }, Axis { from: (0.0, most), to: (BOTTOM - 3.0, TOP) });
    let mut chart = Chart::new(WIDTH, HEIGHT, false, &format!("Histogram of {} with its range {what}", value.name));
    chart.rect("range", (x.at(low), TOP - 4.0), (x.at(high), BOTTOM), "");
    let every = (most / 4.0).ceil().max(1.0) as usize;
    for power in (0..=most as usize).step_by(every) {
        let place = y.at(power as f64);
        chart.line("grid", (LEFT, place), (RIGHT, place));
        chart.words("e", (LEFT - 4.0, place + 3.5), &power_of_ten(power as i32));
    }
    for (index, [inside, cut]) in columns.iter().enumerate() {
        let left = x.to.0 + (x.to.1 - x.to.0) * index as f64 / COLUMNS as f64;
        let right = left + (x.to.1 - x.to.0) / COLUMNS as f64 - 0.6;
        let top = |count: f64| y.at(count.max(1.0).log10());
        // On a logarithmic scale parts do not add up: the larger one stands for the column.
        let (class, all) = if cut > inside { ("cut", cut + inside) } else { ("bar", cut + inside) };
        if all > 0.0 {
            chart.rect(class, (left, top(all)), (right, BOTTOM), "");
        }
    }
    for end in [low, high] {
        chart.line("end", (x.at(end), TOP - 6.0), (x.at(end), BOTTOM));
    }
    chart.line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
    for tick in ticks(from, to, 5) {
        chart.line("axis", (x.at(tick), BOTTOM), (x.at(tick), BOTTOM + 4.0));
        chart.words("m", (x.at(tick), BOTTOM + 16.0), &number(tick));
    }
    chart.words("m", (f64::midpoint(LEFT, RIGHT), HEIGHT - 6.0), "number");
    chart.upwards((10.0, f64::midpoint(TOP, BOTTOM)), "count");
    chart.done()
}
