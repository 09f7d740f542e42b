//! Outputs whose numbers are of several kinds.

use super::*;

/// Boxes beside scores, in numbers that are a hundred times as large.
fn boxes() -> Model {
    let mut weights = build::noise(6 * 27, 1);
    weights[..4 * 27].iter_mut().for_each(|v| *v *= 100.0);
    let net = Builder::new(13).input("x", &[1, 3, 8, 8]).output("y", &[1, 6, 36]);
    let net = net.floats("w", &[6, 3, 3, 3], &weights).ints("shape", &[1, 6, 36]);
    let net = net.node("Conv", &["x", "w"], &["c"], vec![]);
    net.node("Reshape", &["c", "shape"], &["y"], vec![]).build()
}

#[test]
fn scores_count_beside_boxes_where_the_task_says_so() {
    let one_grid = "weights: { granularity: per_tensor }\n";
    let whole = Case::of(boxes(), &format!("{one_grid}validation: {{ task: none }}\n")).sensitivity();
    let apart = Case::of(boxes(), &format!("{one_grid}validation: {{ task: yolo }}\n")).sensitivity();
    let ratio = |of: &Sensitivity| of.quantized.sqnr_db.expect("damage");
    assert!(ratio(&whole) > 30.0 && ratio(&apart) < ratio(&whole) - 15.0, "{whole} {apart}");
}
