//! What became of the nodes: what runs on integers, what stays float and why.

use super::Document;
use super::chart::{Axis, Chart};
use super::text::{counted, escape, percent, shortened, table};
use crate::report::FloatGroup;
use std::fmt::Write;

const WIDTH: f64 = 720.0;

/// The section; empty where nothing was planned.
pub fn nodes(document: &Document<'_>) -> String {
    let (Some(placement), Some(report)) = (document.placement(), document.report) else { return String::new() };
    let float: usize = placement.float.iter().map(|group| group.nodes.len()).sum();
    let parts = [
        ("c-integer", "on integers", placement.integer),
        ("c-absorbed", "clamps absorbed by the grid before them", placement.absorbed),
        ("c-half", "in 16 bits", placement.half),
        ("c-stored", "in float from weights stored as integers", placement.stored),
        ("c-float", "in float", float),
    ];
    let axis = Axis { from: (0.0, placement.nodes as f64), to: (1.0, WIDTH - 1.0) };
    let label: Vec<String> =
        parts.iter().filter(|part| part.2 > 0).map(|(_, name, count)| format!("{count} {name}")).collect();
    let mut chart = Chart::new(WIDTH, 34.0, false, &format!("Of {} nodes: {}", placement.nodes, label.join(", ")));
    let mut from = 0;
    for (class, name, count) in parts.into_iter().filter(|part| part.2 > 0) {
        let title = format!("{count} {name}");
        chart.rect(class, (axis.at(from as f64), 2.0), (axis.at((from + count) as f64), 32.0), &title);
        from += count;
    }
    let mut text = format!(
        "<section id=\"nodes\" aria-labelledby=\"nodes-h\"><h2 id=\"nodes-h\">What runs on integers, and what stays float</h2>\n\
         <p>{} that compute with floats, by the rules of {}.{}</p>\n<div class=\"chart\">{}</div>\n<ul class=\"legend\">",
        counted(placement.nodes, "node", "nodes"),
        escape(&placement.target),
        placement.integer_work.filter(|_| placement.integer > 0).map_or(String::new(), |share| {
            format!(" Of the multiply-accumulates, {} run on integer kernels.", percent(share, 1))
        }),
        chart.done()
    );
    for (class, name, count) in parts.into_iter().filter(|part| part.2 > 0) {
        let _ = write!(text, "<li><span class=\"key {class}\"></span>{count} {name}</li>");
    }
    text.push_str("</ul>\n");
    if placement.float.is_empty() {
        text.push_str("<p>Nothing stays float.</p>\n");
    } else {
        let mut groups: Vec<_> = placement.float.iter().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.nodes.len()));
        let row = |group: &&FloatGroup| {
            let why = format!("{}{}", escape(&group.reason), names(&group.nodes));
            vec![format!("{} × {}", group.nodes.len(), escape(&group.op_type)), why]
        };
        let rows: Vec<_> = groups.iter().map(row).collect();
        text.push_str(&table("What stays float, and why", &["Operator", "Why, and which nodes"], 2, &rows));
    }
    if !report.split.is_empty() {
        let row = |split: &crate::report::SplitLayer| {
            let columns: Vec<String> = split.columns.iter().map(usize::to_string).collect();
            vec![shortened(&split.node, 72), columns.join(", "), split.columns.len().to_string()]
        };
        let rows: Vec<_> = report.split.iter().map(row).collect();
        text.push_str(&table(
            "Columns that run in float beside the integer rest",
            &["Layer", "Columns", "Count"],
            2,
            &rows,
        ));
    }
    if let Some(budget) = &report.budget {
        let row = |chosen: &crate::report::Chosen| {
            vec![shortened(&chosen.node, 72), escape(&chosen.kind), escape(&chosen.why)]
        };
        let rows: Vec<_> = budget.chosen.iter().map(row).collect();
        if !rows.is_empty() {
            let caption = format!("What the budget of {} asks for", budget.wanted);
            text.push_str(&table(&caption, &["Layer", "Becomes", "Why"], 3, &rows));
        }
        let row = |one: &crate::report::Assignment| {
            let ratio = one.sqnr_db.map_or_else(|| "exact".to_owned(), |ratio| format!("{ratio:.1} dB"));
            let drop = one.top1_drop.map_or_else(String::new, |drop| format!("{:.2} points", 100.0 * drop));
            let size = crate::report::size(one.bytes);
            vec![one.layers.to_string(), ratio, drop, size, format!("{:.2}", one.cost)]
        };
        let rows: Vec<_> = budget.front.iter().map(row).collect();
        let caption = format!("Assignments that no other of {} beats in both cost and loss", budget.tried);
        text.push_str(&table(&caption, &["Layers changed", "SQNR", "Top-1 drop", "Size", "Cost"], 0, &rows));
    }
    if !report.known_not_used.is_empty() {
        let row = |unused: &crate::report::UnusedGrid| vec![shortened(&unused.name, 72), escape(&unused.reason)];
        let rows: Vec<_> = report.known_not_used.iter().map(row).collect();
        text.push_str(&table("Known grids that nothing uses", &["Value", "Why"], 2, &rows));
    }
    text.push_str("</section>\n");
    text
}

/// Some names: one stands there, more are to be opened.
fn names(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => format!("<span class=\"soft\">{}</span>", escape(one)),
        names => {
            let all = names.iter().map(|name| escape(name)).collect::<Vec<_>>().join(", ");
            format!("<details><summary>{} names</summary>{all}</details>", names.len())
        }
    }
}
