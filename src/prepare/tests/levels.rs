//! Inputs that take the levels of a picture compute what those compute that take numbers, at the border, too.

use super::*;
use crate::inputs::Levels;
use crate::ir::build::{body, int, ints};

const SCALE: [f64; 3] = [0.017, 0.018, 0.0175];
const ZERO: [f64; 3] = [123.675, 116.28, 103.53];

fn levels(scale: &[f64], zero: &[f64], axis: usize) -> Levels {
    Levels { scale: scale.to_vec(), zero: zero.to_vec(), axis }
}

fn imagenet(axis: usize) -> Levels {
    levels(&SCALE, &ZERO, axis)
}

fn take(model: &Model, levels: &Levels) -> (Model, std::result::Result<TakesLevels, String>) {
    let mut ready = model.clone();
    prepare(&mut ready, &Tract::default(), &Options::default()).expect("a model that can be prepared");
    let input = ready.graph.inputs().next().expect("an input");
    let taken = take_levels(&mut ready.graph, input, levels).expect("sound constants");
    ready.graph.verify().expect("a sound graph");
    (ready, taken)
}

/// The model that takes levels, checked to compute the same, with the level of a 0.
fn taken(model: &Model, levels: &Levels) -> (Model, i32) {
    let (ready, taken) = take(model, levels);
    let taken = taken.expect("a model that can take levels");
    assert!(taken.changed && taken.scale == 1.0, "{taken:?}");
    let graph = &model.graph;
    let dims = graph.stated_type(graph.inputs().next().expect("an input")).expect("a type").dims;
    let shape: Vec<usize> = dims.iter().map(|d| d.unwrap_or(2)).collect();
    let pixels: Vec<f32> =
        noise(shape.iter().product(), 9).iter().map(|v| (v * 127.5 + 127.5).round().clamp(0.0, 255.0)).collect();
    let inner: usize = shape[levels.axis + 1..].iter().product();
    let number = |(i, level): (usize, &f32)| {
        let c = if levels.scale.len() > 1 { i / inner % levels.scale.len() } else { 0 };
        ((f64::from(*level) - levels.zero[c]) * levels.scale[c]) as f32
    };
    let numbers: Vec<f32> = pixels.iter().enumerate().map(number).collect();
    let above: Vec<f32> = pixels.iter().map(|level| level - taken.zero_point as f32).collect();
    let wanted = run(model, &[Tensor::from_f32(shape.clone(), &numbers)]);
    let found = run(&ready, &[Tensor::from_f32(shape, &above)]);
    assert_eq!(wanted.len(), found.len());
    for (a, b) in wanted.iter().zip(&found) {
        assert_eq!(a.shape(), b.shape());
        assert_near(&a.to_f32().expect("numbers"), &b.to_f32().expect("numbers"));
    }
    (ready, taken.zero_point)
}

fn refused(model: &Model, levels: &Levels) -> String {
    let (ready, taken) = take(model, levels);
    let prepared = {
        let mut model = model.clone();
        prepare(&mut model, &Tract::default(), &Options::default()).expect("a model that can be prepared");
        model
    };
    assert!(file::to_bytes(&ready).expect("bytes") == file::to_bytes(&prepared).expect("bytes"), "it was changed");
    taken.expect_err("cannot be exact")
}

fn picture() -> Builder {
    Builder::new(13).input("x", &[-1, 3, 9, 8]).noise("w", &[5, 3, 3, 3], 1).noise("b", &[5], 2)
}

fn conv(net: Builder, x: &str, pads: &[i64]) -> Model {
    net.node("Conv", &[x, "w", "b"], &["y"], vec![ints("pads", pads)]).output("y", &[-1, 5, -1, -1]).build()
}

#[test]
fn a_layer_that_pads_nothing_takes_scale_and_mean_into_its_constants() {
    let (ready, zero) = taken(&conv(picture(), "x", &[0, 0, 0, 0]), &imagenet(1));
    assert_eq!((operators(&ready), zero), (vec!["Conv"], 0));
    let without = picture().node("Conv", &["x", "w"], &["y"], vec![]).output("y", &[-1, 5, -1, -1]).build();
    assert_eq!(operators(&taken(&without, &imagenet(1)).0), ["Conv"]);
}

#[test]
fn a_layer_that_pads_takes_a_common_byte_as_its_zero() {
    let padded = conv(picture(), "x", &[1, 1, 1, 1]);
    let (ready, zero) = taken(&padded, &levels(&SCALE, &[127.0, 127.0, 127.0], 1));
    assert_eq!((operators(&ready), zero), (vec!["Conv"], 127));
}

