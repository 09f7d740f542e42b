//! What an output says, and how both models agree in it.

use super::text::{db, escape, percent, table};
use crate::validate::{Measure, Measured, OutputError, Worst};

/// A table of one output.
pub fn table_of(task: &Measured) -> String {
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let share = |share: Option<f64>| share.map_or("not known".to_owned(), |share| percent(share, 2));
    let number = |number: f64| format!("{number:.4}");
    let known = |value: Option<f64>| value.map_or("not known".to_owned(), number);
    let (kind, mut rows, worst) = match &task.measure {
        Measure::Classify(classes) => {
            let mut rows = vec![row("Same first guess", share(Some(classes.top1_agreement)))];
            if let Some((float, quantized)) = classes.top1_float.zip(classes.top1_quantized) {
                rows.push(row("Top-1 accuracy, float", share(Some(float))));
                rows.push(row("Top-1 accuracy, quantized", share(Some(quantized))));
            }
            ("a classifier", rows, None)
        }
        Measure::Ctc(text) => {
            let mut rows = vec![
                row("Same text", share(Some(text.matches))),
                row("Same character in a step", share(Some(text.step_agreement))),
                row("Similarity, mean", number(text.similarity)),
            ];
            if let Some((float, quantized)) = text.accuracy_float.zip(text.accuracy_quantized) {
                rows.push(row("Read rightly, float", share(Some(float))));
                rows.push(row("Read rightly, quantized", share(Some(quantized))));
            }
            ("text", rows, text.worst.as_ref())
        }
        Measure::Embed(embedding) => {
            let rows = vec![
                row("Same nearest neighbour", share(embedding.agreement)),
                row("Cosine, mean", format!("{:.5}", embedding.cosine)),
            ];
            ("an embedding", rows, embedding.worst.as_ref())
        }
        Measure::Segment(masks) | Measure::SegmentClasses(masks) => {
            let rows = vec![
                row("Intersection over union", known(masks.iou)),
                row("The same, mean of samples", known(masks.iou_mean)),
                row("Elements that are the same", share(Some(masks.agreement))),
            ];
            ("masks", rows, masks.worst.as_ref())
        }
        Measure::Yolo(found) => {
            let noise = |part: &OutputError| match part.identical {
                true => "no difference".to_owned(),
                false => part.sqnr_db.map_or("no signal".to_owned(), db),
            };
            let rows = vec![
                row("F1", known(found.f1)),
                row("F1, mean of samples", known(found.f1_mean)),
                row("Found by the float model", found.float.to_string()),
                row("Found by the quantized model", found.quantized.to_string()),
                row("Found by both", found.same.to_string()),
                row("SQNR of places and sizes", noise(&found.boxes)),
                row("SQNR of scores", noise(&found.scores)),
            ];
            ("boxes", rows, found.worst.as_ref())
        }
    };
    rows.extend(worst.map(|Worst { sample, value }| row("Worst sample", escape(&format!("{value:.4}: {sample}")))));
    table(&format!("{} as {kind}", task.output), &["Measure", "Value"], 1, &rows)
}
