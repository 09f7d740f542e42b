//! What tract computes wrongly, or cannot read, and is mended or refused here.

use super::*;
use crate::proto::{AttributeProto, ModelProto};

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.to_f32().expect("numbers").into_owned()
}

fn near(found: &Tensor, expected: &[f32]) {
    let found = floats(found);
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{found:?}, not {expected:?}");
    }
}

#[test]
fn a_constant_minus_or_divided_by_a_convolution() {
    let x = Tensor::from_f32(vec![1, 3, 4, 4], &build::noise(48, 3));
    let base = || {
        let weights = Builder::new(13).input("x", &[1, 3, 4, 4]).noise("w", &[2, 3, 1, 1], 1).noise("b", &[2], 2);
        weights.node("Conv", &["x", "w", "b"], &["c"], vec![])
    };
    let conv = floats(&run(&base().output("c", &[1, 2, 4, 4]).build(), std::slice::from_ref(&x))[0]);
    for shape in [&[][..], &[1][..], &[2, 1, 1][..], &[1, 2, 1, 1][..]] {
        let k: Vec<f32> = [1.5, -0.5][..shape.iter().product()].to_vec();
        let of = |i: usize| k[i / 16 % k.len()];
        for op_type in ["Sub", "Div"] {
            let model = base().floats("k", shape, &k).node(op_type, &["k", "c"], &["y"], vec![]);
            let found = run(&model.output("y", &[1, 2, 4, 4]).build(), std::slice::from_ref(&x));
            let one = |(i, c): (usize, &f32)| if op_type == "Sub" { of(i) - c } else { of(i) / c };
            near(&found[0], &conv.iter().enumerate().map(one).collect::<Vec<_>>());
        }
    }
}

/// A recurrent layer over sequences of three numbers, two states, and what `inputs` says after the bias.
fn recurrent(op_type: &str, gates: usize, direction: &str, batch: i64, states: &[&str]) -> Model {
    let outputs: &[&str] = if op_type == "LSTM" { &["y", "h", "c"] } else { &["y", "h"] };
    let inputs = [&["x", "w", "r", "b", ""][..], states].concat();
    let attributes = vec![build::int("hidden_size", 2), build::text("direction", direction)];
    let model = Builder::new(14).input("x", &[-1, batch, 3]).noise("w", &[1, 2 * gates, 3], 1);
    let model = model.noise("r", &[1, 2 * gates, 2], 2).noise("b", &[1, 4 * gates], 3).noise("h0", &[1, 1, 2], 4);
    let model = model.noise("c0", &[1, 1, 2], 5).node(op_type, &inputs, outputs, attributes);
    outputs.iter().fold(model, |model, name| model.output(name, &[-1, -1, -1])).build()
}

#[test]
fn recurrent_layers_run_backwards() {
    let steps: Vec<Vec<f32>> = (0..4).map(|i| build::noise(3, 10 + i)).collect();
    let forwards = Tensor::from_f32(vec![4, 1, 3], &steps.concat());
    let backwards = Tensor::from_f32(vec![4, 1, 3], &steps.iter().rev().cloned().collect::<Vec<_>>().concat());
    for (op_type, gates, states) in [("LSTM", 4, &["h0", "c0"][..]), ("GRU", 3, &["h0"]), ("RNN", 1, &["h0"])] {
        let expected = run(&recurrent(op_type, gates, "forward", 1, states), std::slice::from_ref(&backwards));
        let found = run(&recurrent(op_type, gates, "reverse", 1, states), std::slice::from_ref(&forwards));
        let turned: Vec<f32> = floats(&expected[0]).chunks(2).rev().flatten().copied().collect();
        near(&found[0], &turned);
        expected.iter().zip(&found).skip(1).for_each(|(e, f)| near(f, &floats(e)));
    }
}

#[test]
fn an_lstm_without_initial_states_runs_a_batch() {
    let rows = [build::noise(3, 1), build::noise(3, 2)];
    let both = run(&recurrent("LSTM", 4, "forward", 2, &[]), &[Tensor::from_f32(vec![1, 2, 3], &rows.concat())]);
    let alone = |row: &Vec<f32>| run(&recurrent("LSTM", 4, "forward", 1, &[]), &[Tensor::from_f32(vec![1, 1, 3], row)]);
    near(&both[0], &rows.iter().flat_map(|row| floats(&alone(row)[0])).collect::<Vec<_>>());
}

