//! Operators without an integer kernel become others that have one.

use super::*;
use crate::ir::build::{float, int, ints};
use crate::patterns::tests::spelled;

/// `op_type` of `inputs`, with a constant `k` of shape `dims` whose numbers stay clear of zero.
fn with_constant(op_type: &str, inputs: [&str; 2], dims: &[usize]) -> Model {
    let numbers: Vec<f32> = noise(dims.iter().product(), 5).iter().map(|v| v + 1.5).collect();
    let net = Builder::new(13).input("x", &[2, 3, 4, 4]).floats("k", dims, &numbers).output("y", &[2, 3, 4, 4]);
    net.node(op_type, &inputs, &["y"], vec![]).build()
}

#[test]
fn a_constant_taken_away_is_added_and_one_divided_by_multiplied() {
    for (op_type, becomes) in [("Sub", "Add"), ("Div", "Mul")] {
        for dims in [&[][..], &[1], &[4], &[3, 1, 1], &[2, 3, 4, 4]] {
            assert_eq!(operators(&prepared(&with_constant(op_type, ["x", "k"], dims))), [becomes], "{dims:?}");
        }
        // On the left it is another thing.
        assert_eq!(operators(&prepared(&with_constant(op_type, ["k", "x"], &[3, 1, 1]))), [op_type]);
    }
}

#[test]
fn another_reader_of_the_constant_keeps_its_numbers() {
    let net = Builder::new(13).input("x", &[2, 3]).floats("k", &[3], &[2.0, 4.0, 5.0]).output("y", &[2, 3]);
    let net = net.node("Div", &["x", "k"], &["d"], vec![]).node("Min", &["d", "k"], &["m"], vec![]);
    let model = net.node("Sub", &["m", "k"], &["y"], vec![]).build();
    assert_eq!(operators(&prepared(&model)), ["Mul", "Min", "Add"]);
}

#[test]
fn a_constant_without_a_finite_counterpart_stays() {
    for (op_type, number) in [("Div", 0.0), ("Div", -0.0), ("Div", 1e-39), ("Div", f32::NAN), ("Sub", f32::INFINITY)] {
        let net = Builder::new(13).input("x", &[2, 3]).floats("k", &[3], &[1.0, number, 2.0]).output("y", &[2, 3]);
        let model = net.node(op_type, &["x", "k"], &["y"], vec![]).build();
        assert_eq!(operators(&prepare_twice(&model).0), [op_type], "{number}");
    }
}

#[test]
fn numbers_that_are_not_float_stay() {
    let net = Builder::new(13).input("x", &[2, 3]).output("y", &[2, 3]);
    let net = net.constant("k", &Tensor::from_i64(vec![1], &[3])).node("Cast", &["x"], &["i"], vec![int("to", 7)]);
    let net = net.node("Sub", &["i", "k"], &["s"], vec![]).node("Div", &["s", "k"], &["d"], vec![]);
    let model = net.node("Cast", &["d"], &["y"], vec![int("to", 1)]).build();
    assert_eq!(operators(&prepared(&model)), ["Cast", "Sub", "Div", "Cast"]);
}

#[test]
fn what_runtimes_recognise_as_one_thing_is_left_as_it_is() {
    let image = || Builder::new(13).input("x", &[2, 3, 4, 4]).output("y", &[2, 3, 4, 4]);
    let swish = ["a = Add x 3", "k = Clip a 0 6", "m = Mul x k", "y = Div m 6"];
    assert_eq!(operators(&prepared(&spelled(image(), &swish).build())), ["Add", "Clip", "Mul", "Div"]);
    // A normalization over all positions begins with their mean.
    let normalization = [
        "mean = ReduceMean x axes=-2,-1",
        "d = Sub x mean",
        "p = Pow d 2",
        "v = ReduceMean p axes=-2,-1",
        "e = Add v 0.00001",
        "s = Sqrt e",
        "n = Div d s",
        "g = Mul n scale",
        "y = Add g bias",
    ];
    let net = image().noise("scale", &[4, 4], 1).noise("bias", &[4, 4], 2);
    let ready = prepared(&spelled(net, &normalization).build());
    assert_eq!(operators(&ready).iter().filter(|op| **op == "ReduceMean").count(), 2);
}

