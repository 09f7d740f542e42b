//! Operator sets behind 13, which are reached only where they are asked for.

use super::*;
use crate::ir::build::{body, float, int, ints, text};
use crate::ir::{Graph, Node};
use crate::proto::{AttributeProto, GraphProto, NodeProto, ValueInfoProto};

fn asking(opset: i64) -> Options {
    Options { opset, ..Options::default() }
}

/// The model, brought up to `opset`. A second run changes nothing.
fn raised(model: &Model, opset: i64) -> Model {
    let mut ready = model.clone();
    prepare(&mut ready, &Tract::default(), &asking(opset)).expect("a model that can be prepared");
    let bytes = file::to_bytes(&ready).expect("a message");
    prepare(&mut ready, &Tract::default(), &asking(opset)).expect("a second run");
    assert!(bytes == file::to_bytes(&ready).expect("a message"), "a second run changes the bytes");
    ready
}

fn error(model: &Model, opset: i64) -> String {
    let mut model = model.clone();
    prepare(&mut model, &Tract::default(), &asking(opset)).expect_err("a model that is refused").to_string()
}

fn integers(graph: &Graph, node: &Node, slot: usize) -> Option<Tensor> {
    graph.constant(node.input(slot)?).expect("a tensor")
}

/// One node from x to y.
fn one(opset: i64, op_type: &str, dims: [&[i64]; 2], attributes: Vec<AttributeProto>) -> Model {
    let builder = Builder::new(opset).input("x", dims[0]).output("y", dims[1]);
    builder.node(op_type, &["x"], &["y"], attributes).build()
}

#[test]
fn the_opset_and_the_container_are_those_that_were_asked_for() {
    for (asked, container) in
        [(13, 7), (14, 7), (15, 8), (18, 8), (19, 9), (20, 9), (21, 10), (22, 10), (23, 11), (24, 12), (25, 13)]
    {
        for opset in [7, 12, 13, 25] {
            let model = one(opset, "Relu", [&[2], &[2]], vec![]);
            let ready = raised(&model, asked);
            assert_eq!(ready.opset(""), Some(opset.max(asked)));
            let least = if opset < asked { container } else { 0 };
            assert_eq!(ready.ir_version(), model.ir_version().max(least));
        }
    }
}

#[test]
fn an_opset_out_of_reach_is_an_error() {
    for asked in [12, 26] {
        let error = error(&one(13, "Relu", [&[2], &[2]], vec![]), asked);
        assert!(error.contains(&format!("opset {asked}")) && error.contains("13 to 25"), "{error}");
    }
}

#[test]
fn axes_of_reductions_become_an_input() {
    for kind in ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare"] {
        let op_type = format!("Reduce{kind}");
        let model = one(13, &op_type, [&[2, 3, 4], &[2, 4]], vec![ints("axes", &[-2]), int("keepdims", 0)]);
        let ready = raised(&model, 17);
        assert_eq!(find(&ready, &op_type).attributes().ints("axes"), Some(&[-2][..]));
        let ready = raised(&model, 18);
        let node = find(&ready, &op_type);
        assert_eq!(integers(&ready.graph, node, 1), Some(Tensor::from_i64(vec![1], &[-2])));
        assert_eq!(node.attributes().names().collect::<Vec<_>>(), ["keepdims"]);
        let ready = raised(&one(13, &op_type, [&[2, 3], &[1, 1]], vec![]), 18);
        assert_eq!(find(&ready, &op_type).input(1), None);
    }
    let model = one(13, "ReduceMean", [&[2, 3, 4], &[2, 1, 4]], vec![ints("axes", &[1])]);
    assert_computes_the_same(&model, &raised(&model, 25));
}

#[test]
fn a_split_says_into_how_many_parts() {
    let build = |inputs: &[&str]| {
        let builder = Builder::new(13).input("x", &[2, 6]).output("a", &[2, 2]).output("c", &[2, 2]);
        builder.ints("sizes", &[2, 2, 2]).node("Split", inputs, &["a", "b", "c"], vec![int("axis", 1)]).build()
    };
    for (inputs, opset, parts) in
        [(&["x"][..], 17, None), (&["x"], 18, Some(3)), (&["x", ""], 25, Some(3)), (&["x", "sizes"], 25, None)]
    {
        let ready = raised(&build(inputs), opset);
        assert_eq!(find(&ready, "Split").attributes().int("num_outputs"), parts);
        assert_computes_the_same(&build(&["x"]), &ready);
    }
}

