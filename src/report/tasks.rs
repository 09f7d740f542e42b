//! What outputs say, and how both models agree in it, as text.

use crate::validate::{Measure, Measured, OutputError, Worst};
use std::fmt::{self, Display, Formatter};

impl Display for Measured {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { output, measure } = self;
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        let known = |number: Option<f64>| number.map_or("not known".to_owned(), |number| format!("{number:.4}"));
        match measure {
            Measure::Classify(classes) => {
                writeln!(f, "  classes    {output}:")?;
                write!(f, "{classes}")
            }
            Measure::Ctc(text) => {
                write!(f, "  text       {output}: {} the same", percent(text.matches))?;
                writeln!(
                    f,
                    ", {} of the steps; similarity {:.4}{}",
                    percent(text.step_agreement),
                    text.similarity,
                    worst(text.worst.as_ref())
                )?;
                match text.accuracy_float.zip(text.accuracy_quantized) {
                    Some((float, quantized)) => {
                        let points = (quantized - float) * 100.0;
                        writeln!(
                            f,
                            "  read right {} before, {} after ({points:+.2} points)",
                            percent(float),
                            percent(quantized)
                        )
                    }
                    None => Ok(()),
                }
            }
            Measure::Embed(embedding) => {
                let same = embedding.agreement.map_or("too few samples for neighbours".to_owned(), |share| {
                    format!("nearest neighbour {} the same", percent(share))
                });
                let mask = embedding.mask.as_ref().map_or(String::new(), |mask| format!(", mean weighted by {mask}"));
                writeln!(
                    f,
                    "  embedding  {output}: {same}; cosine {:.5}{}{mask}",
                    embedding.cosine,
                    worst(embedding.worst.as_ref())
                )
            }
            Measure::Segment(masks) | Measure::SegmentClasses(masks) => {
                write!(
                    f,
                    "  masks      {output}: IoU {}, mean of samples {}",
                    known(masks.iou),
                    known(masks.iou_mean)
                )?;
                writeln!(f, "{}; {} of the elements the same", worst(masks.worst.as_ref()), percent(masks.agreement))
            }
            Measure::Yolo(found) => {
                let (float, quantized, same) = (found.float, found.quantized, found.same);
                write!(f, "  boxes      {output}: F1 {}, mean of samples {}", known(found.f1), known(found.f1_mean))?;
                writeln!(
                    f,
                    "{}; {float} found before, {quantized} after, {same} the same",
                    worst(found.worst.as_ref())
                )?;
                for part in [&found.boxes, &found.scores] {
                    writeln!(
                        f,
                        "             {}: {}, MSE {:.3e}, max abs {:.3e}",
                        part.name,
                        sqnr(part),
                        part.mse,
                        part.max_abs
                    )?;
                }
                Ok(())
            }
        }
    }
}

/// The error beside the signal, in words.
pub(super) fn sqnr(output: &OutputError) -> String {
    match (output.identical, output.sqnr_db) {
        (true, _) => "no difference".to_owned(),
        (false, Some(db)) => format!("SQNR {db:.1} dB"),
        (false, None) => "no SQNR, the float model gives only zeros".to_owned(),
    }
}

fn worst(worst: Option<&Worst>) -> String {
    worst.map_or(String::new(), |worst| format!(", least {:.4} ({})", worst.value, worst.sample))
}
