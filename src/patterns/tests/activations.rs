//! SiLU, QuickGELU, GELU, Mish, HardSigmoid and HardSwish.

use super::*;

fn assert_all(kind: &Kind, variants: &[&[&str]]) {
    for lines in variants {
        assert_eq!(&assert_recognised(lines), kind, "{lines:?}");
    }
}

#[test]
fn silu_is_recognised() {
    assert_all(
        &Kind::Silu,
        &[
            &["s = Sigmoid x", "y = Mul x s"],
            &["s = Sigmoid x", "y = Mul s x"],
            // Paddle writes the beta of Swish out.
            &["k = Mul x 1", "s = Sigmoid k", "y = Mul x s"],
        ],
    );
    assert_eq!(
        assert_recognised(&["k = Mul 1.702 x", "s = Sigmoid k", "y = Mul x s"]),
        Kind::QuickGelu { alpha: 1.702 }
    );
}

#[test]
fn what_multiplies_another_value_is_no_silu() {
    for lines in [
        &["a = Abs x", "s = Sigmoid a", "y = Mul x s"][..],
        &["s = Sigmoid x", "y = Add x s"],
        &["s = Sigmoid x", "y = Div x s"],
        &["s = Sigmoid x", "m = Mul x s", "y = Mul m x"],
        &["k = Add x 1", "s = Sigmoid k", "y = Mul x s"],
    ] {
        assert_eq!(kind(&model(lines)), None, "{lines:?}");
    }
}

#[test]
fn mish_is_recognised() {
    assert_all(
        &Kind::Mish,
        &[
            &["p = Softplus x", "t = Tanh p", "y = Mul t x"],
            &["e = Exp x", "a = Add e 1", "l = Log a", "t = Tanh l", "y = Mul x t"],
            &["e = Exp x", "a = Add 1 e", "l = Log a", "t = Tanh l", "y = Mul x t"],
        ],
    );
}

#[test]
fn gelu_by_erf_is_recognised() {
    assert_all(
        &Kind::Gelu { tanh: false },
        &[
            // PyTorch
            &["d = Div x 1.4142135", "e = Erf d", "a = Add e 1", "m = Mul x a", "y = Mul m 0.5"],
            &["h = Mul x 0.5", "d = Div x 1.41421356", "e = Erf d", "a = Add e 1", "y = Mul h a"],
            // Paddle and Keras
            &["d = Mul x 0.70710677", "e = Erf d", "a = Add 1 e", "h = Mul 0.5 a", "y = Mul x h"],
            &["d = Mul x 0.70710677", "e = Erf d", "a = Add 1 e", "m = Mul a x", "y = Div m 2"],
            // By the complement of Erf, as JAX has it.
            &["n = Neg x", "d = Mul n 0.70710677", "e = Erf d", "c = Sub 1 e", "h = Mul x 0.5", "y = Mul h c"],
        ],
    );
}

#[test]
fn gelu_by_tanh_is_recognised() {
    let tail = ["t = Tanh k", "a = Add t 1", "h = Mul x 0.5", "y = Mul h a"];
    for head in [
        // PyTorch
        &["c = Pow x 3", "d = Mul c 0.044715", "s = Add x d", "k = Mul s 0.79788456"][..],
        &["c = Mul x x", "d = Mul c x", "e = Mul 0.044715 d", "s = Add x e", "k = Mul 0.797884 s"],
        // JAX
        &["c = Mul 0.044715 x", "d = Mul x c", "e = Mul x d", "s = Add x e", "k = Mul 0.7978846 s"],
        // Hugging Face's fast form
        &["c = Mul x 0.044715", "d = Mul c x", "e = Add d 1", "f = Mul x 0.7978845608", "k = Mul f e"],
    ] {
        assert_eq!(assert_recognised(&[head, &tail[..]].concat()), Kind::Gelu { tanh: true });
    }
}