#[test]
fn what_is_sampled_how_gets_its_later_name() {
    let build = |attributes| {
        let builder = Builder::new(16).input("x", &[1, 2, 4, 4]).input("g", &[1, 3, 3, 2]).output("y", &[1, 2, 3, 3]);
        builder.node("GridSample", &["x", "g"], &["y"], attributes).build()
    };
    for (mode, later) in [("bilinear", "linear"), ("bicubic", "cubic"), ("nearest", "nearest")] {
        let model = build(vec![text("mode", mode)]);
        for (opset, wanted) in [(19, mode), (20, later)] {
            assert_eq!(find(&raised(&model, opset), "GridSample").attributes().text("mode"), Some(wanted));
        }
    }
    assert_eq!(find(&raised(&build(vec![]), 20), "GridSample").attributes().names().next(), None);
}

#[test]
fn regions_stay_where_they_were() {
    let name = "coordinate_transformation_mode";
    let build = |opset, attributes| {
        let builder = Builder::new(opset).input("x", &[1, 2, 8, 8]).output("y", &[1, 2, 1, 1]);
        let builder = builder.floats("r", &[1, 4], &[0.0, 0.0, 4.0, 4.0]).ints("i", &[0]);
        builder.node("RoiAlign", &["x", "r", "i"], &["y"], attributes).build()
    };
    for (model, opset, wanted) in [
        (build(10, vec![]), 15, None),
        (build(10, vec![]), 16, Some("output_half_pixel")),
        (build(13, vec![]), 25, Some("output_half_pixel")),
        (build(16, vec![]), 25, None),
        (build(16, vec![text(name, "half_pixel")]), 25, Some("half_pixel")),
    ] {
        assert_eq!(find(&raised(&model, opset), "RoiAlign").attributes().text(name), wanted);
    }
}

#[test]
fn the_axis_of_a_fourier_transform_becomes_an_input() {
    for (attributes, axis) in [(vec![], 1), (vec![int("axis", 2), int("onesided", 1)], 2)] {
        let rest = attributes.len().saturating_sub(1);
        let ready = raised(&one(17, "DFT", [&[1, 4, 4, 1], &[1, 4, 4, 2]], attributes), 20);
        let node = find(&ready, "DFT");
        assert_eq!((node.input(1), integers(&ready.graph, node, 2)), (None, Some(Tensor::from_i64(vec![], &[axis]))));
        assert_eq!(node.attributes().names().count(), rest);
    }
}

#[test]
fn scales_of_groups_stay_scales_of_groups() {
    let build = |attributes| {
        let builder = Builder::new(18).input("x", &[2, 4, 3]).output("y", &[2, 4, 3]);
        let builder = builder.floats("s", &[2], &[0.5, 2.0]).floats("b", &[2], &[1.0, -1.0]);
        builder.node("GroupNormalization", &["x", "s", "b"], &["y"], attributes).build()
    };
    let model = build(vec![int("num_groups", 2), float("epsilon", 0.25)]);
    let ready = raised(&model, 21);
    assert_eq!(find(&ready, "InstanceNormalization").attributes().names().collect::<Vec<_>>(), ["epsilon"]);
    let inputs = feeds(&model);
    let normalized = |(number, group): (usize, &[f32])| {
        let mean = group.iter().sum::<f32>() / 6.0;
        let variance = group.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 6.0;
        let (scale, bias) = if number % 2 == 0 { (0.5, 1.0) } else { (2.0, -1.0) };
        group.iter().map(|v| (v - mean) / (variance + 0.25).sqrt() * scale + bias).collect::<Vec<_>>()
    };
    let x = inputs[0].to_f32().expect("numbers");
    let wanted: Vec<f32> = x.chunks(6).enumerate().flat_map(normalized).collect();
    let found = &run(&ready, &inputs)[0];
    assert_eq!(found.shape(), [2, 4, 3]);
    assert_near(&wanted, &found.to_f32().expect("numbers"));
    assert_eq!(operators(&raised(&model, 20)), ["GroupNormalization"]);
    assert!(error(&build(vec![]), 21).contains("no num_groups"));
}

