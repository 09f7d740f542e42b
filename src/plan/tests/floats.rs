//! What stays float, and why.

use super::*;

/// HardSwish of `x`, spelled out, which makes `h`.
fn hard_swish(net: Builder, x: &str) -> Builder {
    net.floats("three", &[], &[3.0])
        .floats("zero", &[], &[0.0])
        .floats("six", &[], &[6.0])
        .node("Add", &[x, "three"], &["a"], vec![])
        .node("Clip", &["a", "zero", "six"], &["b"], vec![])
        .node("Mul", &[x, "b"], &["m"], vec![])
        .node("Div", &["m", "six"], &["h"], vec![])
}

#[test]
fn hard_swish_behind_a_layer_runs_on_integers() {
    let (nodes, _) = listing(conv(hard_swish(start(), "c"), "h", "y").output("y", &[1, 4, 8, 8]));
    assert_eq!(
        nodes,
        [
            &format!("Conv Conv_c: {WEIGHT} 0"),
            "Clip h_cut_clip: clamp [-1.2247449, inf], vanishes into Conv_c if its grid ends within",
            "Add h_add: integer, constant uint8 asymmetric per tensor",
            "Clip h_gate_clip: clamp [0, 2.4494898], vanishes into h_add if its grid ends within",
            "Mul h_mul: integer",
            &format!("Conv Conv_y: {WEIGHT} 0"),
        ]
    );
}

#[test]
fn hard_swish_spelled_out_behind_anything_else_is_a_float_island_with_reasons() {
    let net = hard_swish(start().node("Add", &["c", "x"], &["r"], vec![]), "r");
    let (nodes, values) = listing(conv(net, "h", "y").output("y", &[1, 4, 8, 8]));
    assert_eq!(
        nodes,
        [
            format!("Conv Conv_c: {WEIGHT} 0"),
            "Add Add_r: float: no integer node reads its output".to_owned(),
            "Add Add_a: float: it is part of a HardSwish, which is computed in float".to_owned(),
            "Clip Clip_b: float: it is part of a HardSwish, which is computed in float".to_owned(),
            "Mul Mul_m: float: it is part of a HardSwish, which is computed in float".to_owned(),
            "Div Div_h: float: it is part of a HardSwish, which is computed in float".to_owned(),
            format!("Conv Conv_y: {WEIGHT} 0"),
        ]
    );
    assert_eq!(values, ["x", "c", "h", "y"].map(|v| format!("{v}: uint8 asymmetric, range by mse")));
}

#[test]
fn layer_norm_spelled_out_stays_float_up_to_the_matmul() {
    let net = Builder::new(13)
        .input("x", &[1, 4, 6])
        .floats("two", &[], &[2.0])
        .floats("epsilon", &[], &[1e-5])
        .noise("gamma", &[6], 1)
        .noise("beta", &[6], 2)
        .noise("w", &[6, 5], 3)
        .node("ReduceMean", &["x"], &["mean"], vec![ints("axes", &[-1])])
        .node("Sub", &["x", "mean"], &["centred"], vec![])
        .node("Pow", &["centred", "two"], &["squares"], vec![])
        .node("ReduceMean", &["squares"], &["variance"], vec![ints("axes", &[-1])])
        .node("Add", &["variance", "epsilon"], &["raised"], vec![])
        .node("Sqrt", &["raised"], &["deviation"], vec![])
        .node("Div", &["centred", "deviation"], &["normal"], vec![])
        .node("Mul", &["normal", "gamma"], &["scaled"], vec![])
        .node("Add", &["scaled", "beta"], &["shifted"], vec![])
        .node("MatMul", &["shifted", "w"], &["y"], vec![])
        .output("y", &[1, 4, 5]);
    let (nodes, values) = listing(net);
    assert!(nodes[..9].iter().all(|n| n.contains(": float: ")), "{nodes:?}");
    assert_eq!(nodes[9], format!("MatMul MatMul_y: {WEIGHT} 1, float output"));
    assert_eq!(values, ["shifted: uint8 asymmetric, range by mse"]);
}

