//! Averages of numbers that do not lie side by side.

use super::*;
use crate::ir::build::{int, ints, text};
use crate::proto::AttributeProto;

/// An AveragePool of two numbers that lie two apart, over a row.
fn average(more: Vec<AttributeProto>) -> Model {
    let attributes = [vec![ints("kernel_shape", &[2]), ints("dilations", &[2])], more].concat();
    let builder = Builder::new(19).input("x", &[1, 3, 6]).output("y", &[1, 3, -1]);
    builder.node("AveragePool", &["x"], &["y"], attributes).build()
}

#[test]
fn a_dilated_average_becomes_a_convolution_with_equal_weights() {
    let x = feeds(&average(vec![])).remove(0);
    let x: Vec<Vec<f32>> = x.to_f32().expect("numbers").chunks(6).map(<[f32]>::to_vec).collect();
    let (plain, _) = prepare_twice(&average(vec![]));
    assert_eq!(operators(&plain), ["Conv"]);
    let wanted: Vec<f32> = x.iter().flat_map(|x| (0..4).map(|i| (x[i] + x[i + 2]) / 2.0)).collect();
    assert_near(&wanted, &run(&plain, &feeds(&plain))[0].to_f32().expect("numbers"));
    // Zeros around it count.
    let (padded, _) =
        prepare_twice(&average(vec![ints("pads", &[1, 1]), ints("strides", &[3]), int("count_include_pad", 1)]));
    assert_eq!(operators(&padded), ["Conv"]);
    let wanted: Vec<f32> = x.iter().flat_map(|x| [x[1] / 2.0, (x[2] + x[4]) / 2.0]).collect();
    assert_near(&wanted, &run(&padded, &feeds(&padded))[0].to_f32().expect("numbers"));
}

#[test]
fn averages_of_varying_counts_stay() {
    for more in [vec![ints("pads", &[1, 1])], vec![int("ceil_mode", 1)], vec![text("auto_pad", "SAME_UPPER")]] {
        assert_eq!(operators(&prepare_twice(&average(more)).0), ["AveragePool"]);
    }
    let side_by_side = Builder::new(19)
        .input("x", &[1, 3, 6])
        .output("y", &[1, 3, 5])
        .node("AveragePool", &["x"], &["y"], vec![ints("kernel_shape", &[2]), ints("dilations", &[1])])
        .build();
    assert_eq!(operators(&prepared(&side_by_side)), ["AveragePool"]);
}
