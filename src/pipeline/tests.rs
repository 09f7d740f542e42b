//! What the steps of the story hand to each other.

use super::*;
use crate::calibrate::{Calibration, Statistics};
use crate::inputs::{self, Dataset};
use crate::ir::Model;
use crate::ir::build::{Builder, int, ints};
use crate::plan::{NodePlan, Placement};
use crate::policy::{self, Raw};
use crate::rewrite;
use crate::tensor::{DataType, Tensor};

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

#[test]
fn what_is_recorded_has_the_types_that_the_model_states() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let net = Builder::new(13).input("x", &[1, 4]).node("Cast", &["x"], &["h"], vec![int("to", 10)]);
    let mut model = net.node("Neg", &["h"], &["y"], vec![]).output("y", &[1, 4]).build();
    let y = model.graph.find("y").expect("a value");
    model.graph.set_element_type(y, DataType::Float16);
    file::save(&model, &at("m.onnx")).expect("a file");
    let specs = planned::input_specs(&model).expect("inputs");
    let mut samples = inputs::Recorder::create(&at("s.npz"), &specs, &[]).expect("begun");
    samples.add("s", &[Tensor::from_f32(vec![1, 4], &[1.0, 2.0, 0.1, -3.0])], &[], None).expect("added");
    samples.finish().expect("written");
    let text = "version: 1\nmodel: m.onnx\ndata: { calibration: { path: s.npz } }\n";
    let settings = Raw::parse(text, &at("p.yaml")).and_then(|raw| raw.settings()).expect("a policy");
    let known = KnownGrids::default();
    let context = Context { threads: 1, progress: &crate::progress::Silent, known: &known, onnxruntime: None };
    let count = record(&at("m.onnx"), &at("r.npz"), &settings, &context).expect("a recording");
    let data = Dataset::open(&inputs::Source::new(at("r.npz")), &specs).expect("samples");
    let data = data.with_outputs(&["y".to_owned()]).expect("outputs");
    let read: Vec<_> = data.read(&[0]).collect::<Result<_>>().expect("a sample");
    assert_eq!((count, read[0].recorded[0].dtype()), (1, DataType::Float16));
    assert_eq!(read[0].recorded[0].to_f32().expect("numbers")[..2], [-1.0, -2.0]);
    assert_eq!(read[0].inputs[0].dtype(), DataType::Float32);
}

#[test]
fn constants_of_16_bits_are_as_large_as_the_file_has_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let half = crate::quant::HalfType::of(DataType::Float16).expect("a type of 16 bits");
    let weight = half.tensor(&Tensor::from_f32(vec![8, 8], &[0.5; 64])).expect("numbers");
    let net = Builder::new(13).input("x", &[1, 8]).constant("w", &weight);
    let mut model = net.node("MatMul", &["x", "w"], &["y"], vec![]).output("y", &[1, 8]).build();
    for name in ["x", "y"] {
        let value = model.graph.find(name).expect("a value");
        model.graph.set_element_type(value, DataType::Float16);
    }
    file::save(&model, &folder.path().join("m.onnx")).expect("a file");
    let settings = Raw::parse("version: 1\nmodel: m.onnx\n", &folder.path().join("p.yaml"));
    let told = inspect(&settings.and_then(|raw| raw.settings()).expect("a policy")).expect("an audit");
    assert!(told.contains("128 B  1 nodes"), "{told}");
    let size = file::size(&folder.path().join("m.onnx")).expect("a size");
    assert!(told.contains(&format!("about {} B", size - 64)), "{told}");
}

#[test]
fn constants_of_strings_are_no_trouble() {
    let folder = tempfile::tempdir().expect("a folder");
    let net = Builder::new(13).input("x", &[1, 8]).noise("w", &[8, 8], 1).floats("names", &[1], &[0.0]);
    let net = net.node("MatMul", &["x", "w"], &["y"], vec![]).node("Identity", &["names"], &["n"], vec![]);
    let mut proto = net.output("y", &[1, 8]).output("n", &[1]).proto();
    let held = &mut proto.graph.as_mut().expect("a graph").initializer[1];
    (held.data_type, held.raw_data) = (Some(DataType::String.onnx()), None);
    held.string_data = vec!["a".to_owned().into()];
    let path = folder.path().join("m.onnx");
    file::save(&Model::from_proto(proto).expect("a model"), &path).expect("a file");
    let settings = Raw::parse("version: 1\nmodel: m.onnx\n", &folder.path().join("p.yaml"));
    let settings = settings.and_then(|raw| raw.settings()).expect("a policy");
    assert!(inspect(&settings).expect("an audit").contains("MatMul"));
    assert!(super::diff(&path, &path).expect("a difference").is_empty());
}
