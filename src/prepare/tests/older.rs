//! Operators of opsets 7 to 12 that were written otherwise.

use super::opset::Blind;
use super::*;
use crate::exec::Executor;
use crate::ir::build::{float, floats, int, ints, text};
use crate::tensor::DataType;

/// The number in an input that has to be constant.
fn constant(model: &Model, node: &crate::ir::Node, slot: usize) -> Tensor {
    let value = node.input(slot).unwrap_or_else(|| panic!("no input {slot}"));
    model.graph.constant(value).expect("a tensor").expect("a constant")
}

fn all<'a>(model: &'a Model, op_type: &str) -> Vec<&'a crate::ir::Node> {
    let order = model.graph.topological().expect("no circle");
    order.into_iter().map(|id| model.graph.node(id)).filter(|node| node.is(op_type)).collect()
}

#[test]
fn bounds_pads_and_ranges_become_inputs() {
    let model = Builder::new(7)
        .input("x", &[2, 3, 6])
        .output("y", &[2, 5, 4])
        .output("z", &[2, 2, 6])
        .node("Clip", &["x"], &["c"], vec![float("min", -0.25), float("max", 0.5)])
        .node("Pad", &["c"], &["p"], vec![ints("pads", &[0, 1, 0, 0, 1, -2]), float("value", 0.125)])
        .node("Relu", &["p"], &["y"], vec![])
        .node("Slice", &["x"], &["s"], vec![ints("starts", &[0, 1]), ints("ends", &[9, i64::MAX])])
        .node("Neg", &["s"], &["z"], vec![])
        .build();
    let (ready, _) = prepare_twice(&model);
    let [clip, pad, slice] = ["Clip", "Pad", "Slice"].map(|op_type| find(&ready, op_type));
    assert!([clip, pad, slice].iter().all(|node| node.attributes().names().next().is_none()));
    assert_eq!(constant(&ready, clip, 1), Tensor::from_f32(vec![], &[-0.25]));
    assert_eq!(constant(&ready, clip, 2), Tensor::from_f32(vec![], &[0.5]));
    assert_eq!(constant(&ready, pad, 1), Tensor::from_i64(vec![6], &[0, 1, 0, 0, 1, -2]));
    assert_eq!(constant(&ready, pad, 2), Tensor::from_f32(vec![], &[0.125]));
    assert_eq!(constant(&ready, slice, 2), Tensor::from_i64(vec![2], &[9, i64::MAX]));
    assert_eq!(constant(&ready, slice, 3), Tensor::from_i64(vec![2], &[0, 1]));
}

#[test]
fn what_was_left_out_or_at_its_default_stays_out() {
    let model = Builder::new(7)
        .input("x", &[2, 3])
        .output("y", &[2, 5])
        .node("Clip", &["x"], &["c"], vec![float("max", f32::MAX)])
        .node("Pad", &["c"], &["y"], vec![ints("pads", &[0, 1, 0, 1]), text("mode", "edge"), float("value", 3.0)])
        .build();
    let ready = prepared(&model);
    assert_eq!((find(&ready, "Clip").inputs().len(), find(&ready, "Pad").inputs().len()), (1, 2));
}

#[test]
fn bounds_are_of_the_inputs_type_whoever_tells_it() {
    let executors: [&dyn Executor; 2] = [&Tract::default(), &Blind(Tract::default())];
    for (dtype, executor) in [(DataType::Float64, executors[0]), (DataType::Float64, executors[1])] {
        let mut model = Builder::new(7)
            .input("x", &[2, 3])
            .output("y", &[2, 3])
            .node("Cast", &["x"], &["a"], vec![int("to", i64::from(dtype.onnx()))])
            .node("Abs", &["a"], &["b"], vec![])
            .node("Clip", &["b"], &["c"], vec![float("max", 0.5)])
            .node("Cast", &["c"], &["y"], vec![int("to", 1)])
            .build();
        prepare(&mut model, executor, &Options::default()).expect("a model that can be prepared");
        let clip = find(&model, "Clip");
        assert_eq!((clip.input(1), constant(&model, clip, 2).dtype()), (None, dtype));
        assert_eq!(constant(&model, clip, 2).first_f32(), Some(0.5));
    }
}

#[test]
fn a_bound_of_an_unknown_type_is_an_error() {
    let mut model = Builder::new(9)
        .input("x", &[2, 2])
        .output("y", &[2, 2])
        .node("EyeLike", &["x"], &["a"], vec![])
        .node("Clip", &["a"], &["y"], vec![float("max", 0.5)])
        .build();
    let error =
        prepare(&mut model, &Blind(Tract::default()), &Options::default()).expect_err("an unknown type").to_string();
    assert!(error.contains("Clip_y") && error.contains("element type"), "{error}");
}

#[test]
fn the_number_of_top_k_becomes_an_input() {
    let model = Builder::new(9)
        .input("x", &[2, 6])
        .output("y", &[2, 3])
        .node("TopK", &["x"], &["y", "i"], vec![int("k", 3)])
        .build();
    let (ready, _) = prepare_twice(&model);
    assert_eq!(constant(&ready, find(&ready, "TopK"), 1), Tensor::from_i64(vec![1], &[3]));
}

