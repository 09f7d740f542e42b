//! What the steps of the story hand to each other.

use super::*;
use crate::calibrate::{Calibration, Statistics};
use crate::ir::Model;
use crate::ir::build::{Builder, int, ints};
use crate::plan::{NodePlan, Placement};
use crate::policy::Raw;
use crate::rewrite;

/// Boxes and scores in one tensor, transposed for the caller and for two layers that share a weight.
fn detector() -> Model {
    Builder::new(13)
        .input("x", &[1, 4, 8, 8])
        .noise("v", &[4, 4, 1, 1], 1)
        .noise("w", &[4, 4, 1, 1], 2)
        .noise("u", &[8, 8], 3)
        .node("Conv", &["x", "v"], &["boxes"], vec![])
        .node("Conv", &["x", "w"], &["scores"], vec![])
        .node("Concat", &["boxes", "scores"], &["j"], vec![int("axis", 1)])
        .node("Transpose", &["j"], &["t"], vec![ints("perm", &[0, 2, 3, 1])])
        .node("MatMul", &["t", "u"], &["z"], vec![])
        .node("MatMul", &["z", "u"], &["y"], vec![])
        .output("t", &[1, 8, 8, 8])
        .output("y", &[1, 8, 8, 8])
        .build()
}

#[test]
fn what_moves_an_unlike_join_gets_the_grid_that_was_observed_for_the_join() {
    let folder = tempfile::tempdir().expect("a folder");
    file::save(&detector(), &folder.path().join("m.onnx")).expect("a file");
    let text = "version: 1\nmodel: m.onnx\nactivations: { calibrator: minmax }\n";
    let settings = Raw::parse(text, &folder.path().join("p.yaml")).and_then(|raw| raw.settings()).expect("a policy");
    let mut planned = Planned::new(&settings).expect("a plan");
    let seen = |name: &str| {
        let mut statistics = Statistics::default();
        assert!(statistics.add(&[0.0, if matches!(name, "boxes" | "j") { 640.0 } else { 1.0 }]));
        (name.to_owned(), statistics)
    };
    let values = planned.plan.observed().map(|v| seen(&v.name)).collect();
    let calibration = Calibration { values, ..Calibration::default() };
    assert!(!calibration.values.contains_key("t"), "it is moved on the grid of what it is moved from");
    let resolved = planned.resolve(&settings, &calibration).expect("a grid for each value");
    let float = |n: &&NodePlan| matches!(n.placement, Placement::Float { .. });
    let floats: Vec<_> = planned.plan.nodes.iter().filter(float).map(|n| n.op_type.as_str()).collect();
    assert_eq!(floats, ["Concat", "Transpose"]);
    assert_eq!(resolved.ranges.get("t"), Some(&(0.0, 640.0)));
    rewrite::insert_qdq(&mut planned.model, &planned.plan, &resolved).expect("a quantized model");
}
