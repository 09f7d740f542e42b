//! The document around the sections.

use super::text::escape;
use super::{
    Document, error, histograms, nodes, outputs, reproduce, samples, sizes, stress, summary, verdict, weights,
};
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");

/// The page.
pub fn page(document: &Document<'_>) -> String {
    let verdict = verdict::verdict(document);
    let sections = [
        ("nodes", "Nodes", nodes::nodes(document)),
        ("outputs", "Outputs", outputs::outputs(document)),
        ("size", "Size", sizes::sizes(document)),
        ("layers", "Layers", error::error(document)),
        ("ranges", "Ranges", histograms::histograms(document)),
        ("weights", "Weights", weights::weights(document)),
        ("samples", "Samples", samples::samples(document)),
        ("stress", "Crash tests", stress::stress(document)),
        ("reproduce", "To make it again", reproduce::reproduce(document)),
    ];
    let lead = summary::summary(document, &verdict);
    let frame =
        Frame { title: verdict.answer.words(), path: &document.quantized.path, tool: document.tool, lead: &lead };
    framed(&frame, &sections)
}

/// What every page has around its sections.
pub(super) struct Frame<'a> {
    /// What it says in short.
    pub title: &'a str,
    /// The file that it is of.
    pub path: &'a str,
    /// The program and its version.
    pub tool: &'a str,
    /// What is to be known first, as markup.
    pub lead: &'a str,
}

/// A page of sections, each with its id, its title and its markup; those without any are left out.
pub(super) fn framed(frame: &Frame<'_>, sections: &[(&str, &str, String)]) -> String {
    let name = frame.path.rsplit(['/', '\\']).next().unwrap_or_default();
    let (name, words) = (escape(name), frame.title);
    // No script and no request is possible, whatever a model's names hold.
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{words}: {name}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><p><b>{name}</b> <span>{}</span></p></header>\n<main>\n{}",
        escape(frame.tool),
        frame.lead
    );
    text.push_str("<nav aria-label=\"Sections\"><ul>");
    for (id, title, section) in sections {
        if !section.is_empty() {
            let _ = write!(text, "<li><a href=\"#{id}\">{title}</a></li>");
        }
    }
    text.push_str("</ul></nav>\n");
    sections.iter().for_each(|(_, _, section)| text.push_str(section));
    text.push_str("</main>\n</body>\n</html>\n");
    text
}
