//! Constants that are small, shared, or called as what is written.

use super::*;

/// Regression test of defect 3: an initializer that was called as a new one made garbage.
#[test]
fn d3_names_that_are_taken_are_not_taken_again() {
    let net = Builder::new(13)
        .input("x", &[1, 4, 8, 8])
        .noise("w", &[4, 4, 1, 1], 1)
        .noise("w_scale", &[4], 2)
        .noise("w_zero_point", &[4, 1, 1], 3)
        .noise("x_scale", &[8, 8], 4)
        .noise("w_quantized", &[8, 8], 5)
        .node("Conv", &["x", "w", "w_scale"], &["x_QuantizeLinear_Output"], vec![])
        .node("Mul", &["x_QuantizeLinear_Output", "x_scale"], &["w_DequantizeLinear_Output"], vec![])
        .node("Add", &["w_DequantizeLinear_Output", "w_quantized"], &["x_zero_point"], vec![])
        .node("Mul", &["x_zero_point", "w_zero_point"], &["x_DequantizeLinear_Output"], vec![]);
    let made = quantized(conv(net, "x_DequantizeLinear_Output", "y").output("y", &[1, 4, 8, 8]));
    let mut names: Vec<_> = made.model.to_proto().expect("a message").graph.expect("a graph").initializer;
    names.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(names.windows(2).all(|pair| pair[0].name != pair[1].name));
    assert!(made.sqnr() > 25.0, "{}", made.sqnr());
}

const UNSIGNED: &str =
    "activations: { calibrator: minmax }\nweights: { type: uint8, symmetric: false, granularity: per_tensor }\n";

fn faint(policy: &str) -> Made {
    let weights: Vec<f32> = noise(16, 1).iter().map(|v| v * 1e-10).collect();
    let net = Builder::new(13)
        .input("x", &[1, 4, 8, 8])
        .floats("w", &[4, 4, 1, 1], &weights)
        .floats("b", &[4], &[1.0, -2.0, 3.0, 0.5])
        .node("Conv", &["x", "w", "b"], &["y"], vec![])
        .output("y", &[1, 4, 8, 8]);
    quantized_by(policy, net)
}

/// Regression test of defect 7: the guard against an overflowing bias covered only signed, symmetric weights.
#[test]
fn d7_a_bias_far_above_its_weights_survives_for_every_type_of_weight() {
    for policy in [
        UNSIGNED,
        "weights: { type: uint8, symmetric: true, granularity: per_tensor }\n",
        "weights: { type: int8, symmetric: false, granularity: per_tensor }\n",
        "weights: { type: int8, symmetric: true, granularity: per_channel }\n",
        "weights: { type: uint8, symmetric: true, granularity: per_channel }\n",
    ] {
        let made = faint(policy);
        let [bias, ..] = made.constant(made.the("Conv"), 2);
        assert!(bias.to_i64().expect("integers").iter().all(|b| b.unsigned_abs() <= 1 << 30), "{policy}");
        assert!(made.sqnr() > 30.0, "{policy}: {}", made.sqnr());
    }
}

/// Regression test of defect 21: the int32 bias of dead channels overflowed and ruined the model.
#[test]
fn d21_a_dead_channel_keeps_its_bias() {
    for dead in [0.0, 1e-20, 1e-38] {
        let mut weights = noise(16, 1);
        weights[4..8].iter_mut().for_each(|w| *w *= dead);
        let net = Builder::new(13)
            .input("x", &[1, 4, 8, 8])
            .floats("w", &[4, 4, 1, 1], &weights)
            .floats("b", &[4], &[0.1, 2.5, -0.1, 0.2])
            .node("Conv", &["x", "w", "b"], &["y"], vec![])
            .output("y", &[1, 4, 8, 8]);
        let made = quantized(net);
        let [bias, scales, _] = made.constant(made.the("Conv"), 2);
        let kept = bias.to_i64().expect("integers")[1] as f32 * scales.to_f32().expect("scales")[1];
        // With weights of zero the step is that of the input: the bias is as fine as that.
        let step = scales.to_f32().expect("scales")[1];
        assert!((kept - 2.5).abs() <= step.max(1e-5), "{dead}: {kept}");
        assert!(made.sqnr() > 30.0, "{dead}: {}", made.sqnr());
    }
}

