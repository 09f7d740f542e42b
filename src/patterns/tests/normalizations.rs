//! LayerNormalization and RMSNormalization.

use super::*;

/// The parameters and whether the mean is taken away.
fn parameters(kind: Kind) -> (bool, Normalization) {
    match kind {
        Kind::LayerNormalization(parameters) => (true, parameters),
        Kind::RmsNormalization(parameters) => (false, parameters),
        other => panic!("{other:?}"),
    }
}

const CENTRE: [&str; 2] = ["m = ReduceMean x axes=-1", "d = Sub x m"];

#[test]
fn layer_normalization_is_recognised() {
    let squares = [&["q = Pow d 2"][..], &["q = Mul d d"]];
    let roots = [
        &["r = Sqrt e", "n = Div d r"][..],
        &["r = Sqrt e", "i = Reciprocal r", "n = Mul d i"],
        &["r = Sqrt e", "i = Div 1 r", "n = Mul i d"],
        &["r = Pow e 0.5", "n = Div d r"],
        &["i = Pow e -0.5", "n = Mul d i"],
    ];
    for square in squares {
        for root in roots {
            let tail = ["s = Mul n scale", "y = Add s bias"];
            let var = ["v = ReduceMean q axes=-1", "e = Add v 0.00001"];
            let kind = assert_recognised(&[&CENTRE[..], square, &var, root, &tail].concat());
            let (centred, found) = parameters(kind);
            assert!(centred && !found.reshaped && found.scale.is_some() && found.bias.is_some());
            assert_eq!((found.axes, found.epsilon), (vec![-1], 1e-5));
        }
    }
}

#[test]
fn scale_and_bias_may_be_absent_or_stand_first() {
    let head = ["q = Pow d 2", "v = ReduceMean q axes=-1", "e = Add 0.001 v", "r = Sqrt e"];
    for (tail, scaled, shifted) in [
        (&["y = Div d r"][..], false, false),
        (&["n = Div d r", "y = Mul scale n"], true, false),
        (&["n = Div d r", "y = Add bias n"], false, true),
        (&["i = Reciprocal r", "w = Mul i scale", "n = Mul d w", "y = Add n bias"], true, true),
        (&["g = Mul d scale", "n = Div g r", "y = Add n bias"], true, true),
    ] {
        let (_, found) = parameters(assert_recognised(&[&CENTRE[..], &head, tail].concat()));
        assert_eq!((found.scale.is_some(), found.bias.is_some()), (scaled, shifted), "{tail:?}");
    }
}

#[test]
fn the_difference_may_be_taken_twice() {
    let lines = [
        "m = ReduceMean x axes=-1",
        "d = Sub x m",
        "d2 = Sub x m",
        "q = Pow d2 2",
        "v = ReduceMean q axes=-1",
        "e = Add v 0.001",
        "r = Sqrt e",
        "y = Div d r",
    ];
    assert!(parameters(assert_recognised(&lines)).0);
}

#[test]
fn axes_may_be_an_input() {
    let builder = Builder::new(18).input("x", &[2, 3, 4]).output("y", &[2, 3, 4]).ints("axes", &[-2, -1]);
    let lines = [
        "m = ReduceMean x axes",
        "d = Sub x m",
        "q = Mul d d",
        "v = ReduceMean q axes",
        "e = Add v 0.001",
        "r = Sqrt e",
        "y = Div d r",
    ];
    let kind = kind(&spelled(builder, &lines).build()).expect("a normalization");
    assert_eq!(parameters(kind).1.axes, [-2, -1]);
}

#[test]
fn keras_distributes_the_product() {
    let head = [&CENTRE[..], &["q = Mul d d", "v = ReduceMean q axes=-1", "e = Add v 0.001", "r = Sqrt e"]].concat();
    for tail in [
        &["i = Reciprocal r", "w = Mul i scale", "a = Mul x w", "b = Mul m w", "c = Sub bias b", "y = Add a c"][..],
        &[
            "i = Reciprocal r",
            "w = Mul i scale",
            "a = Mul w x",
            "b = Mul w m",
            "n = Neg b",
            "c = Add n bias",
            "y = Add c a",
        ],
        &[
            "i = Reciprocal r",
            "w = Mul i scale",
            "n = Neg m",
            "b = Mul n w",
            "c = Add b bias",
            "a = Mul x w",
            "y = Add a c",
        ],
    ] {
        let (centred, found) = parameters(assert_recognised(&[&head[..], tail].concat()));
        assert!(centred && found.scale.is_some() && found.bias.is_some(), "{tail:?}");
    }
}

