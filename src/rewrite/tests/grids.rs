//! The grids of activations.

use super::*;
use crate::quant::GridType;

/// Scale and zero point behind the only node of an operator.
fn grid_after(made: &Made, op_type: &str) -> (f32, i64) {
    let output = made.graph().node(made.the(op_type)).output(0).expect("an output");
    let quantize = made.graph().value(output).readers().find(|&(node, _)| made.graph().node(node).is("QuantizeLinear"));
    let quantize = quantize.expect("a QuantizeLinear").0;
    let constant = |slot| made.graph().constant(made.input(quantize, slot)).expect("a tensor").expect("a constant");
    (constant(1).first_f32().expect("a scale"), constant(2).to_i64().expect("an integer")[0])
}

fn silu() -> Builder {
    let net = start().node("Sigmoid", &["c"], &["s"], vec![]).node("Mul", &["c", "s"], &["m"], vec![]);
    conv(net, "m", "y").output("y", &[1, 4, 8, 8])
}

fn attention() -> Builder {
    Builder::new(13)
        .input("x", &[1, 4, 6])
        .noise("w", &[6, 6], 1)
        .node("MatMul", &["x", "w"], &["a"], vec![])
        .node("Softmax", &["a"], &["p"], vec![])
        .node("MatMul", &["p", "w"], &["y"], vec![])
        .output("y", &[1, 4, 6])
}

/// Regression test of defect 18: a scale of 1/255, which NNAPI and XNNPACK refuse.
#[test]
fn d18_sigmoid_and_softmax_have_steps_of_exactly_a_256th() {
    for (policy, scale, zero) in [
        ("activations: { type: uint8, symmetric: false }\n", 1.0 / 256.0, 0),
        ("activations: { type: int8, symmetric: false }\n", 1.0 / 256.0, -128),
        ("activations: { type: int8, symmetric: true }\n", 1.0 / 128.0, 0),
        ("activations: { type: uint8, symmetric: true }\n", 1.0 / 128.0, 128),
    ] {
        assert_eq!(grid_after(&quantized_by(policy, silu()), "Sigmoid"), (scale, zero), "{policy}");
        assert_eq!(grid_after(&quantized_by(policy, attention()), "Softmax"), (scale, zero), "{policy}");
    }
    assert!(quantized(silu()).sqnr() > 25.0);
    assert!(quantized(attention()).sqnr() > 25.0);
}

#[test]
fn what_cannot_leave_its_range_has_the_grid_of_that_range() {
    const UNSIGNED: &str = "activations: { type: uint8, symmetric: false }\n";
    const SIGNED: &str = "activations: { type: int8, symmetric: true }\n";
    for (op_type, unsigned, signed) in [
        ("Tanh", (1.0 / 128.0, 128), (1.0 / 128.0, 0)),
        ("Sigmoid", (1.0 / 256.0, 0), (1.0 / 128.0, 0)),
        ("HardSigmoid", (1.0 / 255.0, 0), (1.0 / 127.0, 0)),
        ("Softmax", (1.0 / 256.0, 0), (1.0 / 128.0, 0)),
    ] {
        let net = || {
            let net = Builder::new(13).input("x", &[1, 4, 8, 8]).node(op_type, &["x"], &["s"], vec![]);
            conv(net, "s", "y").output("y", &[1, 4, 8, 8])
        };
        assert_eq!(grid_after(&quantized_by(UNSIGNED, net()), op_type), unsigned, "{op_type}");
        assert_eq!(grid_after(&quantized_by(SIGNED, net()), op_type), signed, "{op_type}");
        assert!(quantized(net()).sqnr() > 25.0, "{op_type}");
    }
}

#[test]
fn a_range_given_by_the_policy_is_the_grid() {
    let net = conv(start(), "c", "y").output("y", &[1, 4, 8, 8]);
    let made = quantized_by("rules:\n  - match: { value: c }\n    range: [-5.1, 20.4]\n", net);
    assert_eq!(made.activation(made.named("Conv_y"), 0).0, (25.5f64 / 255.0) as f32);
    assert_eq!(made.resolved.ranges["c"], (-5.1, 20.4));
}

