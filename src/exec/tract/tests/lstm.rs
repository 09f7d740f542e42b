//! DynamicQuantizeLSTM, and LSTM with what tract's ignores.

use super::*;
use crate::qoperators::MICROSOFT;
use build::{float, int, text};
use bytes::Bytes;

const HIDDEN: usize = 2;

fn integers(count: usize, step: usize, modulus: usize, middle: i32, offset: i32) -> Vec<u8> {
    (0..count).map(|i| ((i * step % modulus) as i32 - middle + offset) as u8).collect()
}

fn eighths(count: usize, step: usize, modulus: usize, middle: i32, part: f32) -> Vec<f32> {
    (0..count).map(|i| ((i * step % modulus) as i32 - middle) as f32 / part).collect()
}

/// Three steps of two rows, the first of which ends after two; scales for each direction and for each row of it.
fn quantized(unsigned: bool, clip: Option<f32>, without: &[&str]) -> Model {
    let (dtype, offset) = if unsigned { (DataType::Uint8, 128) } else { (DataType::Int8, 0) };
    let bytes =
        |shape: &[usize], bytes: Vec<u8>| Tensor::new(dtype, shape.to_vec(), Bytes::from(bytes)).expect("bytes");
    let scales: Vec<f32> = (0..16).map(|i| 0.005 + 0.001 * i as f32).collect();
    let given = |name: &'static str| if without.contains(&name) { "" } else { name };
    let names = ["x", "w", "r", "b", "l", "h0", "c0", "p", "ws", "wz", "rs", "rz"].map(given);
    let mut attributes = vec![int("hidden_size", HIDDEN as i64), text("direction", "bidirectional")];
    attributes.extend(clip.map(|clip| float("clip", clip)));
    let net = Builder::new(14)
        .input("x", &[3, 2, 2])
        .constant("w", &bytes(&[2, 2, 8], integers(32, 37, 101, 50, offset)))
        .constant("r", &bytes(&[2, 2, 8], integers(32, 53, 97, 48, offset)))
        .floats("ws", &[2], &[0.015625, 0.0078125])
        .constant("wz", &bytes(&[2], vec![(3 + offset) as u8, (offset - 5) as u8]))
        .floats("rs", &[2, 8], &scales)
        .constant("rz", &bytes(&[2, 8], vec![offset as u8; 16]))
        .floats("b", &[2, 16], &eighths(32, 11, 17, 8, 16.0))
        .floats("p", &[2, 6], &eighths(12, 5, 7, 3, 8.0))
        .floats("h0", &[2, 2, 2], &eighths(8, 3, 5, 2, 4.0))
        .floats("c0", &[2, 2, 2], &eighths(8, 7, 9, 4, 4.0))
        .constant("l", &Tensor::from_i32(vec![2], &[2, 3]))
        .node("DynamicQuantizeLSTM", &names, &["y", "h", "c"], attributes);
    let net = net.output("y", &[3, 2, 2, 2]).output("h", &[2, 2, 2]).output("c", &[2, 2, 2]);
    let mut proto = net.proto();
    proto.graph.as_mut().expect("a graph").node[0].domain = Some(MICROSOFT.to_owned());
    Model::from_proto(proto).expect("a model")
}

fn sequence() -> Tensor {
    Tensor::from_f32(vec![3, 2, 2], &[0.5, -1.25, 2.0, 0.75, -0.5, 1.5, 0.25, -2.0, 1.0, 0.125, -3.5, 4.0])
}

fn near(found: &Tensor, expected: &[f32]) {
    let found = found.to_f32().expect("numbers");
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-6), "{found:?}, not {expected:?}");
}

#[test]
fn integers_are_multiplied_as_onnx_runtime_does() {
    // What ONNX Runtime 1.31.1 makes of it.
    let plain = [
        -0.211803, 0.210422, 0.027789, -0.012378, -0.201909, 0.185420, -0.230653, -0.001655, -0.281172, 0.058564,
        0.037043, 0.225910, -0.070597, 0.248010, 0.076708, 0.004877, 0.0, 0.0, -0.184848, 0.006834, 0.0, 0.0, 0.437984,
        -0.035654,
    ];
    let hidden = [-0.281172, 0.058564, -0.184848, 0.006834, -0.201909, 0.185420, -0.230653, -0.001655];
    let cell = [-0.624181, 0.200110, -0.526091, 0.021085, -0.364722, 0.469236, -0.348354, -0.002340];
    let clipped = [-0.373489, 0.226612, -0.075062, -0.002377, -0.260159, 0.356415, -0.090605, -0.035574];
    for unsigned in [false, true] {
        let found = run(&quantized(unsigned, None, &[]), &[sequence()]);
        near(&found[0], &plain);
        near(&found[1], &hidden);
        near(&found[2], &cell);
        near(&run(&quantized(unsigned, Some(0.25), &[]), &[sequence()])[2], &clipped);
    }
}

#[test]
fn what_is_left_out_is_zeros_or_whole_sequences() {
    let without = run(&quantized(false, None, &["b", "l", "h0", "c0", "p"]), &[sequence()]);
    let shape: Vec<_> = without.iter().map(|tensor| tensor.shape().to_vec()).collect();
    assert_eq!(shape, [vec![3, 2, 2, 2], vec![2, 2, 2], vec![2, 2, 2]]);
    // The last step of the first direction is its last state, the first one of the second is its.
    let (all, last) = (without[0].to_f32().expect("numbers"), without[1].to_f32().expect("numbers"));
    assert_eq!((&all[16..20], &all[4..8]), (&last[..4], &last[4..]));
}

