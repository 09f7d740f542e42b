//! Biases that are corrected by what BatchNormalization tells, or by what samples show.

use super::bench::Bench;
use super::equalized::{SIDE, pictures, run};
use super::*;
use crate::ir::build::{float, noise};

const WIDE: usize = 16;
const CORRECTED: &str = "2 biases, by what BatchNormalization tells of what their layers read; 1 more layer reads what it says nothing about";

/// Means and variances of the channels of what a layer makes.
type Statistics = (Vec<f32>, Vec<f32>);

/// So many Convs, all but the last with a BatchNormalization of these statistics and a Relu behind. Of the last, `y` is what it makes.
fn network(layers: usize, statistics: &[Statistics]) -> Model {
    let side = |layer: usize| (SIDE - 2 * layer.min(2)) as i64;
    let mut builder = Builder::new(17).input("x", &[1, 1, side(0), side(0)]);
    let mut read = "x".to_owned();
    for layer in 0..layers {
        let name = |what: &str| format!("{what}{layer}");
        let (inputs, groups, taps) = [(1, 1, 3), (1, WIDE, 3), (WIDE, 1, 1)][layer];
        let last = layer + 1 == layers;
        let made = if last { "y".to_owned() } else { name("c") };
        builder = builder.noise(&name("w"), &[WIDE, inputs, taps, taps], 10 + layer as u32).node(
            "Conv",
            &[&read, &name("w")],
            &[&made],
            vec![int("group", groups as i64)],
        );
        if last {
            return builder.output("y", &[1, WIDE as i64, side(layers), side(layers)]).build();
        }
        let (means, variances) = &statistics[layer];
        let gammas: Vec<f32> = noise(WIDE, 20 + layer as u32).iter().map(|x| x + 1.5).collect();
        builder = builder
            .floats(&name("gamma"), &[WIDE], &gammas)
            .noise(&name("beta"), &[WIDE], 30 + layer as u32)
            .floats(&name("mean"), &[WIDE], means)
            .floats(&name("variance"), &[WIDE], variances)
            .node(
                "BatchNormalization",
                &[&made, &name("gamma"), &name("beta"), &name("mean"), &name("variance")],
                &[&name("b")],
                vec![float("epsilon", 1e-5)],
            )
            .node("Relu", &[&name("b")], &[&name("r")], vec![]);
        read = name("r");
    }
    unreachable!("the last layer returns")
}

/// What each channel is in the mean over what a model makes of pictures, and how much it varies.
fn seen(model: &Model, pictures: &[(usize, Tensor)]) -> Statistics {
    let made = run(model, pictures);
    let of = |channel: usize| {
        let numbers = made.iter().flat_map(|one| one.chunks_exact(one.len() / WIDE).nth(channel).expect("a channel"));
        let numbers: Vec<f64> = numbers.map(|&x| f64::from(x)).collect();
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / numbers.len() as f64;
        (mean as f32, variance as f32)
    };
    (0..WIDE).map(of).unzip()
}

/// Three layers, whose statistics are those that pictures have.
fn trained() -> Model {
    let shown = pictures(200, 2000);
    let first = seen(&network(1, &[]), &shown);
    let second = seen(&network(2, std::slice::from_ref(&first)), &shown);
    network(3, &[first, second])
}

/// By how much channels of what a conversion makes are off in the mean, and its report.
fn off_in_the_mean(bench: &Bench, model: &Model, more: &str) -> (f64, String) {
    let (report, _) = bench.quantize(more, Found::Samples).expect("a model");
    let shown = pictures(200, 9000);
    let written = file::load(&bench.at("o.onnx")).expect("a model");
    let ((float, _), (rounded, _)) = (seen(model, &shown), seen(&written, &shown));
    let off = float.iter().zip(&rounded).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
    (off.sqrt(), report.to_string())
}

#[test]
fn means_are_those_of_the_float_model_again() {
    let model = trained();
    let bench = Bench::of_pictures(&model);
    // Beside integers of activations, weights are not all that is off.
    for (mode, more, share) in [("weight-only", "", 0.6), ("static", "refit: false, ", 0.8)] {
        let policy = |kind: &str| {
            format!(
                "mode: {mode}\nweights: {{ type: int4, granularity: per_channel }}\nrepairs: {{ {more}bias_correction: {kind} }}\n"
            )
        };
        let (plain, said) = off_in_the_mean(&bench, &model, &policy("false"));
        assert!(!said.contains("correct"), "{said}");
        let (analytic, said) = off_in_the_mean(&bench, &model, &policy("analytic"));
        assert!(said.contains(CORRECTED), "{said}");
        assert!(analytic < share * plain, "{mode}: {plain} became {analytic}");
        if mode == "weight-only" {
            let unsaid = "mode: weight-only\nweights: { type: int4, granularity: per_channel }\n";
            assert_eq!(off_in_the_mean(&bench, &model, unsaid), (analytic, said));
            let (empirical, said) = off_in_the_mean(&bench, &model, &policy("empirical"));
            assert!(said.contains("biases corrected on "), "{said}");
            assert!(empirical < share * plain, "{mode}: {plain} became {empirical}");
        }
    }
}

#[test]
fn a_lock_remembers_what_biases_became() {
    let bench = Bench::of_pictures(&trained());
    for policy in [
        "repairs: { bias_correction: analytic }",
        "repairs: { bias_correction: analytic, refit: false }",
        "repairs: { bias_correction: analytic, rounding: gptq, refit: false }\nweights: { type: int4, granularity: per_channel }",
        "repairs: { bias_correction: empirical, refit: false }\nweights: { type: int4, granularity: per_channel }",
        "mode: weight-only\nweights: { type: int4, granularity: per_channel }\nrepairs: { bias_correction: analytic }",
        "mode: weight-only\nweights: { type: int4, granularity: per_channel }\nrepairs: { bias_correction: empirical, rounding: gptq }",
        "mode: dynamic\nrules: [{ match: { op_type: Conv }, quantize: true }]\nrepairs: { bias_correction: analytic }",
    ] {
        let (report, bytes) = bench.quantize(policy, Found::Samples).expect("a model");
        assert!(report.to_string().contains("correct"), "{policy}: {report}");
        std::fs::rename(bench.at("o.lock"), bench.at("kept.lock")).expect("a lock");
        let lock = std::fs::read_to_string(bench.at("kept.lock")).expect("a lock");
        assert!(lock.contains("\"refits\"") || !policy.contains("analytic"), "{policy}: {lock}");
        let (_, again) = bench.quantize(policy, Found::Locked(&bench.at("kept.lock"))).expect("a model");
        assert!(again == bytes, "{policy}: other bytes");
        let (_, again) = bench.quantize(policy, Found::Samples).expect("a model");
        assert!(again == bytes, "{policy}: other bytes when done again");
    }
}

#[test]
fn what_cannot_be_corrected_says_why() {
    let analytic = "mode: weight-only\nrepairs: { bias_correction: analytic }";
    let said = |model: &Model, policy: &str| {
        Bench::of_pictures(model).quantize(policy, Found::Samples).expect("a model").0.to_string()
    };
    let bare = network(1, &[]);
    let text = said(&bare, analytic);
    assert!(text.contains("correcting   no biases: the model has no BatchNormalization"), "{text}");
    let statistics = (vec![0.0; WIDE], vec![1.0; WIDE]);
    let text = said(
        &network(2, &[statistics]),
        &format!("{analytic}\nrules: [{{ match: {{ node: Conv_y }}, quantize: false }}]"),
    );
    assert!(text.contains("no layer whose weights are integers reads what BatchNormalization made"), "{text}");
}
