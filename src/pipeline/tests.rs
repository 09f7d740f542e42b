//! What the steps of the story hand to each other.

mod absorbed;
mod bench;
mod corrected;
mod equalized;
mod hard_swish;
mod notes;
mod protected;
mod reconstructed;
mod repaired;
mod smoothed;
mod smoothed_convolutions;

use super::*;
use crate::calibrate::{Calibration, Statistics};
use crate::inputs::{self, Dataset};
use crate::ir::Model;
use crate::ir::build::{Builder, int, ints};
use crate::plan::{NodePlan, Placement};
use crate::policy::{self, Raw};
use crate::quant::HalfType;
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

/// A model of a layer and something behind it, planned with `policy` and resolved.
fn resolved(model: &Model, policy: &str) -> (policy::Settings, Planned, crate::resolve::Resolved) {
    let folder = tempfile::tempdir().expect("a folder");
    file::save(model, &folder.path().join("m.onnx")).expect("a file");
    let text = format!("version: 1\nmodel: m.onnx\n{policy}");
    let settings = Raw::parse(&text, &folder.path().join("p.yaml")).and_then(|raw| raw.settings()).expect("a policy");
    let mut planned = Planned::new(&settings).expect("a plan");
    let mut seen = Statistics::default();
    assert!(seen.add(&[0.0, 1.0]));
    let values = planned.plan.observed().map(|v| (v.name.clone(), seen.clone())).collect();
    let resolved = planned.resolve(&settings, &Calibration { values, ..Calibration::default() }).expect("grids");
    (settings, planned, resolved)
}

fn layer_and(op_type: &str) -> Model {
    let net = Builder::new(13).input("x", &[1, 4, 8, 8]).noise("w", &[4, 4, 1, 1], 1);
    let net = net.node("Conv", &["x", "w"], &["c"], vec![]).node(op_type, &["c"], &["y"], vec![]);
    net.output("y", &[1, 4, 8, 8]).build()
}

#[test]
fn strict_says_what_helps_where_floats_are_left_for_outputs_alone() {
    let strict = |op_type: &str| {
        let (settings, planned, resolved) = resolved(&layer_and(op_type), "strict: true\n");
        planned.check_strict(&settings, &resolved).expect_err("a float node").to_string()
    };
    assert!(strict("Sigmoid").ends_with("(io.outputs, or --io uint8)"), "{}", strict("Sigmoid"));
    assert!(!strict("Erf").contains("--io"), "{}", strict("Erf"));
    let (settings, planned, resolved) = resolved(&layer_and("Sigmoid"), "strict: true\nio: { outputs: uint8 }\n");
    assert!(planned.check_strict(&settings, &resolved).is_ok());
}

#[test]
fn what_a_user_has_to_know_is_a_warning() {
    let warnings = |policy: &str| {
        let (settings, mut planned, resolved) = resolved(&layer_and("Sigmoid"), policy);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.onnx");
        file::save(&planned.model, &path).expect("a file");
        planned.path.clone_from(&path);
        let summary = crate::report::CalibrationSummary::default();
        let report =
            reported::report(&settings, &planned, &resolved, None, Err("nobody asked".to_owned()), summary, &path);
        report.expect("a report").warnings.join("\n")
    };
    let both = |dtype: &str| format!("activations: {{ type: {dtype} }}\nweights: {{ type: {dtype} }}\n");
    assert!(warnings(&both("float8e4m3fn")).contains("no higher than basic"));
    assert!(warnings(&both("float8e5m2")).contains("optimizations disabled"));
    let mixed = "activations: { type: float8e4m3fn }\nweights: { type: float8e5m2 }\n";
    assert!(warnings(mixed).contains("optimizations disabled"));
    assert!(warnings("mode: bfloat16\n").contains("next to no kernels"));
    assert_eq!((warnings("mode: float16\n"), warnings("")), (String::new(), String::new()));
    let idle = warnings("rules:\n- { match: { value: y }, range: [0, 1] }\n");
    let line =
        "the range or scale that the policy's rule on line 4 states of \"y\" is not used: no integer node reads it";
    assert!(idle.starts_with(line), "{idle}");
}

#[test]
fn integers_for_no_input_that_could_be_are_an_error() {
    let model = Builder::new(13).input("i", &[4]).node("Cast", &["i"], &["y"], vec![int("to", 1)]);
    let mut model = model.output("y", &[4]).build();
    let input = model.graph.find("i").expect("the input");
    model.graph.set_element_type(input, DataType::Int64);
    let folder = tempfile::tempdir().expect("a folder");
    file::save(&model, &folder.path().join("m.onnx")).expect("a file");
    let made = |io: &str| {
        let text = format!("version: 1\nmodel: m.onnx\nio: {{ {io} }}\n");
        let raw = Raw::parse(&text, &folder.path().join("p.yaml")).expect("a policy");
        Planned::new(&raw.settings().expect("a policy")).map(|_| ()).map_err(|e| e.to_string())
    };
    let why = made("inputs: uint8").expect_err("nothing to do");
    assert!(
        why.contains("p.yaml:3:15: io.inputs asks for integers, and the model has no input that could be"),
        "{why}"
    );
    assert_eq!([made("inputs: uint8, outputs: uint8"), made("outputs: uint8")], [Ok(()), Ok(())]);
}