#[test]
fn the_tail_of_a_detector_stays_float() {
    let net = conv(start(), "x", "d")
        .node("Sigmoid", &["c"], &["s"], vec![])
        .node("Concat", &["s", "d"], &["k"], vec![int("axis", 1)])
        .node("Softmax", &["k"], &["y"], vec![int("axis", 1)])
        .output("y", &[1, 8, 8, 8]);
    let (nodes, _) = listing(net);
    let tail: Vec<_> = nodes.iter().filter(|n| !n.starts_with("Conv ")).collect();
    assert_eq!(
        tail,
        [
            "Sigmoid Sigmoid_s: float: no integer node reads its output",
            "Concat Concat_k: float: no integer node reads its output",
            "Softmax Softmax_y: float: Softmax needs more than eight bits in its input",
        ]
    );
}

#[test]
fn conditions_of_the_table_are_reasons() {
    let attributes = vec![ints("kernel_shape", &[2, 2]), ints("dilations", &[2, 2]), ints("pads", &[1, 1, 1, 1])];
    let pool = start().node("AveragePool", &["c"], &["p"], attributes);
    let with_indices = start().node("MaxPool", &["c"], &["p", "indices"], vec![ints("kernel_shape", &[2, 2])]);
    let padded = start().floats("one", &[], &[1.0]).ints("pads", &[0, 0, 1, 0, 0, 0, 0, 0]).node(
        "Pad",
        &["c", "pads", "one"],
        &["p"],
        vec![],
    );
    for (net, reason) in [
        (pool, "dilated average pooling has no integer kernel"),
        (with_indices.output("indices", &[-1]), "it also returns indices"),
        (padded, "pads with a number that may lie outside the grid"),
    ] {
        let (nodes, _) = listing(conv(net, "p", "y").output("y", &[-1, -1, -1, -1]));
        assert!(nodes[1].ends_with(&format!(": float: {reason}")), "{nodes:?}");
    }
}

#[test]
fn what_onnx_runtime_fails_at_is_a_reason() {
    let net = start().floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0]);
    let net = net.node("Resize", &["c", "", "scales"], &["p"], vec![text("mode", "cubic")]);
    let (nodes, _) = listing(conv(net, "p", "y").output("y", &[-1, -1, -1, -1]));
    assert_eq!(nodes[0], "Conv Conv_c: float: ONNX Runtime does not run an integer Conv near a cubic Resize");
    assert!(nodes[2].starts_with("Conv Conv_y: integer"), "{nodes:?}");
}

#[test]
fn an_operator_of_another_domain_is_not_mistaken_for_onnx() {
    let mut proto = start().node("Relu", &["c"], &["y"], vec![]).output("y", &[1, 4, 8, 8]).proto();
    let graph = proto.graph.as_mut().expect("a graph");
    graph.node[0].domain = Some("com.example".to_owned());
    let model = Model::from_proto(proto).expect("a model");
    let made = plan(&model.graph, &Settings::default(), &OnnxRuntimeCpu, &[], &Known::default()).expect("a plan");
    let text = made.listing(&model.graph);
    assert!(text.contains("Conv Conv_c: float: Conv has no integer form"), "{text}");
}

#[test]
fn a_gemm_with_factors_that_could_not_be_folded_stays_float() {
    let net = Builder::new(13)
        .input("x", &[1, 4])
        .input("w", &[4, 4])
        .node("Gemm", &["x", "w"], &["y"], vec![float("alpha", 0.5)])
        .output("y", &[1, 4]);
    assert_eq!(listing(net).0, ["Gemm Gemm_y: float: alpha or beta is not 1 and could not be folded into the weights"]);
}

/// Regression test of defect 22: nothing told which nodes stayed float, or why.
#[test]
fn d22_each_node_that_stays_float_says_why() {
    let lines = [
        ("Softmax", "Softmax needs more than eight bits in its input"),
        ("Exp", "onnxruntime has no integer kernel for it"),
        ("Sin", "onnxruntime has no integer kernel for it"),
        ("CumSum", "CumSum has no integer form"),
        ("LeakyRelu", "no integer node reads its output"),
    ];
    let mut net = start().constant("axis", &crate::tensor::Tensor::from_i64(vec![], &[1]));
    for (op_type, _) in lines {
        let inputs: &[&str] = if op_type == "CumSum" { &["c", "axis"] } else { &["c"] };
        net = net.node(op_type, inputs, &[op_type], vec![]).output(op_type, &[1, 4, 8, 8]);
    }
    let (nodes, _) = listing(net);
    for (op_type, why) in lines {
        assert!(nodes.contains(&format!("{op_type} {op_type}_{op_type}: float: {why}")), "{nodes:?}");
    }
}
