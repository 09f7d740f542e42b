//! Models of the same nodes and numbers that compute different things.

use super::*;

#[test]
fn what_goes_in_and_out_of_bodies_is_compared() {
    let branch = |result: &str| {
        let inner = Builder::new(13).node("Neg", &["x"], &["n"], vec![]).node("Abs", &["x"], &["m"], vec![]);
        inner.output(result, &[1]).proto().graph.expect("a graph")
    };
    let net = |result: &str| {
        let outer = Builder::new(13).input("x", &[1]).constant("yes", &bytes(DataType::Bool, &[], &[1]));
        let branches = vec![body("then_branch", branch(result)), body("else_branch", branch("n"))];
        outer.node("If", &["yes"], &["y"], branches).output("y", &[1]).build()
    };
    let found = of(&net("n"), &net("m"));
    let [output] = &found.interface[..] else { panic!("{found:?}") };
    assert_eq!(output.what, "If_y, body 0: output 0");
    assert!(output.a.as_deref().is_some_and(|a| a.starts_with("n, ")), "{output:?}");
    assert!(of(&net("m"), &net("m")).is_empty());
    // What a Loop feeds goes by place.
    let scan = |names: [&str; 2], types: i64| {
        let inner = Builder::new(13).input(names[0], &[types]).input(names[1], &[1]);
        let inner = inner.node("Sub", &["s", "t"], &["o"], vec![]).node("Neg", &["t"], &["p"], vec![]);
        let inner = inner.output("o", &[1]).output("p", &[1]).proto().graph.expect("a graph");
        let outer = Builder::new(13).input("a", &[1]).input("b", &[3, 1]);
        let attributes = vec![body("body", inner), int("num_scan_inputs", 1)];
        outer.node("Scan", &["a", "b"], &["y", "z"], attributes).output("y", &[1]).output("z", &[3, 1]).build()
    };
    let found = of(&scan(["s", "t"], 1), &scan(["t", "s"], 1));
    let told: Vec<&str> = found.interface.iter().map(|change| change.what.as_str()).collect();
    assert_eq!(told, ["Scan_y, body 0: input 0", "Scan_y, body 0: input 1"], "{found:?}");
    assert_eq!(of(&scan(["s", "t"], 1), &scan(["s", "t"], 2)).interface.len(), 1);
}

/// What calls a function of `outputs`, with a `version` of the operators and a default.
fn calls(outputs: [&str; 2], version: i64, default: f32) -> Model {
    let net = Builder::new(17).input("x", &[1]).node("F", &["x"], &["y", "z"], vec![]);
    let mut proto = net.output("y", &[1]).output("z", &[1]).proto();
    let inner = Builder::new(17).node("Neg", &["a"], &["n"], vec![]).node("Abs", &["a"], &["m"], vec![]);
    let inner = inner.proto();
    let graph = proto.graph.as_mut().expect("a graph");
    graph.node[0].domain = Some("own".to_owned());
    proto.functions.push(Default::default());
    let function = &mut proto.functions[0];
    (function.name, function.domain) = (Some("F".to_owned()), Some("own".to_owned()));
    (function.input, function.output) = (vec!["a".to_owned()], outputs.map(str::to_owned).to_vec());
    function.node = inner.graph.expect("a graph").node;
    function.opset_import = inner.opset_import;
    function.opset_import[0].version = Some(version);
    function.attribute_proto = vec![crate::ir::build::float("alpha", default)];
    function.attribute = vec!["beta".to_owned()];
    Model::from_proto(proto).expect("a model")
}

#[test]
fn functions_are_compared_with_what_they_state() {
    let plain = || calls(["n", "m"], 17, 1.0);
    assert!(of(&plain(), &plain()).is_empty());
    let found = of(&plain(), &calls(["m", "n"], 17, 1.0));
    let told: Vec<&str> = found.interface.iter().map(|change| change.what.as_str()).collect();
    assert_eq!(told, ["function own.F: output 0", "function own.F: output 1"], "{found:?}");
    let found = of(&plain(), &calls(["n", "m"], 13, 2.0));
    let told: Vec<&str> = found.around.iter().map(|change| change.what.as_str()).collect();
    assert_eq!(told, ["function own.F: attribute alpha", "function own.F: opset of ai.onnx"], "{found:?}");
}

