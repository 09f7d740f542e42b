//! Attention, and what masks it.

use super::*;

/// A model with queries, keys and values of shape `[1, 2, 3, 4]`, a mask that is fed, and `lines` that make `y`.
fn attention(lines: &[&str]) -> Model {
    let builder = ["q", "k", "v"].iter().fold(Builder::new(13), |b, name| b.input(name, &[1, 2, 3, 4]));
    let builder = builder.input("fed", &[1, 1, 1, 3]).output("y", &[1, 2, 3, 4]);
    let builder = builder.noise("bias", &[1, 2, 3, 3], 1).noise("weight", &[4, 3], 2);
    spelled(builder, lines).build()
}

fn names(model: &Model, values: &[ValueId]) -> Vec<String> {
    values.iter().map(|&v| model.graph.value(v).name().to_owned()).collect()
}

/// The names of scale, masks and inputs of the one attention in `lines`.
fn found(lines: &[&str]) -> Option<(f32, Vec<String>, Vec<String>, usize)> {
    let model = attention(lines);
    let [one] = &find(&model.graph)[..] else { return None };
    let Kind::Attention { scale, masks, .. } = &one.kind else { return None };
    Some((*scale, names(&model, masks), names(&model, &one.inputs), one.nodes.len()))
}

/// The names of all values that masks are made of.
fn masked(lines: &[&str]) -> Vec<String> {
    let model = attention(lines);
    let masks = mask_values(&model.graph);
    let values: Vec<_> = model.graph.value_ids().filter(|v| masks[v.index()]).collect();
    let mut names = names(&model, &values);
    names.retain(|name| !name.starts_with("number"));
    names.sort();
    names
}

const TRANSPOSE: &str = "t = Transpose k perm=0,1,3,2";

#[test]
fn attention_is_recognised_wherever_it_is_scaled() {
    for lines in [
        &[TRANSPOSE, "s = MatMul q t", "d = Div s 2", "p = Softmax d axis=-1", "y = MatMul p v"][..],
        &[TRANSPOSE, "s = MatMul q t", "d = Mul 0.5 s", "p = Softmax d axis=3", "y = MatMul p v"],
        &["a = Mul q 0.5", TRANSPOSE, "s = MatMul a t", "p = Softmax s", "y = MatMul p v"],
        &[
            "a = Mul q 0.70710678",
            TRANSPOSE,
            "b = Mul t 0.70710678",
            "s = MatMul a b",
            "p = Softmax s",
            "y = MatMul p v",
        ],
        &["a = Mul k 0.5", "t = Transpose a perm=0,1,3,2", "s = MatMul q t", "p = Softmax s", "y = MatMul p v"],
        &[TRANSPOSE, "s = MatMul q t", "d = Div s 2", "p = Softmax d", "o = Dropout p", "y = MatMul o v"],
        &[
            TRANSPOSE,
            "s = MatMul q t",
            "d = Div s 2",
            "p = Softmax d",
            "n = IsNaN p",
            "w = Where n 0 p",
            "y = MatMul w v",
        ],
    ] {
        let (scale, masks, inputs, nodes) = found(lines).unwrap_or_else(|| panic!("{lines:?}"));
        assert!((scale - 0.5).abs() < 1e-6 && masks.is_empty(), "{lines:?}: {scale}");
        assert_eq!((inputs, nodes), (vec!["q".to_owned(), "k".to_owned(), "v".to_owned()], lines.len()), "{lines:?}");
    }
}

#[test]
fn masks_are_told() {
    for (lines, masks) in [
        (&[TRANSPOSE, "s = MatMul q t", "m = Add s fed", "p = Softmax m", "y = MatMul p v"][..], &["fed"][..]),
        (&[TRANSPOSE, "s = MatMul q t", "m = Add fed s", "p = Softmax m", "y = MatMul p v"], &["fed"]),
        (&[TRANSPOSE, "s = MatMul q t", "m = Sub s fed", "p = Softmax m", "y = MatMul p v"], &["fed"]),
        (
            &[TRANSPOSE, "s = MatMul q t", "b = Add s bias", "m = Add b fed", "p = Softmax m", "y = MatMul p v"],
            &["fed", "bias"],
        ),
        (
            &[
                "c = Cast fed to=9",
                TRANSPOSE,
                "s = MatMul q t",
                "m = Where c s -inf",
                "p = Softmax m",
                "y = MatMul p v",
            ],
            &["c", "number_1"],
        ),
        (
            &[
                "c = Cast fed to=9",
                TRANSPOSE,
                "s = MatMul q t",
                "m = Where c -inf s",
                "p = Softmax m",
                "y = MatMul p v",
            ],
            &["c", "number_1"],
        ),
    ] {
        assert_eq!(found(lines).expect("an attention").1, masks, "{lines:?}");
    }
}

