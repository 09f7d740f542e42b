//! Products of matrices in the form that integer kernels have.

use super::*;
use crate::ir::build::{float, int, text};

#[test]
fn leading_axes_of_one_are_dropped_from_weights() {
    for (x, w) in [(&[2, 3, 4][..], &[1, 4, 5][..]), (&[2, 2, 3, 4], &[1, 1, 4, 5]), (&[2, 2, 3, 4], &[1, 4, 5])] {
        let mut y = x.to_vec();
        y[x.len() - 1] = 5;
        let net = Builder::new(13).input("x", x).noise("w", w, 1).output("y", &y);
        let ready = prepared(&net.node("MatMul", &["x", "w"], &["y"], vec![]).build());
        let weight = find(&ready, "MatMul").input(1).expect("a weight");
        assert_eq!(ready.graph.constant(weight).expect("sound").expect("a constant").shape(), [4, 5], "{w:?}");
    }
}

#[test]
fn axes_that_the_product_gets_from_its_weights_stay() {
    for (x, w, y) in [
        (&[3, 4][..], &[1, 4, 5][..], &[1, 3, 5][..]),
        (&[2, 3, 4], &[1, 1, 4, 5], &[1, 2, 3, 5]),
        (&[2, 3, 4], &[2, 4, 5], &[2, 3, 5]),
    ] {
        let net = Builder::new(13).input("x", x).noise("w", w, 1).output("y", y);
        let ready = prepared(&net.node("MatMul", &["x", "w"], &["y"], vec![]).build());
        let weight = find(&ready, "MatMul").input(1).expect("a weight");
        assert_eq!(ready.graph.constant(weight).expect("sound").expect("a constant").shape(), w);
    }
}

#[test]
fn a_weight_that_lost_its_axes_stays_whole_for_its_other_reader() {
    let net = Builder::new(13).input("x", &[2, 3, 4]).noise("w", &[1, 4, 4], 1).output("y", &[2, 3, 4]);
    let net = net.output("z", &[1, 4, 4]).node("MatMul", &["x", "w"], &["y"], vec![]);
    prepared(&net.input("u", &[1, 4, 4]).node("Mul", &["u", "w"], &["z"], vec![]).build());
}

#[test]
fn a_gemm_with_weights_on_the_left_is_a_matmul() {
    for (transposed_a, transposed_b, alpha) in [(0, 0, 1.0), (1, 0, 0.5), (0, 1, 1.0), (1, 1, -2.0)] {
        for bias in [None, Some(&[5][..]), Some(&[3, 5]), Some(&[3, 1])] {
            let (a, b) =
                (if transposed_a == 1 { [4, 3] } else { [3, 4] }, if transposed_b == 1 { [5, 4] } else { [4, 5] });
            let net = Builder::new(13).input("x", &b).noise("w", &a, 1).output("y", &[3, 5]);
            let net = bias.iter().fold(net, |net, dims| net.noise("b", dims, 2));
            let inputs: &[&str] = if bias.is_some() { &["w", "x", "b"] } else { &["w", "x"] };
            let attributes = vec![
                int("transA", transposed_a),
                int("transB", transposed_b),
                float("alpha", alpha),
                float("beta", 3.0),
            ];
            let ready = prepared(&net.node("Gemm", inputs, &["y"], attributes).build());
            let (left, what) = (operators(&ready), format!("{transposed_a} {transposed_b} {bias:?}"));
            assert!(left.contains(&"MatMul") && !left.contains(&"Gemm"), "{what}: {left:?}");
            assert_eq!(left.contains(&"Transpose"), transposed_b == 1, "{what}");
            assert_eq!(left.contains(&"Add"), bias.is_some(), "{what}");
            assert!(["alpha", "beta", "transA", "transB"].iter().all(|a| !find(&ready, "MatMul").attributes().has(a)));
        }
    }
}

#[test]
fn a_gemm_of_two_computed_matrices_stays() {
    let net = Builder::new(13).input("a", &[3, 4]).input("b", &[5, 4]).output("y", &[3, 5]);
    let model = net.node("Gemm", &["a", "b"], &["y"], vec![int("transB", 1)]).build();
    assert_eq!(operators(&prepared(&model)), ["Gemm"]);
}

/// An Einsum of two graph inputs.
fn einsum(equation: &str, a: &[i64], b: &[i64], y: &[i64]) -> Model {
    let net = Builder::new(13).input("a", a).input("b", b).output("y", y);
    net.node("Einsum", &["a", "b"], &["y"], vec![text("equation", equation)]).build()
}