#[test]
fn outputs_that_changed_places_are_told() {
    let net = |names: [&str; 2]| {
        let net = Builder::new(13).input("x", &[1]).node("Neg", &["x"], &[names[0]], vec![]);
        let net = net.node("Abs", &["x"], &[names[1]], vec![]).output("y", &[1]).output("z", &[1]);
        let mut proto = net.proto();
        let nodes = &mut proto.graph.as_mut().expect("a graph").node;
        nodes.iter_mut().for_each(|node| node.name = node.op_type.clone());
        Model::from_proto(proto).expect("a model")
    };
    let found = of(&net(["y", "z"]), &net(["z", "y"]));
    let told: Vec<_> = found.changed.iter().map(|node| (node.node.as_str(), node.changes[0].what.as_str())).collect();
    assert_eq!(told, [("Neg", "output 0"), ("Abs", "output 0")], "{found:?}");
}

#[test]
fn layers_that_swap_weights_are_told_be_they_stored_as_integers() {
    let net = |weights: [&str; 2]| {
        let net = NET.start().constant("v_quantized", &bytes(DataType::Int8, &[2, 2], &[1, 2, 3, 4]));
        net.node("DequantizeLinear", &["q", "s", "z"], &["d"], vec![])
            .node("DequantizeLinear", &[weights[0], "t", "k"], &["first"], vec![])
            .node("DequantizeLinear", &[weights[1], "t", "k"], &["second"], vec![])
            .node("MatMul", &["d", "first"], &["m"], vec![])
            .node("MatMul", &["m", "second"], &["y"], vec![])
            .output("y", &[1, 2])
            .build()
    };
    let found = of(&net(["w_quantized", "v_quantized"]), &net(["v_quantized", "w_quantized"]));
    assert!(found.changed.iter().any(|node| node.operator == "MatMul"), "{found:?}");
    let same = net(["w_quantized", "v_quantized"]);
    assert!(of(&same, &same).is_empty());
}

#[test]
fn pairs_that_stand_on_other_values_are_told() {
    let net = |read: &str| {
        let net = NET.start().node("Neg", &["x"], &["n"], vec![]).node("Abs", &["x"], &["m"], vec![]);
        let net = net.node("QuantizeLinear", &[read, "s", "z"], &["r"], vec![]);
        let net = net.node("DequantizeLinear", &["r", "s", "z"], &["e"], vec![]).node("Exp", &["e"], &["y"], vec![]);
        net.output("y", &[1, 2]).output("m", &[1, 2]).output("n", &[1, 2]).build()
    };
    let found = of(&net("m"), &net("n"));
    let told: Vec<_> = found.changed.iter().map(|node| node.operator.as_str()).collect();
    assert_eq!(told, ["QuantizeLinear", "DequantizeLinear", "Exp"], "{found:?}");
    assert!(of(&net("m"), &net("m")).is_empty());
}

#[test]
fn who_reads_what_was_before_the_grid_is_told() {
    let net = |read: &str| {
        let net = NET.start().node("DequantizeLinear", &["q", "s", "z"], &["d"], vec![]);
        let net = net.node("Neg", &["d"], &["m"], vec![]).node("Abs", &[read], &["y"], vec![]);
        net.output("m", &[1, 2]).output("y", &[1, 2]).build()
    };
    assert!(of(&net("x"), &net("x")).is_empty() && of(&net("d"), &net("d")).is_empty());
    let one = |name: &str, a: &str, b: &str| OneSided { name: name.into(), kind: "input", a: a.into(), b: b.into() };
    assert_eq!(of(&net("d"), &net("x")).one_sided, [one("x, read by Abs_y", "uint8", "float")]);
    assert_eq!(of(&net("x"), &net("d")).one_sided, [one("x, read by Abs_y", "float", "uint8")]);
    // What goes by a name.
    let net = |output: &str| {
        let net =
            NET.start().node("Neg", &["x"], &["n"], vec![]).node("QuantizeLinear", &["n", "s", "z"], &["r"], vec![]);
        let net = net.node("DequantizeLinear", &["r", "s", "z"], &["e"], vec![]).node("Abs", &["e"], &["y"], vec![]);
        net.node("Identity", &[output], &["o"], vec![]).output("y", &[1, 2]).output("o", &[1, 2]).build()
    };
    assert_eq!(of(&net("n"), &net("e")).one_sided, [one("n, read by Identity_o", "float", "uint8")]);
}