/// A BatchNormalization with these outputs; the graph gives out y and `read`.
fn training(outputs: &[&str], read: &str) -> Model {
    let mut builder = Builder::new(9).input("x", &[2, 3, 4]).output("y", &[2, 3, 4]).output("z", &[3]);
    for name in ["s", "b", "m", "v"] {
        builder = builder.floats(name, &[3], &[0.5, 1.0, 2.0]);
    }
    let builder = builder.node("BatchNormalization", &["x", "s", "b", "m", "v"], outputs, vec![]);
    builder.node("Neg", &[read], &["z"], vec![]).build()
}

#[test]
fn a_normalization_in_training_says_so() {
    let model = training(&["y", "om", "ov", "sm", "sv"], "om");
    let ready = raised(&model, 14);
    let node = find(&ready, "BatchNormalization");
    assert_eq!((node.outputs().len(), node.attributes().int("training_mode")), (3, Some(1)));
    let ready = raised(&model, 13);
    let node = find(&ready, "BatchNormalization");
    assert_eq!((node.outputs().len(), node.attributes().has("training_mode")), (5, false));
    for (outputs, read, words) in
        [(["y", "om", "ov", "sm", "sv"], "sm", "gives out"), (["y", "om", "", "", ""], "om", "not all")]
    {
        let error = error(&training(&outputs, read), 14);
        assert!(error.contains("BatchNormalization_y") && error.contains(words), "{error}");
    }
    let mut inference = training(&["y"], "s");
    crate::prepare::opset::Upgrade { to: 25, executor: &Tract::default() }.run(&mut inference).expect("a model");
    assert_eq!(find(&inference, "BatchNormalization").attributes().names().next(), None);
}

#[test]
fn what_the_first_half_of_the_way_makes_goes_the_second_half_too() {
    let model = Builder::new(7)
        .input("x", &[2, 4, 3, 3])
        .output("y", &[2, 4, 3, 3])
        .output("z", &[2, 2, 3, 3])
        .node("MeanVarianceNormalization", &["x"], &["m"], vec![int("normalize_variance", 0)])
        .node("Clip", &["m"], &["y"], vec![float("max", 0.5)])
        .node("Split", &["m"], &["z", "rest"], vec![int("axis", 1)])
        .build();
    let ready = raised(&model, 25);
    assert_eq!(find(&ready, "Split").attributes().int("num_outputs"), Some(2));
    // What the mean became was made for 13.
    let node = ready.graph.node_ids().map(|id| ready.graph.node(id)).find(|n| n.is("ReduceMean"));
    assert!(node.is_none_or(|n| n.input(1).is_some() && !n.attributes().has("axes")));
    let (at_13, at_25) = (run(&raised(&model, 13), &feeds(&model)), run(&ready, &feeds(&model)));
    for (a, b) in at_13.iter().zip(&at_25) {
        assert_near(&a.to_f32().expect("numbers"), &b.to_f32().expect("numbers"));
    }
}

#[test]
fn bodies_go_where_the_graph_around_goes() {
    let texts = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    let branch = |op_type: &str, attribute| {
        let (input, output) = (texts(&["x"]), texts(&[op_type]));
        let node = NodeProto { op_type: Some(op_type.to_owned()), input, output, attribute, ..NodeProto::default() };
        let output = vec![ValueInfoProto { name: Some(op_type.to_owned()), ..ValueInfoProto::default() }];
        GraphProto { name: Some(op_type.to_owned()), node: vec![node], output, ..GraphProto::default() }
    };
    let model = Builder::new(13)
        .input("x", &[2, 3])
        .output("y", &[2, 1])
        .constant("flag", &Tensor::new(crate::tensor::DataType::Bool, vec![], vec![1].into()).expect("a bool"))
        .node(
            "If",
            &["flag"],
            &["y"],
            vec![
                body("then_branch", branch("ReduceMax", vec![ints("axes", &[1])])),
                body("else_branch", branch("ReduceMean", vec![ints("axes", &[1])])),
            ],
        )
        .build();
    let ready = raised(&model, 21);
    let graph = ready.to_proto().expect("a message").graph.expect("a graph");
    for body in graph.node[0].attribute.iter().filter_map(|a| a.g.as_ref()) {
        assert_eq!((body.node[0].input.len(), body.initializer.len()), (2, 1));
        assert!(body.node[0].attribute.is_empty());
    }
    assert_computes_the_same(&model, &ready);
}