#[test]
fn one_value_read_by_many_is_quantized_once() {
    let net = conv(conv(start(), "c", "d"), "c", "e").node("Add", &["d", "e"], &["a"], vec![]);
    let made = quantized(conv(net.node("Mul", &["a", "c"], &["m"], vec![]), "m", "y").output("y", &[1, 4, 8, 8]));
    // x, c, d, e, a, m, y.
    assert_eq!(made.count("QuantizeLinear"), 7);
    assert!(made.sqnr() > 25.0, "{}", made.sqnr());
}

#[test]
fn a_float_node_keeps_reading_the_float_value_of_a_float_node() {
    let net = Builder::new(13).input("x", &[1, 4, 8, 8]).node("Exp", &["x"], &["e"], vec![]);
    let net = conv(net, "e", "y").node("Log", &["e"], &["z"], vec![]);
    let made = quantized(net.output("y", &[1, 4, 8, 8]).output("z", &[1, 4, 8, 8]));
    made.producer(made.input(made.the("Log"), 0), "Exp");
    made.producer(made.input(made.the("Conv"), 0), "DequantizeLinear");
}

#[test]
fn both_inputs_of_a_node_may_be_the_same_value() {
    let net = start().node("Mul", &["c", "c"], &["m"], vec![]);
    let made = quantized(conv(net, "m", "y").output("y", &[1, 4, 8, 8]));
    assert_eq!(made.input(made.the("Mul"), 0), made.input(made.the("Mul"), 1));
    assert!(made.sqnr() > 25.0, "{}", made.sqnr());
}

#[test]
fn statistics_that_lack_a_value_are_an_error_that_names_it() {
    let model = conv(start(), "c", "y").output("y", &[1, 4, 8, 8]).build();
    let made = plan(&model.graph, &Settings::default(), &OnnxRuntimeCpu, &[], &Known::default()).expect("a plan");
    let mut calibration = pretended(&made);
    calibration.values.remove("c");
    let error = resolve(&made, &calibration).expect_err("no statistics").to_string();
    assert!(error.contains("\"c\"") && error.contains("calibrate again"), "{error}");
}

#[test]
fn pictures_are_on_the_grid_of_their_levels_where_their_type_has_it() {
    let model = conv(start(), "c", "y").output("y", &[1, 4, 8, 8]).build();
    let grid_of_x = |policy: &str| {
        let settings = Raw::parse(&format!("version: 1\n{policy}"), Path::new("p.yaml")).and_then(|raw| raw.settings());
        let made = plan(&model.graph, &settings.expect("a policy"), &OnnxRuntimeCpu, &[], &Known::default());
        let made = made.expect("a plan");
        let calibration = Calibration { pictures: [("x".to_owned(), (0.5, 30))].into(), ..pretended(&made) };
        let params = resolve(&made, &calibration).expect("grids").params(made.values[0].id).expect("a grid");
        (params.dtype, params.scale, params.zero_point)
    };
    assert_eq!(grid_of_x(""), (GridType::Uint8, 0.5, 30));
    assert_eq!(grid_of_x("activations: { type: int8 }"), (GridType::Int8, 0.5, -98));
    for other in ["type: int16", "symmetric: true", "power_of_two: true"] {
        assert_ne!(grid_of_x(&format!("activations: {{ {other} }}")).1, 0.5, "{other}");
    }
    assert_eq!(grid_of_x("rules: [{ match: { value: x }, scale: 0.25, zero_point: 3 }]"), (GridType::Uint8, 0.25, 3));
}

#[test]
fn ranges_that_say_little_are_warned_of() {
    let model = conv(start(), "c", "y").output("y", &[1, 4, 8, 8]).build();
    let made = plan(&model.graph, &Settings::default(), &OnnxRuntimeCpu, &[], &Known::default()).expect("a plan");
    let mut calibration = pretended(&made);
    calibration.values.insert("c".to_owned(), Statistics::default());
    let mut same = Statistics::default();
    assert!(same.add(&[0.0, 0.0]));
    calibration.values.insert("x".to_owned(), same);
    let resolved = resolve(&made, &calibration).expect("grids");
    let warned: Vec<_> = resolved.warnings.iter().map(|(value, _)| value.as_str()).collect();
    assert_eq!(warned, ["x", "c"]);
}