#[test]
fn an_einsum_that_is_a_product_of_matrices_becomes_one() {
    for (equation, a, b, y, turned) in [
        ("ij,jk->ik", &[2, 3][..], &[3, 4][..], &[2, 4][..], 0),
        (" i j , j k -> i k ", &[2, 3], &[3, 4], &[2, 4], 0),
        ("bij,bjk->bik", &[2, 3, 4], &[2, 4, 5], &[2, 3, 5], 0),
        ("BhId,Bhjd->BhIj", &[2, 2, 3, 4], &[2, 2, 5, 4], &[2, 2, 3, 5], 1),
        ("bhij,bhjd->bhid", &[2, 2, 3, 4], &[2, 2, 4, 5], &[2, 2, 3, 5], 0),
        // The product turned; both factors; all three.
        ("ij,jk->ki", &[2, 3], &[3, 4], &[4, 2], 1),
        ("ji,kj->ik", &[3, 2], &[4, 3], &[2, 4], 2),
        ("bqhd,bkhd->bhqk", &[2, 3, 2, 4], &[2, 5, 2, 4], &[2, 2, 3, 5], 2),
        ("bhqk,bkhd->bqhd", &[2, 2, 3, 5], &[2, 5, 2, 4], &[2, 3, 2, 4], 2),
        ("jbi,kjb->kib", &[3, 2, 4], &[5, 3, 2], &[5, 4, 2], 3),
    ] {
        let ready = prepared(&einsum(equation, a, b, y));
        let left = operators(&ready);
        assert_eq!(left.iter().filter(|op| **op == "MatMul").count(), 1, "{equation}: {left:?}");
        assert_eq!(left.iter().filter(|op| **op == "Transpose").count(), turned, "{equation}: {left:?}");
        assert_eq!(left.len(), 1 + turned, "{equation}: {left:?}");
    }
}

#[test]
fn the_weights_of_an_einsum_are_turned_beforehand() {
    let net = Builder::new(13).input("x", &[2, 3, 4]).noise("w", &[5, 4], 1).output("y", &[2, 3, 5]);
    let model = net.node("Einsum", &["x", "w"], &["y"], vec![text("equation", "btc,oc->bto")]).build();
    // Two indices of the first factor belong to it alone.
    assert_eq!(refusals(&model, "normalize-products").len(), 1);
    let net = Builder::new(13).input("x", &[3, 4]).noise("w", &[5, 4], 1).output("y", &[3, 5]);
    let model = net.node("Einsum", &["x", "w"], &["y"], vec![text("equation", "tc,oc->to")]).build();
    assert_eq!(operators(&prepared(&model)), ["MatMul"]);
}

#[test]
fn any_other_einsum_stays_and_says_why() {
    for (equation, a, b, y, why) in [
        ("...ij,...jk->...ik", &[2, 2, 3][..], &[2, 3, 4][..], &[2, 2, 4][..], "ellipsis"),
        ("ii,ij->ij", &[3, 3], &[3, 4], &[3, 4], "diagonal"),
        ("ij,jk->k", &[2, 3], &[3, 4], &[4], "one factor alone"),
        ("ij,jk->i", &[2, 3], &[3, 4], &[2], "one factor alone"),
        ("i,j->ij", &[2], &[3], &[2, 3], "no product of matrices"),
        ("ij,ij->ij", &[2, 3], &[2, 3], &[2, 3], "no product of matrices"),
        ("ij,j->i", &[2, 3], &[3], &[2], "no product of matrices"),
        ("bij,bjk->ik", &[2, 3, 4], &[2, 4, 5], &[3, 5], "no product of matrices"),
        ("ij,jk", &[2, 3], &[3, 4], &[2, 4], "names no output"),
    ] {
        let model = einsum(equation, a, b, y);
        let refused = refusals(&model, "normalize-products");
        assert!(matches!(&refused[..], [one] if one.contains(why)), "{equation}: {refused:?}");
        assert_eq!(operators(&prepare_twice(&model).0), ["Einsum"]);
    }
    let net = Builder::new(13).input("a", &[2, 3]).input("b", &[3, 4]).input("c", &[4, 5]).output("y", &[2, 5]);
    let three = net.node("Einsum", &["a", "b", "c"], &["y"], vec![text("equation", "ij,jk,kl->il")]).build();
    assert_eq!(refusals(&three, "normalize-products"), ["it is no product of two tensors"]);
    let net = Builder::new(13).input("a", &[2, 3]).output("y", &[3, 2]);
    let one = net.node("Einsum", &["a"], &["y"], vec![text("equation", "ij->ji")]).build();
    assert_eq!(refusals(&one, "normalize-products"), ["it is no product of two tensors"]);
}