/// A ReduceMean of `axes`, which are an input where the operator set has them there.
fn mean(opset: i64, dims: &[i64], axes: &[i64], keepdims: Option<i64>) -> Model {
    let rank = dims.len() as i64;
    let reduced = |i: i64| axes.iter().any(|&a| a == i || a + rank == i);
    let keeps = keepdims != Some(0);
    let shape: Vec<i64> =
        (0..rank).filter(|&i| keeps || !reduced(i)).map(|i| if reduced(i) { 1 } else { dims[i as usize] }).collect();
    let mut attributes: Vec<_> = keepdims.map(|k| int("keepdims", k)).into_iter().collect();
    let net = Builder::new(opset).input("x", dims).ints("axes", axes).output("y", &shape);
    let inputs: &[&str] = if opset < 18 {
        attributes.push(ints("axes", axes));
        &["x"]
    } else {
        &["x", "axes"]
    };
    net.node("ReduceMean", inputs, &["y"], attributes).build()
}

#[test]
fn a_mean_over_all_positions_is_a_pooling() {
    for opset in [13, 18] {
        for (dims, axes) in [
            (&[2, 3, 4][..], &[2][..]),
            (&[2, 3, 4], &[-1]),
            (&[2, 3, 4, 5], &[2, 3]),
            (&[2, 3, 4, 5], &[-1, -2]),
            (&[2, 3, 4, 5], &[3, -2]),
            (&[2, 3, 4, 5, 2], &[2, 3, 4]),
            (&[2, 3, 4, 5, 2], &[-3, -2, -1]),
        ] {
            for keepdims in [None, Some(1), Some(0)] {
                let ready = prepared(&mean(opset, dims, axes, keepdims));
                let wanted: &[&str] =
                    if keepdims == Some(0) { &["GlobalAveragePool", "Flatten"] } else { &["GlobalAveragePool"] };
                assert_eq!(operators(&ready), wanted, "opset {opset}: {axes:?} of {dims:?}");
                let pool = find(&ready, "GlobalAveragePool");
                let attributes = pool.attributes();
                assert!(pool.inputs().len() == 1 && !attributes.has("axes") && !attributes.has("keepdims"));
            }
        }
    }
}

#[test]
fn a_mean_over_anything_else_stays() {
    for opset in [13, 18] {
        for (dims, axes) in [
            (&[2, 3, 4, 5][..], &[1, 2, 3][..]),
            (&[2, 3, 4, 5], &[3]),
            (&[2, 3, 4, 5], &[1]),
            (&[2, 3, 4], &[1]),
            (&[2, 3, 4], &[0, 2]),
            (&[2, 3], &[1]),
        ] {
            assert_eq!(operators(&prepared(&mean(opset, dims, axes, None))), ["ReduceMean"], "{axes:?} of {dims:?}");
        }
    }
    // All axes of the tensor, and none.
    for (attributes, shape) in [(vec![], [1, 1, 1, 1]), (vec![int("noop_with_empty_axes", 1)], [2, 3, 4, 5])] {
        let net = Builder::new(18).input("x", &[2, 3, 4, 5]).output("y", &shape);
        let model = net.node("ReduceMean", &["x"], &["y"], attributes).build();
        assert!(!operators(&prepare_twice(&model).0).contains(&"GlobalAveragePool"));
    }
}