#[test]
fn jax_takes_the_variance_from_two_means() {
    let lines = [
        "t = ReduceSum x axes=2 keepdims=0",
        "q = Mul x x",
        "u = ReduceSum q axes=2 keepdims=0",
        "m = Mul t 0.25",
        "p = Mul u 0.25",
        "mm = Mul m m",
        "v = Sub p mm",
        "z = Max 0 v",
        "l = Reshape z shape",
        "k = Expand l shape",
        "e = Add k 0.001",
        "r = Sqrt e",
        "i = Reciprocal r",
        "w = Mul i scale",
        "o = Reshape m shape",
        "f = Expand o shape",
        "d = Sub x f",
        "n = Mul d w",
        "y = Add n bias",
    ];
    let builder = |lines: &[&str]| {
        let builder = Builder::new(12).input("x", &[2, 3, 4]).output("y", &[2, 3, 4]).ints("shape", &[2, 3, 1]);
        kind(&spelled(builder.noise("scale", &[4], 1).noise("bias", &[4], 2), lines).build())
    };
    let (centred, found) = parameters(builder(&lines).expect("a normalization"));
    assert!(centred && found.reshaped);
    // A sum of another number of elements than there are scales is no mean.
    let mut other = lines;
    (other[3], other[4]) = ("m = Mul t 0.2", "p = Mul u 0.2");
    assert_eq!(builder(&other), None);
}

#[test]
fn rms_normalization_is_recognised() {
    for lines in [
        &["q = Pow x 2", "v = ReduceMean q axes=-1", "e = Add v 0.001", "r = Sqrt e", "n = Div x r", "y = Mul n scale"]
            [..],
        &[
            "q = Mul x x",
            "v = ReduceMean q axes=-1",
            "e = Add v 0.001",
            "r = Sqrt e",
            "i = Reciprocal r",
            "n = Mul x i",
            "y = Mul scale n",
        ],
        &[
            "q = Mul x x",
            "v = ReduceMean q axes=-1",
            "e = Add v 0.001",
            "i = Pow e -0.5",
            "n = Mul x i",
            "y = Mul scale n",
        ],
    ] {
        let (centred, found) = parameters(assert_recognised(lines));
        assert!(!centred && found.scale.is_some() && found.bias.is_none());
    }
}

#[test]
fn means_of_other_values_or_axes_normalize_nothing() {
    let head = ["m = ReduceMean x axes=-1", "d = Sub x m"];
    for lines in [
        // Another axis for the variance than for the mean.
        &[head[0], head[1], "q = Mul d d", "v = ReduceMean q axes=-2", "e = Add v 0.001", "r = Sqrt e", "y = Div d r"]
            [..],
        // The mean of something else.
        &[
            "b = Abs x",
            "m = ReduceMean b axes=-1",
            head[1],
            "q = Mul d d",
            "v = ReduceMean q axes=-1",
            "e = Add v 0.001",
            "r = Sqrt e",
            "y = Div d r",
        ],
        // No epsilon, no square, a product with the root.
        &[head[0], head[1], "q = Mul d d", "v = ReduceMean q axes=-1", "r = Sqrt v", "y = Div d r"],
        &[head[0], head[1], "q = Mul d x", "v = ReduceMean q axes=-1", "e = Add v 0.001", "r = Sqrt e", "y = Div d r"],
        &[head[0], head[1], "q = Mul d d", "v = ReduceMean q axes=-1", "e = Add v 0.001", "r = Sqrt e", "y = Mul d r"],
        // The mean of all elements.
        &[
            "m = ReduceMean x",
            head[1],
            "q = Mul d d",
            "v = ReduceMean q",
            "e = Add v 0.001",
            "r = Sqrt e",
            "y = Div d r",
        ],
    ] {
        assert_eq!(kind(&model(lines)), None, "{lines:?}");
    }
}

#[test]
fn a_residual_sum_is_no_bias() {
    let lines = [
        &CENTRE[..],
        &["q = Mul d d", "v = ReduceMean q axes=-1", "e = Add v 0.001", "r = Sqrt e", "n = Div d r", "y = Add n x"],
    ];
    let found = find(&model(&lines.concat()).graph);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].nodes.len(), 7);
}