/// What one node makes of a row of numbers.
fn one(opset: i64, op_type: &str, x: &[f32], attributes: Vec<AttributeProto>) -> Tensor {
    let model = Builder::new(opset).input("x", &[1, -1]).node(op_type, &["x"], &["y"], attributes);
    run(&model.output("y", &[-1, -1]).build(), &[row(x)]).remove(0)
}

#[test]
fn celu_is_scaled_by_alpha() {
    let x = [-3.0, -0.5, 0.0, 2.0];
    let expected = x.map(|v: f32| v.max(0.0) + (2.0 * ((v / 2.0).exp() - 1.0)).min(0.0));
    near(&one(13, "Celu", &x, vec![build::float("alpha", 2.0)]), &expected);
}

#[test]
fn the_maximum_of_nothing_but_infinity_is_infinite() {
    let masked = [f32::NEG_INFINITY; 3];
    assert_eq!(floats(&one(13, "ReduceMax", &masked, vec![build::ints("axes", &[1])])), [f32::NEG_INFINITY]);
    assert_eq!(floats(&one(13, "ReduceMin", &[f32::INFINITY; 2], vec![])), [f32::INFINITY]);
    // The least finite number itself stays: masks are often filled with it.
    assert_eq!(floats(&one(13, "ReduceMax", &[f32::MIN, f32::NEG_INFINITY], vec![])), [f32::MIN]);
}

#[test]
fn negative_pads_crop() {
    let x = [1.0, 2.0, 3.0, 4.0];
    let old = one(9, "Pad", &x, vec![build::ints("pads", &[0, -1, 0, 2]), build::float("value", 9.0)]);
    assert_eq!((old.shape(), &floats(&old)[..]), (&[1, 5][..], &[2.0, 3.0, 4.0, 9.0, 9.0][..]));
    let new = Builder::new(13).input("x", &[1, 4]).ints("p", &[0, 1, 0, -2]).node("Pad", &["x", "p"], &["y"], vec![]);
    assert_eq!(floats(&run(&new.output("y", &[1, 3]).build(), &[row(&x)])[0]), [0.0, 1.0, 2.0]);
}

#[test]
fn pads_wrap_around_what_is_not_cut_off() {
    let wrapped = |pads: &[i64]| {
        let model = Builder::new(19).input("x", &[1, 4]).ints("p", pads);
        let model = model.node("Pad", &["x", "p"], &["y"], vec![build::text("mode", "wrap")]);
        model.output("y", &[1, -1]).build()
    };
    let x = [row(&[1.0, 2.0, 3.0, 4.0])];
    // As in ONNX Runtime 1.31.
    for (before, after, expected) in [
        (1, 1, &[4.0, 1.0, 2.0, 3.0, 4.0, 1.0][..]),
        (5, 0, &[4.0, 1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0]),
        (-1, 2, &[2.0, 3.0, 4.0, 2.0, 3.0]),
        (2, -1, &[2.0, 3.0, 1.0, 2.0, 3.0]),
        (-2, 5, &[3.0, 4.0, 3.0, 4.0, 3.0, 4.0, 3.0]),
        (-1, -1, &[2.0, 3.0]),
    ] {
        assert_eq!(run(&wrapped(&[0, before, 0, after]), &x)[0], row(expected), "{before} before, {after} after");
    }
    assert!(failure(&wrapped(&[0, -4, 0, 1]), &x).contains("nothing is left of axis 1 to wrap around"));
    // Along listed axes, one after the other.
    let model = Builder::new(19).input("x", &[2, 2]).ints("p", &[1, 0, 0, 1]).ints("axes", &[-1, 0]);
    let model = model.node("Pad", &["x", "p", "", "axes"], &["y"], vec![build::text("mode", "wrap")]);
    let found = run(&model.output("y", &[3, 3]).build(), &[Tensor::from_f32(vec![2, 2], &[1.0, 2.0, 3.0, 4.0])]);
    assert_eq!(found[0], Tensor::from_f32(vec![3, 3], &[2.0, 1.0, 2.0, 4.0, 3.0, 4.0, 2.0, 1.0, 2.0]));
}

