//! Factors that are found for weights, and where they go.

use super::*;
use crate::ir::build::{self, Builder, int};
use crate::quant::{Blocks, GridType, Scheme};
use crate::tensor::Tensor;
use crate::tune::smoothing::Product;

const CHANNELS: usize = 32;
const OUTPUTS: usize = 24;

/// Numbers of positions; some channels are far larger than the others.
fn positions(count: usize, seed: u32) -> Array2<f32> {
    let noise = build::noise(count * CHANNELS, seed);
    let size = |channel: usize| if channel % 8 == 3 { 16.0 } else { 0.5 };
    let numbers = noise.iter().enumerate().map(|(at, number)| number * size(at % CHANNELS)).collect();
    Array2::from_shape_vec((count, CHANNELS), numbers).expect("as many")
}

fn read() -> Read {
    let fitting = positions(200, 1);
    let size = |channel| fitting.column(channel).iter().map(|x| f64::from(x.abs())).sum::<f64>() / 200.0;
    Read { sizes: (0..CHANNELS).map(size).collect(), checking: positions(60, 2), fitting }
}

/// As integers of 4 bits in blocks along the channels of a weight with a row for each output.
fn in_blocks(numbers: Vec<f32>) -> Result<Vec<f32>> {
    let (blocks, scheme) = (Blocks::new(&[OUTPUTS, CHANNELS], 1, 16), Scheme::new(GridType::Uint4, false));
    let grids = blocks.min_max(&numbers, scheme);
    let integers = blocks.quantize(&numbers, &grids);
    Ok(integers.iter().enumerate().map(|(at, &q)| grids[at / 16].dequantize(q.into())).collect())
}

fn freely(logs: &[f64]) -> Vec<i32> {
    logs.iter().map(|log| log.round() as i32).collect()
}

#[test]
fn channels_that_are_large_get_finer_steps_and_the_error_falls() {
    let numbers = build::noise(OUTPUTS * CHANNELS, 3);
    let (read, stored) = (read(), in_blocks);
    let weights = [Weight { numbers: &numbers, outputs_first: true, taps: 1, stored: &stored }];
    let found = exponents(&read, &weights, &freely, 0.5).expect("numbers").expect("much is gained");
    assert!((0..CHANNELS).all(|c| c % 8 == 3 || found[3] > found[c]), "{found:?}");
    let (before, after) =
        (Off::of(&weights, &[0; CHANNELS], &read.checking), Off::of(&weights, &found, &read.checking));
    let (before, after) = (before.expect("numbers"), after.expect("numbers"));
    assert!(after.squares < 0.8 * before.squares && after.shift <= before.shift, "{after:?} {before:?}");
    // The same weight with a column for each output.
    let turned: Vec<f32> = (0..numbers.len()).map(|i| numbers[i % OUTPUTS * CHANNELS + i / OUTPUTS]).collect();
    let back = |numbers: Vec<f32>| {
        let rows = (0..numbers.len()).map(|i| numbers[i % CHANNELS * OUTPUTS + i / CHANNELS]).collect();
        let stored = in_blocks(rows)?;
        Ok((0..stored.len()).map(|i| stored[i % OUTPUTS * CHANNELS + i / OUTPUTS]).collect())
    };
    let turned = [Weight { numbers: &turned, outputs_first: false, taps: 1, stored: &back }];
    assert_eq!(exponents(&read, &turned, &freely, 0.5).expect("numbers"), Some(found));
}

#[test]
fn the_error_is_that_of_what_the_layer_makes() {
    // Two channels of two taps, and what is stored is one less than it should be at the second tap of the second channel.
    let off = |mut numbers: Vec<f32>| {
        numbers[3] -= 4.0;
        Ok(numbers)
    };
    let weight = [Weight { numbers: &[1.0, 2.0, 3.0, 4.0], outputs_first: true, taps: 2, stored: &off }];
    let positions = Array2::from_shape_vec((2, 4), vec![1.0, 1.0, 1.0, 3.0, 9.0, 9.0, 9.0, 0.0]).expect("as many");
    // Weights of the second channel are multiplied by 4, and what is off divided by it.
    assert_eq!(Off::of(&weight, &[0, 2], &positions).expect("numbers"), Off { squares: 9.0, shift: 9.0 });
    assert_eq!(Off::of(&weight, &[0, 0], &positions).expect("numbers"), Off { squares: 144.0, shift: 144.0 });
    let twice = Array2::from_shape_vec((2, 4), vec![0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, -2.0]).expect("as many");
    assert_eq!(Off::of(&weight, &[0, 2], &twice).expect("numbers"), Off { squares: 13.0, shift: 1.0 });
}

