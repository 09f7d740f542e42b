//! Lookups in constant tables.

use super::*;
use crate::tensor::Tensor;

/// A Gather from a table of shape `dims`, and a layer behind it.
fn lookup(dims: &[usize], axis: i64, rows: i64) -> Builder {
    let columns = dims[dims.len() - 1];
    let looks_up_columns = axis == -1 || axis == dims.len() as i64 - 1;
    Builder::new(13)
        .input("x", &[1, 3])
        .noise("table", dims, 1)
        .noise("w", &[if looks_up_columns { 3 } else { columns }, 5], 2)
        .node("Cast", &["x"], &["i"], vec![int("to", 7)])
        .node("Gather", &["table", "i"], &["e"], vec![int("axis", axis)])
        .node("MatMul", &["e", "w"], &["y"], vec![])
        .output("y", &[rows, 3, 5])
}

#[test]
fn each_column_has_a_scale_but_where_columns_are_looked_up() {
    const COLUMNS: &str = "integer, table int8 symmetric per channel on axis";
    for (dims, axis, wanted) in [
        (&[9, 4][..], 0, &format!("{COLUMNS} 1")[..]),
        (&[2, 9, 4], 1, &format!("{COLUMNS} 2")),
        (&[9, 4], 1, "integer, table int8 symmetric per tensor"),
        (&[9, 4], -1, "integer, table int8 symmetric per tensor"),
    ] {
        let (nodes, _) = listing(lookup(dims, axis, -1));
        assert_eq!(nodes[1], format!("Gather Gather_e: {wanted}"), "{dims:?} {axis}");
    }
}

#[test]
fn a_table_of_one_axis_stays_float() {
    assert_eq!(listing(lookup(&[9], 0, 1)).0[1], "Gather Gather_e: float: its table has no rows");
}

#[test]
fn a_table_that_has_no_integers_stays_float() {
    let net = Builder::new(13).input("x", &[3]).floats("table", &[2, 1], &[1.0, f32::INFINITY]).output("e", &[3, 1]);
    let net = net.node("Cast", &["x"], &["i"], vec![int("to", 7)]).node("Gather", &["table", "i"], &["e"], vec![]);
    assert_eq!(listing(net).0[1], "Gather Gather_e: float: a constant input holds NaN or infinity");
    let net = Builder::new(13).input("x", &[3]).constant("table", &Tensor::from_i64(vec![2, 2], &[1, 2, 3, 4]));
    let net = net.node("Cast", &["x"], &["i"], vec![int("to", 7)]).node("Gather", &["table", "i"], &["g"], vec![]);
    let net = net.node("Cast", &["g"], &["y"], vec![int("to", 1)]).output("y", &[3, 2]);
    assert_eq!(listing(net).0[1], "Gather Gather_g: no floats");
}

#[test]
fn a_policy_keeps_a_table_in_float() {
    let policy = "rules:\n  - match: { node: Gather_e }\n    quantize: false\n    reason: too fine\n";
    assert_eq!(listing_by(policy, lookup(&[9, 4], 0, 1)).0[1], "Gather Gather_e: float: too fine");
    let policy = "weights: { granularity: per_tensor }\n";
    let wanted = "Gather Gather_e: integer, table int8 symmetric per tensor";
    assert_eq!(listing_by(policy, lookup(&[9, 4], 0, 1)).0[1], wanted);
}

/// Not prepared: constants would be folded.
#[test]
fn rows_that_are_always_the_same_are_no_lookup() {
    let net = Builder::new(13).noise("table", &[9, 4], 1).ints("i", &[3, 1]).output("e", &[2, 4]);
    let model = net.node("Gather", &["table", "i"], &["e"], vec![]).build();
    let made = plan(&model.graph, &Settings::default(), &OnnxRuntimeCpu, &[], &Known::default()).expect("a plan");
    let text = made.listing(&model.graph);
    assert!(text.contains("Gather Gather_e: float: it looks up the same rows each time"), "{text}");
}

#[test]
fn a_gather_from_an_activation_moves_its_numbers() {
    let net = start().ints("i", &[3, 0, 1, 1]).node("Gather", &["c", "i"], &["g"], vec![int("axis", 1)]);
    let (nodes, values) = listing(conv(net, "g", "y").output("y", &[1, 4, 8, 8]));
    assert_eq!(nodes[1], "Gather Gather_g: integer");
    assert!(values.contains(&"g: the grid of c".to_owned()), "{values:?}");
}
