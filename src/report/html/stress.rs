//! Crash tests.

use super::super::stress::{made, saturated};
use super::Document;
use super::text::{counted, db, escape, number, percent, shortened, table};
use crate::validate::{Saturated, Stress, StressCase};

/// The section; empty where none were run.
pub fn stress(document: &Document<'_>) -> String {
    let Some(stress) = document.compared.ok().and_then(|comparison| comparison.stress.as_ref()) else {
        return String::new();
    };
    let failed = stress.cases.iter().filter(|case| case.is_failed()).count();
    let beside = match stress.samples {
        0 => "no samples to hold them against".to_owned(),
        samples => format!("held against {}", counted(samples, "sample", "samples")),
    };
    let mut text = format!(
        "<section id=\"stress\" aria-labelledby=\"stress-h\"><h2 id=\"stress-h\">Crash tests</h2>\n\
         <p>Both models on {} that no sample shows, {beside}: {failed} failed. The lowest and highest numbers were taken so: {}.</p>\n",
        counted(stress.cases.len(), "input", "inputs"),
        taken(stress)
    );
    let rows: Vec<_> = stress.cases.iter().map(row).collect();
    let headings = ["Case", "What", "Found", "SQNR, least", "Error to that of the worst sample"];
    text.push_str(&table("Each case", &headings, 3, &rows));
    text.push_str(&engine_words(stress));
    let rows: Vec<_> = saturated(stress).into_iter().map(saturation).collect();
    if !rows.is_empty() {
        let headings = ["Value", "Case", "Beyond its grid", "On samples", "Furthest, in widths of the grid"];
        text.push_str(&table("Values that saturate most", &headings, 2, &rows));
    }
    if let Some(why) = &stress.saturation_not_counted {
        text.push_str(&format!("<p>Saturation was not counted: {}.</p>\n", escape(why)));
    }
    text.push_str("</section>\n");
    text
}

/// What the engine said of the cases that it refused; empty where it refused none.
fn engine_words(stress: &Stress) -> String {
    let said = stress.cases.iter().filter_map(|case| Some((case, case.engine_words.as_ref()?)));
    let said = said.map(|(case, words)| format!("<li><b>{}</b>: {}</li>\n", escape(&case.name), escape(words)));
    let said: Vec<String> = said.collect();
    if said.is_empty() {
        return String::new();
    }
    let cases = counted(said.len(), "case", "cases");
    format!(
        "<details><summary>The engine's own words, of {cases}</summary>\n<ul>\n{}</ul>\n</details>\n",
        said.concat()
    )
}

fn taken(stress: &Stress) -> String {
    let inputs: Vec<String> =
        stress.inputs.iter().map(|input| format!("{}: {}", escape(&input.name), escape(&input.taken))).collect();
    inputs.join("; ")
}

fn row(case: &StressCase) -> Vec<String> {
    let mut found = escape(&case.verdict.to_string());
    if let Some(why) = &case.refused {
        found.push_str(&format!(": {}", escape(why)));
    }
    if let Some(what) = &case.runtime {
        found.push_str(&format!("; {}", escape(what)));
    }
    if case.is_failed() {
        found = format!("<b>failed</b>: {found}");
    }
    let least = case.outputs.iter().filter_map(|output| output.sqnr_db).reduce(f64::min);
    let times = case.outputs.iter().filter_map(|output| output.error_times).reduce(f64::max);
    let mut row = vec![escape(&case.name), escape(&case.what), found];
    row.extend([least.map_or("–".to_owned(), db), times.map_or("–".to_owned(), number)]);
    row
}

fn saturation((case, value): (&StressCase, &Saturated)) -> Vec<String> {
    let samples = value.share_on_samples.map_or("–".to_owned(), |share| percent(share, 1));
    let mut row = vec![shortened(&made(value), 80), escape(&case.name), percent(value.share, 1)];
    row.extend([samples, number(value.furthest)]);
    row
}
