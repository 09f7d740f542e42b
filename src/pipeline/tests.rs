//! What the steps of the story hand to each other.

use super::*;
use crate::calibrate::{Calibration, Statistics};
use crate::ir::Model;
use crate::ir::build::{Builder, int, ints};
use crate::plan::{NodePlan, Placement};
use crate::policy::{self, Raw};
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

/// The policy that `init` writes for `model` and `flags`, as it is used.
fn advised(model: &Model, flags: &policy::Overrides) -> Result<policy::Settings> {
    let folder = tempfile::tempdir().expect("a folder");
    file::save(model, &folder.path().join("m.onnx")).expect("a file");
    let flags = policy::Overrides { model: Some(folder.path().join("m.onnx")), ..flags.clone() };
    let path = folder.path().join("policy.yaml");
    Raw::parse(&init(&flags, &path)?, &path)?.settings()
}

#[test]
fn a_first_policy_is_for_the_network_at_hand() {
    let none = policy::Overrides::default();
    let mode = |model: &Model| advised(model, &none).map(|settings| settings.mode).expect("a policy");
    assert_eq!(mode(&detector()), policy::Mode::WeightOnly);
    let matrix = |op_type: &str| {
        let net = Builder::new(17).input("x", &[-1, 8]).noise("w", &[8, 8], 1).noise("g", &[8], 2);
        let net = net.node("MatMul", &["x", "w"], &["y"], vec![]);
        if op_type.is_empty() {
            net.output("y", &[-1, 8])
        } else {
            net.node(op_type, &["y", "g"], &["z"], vec![]).output("z", &[-1, 8])
        }
        .build()
    };
    assert_eq!(mode(&matrix("")), policy::Mode::Dynamic);
    assert_eq!(mode(&matrix("LayerNormalization")), policy::Mode::Dynamic);
}

#[test]
fn there_is_no_policy_for_what_has_nothing_to_quantize_or_is_quantized_already() {
    let none = policy::Overrides::default();
    let bare = Builder::new(13).input("x", &[1, 4]).node("Relu", &["x"], &["y"], vec![]).output("y", &[1, 4]).build();
    let error = advised(&bare, &none).expect_err("nothing to do").to_string();
    assert!(error.contains("there is nothing in it to quantize"), "{error}");
    let scale = crate::tensor::Tensor::from_f32(vec![], &[0.5]);
    let quantized = Builder::new(13)
        .input("x", &[1, 4])
        .constant("s", &scale)
        .node("QuantizeLinear", &["x", "s"], &["q"], vec![])
        .node("DequantizeLinear", &["q", "s"], &["y"], vec![])
        .output("y", &[1, 4])
        .build();
    let error = advised(&quantized, &none).expect_err("quantized already").to_string();
    assert!(error.contains("tare dequantize"), "{error}");
}