#[test]
fn axes_count_once_and_in_any_order() {
    let shape = |opset, op_type: &str, axes: &[i64]| {
        let model = Builder::new(opset).input("x", &[1, 3, 1, 2]);
        let model = if opset < 13 {
            model.node(op_type, &["x"], &["y"], vec![build::ints("axes", axes)])
        } else {
            model.ints("a", axes).node(op_type, &["x", "a"], &["y"], vec![])
        };
        model.output("y", &[-1]).build()
    };
    let x = [Tensor::from_f32(vec![1, 3, 1, 2], &[0.0; 6])];
    for opset in [11, 13] {
        for (axes, expected) in [(&[0, 0][..], &[3, 1, 2][..]), (&[0, -4], &[3, 1, 2]), (&[2, 0], &[3, 2])] {
            assert_eq!(run(&shape(opset, "Squeeze", axes), &x)[0].shape(), expected, "{axes:?}");
        }
        assert_eq!(run(&shape(opset, "Unsqueeze", &[-1, 0]), &x)[0].shape(), [1, 1, 3, 1, 2, 1]);
        for (op_type, axes, why) in [
            ("Unsqueeze", &[1, 1][..], "its axes [1, 1] name one of them twice"),
            ("Unsqueeze", &[0, -6], "its axes [0, -6] name one of them twice"),
            ("Unsqueeze", &[5], "axis 5 of a tensor of rank 5"),
            ("Squeeze", &[4], "axis 4 of a tensor of rank 4"),
            ("Squeeze", &[1], "axis 1 has 3 elements, not one"),
        ] {
            let text = failure(&shape(opset, op_type, axes), &x);
            assert!(text.contains(&format!("cannot run {op_type} \"{op_type}_y\"")) && text.contains(why), "{text}");
        }
    }
    assert_eq!(run(&shape(13, "Squeeze", &[]), &x)[0].shape(), [3, 2]);
    let all = Builder::new(13).input("x", &[1, 3, 1, 2]).node("Squeeze", &["x"], &["y"], vec![]);
    assert_eq!(run(&all.output("y", &[-1]).build(), &x)[0].shape(), [3, 2]);
}

/// Attention of two queries to two keys, whose values are 1 and 3, by a mask of booleans or of numbers to add.
fn looking(mask: [f32; 4], booleans: bool, flat: bool, causal: i64) -> Vec<f32> {
    let shape: &[usize] = if flat { &[1, 2, 1] } else { &[1, 1, 2, 1] };
    let dims: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
    let mut attributes = vec![build::int("is_causal", causal)];
    if flat {
        attributes.extend([build::int("q_num_heads", 1), build::int("kv_num_heads", 1)]);
    }
    let to = if booleans { DataType::Bool } else { DataType::Float32 };
    let model = Builder::new(23).input("q", &dims).floats("v", shape, &[1.0, 3.0]).input("m", &[2, 2]);
    let model = model.node("Cast", &["m"], &["mask"], vec![build::int("to", to.onnx().into())]);
    let model = model.node("Attention", &["q", "v", "v", "mask"], &["y"], attributes).output("y", &dims);
    let queries = Tensor::from_f32(shape.to_vec(), &[0.0; 2]);
    floats(&run(&model.build(), &[queries, Tensor::from_f32(vec![2, 2], &mask)])[0])
}

#[test]
fn a_query_that_may_look_at_nothing_gets_zeros() {
    for flat in [false, true] {
        assert_eq!(looking([0.0, 0.0, 1.0, 1.0], true, flat, 0), [0.0, 2.0]);
        assert_eq!(looking([1.0, 1.0, 0.0, 0.0], true, flat, 0), [2.0, 0.0]);
        assert_eq!(looking([0.0, 1.0, 1.0, 1.0], true, flat, 0), [3.0, 2.0]);
        // It sees nothing by both masks together.
        assert_eq!(looking([0.0, 1.0, 1.0, 1.0], true, flat, 1), [0.0, 2.0]);
        for hidden in [f32::NEG_INFINITY, f32::MIN] {
            assert_eq!(looking([hidden, hidden, 0.0, 0.0], false, flat, 0), [0.0, 2.0], "{hidden}");
            assert_eq!(looking([0.0, hidden, 0.0, 0.0], false, flat, 0), [1.0, 2.0], "{hidden}");
        }
    }
}

