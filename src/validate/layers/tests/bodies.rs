//! Bodies of Scan, and of an If whose samples differ.

use super::super::{BodyNote, LayerError, level::Level, level::Seen, notes, turns::Kind};
use crate::exec::Tract;
use crate::ir::Model;
use crate::ir::build::{self, Builder, body, int};
use crate::prepare;
use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto};
use crate::tensor::{DataType, Tensor};

fn node(op_type: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let name = Some(format!("{}_node", outputs[0]));
    NodeProto {
        op_type: Some(op_type.to_owned()),
        name,
        input: names(inputs),
        output: names(outputs),
        ..NodeProto::default()
    }
}

fn named(names: &[&str]) -> Vec<ValueInfoProto> {
    names.iter().map(|&name| ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }).collect()
}

/// A step of a recurrent network, whose weights are called `w`: its state is Tanh(row w + state u).
fn step(before: Vec<NodeProto>) -> GraphProto {
    let nodes = [
        node("MatMul", &["row", "w"], &["read"]),
        node("MatMul", &["state", "u"], &["kept"]),
        node("Add", &["read", "kept"], &["sum"]),
        node("Tanh", &["sum"], &["next"]),
        node("Identity", &["next"], &["shown"]),
    ];
    GraphProto {
        name: Some("step".to_owned()),
        input: Builder::new(13).input("state", &[1, 6]).input("row", &[1, 8]).proto().graph.expect("a graph").input,
        output: named(&["next", "shown"]),
        node: before.into_iter().chain(nodes).collect(),
        ..GraphProto::default()
    }
}

/// A Scan over the rows of x, called `name`.
fn scan(net: Builder, name: &str, body_: GraphProto) -> Model {
    let net = net.input("x", &[5, 8]).noise("u", &[6, 6], 2).floats("start", &[1, 6], &[0.0; 6]);
    let net = net.ints("one", &[1]).node("Unsqueeze", &["x", "one"], &["rows"], vec![]);
    let attributes: Vec<AttributeProto> = vec![body("body", body_), int("num_scan_inputs", 1)];
    let mut proto =
        net.node("Scan", &["start", "rows"], &["last", "all"], attributes).output("all", &[5, 1, 6]).proto();
    let graph = proto.graph.as_mut().expect("a graph");
    graph.node.last_mut().expect("the Scan").name = Some(name.to_owned());
    Model::from_proto(proto).expect("a model")
}

fn float() -> Model {
    scan(Builder::new(13).noise("w", &[8, 6], 1), "scan", step(vec![]))
}

/// Its `w` is stored with these steps, one for each column; it is dequantized in the body, or around it.
fn quantized(scales: [f32; 6], inside: bool) -> Model {
    let w = build::noise(48, 1);
    let integers: Vec<u8> =
        w.iter().enumerate().map(|(k, v)| (v / scales[k % 6]).round().clamp(-127.0, 127.0) as i8 as u8).collect();
    let q = Tensor::new(DataType::Int8, vec![8, 6], integers.into()).expect("integers");
    let s = Tensor::from_f32(vec![6], &scales);
    if !inside {
        let net = Builder::new(13).constant("w_quantized", &q).constant("w_scale", &s);
        let net = net.node("DequantizeLinear", &["w_quantized", "w_scale"], &["w"], vec![int("axis", 1)]);
        return scan(net, "scan", step(vec![]));
    }
    let mut dequantize = node("DequantizeLinear", &["w_quantized", "w_scale"], &["w"]);
    dequantize.attribute.push(int("axis", 1));
    let mut body_ = step(vec![dequantize]);
    let stored = |name: &str, tensor: &Tensor| TensorProto {
        name: Some(name.to_owned()),
        ..crate::ir::tensor_to_proto(name, tensor)
    };
    body_.initializer = vec![stored("w_quantized", &q), stored("w_scale", &s)];
    scan(Builder::new(13), "scan", body_)
}

/// What is said of two models.
fn said(models: [&Model; 2], samples: &[Vec<Tensor>]) -> (Vec<LayerError>, Vec<BodyNote>) {
    let executor = Tract::default();
    let level = Level::new(models, &executor, &samples[0]).expect("models that run");
    let seen: Vec<Seen> = samples.iter().map(|x| level.look(x, Some(x)).expect("a run")).collect();
    let seen: Vec<&Seen> = seen.iter().collect();
    (level.errors(&seen, ""), notes(&seen))
}