/// Regression test of defect 15: a bias shared by layers with different input scales.
#[test]
fn d15_a_shared_bias_has_the_scale_of_each_of_its_layers() {
    let net = Builder::new(13)
        .input("x", &[1, 4, 8, 8])
        .noise("w", &[4, 4, 1, 1], 1)
        .noise("v", &[4, 4, 1, 1], 2)
        .floats("b", &[4], &[5.0, -30.0, 20.0, 9.0])
        .node("Conv", &["x", "w", "b"], &["c"], vec![])
        .node("Conv", &["c", "v", "b"], &["y"], vec![])
        .output("y", &[1, 4, 8, 8]);
    let made = quantized(net);
    for node in ["Conv_c", "Conv_y"].map(|n| made.named(n)) {
        let (input, _) = made.activation(node, 0);
        let ([_, weight, _], [_, bias, _]) = (made.constant(node, 1), made.constant(node, 2));
        for (w, b) in weight.to_f32().expect("scales").iter().zip(bias.to_f32().expect("scales").iter()) {
            assert_eq!(b.to_bits(), (input * w).to_bits());
        }
    }
    assert_ne!(made.input(made.named("Conv_c"), 2), made.input(made.named("Conv_y"), 2));
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

#[test]
fn d15_a_shared_weight_is_stored_once_where_one_grid_serves() {
    let net = Builder::new(13)
        .input("x", &[1, 4, 8, 8])
        .noise("w", &[4, 4, 1, 1], 1)
        .node("Conv", &["x", "w"], &["c"], vec![])
        .node("Conv", &["c", "w"], &["y"], vec![])
        .output("y", &[1, 4, 8, 8]);
    let made = quantized(net);
    assert_eq!(made.input(made.named("Conv_c"), 1), made.input(made.named("Conv_y"), 1));
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

#[test]
fn d15_a_constant_that_is_weight_and_operand_has_a_grid_for_each() {
    let net = Builder::new(13)
        .input("x", &[4, 4])
        .noise("w", &[4, 4], 1)
        .noise("v", &[4, 4], 2)
        .node("MatMul", &["x", "w"], &["m"], vec![])
        .node("Add", &["m", "w"], &["a"], vec![])
        .node("MatMul", &["a", "v"], &["n"], vec![])
        .node("Max", &["n", "w"], &["y"], vec![])
        .output("y", &[4, 4]);
    let made = quantized(net);
    let [weight, scales, _] = made.constant(made.named("MatMul_m"), 1);
    assert_eq!((weight.dtype(), scales.shape()), (DataType::Int8, &[4][..]));
    let [operand, scale, _] = made.constant(made.the("Add"), 1);
    assert_eq!((operand.dtype(), scale.shape()), (DataType::Uint8, &[][..]));
    // The float node still reads the float constant.
    assert_eq!(made.graph().value(made.input(made.the("Max"), 1)).name(), "w");
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

#[test]
fn scales_of_least_error_take_the_shift_out_of_short_filters() {
    // Behind a Relu all inputs are positive, so that rounding errors of one sign add up.
    let net = || {
        let net = Builder::new(13).input("x", &[1, 8, 8, 8]).node("Relu", &["x"], &["r"], vec![]);
        net.noise("w", &[8, 1, 3, 3], 3)
            .node("Conv", &["r", "w"], &["y"], vec![int("group", 8)])
            .output("y", &[1, 8, 6, 6])
    };
    let of = |range: &str| quantized_by(&format!("weights: {{ range: {range} }}\n"), net());
    // What rounding adds to each channel where all inputs are 1: a shift.
    let shifts = |made: &Made| -> f64 {
        let [integers, scales, _] = made.constant(made.the("Conv"), 1);
        let (scales, exact) = (scales.to_f32().expect("scales").into_owned(), noise(72, 3));
        let written: Vec<f32> = integers.to_i64().expect("integers").iter().map(|&q| q as f32).collect();
        let channel = |c: usize| -> f64 {
            (9 * c..9 * c + 9).map(|k| f64::from(written[k] * scales[c] - exact[k])).sum::<f64>().powi(2)
        };
        (0..8).map(channel).sum()
    };
    let (plain, fitted) = (shifts(&of("minmax")), shifts(&of("least_error")));
    assert!(fitted < plain / 2.0, "{plain} and {fitted}");
}