#[test]
fn scatter_gets_its_later_name() {
    let model = Builder::new(9)
        .input("x", &[2, 6])
        .output("y", &[2, 6])
        .constant("i", &Tensor::from_i64(vec![1, 2], &[1, 0]))
        .floats("u", &[1, 2], &[1.0, 2.0])
        .node("Scatter", &["x", "i", "u"], &["y"], vec![int("axis", 1)])
        .build();
    let (ready, _) = prepare_twice(&model);
    assert_eq!(find(&ready, "ScatterElements").attributes().int("axis"), Some(1));
}

/// Every Resize, first to last: how it takes the nearest, and its scales where they are constant.
fn resizes(model: &Model) -> Vec<(Option<&str>, Option<Vec<f32>>)> {
    let scales = |node: &crate::ir::Node| model.graph.constant(node.input(2)?).ok()??.to_f32().ok().map(|s| s.to_vec());
    let resize = |node| {
        let node: &crate::ir::Node = node;
        assert_eq!(node.attributes().text("coordinate_transformation_mode"), Some("asymmetric"));
        assert!(!node.attributes().has("scales") && node.input(1).is_none());
        (node.attributes().text("nearest_mode"), scales(node))
    };
    all(model, "Resize").into_iter().map(resize).collect()
}

#[test]
fn upsample_becomes_a_resize_that_takes_the_pixel_before() {
    let scales = [1.0, 1.0, 1.5, 2.0];
    for (mode, nearest) in [(None, Some("floor")), (Some("nearest"), Some("floor")), (Some("linear"), None)] {
        let mode: Vec<_> = mode.map(|mode| text("mode", mode)).into_iter().collect();
        let build = |opset| Builder::new(opset).input("x", &[1, 2, 4, 4]).output("y", &[1, 2, 6, 8]);
        let attribute = [mode.clone(), vec![floats("scales", &scales)]].concat();
        let seven = build(7).node("Upsample", &["x"], &["y"], attribute).build();
        let nine = build(9).floats("s", &[4], &scales).node("Upsample", &["x", "s"], &["y"], mode.clone()).build();
        for model in [seven, nine] {
            let (ready, _) = prepare_twice(&model);
            assert_eq!(resizes(&ready), [(nearest, Some(scales.to_vec()))]);
            assert_eq!(operators(&ready), ["Resize"]);
        }
    }
}

fn resize_of_ten(scales: &[f32], mode: &str) -> Model {
    Builder::new(10)
        .input("x", &[1, 2, 4, 4])
        .output("y", &[1, 2, -1, -1])
        .floats("s", &[4], scales)
        .node("Resize", &["x", "s"], &["y"], vec![text("mode", mode)])
        .build()
}

#[test]
fn the_first_resize_takes_the_pixel_behind_where_it_shrinks() {
    for (scales, modes) in [
        ([1.0, 1.0, 2.0, 1.5], vec!["floor"]),
        ([1.0, 1.0, 1.0, 1.0], vec!["floor"]),
        ([1.0, 1.0, 0.5, 1.0], vec!["ceil"]),
        ([1.0, 1.0, 0.5, 1.5], vec!["floor", "ceil"]),
    ] {
        let (ready, _) = prepare_twice(&resize_of_ten(&scales, "nearest"));
        let found = resizes(&ready);
        assert_eq!(found.iter().filter_map(|(mode, _)| *mode).collect::<Vec<_>>(), modes);
        let product = |axis: usize| found.iter().filter_map(|(_, s)| Some(s.as_ref()?[axis])).product::<f32>();
        assert_eq!([0, 1, 2, 3].map(product), scales, "the scales of both together");
    }
    let (ready, _) = prepare_twice(&resize_of_ten(&[1.0, 1.0, 0.5, 1.5], "linear"));
    assert_eq!(resizes(&ready), [(None, Some(vec![1.0, 1.0, 0.5, 1.5]))]);
    let error = refusal(&resize_of_ten(&[1.0, 1.0, 2.0, 2.0], "cubic"));
    assert!(error.contains("Resize_y") && error.contains("cubic"), "{error}");
}

#[test]
fn a_resize_by_computed_scales_is_ready_for_both_ways() {
    let model = Builder::new(10)
        .input("x", &[1, 2, 4, 4])
        .input("s", &[4])
        .output("y", &[1, 2, -1, -1])
        .node("Resize", &["x", "s"], &["y"], vec![])
        .build();
    let (ready, _) = prepare_twice(&model);
    assert_eq!(resizes(&ready), [(Some("floor"), None), (Some("ceil"), None)]);
    assert_eq!((all(&ready, "Max").len(), all(&ready, "Min").len()), (1, 1));
}