fn rows() -> Vec<Vec<Tensor>> {
    (3..6).map(|seed| vec![Tensor::from_f32(vec![5, 8], &build::noise(40, seed))]).collect()
}

const STEP: f32 = 1.0 / 127.0;

#[test]
fn a_body_of_a_scan_is_looked_into() {
    for inside in [true, false] {
        let (layers, notes) = said([&float(), &quantized([STEP; 6], inside)], &rows());
        assert_eq!(notes, []);
        let names: Vec<&str> = layers.iter().map(|layer| layer.value.as_str()).collect();
        assert_eq!(names, ["rows", "scan_read", "scan_kept", "scan_sum", "scan_next", "scan_shown", "last", "all"]);
        let of = |name: &str| layers.iter().find(|layer| layer.value == name).expect(name);
        let read = of("scan_read");
        assert_eq!((read.node.as_str(), read.op_type.as_str()), ("scan_read_node", "MatMul"));
        assert!(read.alone_db.is_some_and(|db| (35.0..60.0).contains(&db)) && !read.is_suspect(), "{read:?}");
        // Its weights are the only error: nothing else adds one, but all have that of the turns before.
        for name in ["scan_kept", "scan_sum", "scan_next"] {
            assert!(of(name).alone_db.is_none() && of(name).accumulated_db.is_some(), "{:?}", of(name));
        }
        let (shown, all) = (of("scan_shown").accumulated_db, of("all").accumulated_db);
        assert!((shown.expect("an error") - all.expect("an error")).abs() < 1e-3, "the Scan gives what its body shows");
    }
}

#[test]
fn a_fault_in_a_body_is_its_first_suspect() {
    let mut scales = [STEP; 6];
    scales[4] = STEP / 8.0;
    let (layers, _) = said([&float(), &quantized(scales, true)], &rows());
    let suspects: Vec<&str> = layers.iter().filter(|l| l.is_suspect()).map(|l| l.value.as_str()).collect();
    assert_eq!(suspects, ["scan_read"]);
}

#[test]
fn what_cannot_be_looked_into_is_named() {
    let renamed = scan(Builder::new(13).noise("w", &[8, 6], 1), "other", step(vec![]));
    let (layers, notes) = said([&float(), &renamed], &rows());
    assert_eq!(layers.iter().map(|layer| layer.value.as_str()).collect::<Vec<_>>(), ["rows", "last", "all"]);
    let [note] = &notes[..] else { panic!("{notes:?}") };
    assert_eq!(note.shown(3), "scan (Scan): the quantized model has no such node of this name");
}

/// A Scan like that of [`float`] over the first rows of x alone.
fn over_rows(count: i64) -> Model {
    let net = Builder::new(13).noise("w", &[8, 6], 1).input("x", &[5, 8]).noise("u", &[6, 6], 2);
    let net = net.floats("start", &[1, 6], &[0.0; 6]).ints("one", &[1]).ints("none", &[0]).ints("count", &[count]);
    let net = net.node("Slice", &["x", "none", "count", "none"], &["some"], vec![]);
    let net = net.node("Unsqueeze", &["some", "one"], &["rows"], vec![]);
    let attributes = vec![body("body", step(vec![])), int("num_scan_inputs", 1)];
    let net = net.node("Scan", &["start", "rows"], &["last", "all"], attributes);
    let mut proto = net.output("all", &[count, 1, 6]).proto();
    let graph = proto.graph.as_mut().expect("a graph");
    graph.node.last_mut().expect("the Scan").name = Some("scan".to_owned());
    Model::from_proto(proto).expect("a model")
}

#[test]
fn unlike_counts_of_turns_are_told() {
    let (layers, notes) = said([&over_rows(4), &over_rows(4)], &rows());
    assert!(notes.is_empty() && layers.iter().any(|layer| layer.value == "scan_sum"), "{notes:?}");
    let shown = |models: [i64; 2]| {
        let (layers, notes) = said([&over_rows(models[0]), &over_rows(models[1])], &rows());
        // What the layers add by themselves is known all the same.
        assert!(layers.iter().any(|layer| layer.value == "scan_sum"), "{layers:?}");
        notes.iter().map(|note| note.shown(3)).collect::<Vec<_>>()
    };
    let fewer =
        "scan (Scan): the quantized model has fewer iterations; what adds up is not known of those that it lacks";
    assert_eq!(shown([5, 3]), [fewer]);
    let more = "scan (Scan): the quantized model has more iterations, which have nothing to be compared with";
    assert_eq!(shown([3, 5]), [more]);
}