#[test]
fn a_layer_that_pads_tells_the_picture_from_the_padding_by_one_more_channel() {
    for pads in [&[1, 1, 1, 1], &[0, 0, 1, 1], &[2, 0, 0, 1]] {
        let (ready, zero) = taken(&conv(picture(), "x", pads), &imagenet(1));
        assert_eq!((operators(&ready), zero), (vec!["Pad", "Conv"], 114));
    }
    for (zeros, zero_point) in [([250.3, 240.0, 255.5], 248), ([-30.0, 1.0, 2.0], 0), ([300.0, 290.0, 310.0], 255)] {
        let (_, zero) = taken(&conv(picture(), "x", &[1, 1, 1, 1]), &levels(&SCALE, &zeros, 1));
        assert_eq!(zero, zero_point);
    }
    let same = picture().node("Conv", &["x", "w", "b"], &["y"], vec![crate::ir::build::text("auto_pad", "SAME_UPPER")]);
    assert_eq!(operators(&taken(&same.output("y", &[-1, 5, -1, -1]).build(), &imagenet(1)).0), ["Pad", "Conv"]);
}

#[test]
fn a_zero_between_two_bytes_is_exact_in_one_channel_too() {
    let net = Builder::new(13).input("x", &[-1, 1, 9, 8]).noise("w", &[5, 1, 3, 3], 1).noise("b", &[5], 2);
    let (ready, zero) = taken(&conv(net, "x", &[1, 1, 1, 1]), &levels(&[0.011], &[72.93], 0));
    assert_eq!((operators(&ready), zero), (vec!["Pad", "Conv"], 73));
}

#[test]
fn several_layers_take_levels_side_by_side() {
    let net = picture().noise("u", &[4, 3, 1, 1], 4).node("Conv", &["x", "u"], &["z"], vec![]);
    let model = conv(net.output("z", &[-1, 4, 9, 8]), "x", &[1, 1, 1, 1]);
    let (ready, _) = taken(&model, &imagenet(1));
    assert_eq!(ready.graph.node_ids().count(), 3, "{:?}", operators(&ready));
}

#[test]
fn channels_that_come_last_are_followed_through_a_transpose() {
    let net = Builder::new(13).input("x", &[-1, 9, 8, 3]).noise("w", &[5, 3, 3, 3], 1).noise("b", &[5], 2);
    let net = net.node("Transpose", &["x"], &["t"], vec![ints("perm", &[0, 3, 1, 2])]);
    let (ready, _) = taken(&conv(net, "t", &[1, 1, 1, 1]), &imagenet(3));
    assert_eq!(operators(&ready), ["Transpose", "Pad", "Conv"]);
}

#[test]
fn what_the_model_itself_scales_and_shifts_goes_into_the_layer_too() {
    let net = picture().floats("m", &[3, 1, 1], &[0.4, 0.5, 0.6]).floats("s", &[1], &[0.25]);
    let net = net.node("Sub", &["x", "m"], &["c"], vec![]).node("Div", &["c", "s"], &["n"], vec![]);
    // Levels that came as they are.
    let (ready, _) = taken(&conv(net, "n", &[1, 1, 1, 1]), &levels(&[1.0], &[0.0], 0));
    assert_eq!(operators(&ready), ["Pad", "Conv"]);
    let net = picture().noise("g", &[3], 4).noise("h", &[3], 5).noise("m", &[3], 6).floats("v", &[3], &[0.5, 1.0, 2.0]);
    let net = net.node("BatchNormalization", &["x", "g", "h", "m", "v"], &["n"], vec![]);
    assert_eq!(operators(&taken(&conv(net, "n", &[1, 1, 1, 1]), &imagenet(1)).0), ["Pad", "Conv"]);
    let net = picture().floats("m", &[1], &[-2.0]).node("Sub", &["m", "x"], &["n"], vec![]);
    let (ready, zero) = taken(&conv(net, "n", &[0, 0, 0, 0]), &imagenet(1));
    assert_eq!((operators(&ready), zero), (vec!["Conv"], 0));
}

#[test]
fn products_with_a_matrix_take_levels_by_their_columns() {
    let flat = || Builder::new(13).input("x", &[-1, 3, 2, 2]).noise("b", &[5], 2);
    let gemm = flat().noise("w", &[5, 12], 1).node("Flatten", &["x"], &["f"], vec![]);
    let gemm = gemm.node("Gemm", &["f", "w", "b"], &["y"], vec![int("transB", 1)]).output("y", &[-1, 5]).build();
    assert_eq!(operators(&taken(&gemm, &imagenet(1)).0), ["Flatten", "Gemm"]);
    let product = flat().noise("w", &[12, 5], 1).ints("to", &[-1, 12]).node("Reshape", &["x", "to"], &["f"], vec![]);
    let product = product.node("MatMul", &["f", "w"], &["y"], vec![]).output("y", &[-1, 5]).build();
    assert_eq!(operators(&taken(&product, &imagenet(1)).0), ["Reshape", "MatMul", "Add"]);
    let columns = Builder::new(13).input("x", &[-1, 12]).noise("w", &[12, 5], 1).noise("b", &[5], 2);
    let columns = columns.node("Gemm", &["x", "w", "b"], &["y"], vec![]).output("y", &[-1, 5]).build();
    assert_eq!(operators(&taken(&columns, &levels(&[0.01], &[72.93], 0)).0), ["Gemm"]);
}

