//! Tables that are looked up in.

use super::*;

/// Lookups in one table of nine rows, one for each of `outputs`.
fn lookups(outputs: &[&str], axis: i64) -> Builder {
    let mut table = noise(36, 1);
    // A column a hundred times the others.
    table.iter_mut().step_by(4).for_each(|v| *v *= 100.0);
    let net = Builder::new(13).input("x", &[1, 3]).floats("table", &[9, 4], &table).floats("four", &[], &[4.0]);
    let net = net.node("Mul", &["x", "four"], &["m"], vec![]).node("Abs", &["m"], &["a"], vec![]);
    let net = net.node("Cast", &["a"], &["i"], vec![int("to", 7)]);
    let dims = if axis == 0 { [1, 3, 4] } else { [9, 1, 3] };
    outputs
        .iter()
        .fold(net, |net, e| net.node("Gather", &["table", "i"], &[e], vec![int("axis", axis)]).output(e, &dims))
}

/// Integers and scales of a table, and the axis of the DequantizeLinear behind its lookup `e`.
fn table(made: &Made, e: &str) -> (Tensor, Tensor, Option<i64>) {
    let dequantize = made.producer(made.value(e), "DequantizeLinear");
    let gather = made.producer(made.input(dequantize, 0), "Gather");
    let constant = |value| made.graph().constant(value).expect("a tensor").expect("a constant");
    let axis = made.graph().node(dequantize).attributes().int("axis");
    (constant(made.input(gather, 0)), constant(made.input(dequantize, 1)), axis)
}

#[test]
fn rows_are_looked_up_as_integers_and_dequantized_by_column() {
    let made = quantized(lookups(&["e"], 0));
    let (integers, scales, axis) = table(&made, "e");
    assert_eq!((integers.dtype(), integers.shape()), (DataType::Int8, &[9, 4][..]));
    assert_eq!((scales.shape(), axis), (&[4][..], Some(-1)));
    let scales = scales.to_f32().expect("scales");
    assert!(scales[0] > 50.0 * scales[1], "{scales:?}");
    assert!(made.sqnr() > 45.0, "{}", made.sqnr());
}

#[test]
fn a_table_by_column_is_never_of_the_type_of_activations() {
    for (policy, expected) in [
        ("activations: { type: int8 }\n", DataType::Uint8),
        ("weights: { type: uint8 }\n", DataType::Int8),
        ("weights: { type: uint8, granularity: per_tensor }\n", DataType::Uint8),
    ] {
        let made = quantized_by(policy, lookups(&["e"], 0));
        assert_eq!(table(&made, "e").0.dtype(), expected, "{policy}");
        assert!(made.sqnr() > 30.0, "{policy}: {}", made.sqnr());
    }
}

#[test]
fn columns_are_looked_up_on_one_grid() {
    let made = quantized(lookups(&["e"], 1));
    let (integers, scales, axis) = table(&made, "e");
    assert_eq!((integers.dtype(), scales.shape(), axis), (DataType::Int8, &[][..], None));
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

#[test]
fn a_shared_table_is_stored_once() {
    let made = quantized(lookups(&["e", "f"], 0));
    let stored = made.graph().value_ids().filter(|&v| made.graph().is_constant(v));
    let tables = stored.filter(|&v| made.graph().constant(v).expect("a tensor").expect("a constant").len() == 36);
    assert_eq!(tables.count(), 1);
    let integers = |e| {
        let dequantize = made.producer(made.value(e), "DequantizeLinear");
        made.input(made.producer(made.input(dequantize, 0), "Gather"), 0)
    };
    assert_eq!(integers("e"), integers("f"));
}

#[test]
fn a_layer_behind_a_lookup_reads_a_grid_of_its_own() {
    let net = lookups(&["e"], 0).noise("w", &[4, 5], 2).node("MatMul", &["e", "w"], &["y"], vec![]);
    let made = quantized(net.output("y", &[1, 3, 5]));
    made.activation(made.the("MatMul"), 0);
    assert_eq!(made.graph().value(made.value("e")).name(), "e");
    assert!(made.sqnr() > 45.0, "{}", made.sqnr());
}

#[test]
fn a_policy_keeps_the_table_as_it_is() {
    let policy = "rules:\n  - match: { node: Gather_e }\n    quantize: false\n";
    let made = quantized_by(policy, lookups(&["e"], 0));
    assert_eq!(made.count("DequantizeLinear"), 0);
    assert_eq!(made.sqnr(), f64::INFINITY);
}