#[test]
fn the_largest_of_all_positions_is_a_reduction() {
    for (opset, slots) in [(13, 1), (17, 1), (18, 2), (20, 2)] {
        for dims in [&[2, 3, 4][..], &[2, 3, 4, 5], &[2, 3, 4, 5, 2]] {
            let shape: Vec<i64> = dims.iter().enumerate().map(|(i, &d)| if i < 2 { d } else { 1 }).collect();
            let net = Builder::new(opset).input("x", dims).output("y", &shape);
            let ready = prepared(&net.node("GlobalMaxPool", &["x"], &["y"], vec![]).build());
            assert_eq!(operators(&ready), ["ReduceMax"]);
            let node = find(&ready, "ReduceMax");
            assert_eq!((node.inputs().len(), node.attributes().has("axes")), (slots, slots == 1), "opset {opset}");
        }
    }
}

/// A BatchNormalization of `x`, which has three channels.
fn batch_norm(opset: i64, dims: &[i64], training: bool) -> Builder {
    let net = Builder::new(opset).input("x", dims).output("y", dims).noise("scale", &[3], 1).noise("shift", &[3], 2);
    let net = net.noise("mean", &[3], 3).floats("variance", &[3], &[0.5, 1.5, 0.1]);
    let mut attributes = vec![float("epsilon", 0.01), float("momentum", 0.5)];
    if training {
        attributes.push(int("training_mode", 1));
    }
    net.node("BatchNormalization", &["x", "scale", "shift", "mean", "variance"], &["y"], attributes)
}

#[test]
fn a_normalization_that_no_layer_took_is_a_depthwise_convolution() {
    for dims in [&[2, 3, 4][..], &[2, 3, 4, 5], &[2, 3, 4, 5, 2]] {
        for opset in [13, 15, 20] {
            let ready = prepared(&batch_norm(opset, dims, false).build());
            assert_eq!(operators(&ready), ["Conv"]);
            let node = find(&ready, "Conv");
            assert_eq!((node.inputs().len(), node.attributes().int("group")), (3, Some(3)));
            let stays = ["epsilon", "momentum", "training_mode"].iter().any(|name| node.attributes().has(name));
            assert!(!stays, "attributes of the BatchNormalization are left");
        }
    }
}

#[test]
fn a_normalization_in_training_of_a_matrix_or_with_computed_numbers_stays() {
    // Not run: tract normalizes by the stored numbers either way.
    let training = batch_norm(15, &[2, 3, 4, 4], true).build();
    assert_eq!(operators(&prepare_twice(&training).0), ["BatchNormalization"]);
    assert_eq!(operators(&prepared(&batch_norm(15, &[2, 3], false).build())), ["BatchNormalization"]);
    let net = Builder::new(15).input("x", &[2, 3, 4]).input("scale", &[3]).output("y", &[2, 3, 4]);
    let net = net.noise("shift", &[3], 2).floats("variance", &[3], &[0.5, 1.5, 0.1]);
    let model = net.node("BatchNormalization", &["x", "scale", "shift", "shift", "variance"], &["y"], vec![]).build();
    assert_eq!(operators(&prepare_twice(&model).0), ["BatchNormalization"]);
}

#[test]
fn normalizations_behind_joins_keep_their_numbers() {
    // As DenseNet has them: what one layer makes is normalized anew for each later one.
    let net = Builder::new(13).input("x", &[2, 2, 4, 4]).noise("w", &[1, 2, 1, 1], 6).noise("v", &[4, 3, 1, 1], 7);
    let net = net.node("Conv", &["x", "w"], &["c"], vec![]).node("Concat", &["x", "c"], &["j"], vec![int("axis", 1)]);
    let net = net.noise("scale", &[3], 1).noise("shift", &[3], 2).floats("variance", &[3], &[0.5, 1.5, 0.1]);
    let net = net.node("BatchNormalization", &["j", "scale", "shift", "shift", "variance"], &["n"], vec![]);
    let net = net.node("Relu", &["n"], &["r"], vec![]).node("Conv", &["r", "v"], &["y"], vec![]);
    let ready = prepared(&net.output("y", &[2, 4, 4, 4]).build());
    assert_eq!(operators(&ready), ["Conv", "Concat", "Conv", "Relu", "Conv"]);
}