/// A Scan of opset 8 over the rows of each sample of a batch of two; with lengths of their own, or none.
fn old_scan(lengths: &str) -> Model {
    let body_ = GraphProto {
        name: Some("step".to_owned()),
        input: Builder::new(8).input("state", &[3]).input("row", &[3]).proto().graph.expect("a graph").input,
        node: vec![node("Mul", &["row", "row"], &["scaled"]), node("Add", &["state", "scaled"], &["next"])],
        output: named(&["next", "scaled"]),
        ..GraphProto::default()
    };
    let net = Builder::new(8).input("x", &[2, 5, 3]).floats("start", &[2, 3], &[0.0; 6]).ints("lengths", &[5, 5]);
    let attributes = vec![body("body", body_), int("num_scan_inputs", 1)];
    net.node("Scan", &[lengths, "start", "x"], &["last", "all"], attributes).output("all", &[2, 5, 3]).build()
}

#[test]
fn a_scan_of_opset_8_becomes_one_that_can_be_looked_into() {
    let later = prepare::later_scans(&old_scan(""), &Tract::default()).expect("a model").into_owned();
    let id = later.graph.node_ids().find(|&id| later.graph.node(id).is("Scan")).expect("the Scan");
    // States have a value for each sample: it walks along the batch with both inputs.
    let walked = Kind::Scan { states: 0, axes: vec![(0, false); 2] };
    assert_eq!(Kind::of(&later, id).expect("a later one"), walked);
    // Others stay what they are.
    let scan = float();
    assert!(matches!(prepare::later_scans(&scan, &Tract::default()), Ok(std::borrow::Cow::Borrowed(_))));
}

#[test]
fn a_scan_of_opset_8_with_lengths_stays_what_it_is_and_is_named() {
    let executor = Tract::default();
    let model = old_scan("lengths");
    let kept = prepare::later_scans(&model, &executor).expect("a model");
    assert_eq!(kept.opset(""), Some(8));
    let id = kept.graph.node_ids().next().expect("the Scan");
    let why = Kind::of(&kept, id).expect_err("an old one").to_string();
    assert!(why.contains("with a length for each sample"), "{why}");
}

/// x w, or x v where the sum of x is negative. Both have these factors in front.
fn choice(factors: [f32; 2]) -> Model {
    let branch = |name: &str, weight: &str, factor: f32| {
        let scaled = format!("{name}_scaled");
        GraphProto {
            name: Some(name.to_owned()),
            node: vec![node("MatMul", &["x", weight], &[name]), node("Mul", &[name, &format!("{name}_f")], &[&scaled])],
            initializer: vec![crate::ir::tensor_to_proto(&format!("{name}_f"), &Tensor::from_f32(vec![], &[factor]))],
            output: named(&[&scaled]),
            ..GraphProto::default()
        }
    };
    let bodies =
        vec![body("else_branch", branch("no", "v", factors[1])), body("then_branch", branch("yes", "w", factors[0]))];
    let net =
        Builder::new(13).input("x", &[2, 8]).noise("w", &[8, 3], 1).noise("v", &[8, 3], 2).floats("zero", &[], &[0.0]);
    let net = net.node("ReduceSum", &["x"], &["total"], vec![int("keepdims", 0)]);
    let net = net.node("GreaterOrEqual", &["total", "zero"], &["positive"], vec![]);
    net.node("If", &["positive"], &["y"], bodies).output("y", &[2, 3]).build()
}

#[test]
fn branches_are_looked_into_where_samples_differ() {
    let sample = |number: f32| vec![Tensor::from_f32(vec![2, 8], &[number; 16])];
    let (layers, notes) = said([&choice([1.0, 1.0]), &choice([1.0, 2.0])], &[sample(1.0), sample(-1.0), sample(-2.0)]);
    assert_eq!(notes, []);
    let wrong: Vec<&str> = layers.iter().filter(|l| l.alone_db.is_some()).map(|l| l.value.as_str()).collect();
    assert_eq!(wrong, ["If_y_no_scaled", "y"]);
    // The other one is not told of where no sample takes it.
    let (layers, _) = said([&choice([1.0, 1.0]), &choice([2.0, 1.0])], &[sample(-1.0)]);
    assert!(layers.iter().all(|layer| layer.alone_db.is_none() && !layer.value.starts_with("If_y_yes")), "{layers:?}");
}
