//! Weights that are stored, protected by factors of the channels that they meet: the float model stays the same, the stored one comes
//! nearer, and locks remember.

use super::bench::Bench;
use super::*;
use crate::exec::{Session, Tract};
use crate::ir::build::noise;
use crate::progress::Silent;
use crate::quant::KnownGrids;

const CHANNELS: usize = 32;
const AWQ: &str = "repairs: { awq: true }\n";

/// Gains of a normalization, every eighth of which is large.
fn gains() -> Vec<f32> {
    (0..CHANNELS).map(|c| if c % 8 == 5 { 24.0 } else { 0.5 }).collect()
}

/// A normalized value that a product and a residual read; one that products alone read; and one between two products.
fn block() -> Builder {
    let rows: Vec<f32> = (0..CHANNELS * CHANNELS).map(|i| gains()[i % CHANNELS]).collect();
    let made: Vec<f32> = noise(rows.len(), 8).iter().zip(&rows).map(|(w, gain)| w * gain).collect();
    Builder::new(17)
        .input("x", &[-1, 4, CHANNELS as i64])
        .floats("gains", &[CHANNELS], &gains())
        .floats("other", &[CHANNELS], &gains())
        .noise("shift", &[CHANNELS], 3)
        .noise("a", &[CHANNELS, CHANNELS], 4)
        .noise("b", &[CHANNELS, CHANNELS], 5)
        .noise("c", &[CHANNELS, CHANNELS], 6)
        .floats("d", &[CHANNELS, CHANNELS], &made)
        .noise("e", &[CHANNELS, 8], 7)
        .node("LayerNormalization", &["x", "gains"], &["n"], vec![])
        .node("MatMul", &["n", "a"], &["p"], vec![])
        .node("Add", &["p", "n"], &["s"], vec![])
        .node("LayerNormalization", &["s", "other", "shift"], &["m"], vec![])
        .node("MatMul", &["m", "b"], &["y"], vec![])
        .node("MatMul", &["m", "c"], &["k"], vec![])
        .node("Tanh", &["k"], &["t"], vec![])
        .node("MatMul", &["t", "d"], &["h"], vec![])
        .node("Relu", &["h"], &["r"], vec![])
        .node("MatMul", &["r", "e"], &["z"], vec![])
        .output("y", &[-1, 4, CHANNELS as i64])
        .output("z", &[-1, 4, 8])
}

fn sample(shape: &[usize], seed: u32) -> Tensor {
    Tensor::from_f32(shape.to_vec(), &noise(shape.iter().product(), seed))
}

const WORDS: [usize; 3] = [1, 4, CHANNELS];

impl Bench {
    /// Whose policies store weights in 4 bits.
    fn of_stored(model: &Model, shape: &[usize]) -> Self {
        Self::new(model, "mode: weight-only\nweights: { type: int4 }\n", (0..40).map(|seed| sample(shape, seed)))
    }

    /// The model with what a conversion protects, before it is quantized.
    fn protected(&self, more: &str) -> Planned {
        self.after(more, Planned::protect)
    }
}

fn same_in_float(planned: &Planned, shape: &[usize]) {
    let tract = Tract::default();
    let run = |model: &Model, seed| {
        let session = Session::new(&tract, model, vec![]).expect("a session");
        session.run(&[sample(shape, seed)], &mut |_, _, _| {}).expect("runs")
    };
    for seed in 50..54 {
        assert_eq!(run(&planned.model, seed), run(&planned.original, seed));
    }
}

#[test]
fn factors_go_into_what_makes_a_value_or_an_operator_and_the_float_model_computes_the_same_bit_for_bit() {
    let bench = Bench::of_stored(&block().build(), &WORDS);
    let planned = bench.protected(AWQ);
    assert_eq!(planned.protected.keys().collect::<Vec<_>>(), ["m", "n", "r"]);
    assert!(planned.protected["n"].iter().enumerate().all(|(c, e)| c % 8 == 5 || *e < planned.protected["n"][5]));
    same_in_float(&planned, &WORDS);
    // One product reads a residual, too, and has an operator of its own; the others do without.
    let graph = &planned.model.graph;
    assert_eq!(graph.node_ids().filter(|&id| graph.node(id).is("Mul")).count(), 1);
    assert!(["n_smoothed", "m_scaled", "r_equalized"].iter().all(|name| graph.find(name).is_some()));
    let strict = bench.protected("repairs: { awq: true }\nstrict: true\n");
    assert_eq!(strict.protected.keys().collect::<Vec<_>>(), ["m", "r"]);
    assert!(bench.protected("").protected.is_empty());
}