#[test]
fn other_products_are_no_attention() {
    for lines in [
        // Weights instead of keys or values; another axis; a value read elsewhere.
        &["s = MatMul q weight", "p = Softmax s", "y = MatMul p v"][..],
        &[TRANSPOSE, "s = MatMul q t", "p = Softmax s", "y = MatMul p weight"],
        &[TRANSPOSE, "s = MatMul q t", "p = Softmax s axis=1", "y = MatMul p v"],
        &[TRANSPOSE, "s = MatMul q t", "p = Softmax s axis=-2", "y = MatMul p v"],
        &[TRANSPOSE, "s = MatMul q t", "p = Softmax s", "o = MatMul p v", "a = ReduceMean s axes=-1", "y = Add o a"],
        &[TRANSPOSE, "s = MatMul q t", "p = Softmax s", "y = MatMul v p"],
        &["p = Softmax q", "y = MatMul p v"],
    ] {
        assert_eq!(found(lines), None, "{lines:?}");
    }
}

/// BERT's mask: `(1 - fed) * -3.4e38`.
const BERT: [&str; 2] = ["i = Sub 1 fed", "m = Mul i -3.4e38"];

#[test]
fn everything_that_is_computed_for_a_mask_is_named() {
    let lines =
        [&BERT[..], &[TRANSPOSE, "s = MatMul q t", "d = Div s 2", "a = Add d m", "p = Softmax a", "y = MatMul p v"]];
    // The scores before the mask are ordinary numbers, those with it are not.
    assert_eq!(masked(&lines.concat()), ["a", "fed", "i", "m"]);
    for extreme in ["-10000", "-65504", "-inf", "10000"] {
        let scaled = format!("m = Mul i {extreme}");
        let rest = [TRANSPOSE, "s = MatMul q t", "a = Add m s", "p = Softmax a", "y = MatMul p v"];
        assert_eq!(masked(&[&["i = Sub 1 fed", &scaled][..], &rest].concat()), ["a", "fed", "i", "m"], "{extreme}");
    }
}

#[test]
fn what_is_read_for_something_else_too_is_not_for_masks_alone() {
    let rest = [TRANSPOSE, "s = MatMul q t", "a = Add s m", "p = Softmax a", "o = MatMul p v", "y = Mul o i"];
    assert_eq!(masked(&[&BERT[..], &rest].concat()), ["a", "m"]);
}

#[test]
fn a_mask_may_be_chosen_and_shared() {
    let lines = [
        "c = Cast fed to=9",
        TRANSPOSE,
        "s = MatMul q t",
        "a = Where c s -10000",
        "p = Softmax a",
        "o = MatMul p v",
        "s2 = MatMul o t",
        "a2 = Where c s2 -10000",
        "p2 = Softmax a2",
        "y = MatMul p2 v",
    ];
    assert_eq!(masked(&lines), ["a", "a2", "c", "fed"]);
}

#[test]
fn the_mask_before_a_bias_is_found() {
    let rest = [TRANSPOSE, "s = MatMul q t", "a = Add s m", "b = Add a bias", "p = Softmax b", "y = MatMul p v"];
    assert_eq!(masked(&[&BERT[..], &rest].concat()), ["a", "b", "fed", "i", "m"]);
}

#[test]
fn a_learned_bias_is_no_mask() {
    let lines = [TRANSPOSE, "s = MatMul q t", "a = Add s bias", "p = Softmax a", "y = MatMul p v"];
    assert!(masked(&lines).is_empty());
    let moderate = [
        "m = Mul fed -5000",
        "r = Relu m",
        TRANSPOSE,
        "s = MatMul q t",
        "a = Add s r",
        "p = Softmax a",
        "y = MatMul p v",
    ];
    assert!(masked(&moderate).is_empty());
    // A classifier's bias.
    assert!(masked(&["s = MatMul q weight", "y = Softmax s"]).is_empty());
}

#[test]
fn a_mask_through_a_long_chain_is_found() {
    let mut lines: Vec<String> = BERT.iter().map(|l| (*l).to_owned()).collect();
    lines.push("m0 = Abs m".to_owned());
    lines.extend((0..20_000).map(|i| format!("m{} = Neg m{i}", i + 1)));
    let rest = [TRANSPOSE, "s = MatMul q t", "a = Add s m20000", "p = Softmax a", "y = MatMul p v"];
    lines.extend(rest.iter().map(|l| (*l).to_owned()));
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    assert_eq!(masked(&lines).len(), 20_000 + 5);
}
