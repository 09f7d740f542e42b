//! The samples that suffer most, with their pictures.

use super::Document;
use super::text::{base64, db, escape, number, shortened};
use crate::report::details::WorstSample;
use std::fmt::Write;

/// The section; empty where no sample suffers.
pub fn samples(document: &Document<'_>) -> String {
    let samples = &document.details.samples;
    if samples.is_empty() {
        return String::new();
    }
    let changed = samples.iter().any(|sample| sample.error.changed());
    let order = if changed { "Those whose first guess changed come first, then the" } else { "The" };
    let mut text = format!(
        "<section id=\"samples\" aria-labelledby=\"samples-h\"><h2 id=\"samples-h\">Worst samples</h2>\n\
         <p>{order} largest error beside the signal. Classes are numbers, from 0.</p>\n<div class=\"cards samples\">\n"
    );
    samples.iter().for_each(|sample| text.push_str(&card(sample)));
    text.push_str("</div>\n</section>\n");
    text
}

fn card(sample: &WorstSample) -> String {
    let error = &sample.error;
    let mut text = "<figure>".to_owned();
    if let Some(picture) = &sample.picture {
        let small = if picture.width.max(picture.height) <= 64 { " class=\"coarse\"" } else { "" };
        let _ = write!(
            text,
            "<img{small} alt=\"the sample as the model reads it\" width=\"{}\" height=\"{}\" src=\"data:image/png;base64,{}\">",
            picture.width,
            picture.height,
            base64(&picture.png)
        );
    }
    let name = error.name.rsplit(['/', '\\']).next().unwrap_or(&error.name);
    let noise = error.sqnr_db.map_or("no SQNR".to_owned(), db);
    let _ = write!(text, "<figcaption><b title=\"{}\">{}</b>", escape(&error.name), shortened(name, 40));
    let _ = write!(text, "<span>{noise}, MSE {}</span>", number(error.mse));
    if let (Some(float), Some(quantized)) = (error.float, error.quantized) {
        let label = error.label.map_or(String::new(), |label| format!(", labelled {label}"));
        let _ = match error.changed() {
            true => {
                let right = error.label.map(|label| label as usize);
                let class = if right == Some(quantized) { "good" } else { "bad" };
                write!(text, "<span class=\"{class}\">class {float} became {quantized}{label}</span>")
            }
            false => write!(text, "<span>class {float} in both{label}</span>"),
        };
    } else {
        let _ = write!(text, "<span>output {}</span>", shortened(&error.output, 40));
    }
    text.push_str("</figcaption></figure>\n");
    text
}
