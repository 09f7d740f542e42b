//! How much the channels of each weight differ in size.

use super::Document;
use super::chart::{Axis, Chart, power_of_ten};
use super::text::{escape, number, shortened, table};
use crate::report::details::Spread;
use std::fmt::Write;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 22.0;
const RIGHT: f64 = 700.0;
const ROW: f64 = 34.0;
/// Weights in the chart.
const SHOWN: usize = 10;
/// Weights in the table.
const MOST_ROWS: usize = 1000;

/// The section; empty where no weight has channels.
pub fn weights(document: &Document<'_>) -> String {
    let weights = &document.details.weights;
    if weights.is_empty() {
        return String::new();
    }
    let shown = &weights[..weights.len().min(SHOWN)];
    let rows: Vec<_> = weights
        .iter()
        .take(MOST_ROWS)
        .map(|weight| {
            let [smallest, middle, largest] = weight.maxima.map(|maximum| number(maximum.into()));
            let scales = match weight.per_channel {
                Some(true) => "one each",
                Some(false) => "one for all",
                None => "–",
            };
            let mut row = vec![
                shortened(&weight.node, 72),
                escape(&weight.op_type),
                scales.to_owned(),
                weight.channels.to_string(),
            ];
            row.extend([smallest, middle, largest, format!("{}×", number((weight.ratio() * 10.0).round() / 10.0))]);
            row
        })
        .collect();
    let headings = ["Layer", "Operator", "Scales", "Channels", "Smallest", "Middle", "Largest", "Spread"];
    let mut text = format!(
        "<section id=\"weights\" aria-labelledby=\"weights-h\"><h2 id=\"weights-h\">Weight channels</h2>\n\
         <p>The largest magnitude of each output channel, from the smallest channel to the largest; the dot is the middle one. \
         Where they differ much, one scale for the whole weight leaves small channels few steps: a scale for each channel \
         helps. The {} of {} layers.</p>\n\
         <section class=\"scroll chart\" aria-label=\"Chart of weight channels\" tabindex=\"0\">{}</section>\n",
        if shown.len() < weights.len() { format!("{} widest", shown.len()) } else { "spread".to_owned() },
        weights.len(),
        chart(shown)
    );
    let _ = writeln!(text, "<details><summary>All {} weights</summary>", weights.len());
    text.push_str(&table("Largest magnitude by channel", &headings, 3, &rows));
    text.push_str("</details>\n</section>\n");
    text
}

fn chart(weights: &[Spread]) -> String {
    let low = weights.iter().map(|weight| weight.maxima[0]).fold(f32::INFINITY, f32::min);
    let high = weights.iter().map(|weight| weight.maxima[2]).fold(0f32, f32::max);
    let (low, high) = (f64::from(low).log10().floor(), f64::from(high).log10().ceil());
    let axis = Axis { from: (low, high.max(low + 1.0)), to: (LEFT, RIGHT) };
    let bottom = 8.0 + ROW * weights.len() as f64;
    let label = format!("Largest magnitude by channel of {} weights, logarithmic", weights.len());
    let mut chart = Chart::new(WIDTH, bottom + 44.0, true, &label);
    let every = ((axis.from.1 - axis.from.0) / 10.0).ceil().max(1.0) as usize;
    for power in (axis.from.0 as i32..=axis.from.1 as i32).step_by(every) {
        let x = axis.at(power.into());
        chart.line("grid", (x, 4.0), (x, bottom));
        chart.words("m", (x, bottom + 16.0), &power_of_ten(power));
        // Of few powers of ten, what lies between is named, too.
        for factor in [2.0, 5.0].into_iter().filter(|_| axis.from.1 - axis.from.0 < 4.0 && power < axis.from.1 as i32) {
            let between = factor * 10f64.powi(power);
            let x = axis.at(between.log10());
            chart.line("grid", (x, 4.0), (x, bottom));
            chart.words("m", (x, bottom + 16.0), &number(between));
        }
    }
    chart.words(
        "m",
        (f64::midpoint(LEFT, RIGHT), bottom + 36.0),
        "largest magnitude of a channel (in the weight's own units)",
    );
    for (index, weight) in weights.iter().enumerate() {
        let top = 8.0 + ROW * index as f64;
        let [smallest, middle, largest] = weight.maxima.map(|maximum| axis.at(f64::from(maximum).log10()));
        let ratio = number((weight.ratio() * 10.0).round() / 10.0);
        let title = format!("{} ({}), {} channels: {ratio} times", weight.node, weight.op_type, weight.channels);
        chart.rect("track", (LEFT, top + 18.0), (RIGHT, top + 26.0), "");
        chart.rect("bar", (smallest, top + 18.0), (largest.max(smallest + 1.0), top + 26.0), &title);
        chart.dot("middle", (middle, top + 22.0), 4.5, "");
        let name: String = cut(&weight.node);
        chart.words("strong", (LEFT, top + 13.0), &name);
        chart.words("e", (RIGHT, top + 13.0), &format!("{}, {} channels, {ratio}×", weight.op_type, weight.channels));
    }
    chart.done()
}

/// The end of a name, which tells more than its beginning.
fn cut(name: &str) -> String {
    const MOST: usize = 58;
    let count = name.chars().count();
    if count <= MOST {
        name.to_owned()
    } else {
        format!("…{}", name.chars().skip(count - MOST + 1).collect::<String>())
    }
}