#[test]
fn upsample_and_the_first_resize_round_down() {
    let x = [1.0, 2.0];
    let mut scales = build::ints("scales", &[]);
    (scales.floats, scales.r#type) = (vec![1.0, 3.0], Some(6));
    assert_eq!(floats(&one(7, "Upsample", &x, vec![scales])), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    let resized = |opset, op_type: &str, by: f32, x: &[f32]| {
        let model = Builder::new(opset).input("x", &[1, -1]).floats("s", &[2], &[1.0, by]);
        let model = model.node(op_type, &["x", "s"], &["y"], vec![]).output("y", &[1, -1]).build();
        floats(&run(&model, &[row(x)])[0])
    };
    assert_eq!(resized(9, "Upsample", 3.0, &x), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    assert_eq!(resized(10, "Resize", 3.0, &x), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    // 0 / 0.6 and 1 / 0.6, rounded up.
    assert_eq!(resized(10, "Resize", 0.6, &[1.0, 2.0, 3.0, 4.0]), [1.0, 3.0]);
}

#[test]
fn aligned_corners_are_those_of_the_result() {
    let x: Vec<f32> = (1..=16).map(|v| v as f32).collect();
    let image = Tensor::from_f32(vec![1, 1, 4, 4], &x);
    let base = |mode: &str| {
        let attributes = [("mode", mode), ("coordinate_transformation_mode", "align_corners")];
        (Builder::new(19).input("x", &[1, 1, 4, 4]), attributes.map(|(k, v)| build::text(k, v)).to_vec())
    };
    // 4 * 0.8 is 3, rounded down; the middle of which is that of the picture.
    let expected = [1.0, 2.5, 4.0, 7.0, 8.5, 10.0, 13.0, 14.5, 16.0];
    for mode in ["linear", "cubic"] {
        let (model, attributes) = base(mode);
        let model = model.floats("f", &[4], &[1.0, 1.0, 0.8, 0.8]).node("Resize", &["x", "", "f"], &["y"], attributes);
        near(&run(&model.output("y", &[1, 1, 3, 3]).build(), std::slice::from_ref(&image))[0], &expected);
        let (model, mut attributes) = base(mode);
        attributes.push(build::ints("axes", &[-1, 2]));
        let model = model.floats("f", &[2], &[0.8, 0.8]).node("Resize", &["x", "", "f"], &["y"], attributes);
        near(&run(&model.output("y", &[1, 1, 3, 3]).build(), std::slice::from_ref(&image))[0], &expected);
    }
    let (model, attributes) = base("linear");
    let model = model.ints("s", &[1, 1, 3, 3]).node("Resize", &["x", "", "", "s"], &["y"], attributes);
    near(&run(&model.output("y", &[1, 1, 3, 3]).build(), std::slice::from_ref(&image))[0], &expected);
}

#[test]
fn softmax_over_any_axis() {
    let shape = [2usize, 3, 5, 4];
    let x: Vec<f32> = build::noise(120, 7).iter().map(|v| v * 20.0).collect();
    for opset in [11, 13] {
        for axis in 0..4 {
            let model = Builder::new(opset).input("x", &[2, 3, 5, 4]);
            let model = model.node("Softmax", &["x"], &["s"], vec![build::int("axis", axis)]);
            // A transposition of what comes out, that tract may move across.
            let turned = model.node("Transpose", &["s"], &["y"], vec![build::ints("perm", &[0, 3, 1, 2])]);
            let model = turned.output("s", &[2, 3, 5, 4]).output("y", &[2, 4, 3, 5]).build();
            let found = run(&model, &[Tensor::from_f32(shape.to_vec(), &x)]);
            let axis = axis as usize;
            // Before operator set 13 it is over the axis and all behind it.
            let inner: usize = if opset < 13 { 1 } else { shape[axis + 1..].iter().product() };
            let size = if opset < 13 { shape[axis..].iter().product() } else { shape[axis] };
            let mates = |i: usize| (0..size).map(move |k| i / (inner * size) * inner * size + i % inner + k * inner);
            let one = |i: usize| {
                let largest = mates(i).map(|m| x[m]).fold(f32::MIN, f32::max);
                let sum: f64 = mates(i).map(|m| f64::from(x[m] - largest).exp()).sum();
                (f64::from(x[i] - largest).exp() / sum) as f32
            };
            let expected: Vec<f32> = (0..120).map(one).collect();
            near(&found[0], &expected);
            let at = |i: usize| [i / 60, i / 15 % 4, i / 5 % 3, i % 5];
            let turned = |i: usize| expected[((at(i)[0] * 3 + at(i)[2]) * 5 + at(i)[3]) * 4 + at(i)[1]];
            near(&found[1], &(0..120).map(turned).collect::<Vec<_>>());
        }
    }
}

#[test]
fn zeros_of_a_shape_are_float32_where_nothing_is_said() {
    let model = Builder::new(13).input("x", &[1, -1]).node("Shape", &["x"], &["s"], vec![]);
    let model = model.node("ConstantOfShape", &["s"], &["y"], vec![]).output("y", &[-1, -1]).build();
    assert_eq!(run(&model, &[row(&[3.0, 4.0])])[0], row(&[0.0, 0.0]));
}

#[test]
fn an_input_may_be_an_output() {
    let model = layers().output("x", &[-1, 3]).output("w", &[3, 4]).output("y", &[-1, 4]).build();
    let x = row(&[1.0, 2.0, 3.0]);
    let outputs = run(&model, std::slice::from_ref(&x));
    assert_eq!(outputs[1], x);
    assert_eq!(floats(&outputs[2]), build::noise(12, 1));
    assert_eq!(outputs[0], outputs[3]);
}

#[test]
fn an_optional_input_left_out_at_the_end_is_none() {
    let model = Builder::new(13).input("x", &[1, 1, 2, 2]).noise("w", &[1, 1, 1, 1], 1);
    let mut proto: ModelProto = model.node("Conv", &["x", "w"], &["y"], vec![]).output("y", &[1, 1, 2, 2]).proto();
    proto.graph.as_mut().expect("a graph").node[0].input.push(String::new());
    let model = Model::from_proto(proto).expect("a model");
    assert_eq!(run(&model, &[Tensor::from_f32(vec![1, 1, 2, 2], &[0.0; 4])])[0].len(), 4);
}

#[test]
fn what_cannot_be_mended_is_refused_by_name() {
    let model = |opset| Builder::new(opset).input("x", &[1, 3]).output("y", &[-1, -1]);
    let mixed = model(10).floats("s", &[2], &[2.0, 0.5]).node("Resize", &["x", "s"], &["y"], vec![]);
    let causal = vec![build::int("is_causal", 1)];
    let attention = model(23).node("Attention", &["x", "x", "x", "", "x", "x"], &["y"], causal);
    let clipped = model(14).node("GRU", &["x", "x", "x"], &["y"], vec![build::float("clip", 1.0)]);
    let mut foreign = model(13).node("Relu", &["x"], &["y"], vec![]).proto();
    foreign.graph.as_mut().expect("a graph").node[0].domain = Some("elsewhere".to_owned());
    let foreign = Model::from_proto(foreign).expect("a model");
    let cases = [
        (mixed.build(), "Resize", "all of them above or all below 1"),
        (attention.build(), "Attention", "a causal mask with a past"),
        (clipped.build(), "GRU", "ignores the attribute \"clip\""),
        (model(13).node("GlobalLpPool", &["x"], &["y"], vec![]).build(), "GlobalLpPool", "wrongly"),
        (foreign, "Relu", "no operator Relu of elsewhere"),
    ];
    for (model, op_type, why) in cases {
        let text = failure(&model, &[row(&[1.0, 2.0, 3.0])]);
        let start = format!("tract {VERSION} cannot run {op_type} \"{op_type}_y\": ");
        assert!(text.starts_with(&start) && text.contains(why), "{text}");
    }
}
