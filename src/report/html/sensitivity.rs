//! The page of a measurement of what each layer costs.

use super::chart::{Axis, Chart};
use super::page::{Frame, framed};
use super::text::{bytes, counted, escape, shortened, table};
use crate::report::{CalibrationSummary, FileSummary};
use crate::sensitivity::{Damage, Metric, NodeDamage, Sensitivity};
use std::fmt::Write;

/// Widths of the longest bar, of a letter of the names before it, and of the figure behind it.
const BAR: f64 = 600.0;
const LETTER: f64 = 6.4;
const FIGURE: f64 = 80.0;
/// Letters of a name that are shown.
const NAME: usize = 44;
const ROW: f64 = 34.0;
/// Layers in the chart, and names of a ranking.
const SHOWN: usize = 20;
/// Layers in the table: of larger models the JSON report has the rest.
const MOST_ROWS: usize = 2000;

/// What the page is made of.
pub struct Measured<'a> {
    /// The program and its version.
    pub tool: &'a str,
    /// The float model.
    pub model: &'a FileSummary,
    /// Where ranges came from.
    pub calibration: &'a CalibrationSummary,
    /// The policy as used, to save and run, and the SHA-256 of all its keys.
    pub policy: (&'a str, &'a str),
    /// What was measured.
    pub measured: &'a Sensitivity,
}

/// The page.
pub fn sensitivity(document: &Measured<'_>) -> String {
    let sections = [
        ("layers", "Layers", layers(document.measured)),
        ("rankings", "Rankings", rankings(document.measured)),
        ("reproduce", "To make it again", reproduce(document)),
    ];
    let lead = lead(document.measured);
    framed(
        &Frame { title: "What each layer costs", path: &document.model.path, tool: document.tool, lead: &lead },
        &sections,
    )
}

/// What is to be known first.
fn lead(measured: &Sensitivity) -> String {
    let metric = measured.metric;
    let node = |name: Option<&String>| measured.nodes.iter().find(|node| Some(&node.node) == name);
    let tile = |what: &str, figure: String, words: String| {
        format!("<div><dt>{what}</dt><dd><b>{figure}</b><span>{words}</span></dd></div>")
    };
    let mut tiles = tile(
        "Everything quantized",
        escape(&measured.quantized.shown(metric)),
        format!("{} over {}", metric.title(measured.labelled), counted(measured.samples, "sample", "samples")),
    );
    if let Some(worst) = measured.nodes.first() {
        let words = format!("with {} alone quantized: the most damage that one layer does", shortened(&worst.node, 60));
        tiles.push_str(&tile("One layer", escape(&worst.alone.shown(metric)), words));
    }
    if let Some(best) = node(measured.by_gain.first()) {
        let words = format!("with {} alone in float: the most that one layer gives back", shortened(&best.node, 60));
        tiles.push_str(&tile("All but one", escape(&best.in_float.shown(metric)), words));
    }
    format!(
        "<section class=\"verdict care\" aria-labelledby=\"answer\"><p class=\"question\">Which layers cost accuracy?</p>\n\
         <h1 id=\"answer\">{}</h1>\n<p class=\"why\">{}</p>\n<dl class=\"tiles\">{tiles}</dl></section>\n",
        measured.nodes.first().map_or_else(|| "None".to_owned(), |worst| shortened(&worst.node, 60)),
        match measured.nodes.first().map(|worst| worst.causes.first()) {
            None => "No layer is quantized.".to_owned(),
            Some(None) => "It does the most damage alone; nothing but rounding explains it.".to_owned(),
            Some(Some(cause)) => format!("It does the most damage alone: {}.", escape(cause)),
        },
    )
}

/// The chart and the table of all layers.
fn layers(measured: &Sensitivity) -> String {
    let metric = measured.metric;
    let shown = &measured.nodes[..measured.nodes.len().min(SHOWN)];
    let part = |damage: Option<Damage>| damage.map_or_else(|| "–".to_owned(), |damage| escape(&damage.shown(metric)));
    let row = |node: &NodeDamage| {
        let causes: String =
            node.causes.iter().map(|cause| format!("<span class=\"soft\">{}</span>", escape(cause))).collect();
        vec![
            format!("{}{causes}", shortened(&node.node, 72)),
            escape(&node.op_type),
            escape(&node.alone.shown(metric)),
            part(node.weights),
            part(node.activations),
            escape(&node.in_float.shown(metric)),
            escape(&metric.gain(node.gain)),
        ]
    };
    let rows: Vec<_> = measured.nodes.iter().take(MOST_ROWS).map(row).collect();
    let left = measured.nodes.len() - rows.len();
    let more = if left > 0 { format!(" ({left} more are in the JSON report)") } else { String::new() };
    let headings = ["Layer, and why", "Operator", "Alone", "Weights", "Activations", "In float", "Gain"];
    format!(
        "<section id=\"layers\" aria-labelledby=\"layers-h\"><h2 id=\"layers-h\">Damage by layer</h2>\n\
         <p>Each layer by itself, those that do the most damage first. <b>Alone</b>: its numbers are rounded and no others, \
         its <b>weights</b> or its <b>activations</b> only, too. <b>In float</b>: all numbers are rounded but its own, and the \
         <b>gain</b> is by how much that is better than everything quantized. An activation between two layers counts with \
         both, so figures do not add up.</p>\n\
         <ul class=\"legend\"><li><span class=\"key c0\"></span>weights alone</li><li><span class=\"key c2\"></span>activations alone</li></ul>\n\
         <section class=\"scroll chart\" aria-label=\"Chart of the damage by layer\" tabindex=\"0\">{}</section>\n{}</section>\n",
        chart(shown, metric),
        table(&format!("{}{more}", counted(measured.nodes.len(), "layer", "layers")), &headings, 2, &rows)
    )
}

