//! Squeeze-and-excitation.

use super::*;

fn block(lines: &[&str]) -> Model {
    let builder = Builder::new(13).input("x", &[1, 4, 5, 5]).output("y", &[1, 4, 5, 5]);
    let builder = builder.noise("w", &[2, 4, 1, 1], 1).noise("u", &[4, 2, 1, 1], 2).noise("b", &[4, 1, 1], 3);
    spelled(builder, lines).build()
}

const KINDS: [&[&str]; 6] = [
    &["m = GlobalAveragePool x", "c = Conv m w", "r = Relu c", "d = Conv r u", "s = Sigmoid d", "y = Mul x s"],
    &["m = ReduceMean x axes=2,3", "c = Conv m w", "r = Relu c", "d = Conv r u", "s = HardSigmoid d", "y = Mul s x"],
    // EfficientNet
    &[
        "m = ReduceMean x axes=-2,-1",
        "c = Conv m w",
        "g = Sigmoid c",
        "r = Mul c g",
        "d = Conv r u",
        "s = Sigmoid d",
        "y = Mul x s",
    ],
    // MobileNetV3, and a bias apart as Paddle writes it
    &[
        "m = GlobalAveragePool x",
        "c = Conv m w",
        "r = Relu c",
        "d = Conv r u",
        "e = Add d b",
        "a = Add e 3",
        "k = Clip a 0 6",
        "s = Div k 6",
        "y = Mul x s",
    ],
    &["m = GlobalAveragePool x", "c = Conv m w", "h = HardSwish c", "d = Conv h u", "s = HardSigmoid d", "y = Mul x s"],
    &["m = GlobalAveragePool x", "c = Conv m w", "r = Relu c", "d = Conv r u", "s = Clip d 0 1", "y = Mul x s"],
];

#[test]
fn blocks_are_recognised_whatever_their_activations_are() {
    for lines in KINDS {
        let model = block(lines);
        assert_eq!(kind(&model), Some(Kind::SqueezeExcite), "{lines:?}");
        assert_eq!(find(&model.graph)[0].nodes, model.graph.topological().expect("no circle"), "{lines:?}");
    }
}

#[test]
fn the_activations_inside_are_told_when_asked_for() {
    let count = |lines: &[&str]| activations(&block(lines).graph).len();
    assert_eq!((count(KINDS[2]), count(KINDS[3])), (1, 1));
}

#[test]
fn other_products_are_no_blocks() {
    for lines in [
        // Means of another tensor, no layer at all, means over channels, somebody else's means.
        &["a = Abs x", "m = GlobalAveragePool a", "c = Conv m w", "d = Conv c u", "s = Sigmoid d", "y = Mul x s"][..],
        &["m = GlobalAveragePool x", "s = Sigmoid m", "y = Mul x s"],
        &["m = ReduceMean x axes=1", "s = Sigmoid m", "y = Mul x s"],
        &["m = GlobalAveragePool x", "c = Conv m w", "d = Conv c u", "s = Sigmoid d", "z = Mul x s", "y = Add z m"],
        &["m = GlobalAveragePool x", "c = Conv m w", "d = Conv c u", "s = Sigmoid d", "y = Add x s"],
    ] {
        assert_eq!(kind(&block(lines)), None, "{lines:?}");
    }
}