#[test]
fn hard_sigmoid_is_recognised() {
    let sixth = Kind::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 };
    for lines in [
        &["a = Add x 3", "c = Clip a 0 6", "y = Div c 6"][..],
        &["a = Add 3 x", "c = Clip a 0 6", "y = Mul 0.16666667 c"],
        &["a = Add x 3", "r = Relu a", "c = Min r 6", "y = Div c 6"],
        &["a = Add x 3", "r = Max a 0", "c = Min 6 r", "y = Div c 6"],
        &["a = Add x 3", "r = Min a 6", "c = Max 0 r", "y = Div c 6"],
        &["d = Div x 6", "a = Add d 0.5", "y = Clip a 0 1"],
        &["s = Sub x -3", "a = Mul s 0.16666667", "y = Clip a 0 1"],
    ] {
        let Kind::HardSigmoid { alpha, beta } = assert_recognised(lines) else { panic!("{lines:?}") };
        assert!((alpha - 1.0 / 6.0).abs() < 1e-6 && (beta - 0.5).abs() < 1e-6, "{alpha} {beta} instead of {sixth:?}");
    }
    let keras = ["m = Mul x 0.2", "a = Add m 0.5", "y = Clip a 0 1"];
    assert_eq!(assert_recognised(&keras), Kind::HardSigmoid { alpha: 0.2, beta: 0.5 });
}

#[test]
fn other_clamps_are_no_hard_sigmoid() {
    for lines in [
        &["y = Clip x 0 1"][..],
        &["c = Clip x 0 6", "y = Add c 3"],
        &["a = Add x 3", "y = Clip a 0 6"],
        &["a = Add x 3", "c = Clip a -1 6", "y = Div c 6"],
        &["a = Add x 3", "c = Relu a", "y = Div c 6"],
        &["n = Mul x -0.2", "a = Add n 0.5", "y = Clip a 0 1"],
        &["a = Add x 3", "c = Clip a 0 x", "y = Div c 6"],
    ] {
        assert_eq!(kind(&model(lines)), None, "{lines:?}");
    }
}

#[test]
fn hard_swish_is_recognised_wherever_it_is_divided() {
    assert_all(
        &Kind::HardSwish,
        &[
            // Paddle
            &["a = Add x 3", "c = Clip a 0 6", "m = Mul x c", "y = Div m 6"],
            &["a = Add x 3", "c = Clip a 0 6", "m = Mul c x", "y = Mul m 0.16666667"],
            &["a = Add x 3", "c = Clip a 0 6", "d = Div c 6", "y = Mul x d"],
            &["a = Add x 3", "c = Clip a 0 6", "d = Div x 6", "y = Mul d c"],
            &["a = Add x 3", "r = Relu a", "c = Min r 6", "d = Div c 6", "y = Mul x d"],
            &["d = Mul x 0.1667", "a = Add d 0.5", "c = Clip a 0 1", "y = Mul x c"],
        ],
    );
    let by_operator = ["h = HardSigmoid x alpha=0.16666667 beta=0.5", "y = Mul x h"];
    assert_eq!(assert_recognised(&by_operator), Kind::HardSwish);
}

#[test]
fn other_gates_are_no_hard_swish() {
    for lines in [
        &["a = Add x 3", "c = Clip a 0 6", "y = Mul x c"][..],
        &["a = Add x 3", "c = Clip a 0 6", "b = Abs x", "m = Mul b c", "y = Div m 6"],
        &["h = HardSigmoid x alpha=0.2 beta=0.5", "y = Mul x h"],
        &["h = HardSigmoid x", "y = Mul x h"],
    ] {
        assert_ne!(kind(&model(lines)), Some(Kind::HardSwish), "{lines:?}");
    }
}

#[test]
fn the_larger_pattern_counts() {
    let lines = ["a = Add x 3", "c = Clip a 0 6", "d = Div c 6", "y = Mul x d"];
    assert_eq!(activations(&model(&lines).graph).len(), 1);
    // What follows is no part of it.
    let more = ["a = Add x 3", "c = Clip a 0 6", "m = Mul x c", "d = Div m 6", "e = Mul d 0.7", "y = Add e 1"];
    let found = find(&model(&more).graph);
    assert_eq!((found.len(), found[0].nodes.len(), &found[0].kind), (1, 4, &Kind::HardSwish));
}

#[test]
fn a_number_that_adds_an_axis_is_no_number() {
    let with = |dims: &[usize]| {
        let builder = Builder::new(13).input("x", &[2, 3]).output("y", &[]).floats("three", dims, &[3.0]);
        let lines = ["a = Add x three", "c = Clip a 0 6", "m = Mul x c", "y = Div m 6"];
        find(&spelled(builder, &lines).build().graph).len()
    };
    assert_eq!([with(&[]), with(&[1]), with(&[1, 1]), with(&[1, 1, 1])], [1, 1, 1, 0]);
}