#[test]
fn scales_without_numbers_beside_sizes_are_left_out() {
    let modes = |mapping: &str| vec![text("coordinate_transformation_mode", mapping), text("nearest_mode", "floor")];
    let build = |attributes| {
        Builder::new(11)
            .input("x", &[1, 2, 4, 4])
            .output("y", &[1, 2, 7, 9])
            .floats("none", &[0], &[])
            .ints("sizes", &[1, 2, 7, 9])
            .node("Resize", &["x", "none", "none", "sizes"], &["y"], attributes)
            .build()
    };
    for (mapping, wanted) in
        [("asymmetric", ("asymmetric", "floor")), ("tf_half_pixel_for_nn", ("half_pixel", "round_prefer_ceil"))]
    {
        let (ready, _) = prepare_twice(&build(modes(mapping)));
        let resize = find(&ready, "Resize");
        assert!(resize.input(2).is_none() && resize.input(3).is_some());
        let attributes = resize.attributes();
        let found =
            ["coordinate_transformation_mode", "nearest_mode"].map(|name| attributes.text(name).unwrap_or("none"));
        assert_eq!(found, [wanted.0, wanted.1]);
    }
}

#[test]
fn the_mask_of_a_dropout_is_zero_everywhere() {
    for (opset, code) in [(7, 1), (10, 9)] {
        let model = Builder::new(opset)
            .input("x", &[2, 3])
            .output("y", &[2, 3])
            .output("z", &[2, 3])
            .node("Dropout", &["x"], &["d", "mask"], vec![float("ratio", 0.5)])
            .node("Neg", &["d"], &["y"], vec![])
            .node("Cast", &["mask"], &["z"], vec![int("to", 1)])
            .build();
        let (ready, _) = prepare_twice(&model);
        assert!(!operators(&ready).contains(&"Dropout"));
        assert_eq!(constant(&ready, find(&ready, "Expand"), 0).dtype().onnx(), code);
        assert_eq!(run(&ready, &feeds(&model))[1], Tensor::from_f32(vec![2, 3], &[0.0; 6]));
    }
}

#[test]
fn a_batch_normalization_of_single_elements_becomes_arithmetic() {
    let build = |dims: &[i64], shape: &[usize], spatial| {
        let elements = shape.iter().product();
        Builder::new(7)
            .input("x", dims)
            .output("y", dims)
            .noise("scale", shape, 1)
            .noise("bias", shape, 2)
            .noise("mean", shape, 3)
            .floats("var", shape, &vec![0.75; elements])
            .node(
                "BatchNormalization",
                &["x", "scale", "bias", "mean", "var"],
                &["y"],
                vec![int("spatial", spatial), float("epsilon", 0.25)],
            )
            .build()
    };
    let model = build(&[2, 3, 4], &[3, 4], 0);
    let (ready, _) = prepare_twice(&model);
    assert_eq!(operators(&ready), ["Add", "Mul", "Add"]);
    let inputs = feeds(&model);
    let [scale, bias, mean] = [1, 2, 3].map(|seed| noise(12, seed));
    let x = inputs[0].to_f32().expect("numbers");
    // A variance of 0.75 and an epsilon of 0.25: a deviation of 1.
    let wanted: Vec<_> = x.iter().enumerate().map(|(i, x)| (x - mean[i % 12]) * scale[i % 12] + bias[i % 12]).collect();
    assert_near(&wanted, &run(&ready, &inputs)[0].to_f32().expect("numbers"));

    // One for each channel is what it is today.
    for (dims, shape, spatial) in [(&[2, 3, 4][..], &[3][..], 1), (&[2, 3], &[3], 0)] {
        let mut ready = build(dims, shape, spatial);
        prepare(&mut ready, &Tract::default(), &Options::default()).expect("a model that can be prepared");
        assert!(!operators(&ready).contains(&"Sub"), "{:?}", operators(&ready));
        assert!(ready.graph.node_ids().all(|id| !ready.graph.node(id).attributes().has("spatial")));
    }
}

#[test]
fn an_adapter_names_the_node_that_it_cannot_carry_over() {
    let one = |op_type: &str, attributes| {
        let builder = Builder::new(9).input("x", &[2, 3]).output("y", &[2, 3]);
        refusal(&builder.node(op_type, &["x"], &["y"], attributes).build())
    };
    for (error, words) in [
        (one("Slice", vec![ints("starts", &[0])]), "no ends"),
        (one("Slice", vec![ints("starts", &[0]), ints("ends", &[1, 1])]), "1 starts, 2 ends"),
        (one("Pad", vec![]), "no pads"),
        (one("TopK", vec![]), "no k"),
        (one("Upsample", vec![]), "no input 1"),
        (one("Upsample", vec![floats("scales", &[1.0, 2.0]), text("mode", "cubic")]), "cubic"),
    ] {
        assert!(error.contains("_y\"") && error.contains(words), "{error}");
    }
}

#[test]
fn operators_of_other_domains_are_left_alone() {
    let builder = Builder::new(9).input("x", &[2, 3]).output("y", &[2, 3]);
    let mut proto = builder.node("Clip", &["x"], &["y"], vec![float("max", 1.0)]).proto();
    let graph = proto.graph.as_mut().expect("a graph");
    graph.node[0].domain = Some("elsewhere".to_owned());
    let (ready, _) = prepare_twice(&Model::from_proto(proto).expect("a model"));
    let id = ready.graph.node_ids().next().expect("a node");
    assert_eq!(ready.graph.node(id).attributes().float("max"), Some(1.0));
}
