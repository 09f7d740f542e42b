//! Products split by the columns of what they read.

use super::*;
use crate::plan::splits;

/// Two products of what a Tanh makes, column 2 of which is a hundred times as large as the others, and a third behind them.
fn spiky() -> Builder {
    let mut factors = [0.5f32; 16];
    factors[2] = 50.0;
    let net = Builder::new(13).input("x", &[4, 16]).node("Tanh", &["x"], &["t"], vec![]).floats("k", &[16], &factors);
    let net = net.node("Mul", &["t", "k"], &["m"], vec![]).noise("wa", &[16, 8], 1).noise("wb", &[8, 16], 2);
    let net = net.noise("bb", &[8], 4).node("MatMul", &["m", "wa"], &["a"], vec![]);
    let net = net.node("Gemm", &["m", "wb", "bb"], &["b"], vec![int("transB", 1)]);
    let net = net.node("Add", &["a", "b"], &["s"], vec![]).noise("wc", &[8, 5], 3);
    net.node("MatMul", &["s", "wc"], &["y"], vec![]).output("y", &[4, 5])
}

const DATA: &str = "data: { calibration: { path: p } }\n";

fn split(mode: &str, threshold: &str) -> Made {
    let calibrator = if mode == "static" { "calibrator: minmax, " } else { "" };
    quantized_by(&format!("mode: {mode}\n{DATA}activations: {{ {calibrator}{threshold} }}\n"), spiky())
}

#[test]
fn large_columns_run_in_float_beside_the_integer_rest() {
    for mode in ["static", "dynamic"] {
        let (whole, split) = (split(mode, ""), split(mode, "outlier_threshold: 6"));
        assert!(split.sqnr() > whole.sqnr() + 6.0, "{mode}: {} dB, {} dB as it was", split.sqnr(), whole.sqnr());
        let value = split.graph().find("m").map_or(&[][..], |_| {
            let plan = split.plan.observed().find(|value| value.name == "m").expect("observed");
            split.resolved.outliers(plan.id)
        });
        assert_eq!(value, [2], "{mode}");
        // One Gather for each of the two, and their sums; what makes the column is no product.
        assert_eq!(split.count("Gather"), 2, "{mode}: {:?}", split.operators());
        let own = split.graph().find("wa_outliers").expect("the weights of the column");
        let own = split.graph().constant(own).expect("a tensor").expect("a constant");
        let all = whole.original.graph.constant(whole.original.graph.find("wa").expect("the weight"));
        let all = all.expect("a tensor").expect("a constant");
        assert_eq!(own.to_f32().expect("floats")[..], all.to_f32().expect("floats")[16..24], "{mode}");
    }
}

#[test]
fn a_split_is_known_again() {
    for mode in ["static", "dynamic"] {
        let (whole, split) = (split(mode, ""), split(mode, "outlier_threshold: 6"));
        let found: Vec<_> =
            splits(split.graph()).iter().map(|(id, _)| split.graph().node(*id).op_type().to_owned()).collect();
        assert_eq!(found, ["Gather", "MatMul", "Add"].repeat(2), "{mode}");
        assert!(splits(whole.graph()).is_empty(), "{mode}");
    }
}

#[test]
fn a_threshold_that_nothing_or_everything_passes_splits_nothing() {
    for threshold in ["outlier_threshold: 1000", "outlier_threshold: 0.001"] {
        for mode in ["static", "dynamic"] {
            let made = split(mode, threshold);
            assert_eq!(made.count("Gather"), 0, "{mode}, {threshold}: {:?}", made.operators());
        }
    }
    let warned = &split("static", "outlier_threshold: 0.001").resolved.warnings;
    assert!(
        warned
            .iter()
            .any(|(name, why)| name == "m" && why.contains("none of them is split off") && !why.contains("guess")),
        "{warned:?}"
    );
}

#[test]
fn what_integers_make_or_other_integers_read_is_not_split() {
    let listing = split("static", "outlier_threshold: 6").plan;
    let listing = listing.listing(&split("static", "outlier_threshold: 6").original.graph);
    let line = |node: &str| listing.lines().find(|line| line.contains(node)).expect("the node").to_owned();
    assert!(line("MatMul_a").contains("columns above 6 in float"), "{listing}");
    assert!(!line("MatMul_y").contains("columns above"), "{listing}");
    // Where one of two readers is not to be split, neither is: they share a grid.
    let policy = format!(
        "{DATA}activations: {{ calibrator: minmax }}\n\
         rules: [{{ match: {{ node: MatMul_a }}, activations: {{ outlier_threshold: 6 }} }}]\n"
    );
    let made = quantized_by(&policy, spiky());
    assert_eq!(made.count("Gather"), 0, "{:?}", made.operators());
}

#[test]
fn a_dynamic_layer_needs_samples_to_tell_its_columns() {
    let settings = settings("mode: dynamic\nactivations: { outlier_threshold: 6 }\n");
    let error = plan(&spiky().build().graph, &settings, &OnnxRuntimeCpu, &[], &Known::default())
        .expect_err("no samples")
        .to_string();
    assert!(error.contains("which columns pass it is seen in samples; name some with --data"), "{error}");
}
