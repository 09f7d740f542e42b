//! How far each output is from the float model's.

use super::text::{counted, db, escape, number, percent, table};
use super::{Document, tasks};
use crate::validate::{
    Comparison, Distance, OutputError, Recorded, RecordedOf, RecordedOutput, RuntimeOutput, ThreeWay,
};

/// The section.
pub fn outputs(document: &Document<'_>) -> String {
    let mut text =
        "<section id=\"outputs\" aria-labelledby=\"outputs-h\"><h2 id=\"outputs-h\">Outputs</h2>\n".to_owned();
    match document.compared {
        Err(why) => text.push_str(&format!("<p>Not re-executed: {}.</p>\n", escape(why))),
        Ok(comparison) if comparison.samples == 0 => {
            text.push_str("<p>Not compared: there are no samples, and only crash tests were run.</p>\n");
        }
        Ok(comparison) => {
            text.push_str(&format!(
                "<p>Both models were run on {}, by {}. SQNR: power of the signal to power of the error; 20 dB is an error \
                 of a tenth, 40 dB of a hundredth.</p>\n",
                samples(document, comparison),
                escape(&comparison.engine)
            ));
            let row = |output: &OutputError| {
                let sqnr = match (output.identical, output.sqnr_db) {
                    (true, _) => "no difference".to_owned(),
                    (false, noise) => noise.map_or("no signal".to_owned(), db),
                };
                let cosine = |c: Option<f64>| c.map_or("–".to_owned(), |c| format!("{c:.5}"));
                let mut row = vec![escape(&output.name), sqnr, number(output.mse), cosine(output.cosine)];
                row.extend([cosine(output.cosine_min), number(output.max_abs), output.not_finite.to_string()]);
                row
            };
            let rows: Vec<_> = comparison.outputs.iter().map(row).collect();
            let headings =
                ["Output", "SQNR", "MSE", "Cosine, mean", "Cosine, least", "Largest error", "NaN or infinite"];
            text.push_str(&table("Error of each output", &headings, 1, &rows));
            if let Some(classes) = &comparison.classification {
                let share = |share: Option<f64>| share.map_or("no labels".to_owned(), |share| percent(share, 2));
                let rows = [
                    vec!["Top-1 accuracy".into(), share(classes.top1_float), share(classes.top1_quantized)],
                    vec!["Top-5 accuracy".into(), share(classes.top5_float), share(classes.top5_quantized)],
                    vec!["Same first guess".into(), "–".into(), percent(classes.top1_agreement, 2)],
                    vec![
                        "First guess among the float model's five".into(),
                        "–".into(),
                        percent(classes.top5_agreement, 2),
                    ],
                ];
                text.push_str(&table("As a classifier", &["Measure", "Float", "Quantized"], 1, &rows));
            }
            comparison.tasks.iter().for_each(|task| text.push_str(&tasks::table_of(task)));
        }
    }
    if let Ok(Comparison { reference: Some(reference), .. }) = document.compared {
        text.push_str(&by_runtime(reference));
    }
    if let Ok(Comparison { recorded: Some(recorded), .. }) = document.compared {
        text.push_str(&beside_recording(recorded));
    }
    text.push_str("</section>\n");
    text
}

/// How many samples were run; of a comparison of two files nobody knows which calibrated.
fn samples(document: &Document<'_>, comparison: &Comparison) -> String {
    let samples = counted(comparison.samples, "sample", "samples");
    let which = if document.report.is_some() { " that did not calibrate" } else { "" };
    format!("{samples}{which}")
}

fn noise(distance: Option<&Distance>) -> String {
    match distance {
        None => "not run".to_owned(),
        Some(distance) if distance.identical => "no difference".to_owned(),
        Some(distance) => distance.sqnr_db.map_or("no signal".to_owned(), db),
    }
}

/// The quantized model beside what was recorded elsewhere.
fn beside_recording(recorded: &Recorded) -> String {
    let row = |output: &RecordedOutput| {
        let of = match output.of {
            Some(RecordedOf::Float) => "the float model",
            Some(RecordedOf::Quantized) => "the quantized model",
            None => "–",
        };
        let mut row = vec![escape(&output.name), escape(&output.verdict.to_string()), of.to_owned()];
        row.extend([&output.recorded_to_float, &output.recorded_to_own].map(|distance| noise(Some(distance))));
        row
    };
    let rows: Vec<_> = recorded.outputs.iter().map(row).collect();
    let headings = ["Output", "What differs", "Recorded of", "To the float model", "To the re-execution"];
    table(&format!("As {} has it, SQNR", recorded.path), &headings, 3, &rows)
}

/// The quantized model as a runtime computes it.
fn by_runtime(reference: &ThreeWay) -> String {
    let row = |output: &RuntimeOutput| {
        let mut row = vec![escape(&output.name), escape(&output.verdict.to_string())];
        let all = [&output.own_to_disable_all, &output.own_to_default, &output.float_to_default];
        row.extend(all.map(|distance| noise(distance.as_ref())));
        row
    };
    let rows: Vec<_> = reference.outputs.iter().map(row).collect();
    let headings = [
        "Output",
        "What differs",
        "Re-execution to the plain runtime",
        "Re-execution to the runtime",
        "Float model to the runtime",
    ];
    let mut text = table(&format!("As {} computes it, SQNR", reference.runtime), &headings, 2, &rows);
    for (level, at) in [("without optimizations", &reference.disable_all), ("by default", &reference.default)] {
        if let Some(why) = &at.refused {
            let (runtime, why) = (escape(&reference.runtime), escape(why));
            text.push_str(&format!("<p>{runtime} refuses the model {level}: {why}.</p>\n"));
        }
    }
    text
}