#[test]
fn nan_stays_nan() {
    for clip in [None, Some(0.25)] {
        let mut net = quantized(false, clip, &[]);
        let bias = net.graph.find("b").expect("a bias");
        net.graph.replace_constant(bias, &Tensor::from_f32(vec![2, 16], &[f32::NAN; 32]));
        let found = run(&net, &[sequence()]);
        assert!(found[1].to_f32().expect("numbers").iter().all(|h| h.is_nan()));
    }
}

#[test]
fn inputs_that_do_not_fit_are_errors() {
    let missing = failure(&quantized(false, None, &["rz"]), &[sequence()]);
    assert!(missing.contains("zero point is missing"), "{missing}");
    let mut proto = quantized(false, None, &[]).to_proto().expect("a message");
    let graph = proto.graph.as_mut().expect("a graph");
    graph.node[0].input[3] = "p".to_owned();
    let unfit = failure(&Model::from_proto(proto).expect("a model"), &[sequence()]);
    assert!(unfit.contains("input 3 of shape [2, 6], expected one of [[2, 16]]"), "{unfit}");
    let mut proto = quantized(false, None, &["b", "p", "h0", "c0"]).to_proto().expect("a message");
    proto.graph.as_mut().expect("a graph").node[0].attribute[0].i = Some(1 << 20);
    let huge = failure(&Model::from_proto(proto).expect("a model"), &[sequence()]);
    assert!(huge.contains("input 2 of shape [2, 2, 8]"), "{huge}");
}

/// An LSTM of ONNX on `steps` steps of two rows; of `directions` directions.
fn plain(direction: &str, lengths: Option<[i32; 2]>, clip: Option<f32>) -> Model {
    let count = if direction == "bidirectional" { 2 } else { 1 };
    let mut attributes = vec![int("hidden_size", 3), text("direction", direction)];
    attributes.extend(clip.map(|clip| float("clip", clip)));
    let net = Builder::new(14).input("x", &[-1, 2, 4]).noise("w", &[count, 12, 4], 1).noise("r", &[count, 12, 3], 2);
    let net = net.noise("b", &[count, 24], 3).constant("l", &Tensor::from_i32(vec![2], &lengths.unwrap_or_default()));
    let inputs = ["x", "w", "r", "b", if lengths.is_some() { "l" } else { "" }];
    let net = net.node("LSTM", &inputs, &["y", "h", "c"], attributes);
    net.output("y", &[-1, count as i64, 2, 3]).output("h", &[-1, 2, 3]).output("c", &[-1, 2, 3]).build()
}

#[test]
fn where_nothing_is_cut_off_it_is_the_lstm_of_the_engine() {
    let x = Tensor::from_f32(vec![5, 2, 4], &build::noise(40, 7));
    for direction in ["forward", "reverse", "bidirectional"] {
        let (ours, engines) = (plain(direction, None, Some(1e9)), plain(direction, None, None));
        for (a, b) in run(&ours, std::slice::from_ref(&x)).iter().zip(run(&engines, std::slice::from_ref(&x))) {
            assert_eq!(a.shape(), b.shape());
            near(a, &b.to_f32().expect("numbers"));
        }
        // A low bound changes all.
        let cut = &run(&plain(direction, None, Some(0.1)), std::slice::from_ref(&x))[1];
        let whole = &run(&engines, std::slice::from_ref(&x))[1];
        let changed =
            cut.to_f32().expect("numbers").iter().zip(whole.to_f32().expect("numbers").iter()).all(|(a, b)| a != b);
        assert!(changed, "{direction}");
    }
}

#[test]
fn a_shorter_sequence_ends_where_it_would_alone() {
    let numbers = build::noise(40, 8);
    let x = Tensor::from_f32(vec![5, 2, 4], &numbers);
    let short = Tensor::from_f32(vec![3, 2, 4], &numbers[..24]);
    for direction in ["forward", "reverse", "bidirectional"] {
        let both = run(&plain(direction, Some([3, 5]), None), std::slice::from_ref(&x));
        let alone = run(&plain(direction, None, None), std::slice::from_ref(&short));
        let whole = run(&plain(direction, None, None), std::slice::from_ref(&x));
        for (state, (alone, whole)) in both[1..].iter().zip(alone[1..].iter().zip(&whole[1..])) {
            let [both, alone, whole] =
                [state, alone, whole].map(|tensor| tensor.to_f32().expect("numbers").into_owned());
            let rows = both.chunks(3).zip(alone.chunks(3).zip(whole.chunks(3)));
            for (row, (both, (alone, whole))) in rows.enumerate() {
                let expected = if row % 2 == 0 { alone } else { whole };
                near(&Tensor::from_f32(vec![3], both), expected);
            }
        }
        let beyond = &both[0].to_f32().expect("numbers");
        let last = beyond.len() * 4 / 5;
        assert_eq!(&beyond[last..last + 3], [0.0; 3], "{direction}");
    }
}