#[test]
fn what_is_stated_of_pictures_and_the_data_are_arrays_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s.npz");
    let model = Builder::new(13).input("x", &[1, 4]).node("Neg", &["x"], &["y"], vec![]).output("y", &[1, 4]).build();
    let specs = planned::input_specs(&model).expect("inputs");
    let mut samples = inputs::Recorder::create(&path, &specs, &[]).expect("begun");
    samples.add("s", &[Tensor::from_f32(vec![1, 4], &[1.0; 4])], &[], None).expect("added");
    samples.finish().expect("written");
    let note = |size| {
        let preprocess = inputs::Preprocess { size, ..inputs::Preprocess::default() };
        let source = inputs::Source { preprocess, ..inputs::Source::new(path.clone()) };
        calibrated::preprocessing_note(&Dataset::open(&source, &specs).expect("samples"))
    };
    assert_eq!(note(None), None);
    assert!(note(Some([32, 32])).is_some_and(|note| note.contains("data.preprocess has no effect")));
}

/// A product in numbers of `first`, behind which one in numbers of `second` stands.
fn halves(first: HalfType, second: HalfType) -> Model {
    let weight = Tensor::from_f32(vec![4, 4], &[0.25; 16]);
    let of = |kind: HalfType| kind.tensor(&weight).expect("float32");
    let to = |kind: HalfType| vec![int("to", kind.dtype().onnx().into())];
    let net = Builder::new(17).input("x", &[2, 4]).constant("v", &of(first)).constant("w", &of(second));
    let net = net.node("Cast", &["x"], &["a"], to(first)).node("MatMul", &["a", "v"], &["b"], vec![]);
    let net = net.node("Cast", &["b"], &["c"], to(second)).node("MatMul", &["c", "w"], &["d"], vec![]);
    net.node("Cast", &["d"], &["y"], vec![int("to", 1)]).output("y", &[2, 4]).build()
}

#[test]
fn what_a_model_has_in_16_bits_is_kept_or_widened_by_the_mode() {
    let folder = tempfile::tempdir().expect("a folder");
    let (float16, bfloat16) = (HalfType::Float16, HalfType::Bfloat16);
    file::save(&halves(float16, float16), &folder.path().join("m.onnx")).expect("a file");
    file::save(&halves(float16, bfloat16), &folder.path().join("both.onnx")).expect("a file");
    let planned = |model: &str, policy: &str| {
        let text = format!("version: 1\nmodel: {model}\n{policy}");
        let raw = Raw::parse(&text, &folder.path().join("p.yaml"))?;
        Planned::new(&raw.settings()?)
    };
    for (policy, kept) in [
        ("mode: weight-only", Some(true)),
        ("mode: weight-only\nhalf: { input: widen }", Some(false)),
        ("mode: dynamic", Some(false)),
        ("mode: dynamic\nhalf: { input: keep }", Some(true)),
        ("mode: static", Some(false)),
        ("half: { input: keep }", Some(true)),
        ("mode: float16", None),
    ] {
        let planned = planned("m.onnx", policy).expect("a plan");
        assert_eq!(planned.plan.was_half.map(|was| was.kept), kept, "{policy}");
        let listed = planned.plan.listing(&planned.model.graph);
        assert_eq!(listed.contains("# floats\n"), kept.is_some(), "{listed}");
        // Q/DQ of 16 bits came with opset 19.
        assert_eq!(planned.model.opset("") >= Some(19), kept == Some(true), "{policy}");
        let types = planned.plan.nodes.iter().flat_map(|node| node.placement.constants()).map(|c| c.scheme.scales);
        let wanted = kept.filter(|kept| *kept && !policy.contains("dynamic")).map(|_| float16);
        assert!(types.into_iter().all(|scales| scales == wanted), "{policy}");
    }
    let why = planned("both.onnx", "mode: weight-only\nhalf: { input: keep }").err().expect("two types").to_string();
    assert!(why.contains("p.yaml:4:16: ") && why.contains("both.onnx") && why.contains("half.input: widen"), "{why}");
    let both = planned("both.onnx", "mode: weight-only").expect("a plan");
    assert_eq!(both.plan.was_half.map(|was| was.kept), Some(false));
    let why = planned("both.onnx", "half: { input: keep }").map(|_| ()).expect_err("two types").to_string();
    assert!(why.contains("grids have scales of one type; set half.input: widen"), "{why}");
}

#[test]
fn inputs_and_outputs_of_16_bits_become_integers_like_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let weight = HalfType::Float16.tensor(&Tensor::from_f32(vec![4, 4], &[0.25; 16])).expect("float32");
    let net = Builder::new(17).input("x", &[2, 4]).constant("w", &weight).node("MatMul", &["x", "w"], &["y"], vec![]);
    let mut model = net.output("y", &[2, 4]).build();
    for name in ["x", "y"] {
        let value = model.graph.find(name).expect("a value");
        model.graph.set_element_type(value, HalfType::Float16.dtype());
    }
    file::save(&model, &folder.path().join("m.onnx")).expect("a file");
    for io in ["{ inputs: uint8, outputs: int8 }", "{ inputs: uint8 }", "{ outputs: int8 }"] {
        let text = format!("version: 1\nmodel: m.onnx\nio: {io}\n");
        let raw = Raw::parse(&text, &folder.path().join("p.yaml")).expect("a policy");
        let planned = Planned::new(&raw.settings().expect("settings")).expect("a plan");
        let graph = &planned.model.graph;
        let casts = graph.node_ids().filter(|&id| graph.node(id).is("Cast")).count();
        // One is left where the type of 16 bits is.
        assert_eq!((planned.plan.io.len(), casts), if io.contains(',') { (2, 0) } else { (1, 1) }, "{io}");
    }
}
