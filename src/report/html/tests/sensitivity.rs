//! The page of what each layer costs.

use super::super::{Measured, sensitivity};
use super::{HOSTILE, file};
use crate::report::CalibrationSummary;
use crate::sensitivity::{Damage, Metric, NodeDamage, Sensitivity};

#[test]
fn a_measurement_has_a_page_without_markup_from_names() {
    let damage = |db: f64| Damage { sqnr_db: Some(db), ..Damage::default() };
    let node = |name: &str, db: f64, weights: Option<f64>| NodeDamage {
        node: name.to_owned(),
        op_type: "Conv".to_owned(),
        nodes: vec![name.to_owned()],
        alone: damage(db),
        weights: weights.map(damage),
        activations: Some(damage(db + 3.0)),
        in_float: damage(20.0),
        gain: Some(0.5),
        causes: vec![format!("clipping of {HOSTILE}")],
    };
    let measured = Sensitivity {
        metric: Metric::Sqnr,
        samples: 4,
        labelled: false,
        quantized: damage(19.5),
        nodes: vec![node(HOSTILE, 21.0, Some(24.0)), node("b", 31.0, None)],
        by_gain: vec!["b".to_owned(), HOSTILE.to_owned()],
        by_weights: vec![HOSTILE.to_owned()],
        by_activations: vec![],
    };
    let calibration = CalibrationSummary {
        source: HOSTILE.to_owned(),
        samples: 7,
        engine: None,
        statistics_sha256: "ab".to_owned(),
        preprocessing: None,
        skipped: vec![],
        equalized: 0,
        absorbed: None,
        smoothed: 0,
        protected: 0,
        corrected: None,
        repairs: None,
        reconstruction: None,
    };
    let document = Measured {
        tool: "tare 0.0.0",
        model: &file(1000),
        calibration: &calibration,
        policy: ("version: 1\n", "cd"),
        measured: &measured,
    };
    let page = sensitivity(&document);
    assert!(!page.contains("<script") && !page.contains('\u{202e}'), "{page}");
    for part in ["19.5 dB", "21.0 dB", "Other orders", "version: 1", "7 samples of", "+0.5 dB"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // Half the noise is half the length, and a layer without weights has no bar of them.
    let widths: Vec<f64> = page
        .split("<rect class=\"c")
        .skip(1)
        .map(|rest| rest.split("width=\"").nth(1).and_then(|w| w.split('"').next()).expect("a width"))
        .map(|width| width.parse().expect("a number"))
        .collect();
    assert_eq!(widths.len(), 3);
    assert!((widths[0] - widths[1]).abs() < 0.2 && widths[2] < widths[0] / 9.0, "{widths:?}");
}
