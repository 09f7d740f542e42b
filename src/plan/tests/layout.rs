//! Along which axis the channels of a value lie.

use super::*;
use crate::quant::ChannelAxis::{self, Last, Second};

fn layouts(builder: Builder) -> Vec<(String, Option<ChannelAxis>)> {
    let (_, made) = planned(builder, &Settings::default());
    made.values.iter().map(|v| (v.name.clone(), v.layout)).collect()
}

fn found(values: &[(&str, Option<ChannelAxis>)]) -> Vec<(String, Option<ChannelAxis>)> {
    values.iter().map(|&(name, axis)| (name.to_owned(), axis)).collect()
}

#[test]
fn a_convolution_tells_of_what_it_reads_and_makes() {
    let net = start().node("Sigmoid", &["c"], &["s"], vec![]).node("Mul", &["c", "s"], &["m"], vec![]);
    let net = conv(net.node("Relu", &["m"], &["r"], vec![]), "r", "y").output("y", &[1, 4, 8, 8]);
    let second = Some(Second);
    let names = ["x", "c", "s", "r", "y"].map(|name| (name, second));
    let made = layouts(net);
    assert!(made.iter().all(|value| found(&names).contains(value)), "{made:?}");
    assert!(made.len() == 5, "{made:?}");
}

#[test]
fn an_input_has_the_layout_of_what_it_is_added_to() {
    let net = start().input("z", &[1, 4, 8, 8]).node("Add", &["z", "c"], &["a"], vec![]);
    let made = layouts(conv(net, "a", "y").output("y", &[1, 4, 8, 8]));
    assert!(made.contains(&("z".to_owned(), Some(Second))), "{made:?}");
}

#[test]
fn a_matrix_product_tells_of_what_it_reads_and_makes() {
    let net = Builder::new(13)
        .input("x", &[1, 5, 6])
        .noise("m", &[6, 6], 1)
        .noise("n", &[6, 6], 2)
        .node("Tanh", &["x"], &["t"], vec![])
        .node("MatMul", &["t", "m"], &["a"], vec![])
        .node("Gelu", &["a"], &["g"], vec![])
        .node("MatMul", &["g", "n"], &["y"], vec![])
        .output("y", &[1, 5, 6]);
    let made = layouts(net);
    assert!(made.len() >= 2 && made.iter().all(|(_, axis)| *axis == Some(Last)), "{made:?}");
}

#[test]
fn what_moves_numbers_between_axes_tells_nothing() {
    let net = start()
        .noise("w", &[8, 3], 1)
        .node("Transpose", &["c"], &["t"], vec![ints("perm", &[0, 2, 3, 1])])
        .node("Softmax", &["t"], &["s"], vec![int("axis", 1)])
        .node("Transpose", &["s"], &["u"], vec![ints("perm", &[0, 3, 1, 2])])
        .node("MatMul", &["u", "w"], &["y"], vec![])
        .output("y", &[1, 4, 8, 3]);
    let made = layouts(net);
    assert!(made.contains(&("u".to_owned(), Some(Last))), "{made:?}");
    assert!(made.contains(&("x".to_owned(), Some(Second))), "{made:?}");
    assert!(made.iter().all(|(name, axis)| !matches!(name.as_str(), "t" | "s") || axis.is_none()), "{made:?}");
}