#[test]
fn groups_have_no_room_for_one_more_channel() {
    let net = || Builder::new(13).input("x", &[-1, 3, 9, 8]).noise("w", &[6, 1, 3, 3], 1).output("y", &[-1, 6, -1, -1]);
    let conv =
        |pad: i64| net().node("Conv", &["x", "w"], &["y"], vec![int("group", 3), ints("pads", &[pad; 4])]).build();
    assert_eq!(operators(&taken(&conv(0), &imagenet(1)).0), ["Conv"]);
    let why = refused(&conv(1), &imagenet(1));
    assert!(why.contains("being grouped") && why.contains("123.67, 116.28, 103.53"), "{why}");
    assert_eq!(operators(&taken(&conv(1), &levels(&SCALE, &[128.0, 128.0, 128.0], 1)).0), ["Conv"]);
}

#[test]
fn a_layer_that_looks_like_a_normalization_is_still_a_layer() {
    let net = Builder::new(13).input("x", &[-1, 3, 9, 8]).noise("w", &[3, 1, 1, 1], 1).noise("b", &[3], 2);
    let net = net.node("Conv", &["x", "w", "b"], &["c"], vec![int("group", 3)]).node("Relu", &["c"], &["y"], vec![]);
    let (ready, _) = taken(&net.output("y", &[-1, 3, 9, 8]).build(), &imagenet(1));
    assert_eq!(operators(&ready), ["Conv", "Relu"]);
}

#[test]
fn one_whole_level_for_all_channels_needs_no_change() {
    let (ready, taken) = take(&conv(picture(), "x", &[1, 1, 1, 1]), &levels(&[0.0078125], &[127.0], 0));
    assert_eq!(taken, Ok(TakesLevels { scale: 0.0078125, zero_point: 127, changed: false }));
    assert_eq!(operators(&ready), ["Conv"]);
    // It is good for anything that reads it.
    let relu = Builder::new(13).input("x", &[1, 4]).node("Relu", &["x"], &["y"], vec![]).output("y", &[1, 4]).build();
    assert!(take(&relu, &levels(&[0.0078125], &[127.0], 0)).1.is_ok());
}

#[test]
fn what_has_no_weights_to_fold_into_is_refused() {
    let relu = picture().node("Relu", &["x"], &["r"], vec![]);
    let why = refused(&conv(relu, "r", &[0, 0, 0, 0]), &imagenet(1));
    assert!(why.contains("Relu \"Relu_r\" reads it, which has no weights"), "{why}");
    let both = picture().node("Relu", &["x"], &["r"], vec![]).output("r", &[-1, 3, 9, 8]);
    assert!(refused(&conv(both, "x", &[0, 0, 0, 0]), &imagenet(1)).contains("Relu"));
    let computed = Builder::new(13).input("x", &[-1, 3, 9, 8]).input("w", &[5, 3, 3, 3]);
    let computed = computed.node("Conv", &["x", "w"], &["y"], vec![]).output("y", &[-1, 5, -1, -1]).build();
    assert!(refused(&computed, &imagenet(1)).contains("are no float32 constant"));
    let last = Builder::new(13).input("x", &[-1, 9, 8, 3]).noise("w", &[5, 9, 1, 1], 1);
    let last = last.node("Conv", &["x", "w"], &["y"], vec![]).output("y", &[-1, 5, 8, 3]).build();
    assert!(refused(&last, &imagenet(3)).contains("are not for the 3 channels"));
    let nothing = picture().floats("z", &[3, 1, 1], &[1.0, 0.0, 1.0]).node("Mul", &["x", "z"], &["n"], vec![]);
    assert!(refused(&conv(nothing, "n", &[0, 0, 0, 0]), &imagenet(1)).contains("multiplied with 0"));
}

#[test]
fn a_body_that_reads_the_picture_keeps_it() {
    let inner = Builder::new(13).node("Relu", &["x"], &["r"], vec![]).output("r", &[-1, 3, 9, 8]).proto();
    let branch = || inner.graph.clone().expect("a graph");
    let branches = vec![body("then_branch", branch()), body("else_branch", branch())];
    let net = picture().input("q", &[1]).node("Greater", &["q", "q"], &["g"], vec![]);
    let net = net.node("If", &["g"], &["i"], branches).output("i", &[-1, 3, 9, 8]);
    let why = refused(&conv(net, "x", &[0, 0, 0, 0]), &imagenet(1));
    assert!(why.contains("the body of If"), "{why}");
}
