//! Pads, scales and sizes are written for all axes.

use super::*;
use crate::ir::build::{ints, text};

const PASS: &str = "write-out-axes";

/// The integers of input `slot`.
fn list(model: &Model, op_type: &str, slot: usize) -> Option<Vec<i64>> {
    let tensor = model.graph.constant(find(model, op_type).input(slot)?).expect("a tensor")?;
    Some(tensor.to_i64().expect("integers").into_owned())
}

fn floats(model: &Model, slot: usize) -> Option<Vec<f32>> {
    let tensor = model.graph.constant(find(model, "Resize").input(slot)?).expect("a tensor")?;
    Some(tensor.to_f32().expect("floats").into_owned())
}

fn pad(axes: &[i64], pads: &[i64], dims: &[i64]) -> Model {
    Builder::new(18)
        .input("x", dims)
        .output("y", &vec![-1; dims.len()])
        .ints("axes", axes)
        .ints("pads", pads)
        .node("Pad", &["x", "pads", "", "axes"], &["y"], vec![])
        .build()
}

#[test]
fn pads_are_written_for_all_axes() {
    for (axes, pads, wanted) in [
        (&[3i64, 1][..], &[1i64, 2, 3, 4][..], [0, 2, 0, 1, 0, 4, 0, 3]),
        (&[-1], &[5, 6], [0, 0, 0, 5, 0, 0, 0, 6]),
        (&[0, 1, 2, 3], &[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8]),
    ] {
        let (ready, _) = prepare_twice(&pad(axes, pads, &[-1, 2, 3, 4]));
        assert_eq!(list(&ready, "Pad", 1).as_deref(), Some(&wanted[..]));
        assert_eq!(find(&ready, "Pad").inputs().len(), 2);
    }
    let model = pad(&[2], &[1, 2], &[1, 2, 3, 4]);
    let padded = Tensor::from_i64(vec![8], &[0, 0, 1, 0, 0, 0, 2, 0]);
    let plain = Builder::new(18)
        .input("x", &[1, 2, 3, 4])
        .output("y", &[1, 2, 6, 4])
        .constant("pads", &padded)
        .node("Pad", &["x", "pads"], &["y"], vec![])
        .build();
    assert_computes_the_same(&plain, &prepare_twice(&model).0);
}

#[test]
fn pads_that_name_their_axes_go_into_a_conv() {
    let model = Builder::new(18)
        .input("x", &[1, 2, 4, 4])
        .output("y", &[1, 3, 6, 7])
        .ints("axes", &[3, 2])
        .ints("pads", &[1, 0, 2, 2])
        .noise("w", &[3, 2, 1, 1], 1)
        .node("Pad", &["x", "pads", "", "axes"], &["p"], vec![])
        .node("Conv", &["p", "w"], &["y"], vec![])
        .build();
    assert_eq!(operators(&prepare_twice(&model).0), ["Conv"]);
}

#[test]
fn pads_that_do_not_fit_their_axes_stay_with_a_reason() {
    for (axes, pads, why) in [
        (&[4i64][..], &[1i64, 1][..], "an axis that its input lacks"),
        (&[i64::MIN], &[1, 1], "an axis that its input lacks"),
        (&[1, -3], &[1, 1, 1, 1], "an axis twice"),
        (&[1], &[1, 1, 1], "two pads for each axis"),
    ] {
        let model = pad(axes, pads, &[1, 2, 3, 4]);
        let found = refusals(&model, PASS);
        assert!(found.iter().any(|w| w.contains(why)), "{found:?} instead of {why}");
    }
    let computed = Builder::new(18)
        .input("x", &[1, 2])
        .output("y", &[-1, -1])
        .ints("axes", &[0])
        .node("Shape", &["x"], &["pads"], vec![])
        .node("Pad", &["x", "pads", "", "axes"], &["y"], vec![])
        .build();
    let mut ready = computed.clone();
    let _ = prepare(&mut ready, &Tract::default(), &Options::default()).expect("a model that can be prepared");
    assert_eq!(operators(&ready), ["Shape", "Pad"]);
}