/// Damage as a length: of a ratio in dB, the noise.
fn length(damage: Option<Damage>, metric: Metric) -> f64 {
    let Some(by) = damage.map(|damage| damage.by(metric)) else { return 0.0 };
    let length = if metric == Metric::Sqnr { 10f64.powf(by / 10.0) } else { by };
    if length.is_nan() { 0.0 } else { length.max(0.0) }
}

fn chart(nodes: &[NodeDamage], metric: Metric) -> String {
    let parts = |node: &NodeDamage| [(node.weights, "c0", "weights"), (node.activations, "c2", "activations")];
    let all = nodes.iter().flat_map(|node| parts(node).map(|part| length(part.0, metric)));
    let most = all.filter(|length| length.is_finite()).fold(0.0, f64::max);
    let longest = nodes.iter().map(|node| node.node.chars().count().min(NAME)).max().unwrap_or_default();
    let left = 20.0 + LETTER * longest as f64;
    let axis = Axis { from: (0.0, most), to: (left, left + BAR) };
    let label = format!("Damage of the weights and of the activations of {}", counted(nodes.len(), "layer", "layers"));
    let mut chart = Chart::new(left + BAR + FIGURE, ROW * nodes.len() as f64 + 8.0, true, &label);
    for (at, node) in nodes.iter().enumerate() {
        let top = 4.0 + ROW * at as f64;
        chart.words("e", (left - 10.0, top + 18.0), &ending(&node.node, NAME));
        for (k, (damage, class, what)) in parts(node).into_iter().enumerate() {
            let Some(shown) = damage.map(|damage| damage.shown(metric)) else { continue };
            let (top, end) = (top + 2.0 + 13.0 * k as f64, axis.at(length(damage, metric)));
            let title = format!("{}: {shown} with its {what} alone", node.node);
            chart.rect(class, (left, top), (end.max(left + 1.0), top + 11.0), &title);
            chart.words("", (end + 6.0, top + 10.0), &shown);
        }
    }
    chart.done()
}

/// The end of a name, which tells more than its beginning.
fn ending(name: &str, most: usize) -> String {
    let count = name.chars().count();
    if count <= most {
        return name.to_owned();
    }
    format!("…{}", name.chars().skip(count + 1 - most).collect::<String>())
}

fn rankings(measured: &Sensitivity) -> String {
    let list = |title: &str, names: &[String]| {
        if names.is_empty() {
            return String::new();
        }
        let items: String = names.iter().take(SHOWN).map(|name| format!("<li>{}</li>", shortened(name, 72))).collect();
        format!("<h3>{title}</h3>\n<ol>{items}</ol>\n")
    };
    format!(
        "<section id=\"rankings\" aria-labelledby=\"rankings-h\"><h2 id=\"rankings-h\">Other orders</h2>\n\
         <p>The first {SHOWN} of each; the JSON report has all.</p>\n{}{}{}</section>\n",
        list("By what is won with the layer in float", &measured.by_gain),
        list("By damage of the weights alone", &measured.by_weights),
        list("By damage of the activations alone", &measured.by_activations)
    )
}

fn reproduce(document: &Measured<'_>) -> String {
    let digest = |digest: &str| format!("<code class=\"digest\">{}</code>", escape(digest));
    let (model, calibration) = (document.model, document.calibration);
    let samples = counted(calibration.samples as usize, "sample", "samples");
    let rows = [
        vec!["Program".to_owned(), escape(document.tool), String::new()],
        vec![
            "Float model".to_owned(),
            format!("{}, {}", escape(&model.path), bytes(model.bytes)),
            digest(&model.sha256),
        ],
        vec![
            "Calibration".to_owned(),
            format!("{samples} of {}", escape(&calibration.source)),
            digest(&calibration.statistics_sha256),
        ],
        vec!["Policy".to_owned(), "as used, below".to_owned(), digest(document.policy.1)],
    ];
    let mut text =
        "<section id=\"reproduce\" aria-labelledby=\"reproduce-h\"><h2 id=\"reproduce-h\">To make it again</h2>\n\
         <p>The same model, samples and policy give the same figures.</p>\n"
            .to_owned();
    text.push_str(&table("Files and their SHA-256", &["What", "Which", "SHA-256"], 3, &rows));
    let _ = write!(
        text,
        "<details><summary>The policy as used, to save and run</summary>\n<pre tabindex=\"0\">{}</pre></details>\n</section>\n",
        escape(document.policy.0)
    );
    text
}
