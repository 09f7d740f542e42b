//! All that decides the bytes of the result.

use super::Document;
use super::text::{bytes, counted, escape, table};
use crate::report::repairs::{absorbing_note, equalizing_note, protecting_note, smoothing_note};
use std::fmt::Write;

/// The section.
pub fn reproduce(document: &Document<'_>) -> String {
    let details = document.details;
    let digest = |digest: &str| format!("<code class=\"digest\">{}</code>", escape(digest));
    let file = |what: &str, file: &crate::report::FileSummary| {
        vec![what.to_owned(), format!("{}, {}", escape(&file.path), bytes(file.bytes)), digest(&file.sha256)]
    };
    let mut rows = vec![
        vec!["Program".to_owned(), escape(document.tool), String::new()],
        file("Float model", document.float),
        file("Quantized model", document.quantized),
    ];
    if let Some(report) = document.report {
        let (calibration, samples) = (&report.calibration, report.calibration.samples);
        let source = escape(&calibration.source);
        let mut from = source;
        if samples > 0 {
            from = format!("{} of {from}", counted(samples as usize, "sample", "samples"));
        }
        if let Some(engine) = &calibration.engine {
            from = format!("{from}, run by {}", escape(engine));
        }
        rows.push(vec!["Calibration".to_owned(), from, digest(&calibration.statistics_sha256)]);
        if let Some(note) = &calibration.preprocessing {
            rows.push(vec!["Preprocessing".to_owned(), escape(note), String::new()]);
        }
        if let Some(note) = equalizing_note(calibration.equalized) {
            rows.push(vec!["Equalizing".to_owned(), escape(&note), String::new()]);
        }
        if let Some(note) = calibration.absorbed.map(absorbing_note) {
            rows.push(vec!["Absorbing".to_owned(), escape(&note), String::new()]);
        }
        if let Some(note) = smoothing_note(calibration.smoothed) {
            rows.push(vec!["Smoothing".to_owned(), escape(&note), String::new()]);
        }
        if let Some(note) = protecting_note(calibration.protected) {
            rows.push(vec!["Protecting".to_owned(), escape(&note), String::new()]);
        }
        if let Some(ranges) = &calibration.reconstruction {
            rows.push(vec!["Reconstructed".to_owned(), escape(&ranges.to_string()), String::new()]);
        }
        if let Some(corrected) = &calibration.corrected {
            rows.push(vec!["Biases corrected".to_owned(), escape(&corrected.to_string()), String::new()]);
        }
        if let Some(repairs) = &calibration.repairs {
            rows.push(vec!["Repairs".to_owned(), escape(&repairs.to_string()), String::new()]);
        }
        if let Some(one) = &report.encodings {
            let what = format!("{} ({}), {} of {} entries used", one.path, one.format, one.used, one.entries);
            rows.push(vec!["Encodings".to_owned(), escape(&what), digest(&one.sha256)]);
        }
        rows.push(vec!["Policy".to_owned(), "as used, below".to_owned(), digest(&report.policy_sha256)]);
    }
    if let Ok(comparison) = document.compared {
        let samples = counted(comparison.samples, "sample", "samples");
        let what = format!("{samples}, by {}", escape(&comparison.engine));
        rows.push(vec!["Validation".to_owned(), what, String::new()]);
    }
    let mut text =
        "<section id=\"reproduce\" aria-labelledby=\"reproduce-h\"><h2 id=\"reproduce-h\">To make it again</h2>\n\
         <p>The same model, samples and policy give the same bytes.</p>\n"
            .to_owned();
    text.push_str(&table("Files and their SHA-256", &["What", "Which", "SHA-256"], 3, &rows));
    if document.report.is_some() {
        let _ = write!(
            text,
            "<details><summary>The policy as used, to save and run</summary>\n<pre tabindex=\"0\">{}</pre></details>\n\
             <details><summary>What its digest is of: every key with its default</summary>\n<pre tabindex=\"0\">{}</pre></details>\n",
            escape(&details.policy),
            escape(&details.digested)
        );
    }
    if let Some((path, policy)) = &details.policy_file {
        let (path, policy) = (escape(path), escape(policy));
        let _ = write!(
            text,
            "<details><summary>The policy file {path}, which flags may overrule</summary>\n<pre tabindex=\"0\">{policy}</pre></details>\n"
        );
    }
    text.push_str("</section>\n");
    text
}