#[test]
fn what_gains_nothing_and_what_float32_does_not_hold_is_left_alone() {
    let read = read();
    let exact = |numbers: Vec<f32>| Ok(numbers);
    let numbers = build::noise(OUTPUTS * CHANNELS, 3);
    let weights = [Weight { numbers: &numbers, outputs_first: true, taps: 1, stored: &exact }];
    assert_eq!(exponents(&read, &weights, &freely, 0.0).expect("numbers"), None);
    let rounded = |numbers: Vec<f32>| Ok(numbers.iter().map(|number| number.round()).collect());
    let huge = vec![f32::MAX; OUTPUTS * CHANNELS];
    let weights = [Weight { numbers: &huge, outputs_first: true, taps: 1, stored: &rounded }];
    assert_eq!(exponents(&read, &weights, &freely, 0.0).expect("numbers"), None);
    // Positions that decide say that what was found on the others does not hold: there only the other channels speak.
    let mut elsewhere = read.clone();
    elsewhere.checking.columns_mut().into_iter().skip(3).step_by(8).for_each(|mut column| column.fill(0.0));
    let stored = in_blocks;
    let weights = [Weight { numbers: &numbers, outputs_first: true, taps: 1, stored: &stored }];
    assert_eq!(exponents(&elsewhere, &weights, &freely, 0.0).expect("numbers"), None);
}

#[test]
fn normalizations_and_products_take_factors_unless_somebody_else_reads_them() {
    let net = |op_type: &str, other: bool| {
        let net = Builder::new(17).input("x", &[2, 4]).noise("g", &[4], 1).noise("b", &[4], 2).noise("w", &[4, 3], 3);
        let inputs: &[&str] = if op_type == "Mul" { &["x", "g"] } else { &["x", "g", "b"] };
        let net = net.node(op_type, inputs, &["n"], vec![]).node("MatMul", &["n", "w"], &["y"], vec![]);
        let net = if other { net.node("Abs", &["n"], &["z"], vec![]).output("z", &[2, 4]) } else { net };
        net.output("y", &[2, 3]).build()
    };
    let layers = |graph: &crate::ir::Graph| {
        let node = graph.node_ids().find(|&id| graph.node(id).is("MatMul")).expect("a product");
        vec![Product { node, slot: 1, transposed: false }]
    };
    for op_type in ["LayerNormalization", "Mul"] {
        let model = net(op_type, false);
        let value = model.graph.find("n").expect("a value");
        assert!(absorbs(&model.graph, value, &layers(&model.graph), 4), "{op_type}");
        let mut scaled = model.clone();
        let own = layers(&scaled.graph);
        absorb(&mut scaled.graph, value, &[3, -2, 0, 1], &own).expect("numbers");
        let constant = |model: &crate::ir::Model, name: &str| -> Vec<f32> {
            let found = model.graph.find(name).expect(name);
            model.graph.constant(found).expect("a tensor").expect("a constant").to_f32().expect("numbers").to_vec()
        };
        let divided: Vec<f32> = constant(&model, "g").iter().zip([8.0, 0.25, 1.0, 2.0]).map(|(g, f)| g / f).collect();
        assert_eq!(constant(&scaled, "g"), divided);
        assert_eq!(
            constant(&scaled, "w")[3..6],
            constant(&model, "w")[3..6].iter().map(|w| w / 4.0).collect::<Vec<_>>()
        );
        assert!(scaled.graph.find("n").is_none() && scaled.graph.find("n_scaled") == Some(value));
        let run = |model: &crate::ir::Model| {
            let tract = crate::exec::Tract::default();
            let session = crate::exec::Session::new(&tract, model, vec![]).expect("a session");
            let x = Tensor::from_f32(vec![2, 4], &build::noise(8, 7));
            session.run(&[x], &mut |_, _, _| {}).expect("runs")
        };
        assert_eq!(run(&model), run(&scaled), "{op_type}");
        let read = net(op_type, true);
        let value = read.graph.find("n").expect("a value");
        assert!(!absorbs(&read.graph, value, &layers(&read.graph), 4), "{op_type}");
    }
    let whole = Builder::new(17).input("x", &[2, 4]).noise("g", &[2, 4], 1).noise("w", &[4, 3], 3);
    let whole = whole.node("LayerNormalization", &["x", "g"], &["n"], vec![int("axis", 0)]);
    let whole = whole.node("MatMul", &["n", "w"], &["y"], vec![]).output("y", &[2, 3]).build();
    let value = whole.graph.find("n").expect("a value");
    assert!(!absorbs(&whole.graph, value, &layers(&whole.graph), 4), "a scale for each number, not for each channel");
}

#[test]
fn what_shifts_an_output_more_is_not_kept_however_small_it_is() {
    // The first channel goes up and down, the second stays.
    let places = |count: usize| {
        let numbers = (0..count).flat_map(|at| [if at % 2 == 0 { 1.0 } else { -1.0 }, 1.0]).collect();
        Array2::from_shape_vec((count, 2), numbers).expect("as many")
    };
    let read = Read { sizes: vec![8.0, 1.0], fitting: places(8), checking: places(4) };
    let found = |beside: usize| {
        let stored = move |mut numbers: Vec<f32>| {
            let scaled = numbers[0] != 3.0;
            numbers[if scaled { beside } else { 0 }] += if scaled { 0.5 } else { 1.0 };
            Ok(numbers)
        };
        let weights = [Weight { numbers: &[3.0, 5.0], outputs_first: true, taps: 1, stored: &stored }];
        exponents(&read, &weights, &freely, 0.0).expect("numbers")
    };
    assert!(found(0).is_some(), "less of an error in the same channel");
    assert_eq!(found(1), None, "less of an error, and all of it a shift");
}