/// A Resize of the axes 3 and 2 by `scales` or to `sizes`.
fn resize(dims: &[i64], scales: &[f32], sizes: &[i64], policy: &str) -> Model {
    let builder = Builder::new(18).input("x", dims).output("y", &[-1, -1, -1, -1]);
    let builder = builder.floats("scales", &[scales.len()], scales).ints("sizes", sizes);
    let inputs = if scales.is_empty() { ["x", "", "", "sizes"] } else { ["x", "", "scales", ""] };
    let attributes = vec![ints("axes", &[3, -2]), text("keep_aspect_ratio_policy", policy)];
    builder.node("Resize", &inputs, &["y"], attributes).build()
}

#[test]
fn scales_and_sizes_are_written_for_all_axes() {
    let whole = [1i64, 2, 3, 4];
    let (ready, _) = prepare_twice(&resize(&whole, &[2.0, 3.0], &[], "stretch"));
    assert_eq!(floats(&ready, 2), Some(vec![1.0, 1.0, 3.0, 2.0]));
    assert!(!find(&ready, "Resize").attributes().has("axes"));
    let (ready, _) = prepare_twice(&resize(&whole, &[], &[7, 5], "stretch"));
    assert_eq!((list(&ready, "Resize", 3), floats(&ready, 2)), (Some(vec![1, 2, 5, 7]), None));
    // The batch is not known: sizes become scales, if they are exact.
    let batch = [-1i64, 2, 3, 4];
    let (ready, _) = prepare_twice(&resize(&batch, &[], &[6, 9], "stretch"));
    assert_eq!((list(&ready, "Resize", 3), floats(&ready, 2)), (None, Some(vec![1.0, 1.0, 3.0, 1.5])));
    let model = resize(&batch, &[], &[6, 5], "stretch");
    assert_eq!(refusals(&model, PASS), ["no scale leads to its sizes exactly, and the other lengths are not known"]);
    let model = resize(&[-1, 2, -1, 4], &[], &[6, 5], "stretch");
    assert_eq!(refusals(&model, PASS), ["the lengths of its input are not known"]);
}

#[test]
fn a_kept_aspect_ratio_becomes_one_scale() {
    for (policy, sizes, scale) in [("not_larger", [8i64, 9], 2.0), ("not_smaller", [8, 9], 3.0)] {
        let (ready, _) = prepare_twice(&resize(&[-1, 2, 3, 4], &[], &sizes, policy));
        assert_eq!(floats(&ready, 2), Some(vec![1.0, 1.0, scale, scale]), "{policy}");
        assert!(!find(&ready, "Resize").attributes().has("keep_aspect_ratio_policy"));
    }
    // Three times 1.25 is rounded to 4, but as a scale 1.25 leads to 3.
    let model = resize(&[1, 2, 3, 4], &[], &[5, 9], "not_larger");
    assert_eq!(refusals(&model, PASS), ["its scale does not lead to whole lengths"]);
    let model = resize(&[1, 2, 3, -1], &[], &[5, 9], "not_larger");
    assert_eq!(refusals(&model, PASS), ["the lengths that its aspect ratio depends on are not known"]);
}

#[test]
fn the_region_of_a_crop_is_written_for_all_axes() {
    let mode = text("coordinate_transformation_mode", "tf_crop_and_resize");
    let model = Builder::new(18)
        .input("x", &[1, 2, 4, 4])
        .output("y", &[1, 2, 3, 3])
        .floats("roi", &[4], &[0.25, 0.5, 0.75, 1.0])
        .ints("sizes", &[3, 3])
        .node("Resize", &["x", "roi", "", "sizes"], &["y"], vec![ints("axes", &[3, 2]), mode])
        .build();
    let (ready, _) = prepare_twice(&model);
    assert_eq!(floats(&ready, 1), Some(vec![0.0, 0.0, 0.5, 0.25, 1.0, 1.0, 1.0, 0.75]));
    assert_eq!(list(&ready, "Resize", 3), Some(vec![1, 2, 3, 3]));
}