#[test]
fn channels_between_convolutions_are_scaled_in_both() {
    let first: Vec<f32> = noise(16 * 3 * 9, 1).iter().enumerate().map(|(i, w)| w * gains()[i / 27]).collect();
    let net = Builder::new(17)
        .input("x", &[-1, 3, 8, 8])
        .floats("v", &[16, 3, 3, 3], &first)
        .noise("b", &[16], 2)
        .noise("w", &[8, 16, 3, 3], 3)
        .node("Conv", &["x", "v", "b"], &["h"], vec![ints("pads", &[1, 1, 1, 1])])
        .node("Relu", &["h"], &["r"], vec![])
        .node("Conv", &["r", "w"], &["y"], vec![ints("strides", &[2, 2])])
        .output("y", &[-1, 8, 3, 3]);
    let shape = [1, 3, 8, 8];
    let planned = Bench::of_stored(&net.build(), &shape).protected(AWQ);
    assert_eq!(planned.protected.keys().collect::<Vec<_>>(), ["r"]);
    same_in_float(&planned, &shape);
}

#[test]
fn the_stored_model_comes_nearer_and_locks_give_the_same_bytes() {
    let bench = Bench::of_stored(&block().build(), &WORDS);
    let nearness = |report: &Report| {
        let outputs = &report.validation.as_ref().expect("validated").outputs;
        outputs.iter().map(|output| output.sqnr_db.expect("a ratio")).collect::<Vec<_>>()
    };
    let (plain, _) = bench.quantize("", Found::Samples).expect("a model");
    for more in [AWQ, "repairs: { awq: true, rounding: gptq }\n"] {
        let (report, bytes) = bench.quantize(more, Found::Samples).expect("a model");
        let (before, after) = (nearness(&plain), nearness(&report));
        assert!(before.iter().zip(&after).all(|(before, after)| after > &(before + 1.0)), "{before:?} {after:?}");
        let said = "protecting   3 values that layers with stored weights read are scaled";
        assert!(report.to_string().contains(said), "{report}");
        let (_, twice) = bench.quantize(more, Found::Samples).expect("a model");
        assert!(twice == bytes, "other bytes");
        std::fs::copy(bench.at("o.lock"), bench.at("kept.lock")).expect("copied");
        let (_, again) = bench.quantize(more, Found::Locked(&bench.at("kept.lock"))).expect("a model");
        assert!(again == bytes, "other bytes from the lock");
    }
}

#[test]
fn locks_that_do_not_fit_and_missing_samples_are_told() {
    let bench = Bench::of_stored(&block().build(), &WORDS);
    bench.quantize(AWQ, Found::Samples).expect("a model");
    let lock = std::fs::read_to_string(bench.at("o.lock")).expect("a lock");
    let line = lock.lines().find(|line| line.contains("\"m\": [")).expect("what it is divided by");
    let large = format!("    \"m\": [{}13]", "0,".repeat(CHANNELS - 1));
    for (wrong, why) in [
        ("    \"m\": [0, 1]", "not by the 2 channels"),
        (large.as_str(), "not by powers of two beyond 12"),
        ("    \"nobody\": [0]", "is nothing that layers with stored weights read"),
    ] {
        std::fs::write(bench.at("wrong.lock"), lock.replace(line.trim_end_matches(','), wrong)).expect("written");
        let said =
            bench.quantize(AWQ, Found::Locked(&bench.at("wrong.lock"))).map(drop).expect_err("refused").to_string();
        assert!(said.contains(why) && said.contains("wrong.lock"), "{said}");
    }
    let text = "version: 1\nmodel: m.onnx\noutput: o.onnx\nmode: weight-only\nrepairs: { awq: true }\n";
    let settings = Raw::parse(text, &bench.at("p.yaml")).and_then(|raw| raw.settings()).expect("a policy");
    let known = KnownGrids::default();
    let context = Context { threads: 1, progress: &Silent, known: &known, onnxruntime: None };
    let why = quantize(&settings, Found::Samples, &context).map(|_| ()).unwrap_err().to_string();
    assert!(why.contains("p.yaml:5:17: awq looks at calibration samples, and there are none"), "{why}");
}
