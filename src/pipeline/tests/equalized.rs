//! Layers that follow each other, equalized: a network that was spoiled for grids of whole tensors by unlike channels is mended,
//! the float model stays the same, and statistics and locks remember.

use super::bench::Bench;
use super::*;
use crate::exec::{Session, Tract};
use crate::ir::build::{int, ints, noise};
use crate::progress::Silent;
use crate::quant::KnownGrids;
use std::path::Path;

const CLASSES: usize = 8;
pub(super) const SIDE: usize = 8;
const WIDE: usize = 16;

/// The numbers of a small classifier: those of three convolutions, and of the layer behind them.
struct Weights {
    filters: Vec<f32>,
    biases: Vec<f32>,
    depthwise: Vec<f32>,
    depthwise_biases: Vec<f32>,
    points: Vec<f32>,
    point_biases: Vec<f32>,
    last: Vec<f32>,
    last_biases: Vec<f32>,
}

/// A picture of a class: its pattern and some noise.
fn picture(class: usize, seed: u32) -> Tensor {
    let (pattern, noise) = (noise(SIDE * SIDE, 900 + class as u32), noise(SIDE * SIDE, 5000 + seed));
    let numbers: Vec<f32> = pattern.iter().zip(noise).map(|(pattern, noise)| pattern + 0.2 * noise).collect();
    Tensor::from_f32(vec![1, 1, SIDE, SIDE], &numbers)
}

/// Pictures of every class in turn, with their classes.
pub(super) fn pictures(count: usize, seed: u32) -> Vec<(usize, Tensor)> {
    (0..count).map(|i| (i % CLASSES, picture(i % CLASSES, seed + i as u32))).collect()
}

impl Weights {
    /// Filters by chance, and a last layer that finds the class whose mean is nearest.
    fn trained() -> Self {
        let zeros = vec![0.0; CLASSES * WIDE];
        let mut weights = Self {
            filters: noise(WIDE * 9, 1),
            biases: noise(WIDE, 2).iter().map(|b| b * 0.2).collect(),
            depthwise: noise(WIDE * 9, 3),
            depthwise_biases: noise(WIDE, 4).iter().map(|b| b * 0.2 + 0.3).collect(),
            points: noise(WIDE * WIDE, 5),
            point_biases: noise(WIDE, 6).iter().map(|b| b * 0.2 + 0.3).collect(),
            last: zeros,
            last_biases: vec![0.0; CLASSES],
        };
        // The layer in front of the last shows features where the last one passes them on.
        let features = weights.model("f");
        let shown = pictures(20 * CLASSES, 0);
        let mut means = vec![0f32; CLASSES * WIDE];
        for ((class, _), features) in shown.iter().zip(run(&features, &shown)) {
            means[class * WIDE..][..WIDE].iter_mut().zip(features).for_each(|(mean, f)| *mean += f / 20.0);
        }
        let squares: Vec<f32> = means.chunks(WIDE).map(|mean| mean.iter().map(|m| m * m).sum()).collect();
        // What all classes have in common would take up the steps of the output.
        let common: Vec<f32> =
            (0..WIDE).map(|at| means.chunks(WIDE).map(|mean| mean[at]).sum::<f32>() / CLASSES as f32).collect();
        let middle = squares.iter().sum::<f32>() / CLASSES as f32;
        weights.last_biases = squares.iter().map(|square| (middle - square) / 2.0).collect();
        weights.last = means.iter().enumerate().map(|(at, mean)| mean - common[at % WIDE]).collect();
        weights
    }

    /// The same function of channels that are unlike: each is multiplied by a number, and divided by it where it is read.
    fn spoiled(mut self) -> Self {
        let factors = |seed| noise(WIDE, seed).into_iter().map(|n| 2f32.powf(5.0 * n)).collect::<Vec<_>>();
        let times = |numbers: &mut [f32], each: usize, factors: &[f32]| {
            numbers.iter_mut().enumerate().for_each(|(i, number)| *number *= factors[i / each % WIDE]);
        };
        let inverse = |factors: &[f32]| factors.iter().map(|f| 1.0 / f).collect::<Vec<_>>();
        let (one, two, three) = (factors(31), factors(32), factors(33));
        times(&mut self.filters, 9, &one);
        times(&mut self.biases, 1, &one);
        times(&mut self.depthwise, 9, &inverse(&one));
        times(&mut self.depthwise, 9, &two);
        times(&mut self.depthwise_biases, 1, &two);
        times(&mut self.points, 1, &inverse(&two));
        times(&mut self.points, WIDE, &three);
        times(&mut self.point_biases, 1, &three);
        times(&mut self.last, 1, &inverse(&three));
        self
    }

    /// The model up to one of its values.
    fn model(&self, output: &str) -> Model {
        let pads = || ints("pads", &[1, 1, 1, 1]);
        let builder = Builder::new(17)
            .input("x", &[1, 1, 8, 8])
            .floats("w0", &[WIDE, 1, 3, 3], &self.filters)
            .floats("b0", &[WIDE], &self.biases)
            .floats("w1", &[WIDE, 1, 3, 3], &self.depthwise)
            .floats("b1", &[WIDE], &self.depthwise_biases)
            .floats("w2", &[WIDE, WIDE, 1, 1], &self.points)
            .floats("b2", &[WIDE], &self.point_biases)
            .node("Conv", &["x", "w0", "b0"], &["a0"], vec![pads()])
            .node("Relu", &["a0"], &["r0"], vec![])
            .node("Conv", &["r0", "w1", "b1"], &["a1"], vec![int("group", WIDE as i64), pads()])
            .node("Relu", &["a1"], &["r1"], vec![])
            .node("Conv", &["r1", "w2", "b2"], &["a2"], vec![])
            .node("Relu", &["a2"], &["r2"], vec![])
            .node("GlobalAveragePool", &["r2"], &["g"], vec![])
            .node("Flatten", &["g"], &["f"], vec![]);
        if output == "f" {
            return builder.output("f", &[1, WIDE as i64]).build();
        }
        builder
            .floats("w3", &[CLASSES, WIDE], &self.last)
            .floats("b3", &[CLASSES], &self.last_biases)
            .node("Gemm", &["f", "w3", "b3"], &["y"], vec![int("transB", 1)])
            .output("y", &[1, CLASSES as i64])
            .build()
    }
}

/// What a model makes of pictures.
pub(super) fn run(model: &Model, pictures: &[(usize, Tensor)]) -> Vec<Vec<f32>> {
    let tract = Tract::default();
    let session = Session::new(&tract, model, vec![]).expect("a session");
    let one = |picture: &Tensor| {
        let outputs = session.run(std::slice::from_ref(picture), &mut |_, _, _| {}).expect("runs");
        outputs[0].to_f32().expect("floats").to_vec()
    };
    pictures.iter().map(|(_, picture)| one(picture)).collect()
}

/// How many of a hundred pictures are of the class that a model finds.
fn top1(model: &Model, pictures: &[(usize, Tensor)]) -> f64 {
    let best = |scores: &Vec<f32>| (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let scores = run(model, pictures);
    let right = scores.iter().zip(pictures).filter(|(scores, (class, _))| best(scores) == Some(*class));
    right.count() as f64 * 100.0 / pictures.len() as f64
}

impl Bench {
    pub(super) fn of_pictures(model: &Model) -> Self {
        Self::new(model, "", pictures(48, 2000).into_iter().map(|(_, picture)| picture))
    }

    /// The accuracy of a conversion.
    fn accuracy(&self, more: &str, pictures: &[(usize, Tensor)]) -> f64 {
        self.quantize(more, Found::Samples).expect("a model");
        top1(&file::load(&self.at("o.onnx")).expect("a model"), pictures)
    }

    /// The model with its layers equalized, before it is quantized.
    pub(super) fn equalized(&self, more: &str) -> Planned {
        self.after(more, Planned::equalize)
    }
}

const WHOLE: &str = "weights: { granularity: per_tensor }\n";

#[test]
fn a_network_of_unlike_channels_is_as_good_as_in_float_again() {
    let pictures = pictures(400, 10_000);
    let (trained, spoiled) = (Weights::trained().model("y"), Weights::trained().spoiled().model("y"));
    let float = top1(&spoiled, &pictures);
    assert!(float > 90.0 && (float - top1(&trained, &pictures)).abs() < 0.5, "{float}");
    let bench = Bench::of_pictures(&spoiled);
    let plain = bench.accuracy(&format!("{WHOLE}repairs: {{ equalize: false, refit: false }}"), &pictures);
    let equalized = bench.accuracy(&format!("{WHOLE}repairs: {{ refit: false }}"), &pictures);
    let corrected = bench.accuracy(WHOLE, &pictures);
    println!("float {float}, plain {plain}, equalized {equalized}, and corrected {corrected}");
    assert!(plain < float - 20.0, "{plain} of {float}");
    assert!(equalized > float - 2.0 && corrected >= float - 1.0, "{equalized}, {corrected} of {float}");
}

#[test]
fn the_float_model_computes_the_same_bit_for_bit() {
    let planned = Bench::of_pictures(&Weights::trained().spoiled().model("y")).equalized(WHOLE);
    assert_eq!(planned.equalized.keys().collect::<Vec<_>>(), ["f", "r0", "r1"]);
    let pictures = pictures(8, 20_000);
    assert_eq!(run(&planned.model, &pictures), run(&planned.original, &pictures));
}

#[test]
fn saved_statistics_and_locks_give_the_same_bytes() {
    let bench = Bench::of_pictures(&Weights::trained().spoiled().model("y"));
    let (report, bytes) = bench.quantize(WHOLE, Found::Samples).expect("a model");
    assert!(report.to_string().contains("equalizing   3 pairs of layers have their channels"), "{report}");
    let lock = std::fs::read_to_string(bench.at("o.lock")).expect("a lock");
    std::fs::write(bench.at("kept.lock"), &lock).expect("written");
    let (_, again) = bench.quantize(WHOLE, Found::Locked(&bench.at("kept.lock"))).expect("a model");
    assert!(again == bytes, "other bytes");
    let known = KnownGrids::default();
    let context = Context { threads: 1, progress: &Silent, known: &known, onnxruntime: None };
    let settings = bench.settings(WHOLE);
    let (statistics, _) =
        Planned::new(&settings).and_then(|mut p| p.calibrate(&settings, &context)).expect("statistics");
    let saved = bench.at("s.json");
    std::fs::write(&saved, statistics.to_json().expect("text")).expect("written");
    let (_, again) = bench.quantize(WHOLE, Found::Saved(&saved)).expect("a model");
    assert!(again == bytes, "other bytes");
    let off = format!("{WHOLE}repairs: {{ equalize: false }}");
    let why = bench.quantize(&off, Found::Saved(&saved)).expect_err("other values").to_string();
    assert!(why.contains("of a model with equalized layers"), "{why}");
    let line = lock.lines().find(|line| line.contains("\"r0\": [")).expect("what it is divided by");
    for (wrong, why) in [
        ("    \"r0\": [0, 1]", "has 16 channels, not 2"),
        ("    \"r0\": [99,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]", "not by powers of two beyond 20"),
        ("    \"nothing\": [0]", "lies between no two layers"),
    ] {
        std::fs::write(bench.at("wrong.lock"), lock.replace(line.trim_end_matches(','), wrong)).expect("written");
        let said = bench.quantize(WHOLE, Found::Locked(&bench.at("wrong.lock"))).expect_err("refused").to_string();
        assert!(said.contains(why) && said.contains("wrong.lock"), "{said}");
    }
}

#[test]
fn layers_with_a_scale_for_each_channel_or_a_stated_range_are_left_alone() {
    let bench = Bench::of_pictures(&Weights::trained().spoiled().model("y"));
    let between = |more: &str| bench.equalized(more).equalized.into_keys().collect::<Vec<_>>();
    assert!(between("").is_empty());
    assert!(!between("repairs: { equalize: true }").is_empty());
    assert!(between(&format!("{WHOLE}repairs: {{ equalize: false }}")).is_empty());
    assert_eq!(between(&format!("{WHOLE}rules: [{{ match: {{ value: r0 }}, range: [0, 9] }}]")), ["f", "r1"]);
    assert!(
        !between(&format!("{WHOLE}rules: [{{ match: {{ node: Conv_a1 }}, quantize: false }}]"))
            .contains(&"r0".to_owned())
    );
    assert!(between(&format!("{WHOLE}write_encodings: e.encodings")).is_empty());
}

/// Equalizes a model in a file, and holds it against what it was, on the samples that were looked at.
fn holds(model: &Path, data: &str) -> usize {
    let text = format!("version: 1\nmodel: {}\noutput: o.onnx\n{WHOLE}data: {{ {data} }}", model.display());
    let settings = Raw::parse(&text, Path::new("p.yaml")).and_then(|raw| raw.settings()).expect("a policy");
    let known = KnownGrids::default();
    let context = Context { threads: 1, progress: &Silent, known: &known, onnxruntime: None };
    let (plain, mut planned) = (Planned::new(&settings).expect("a plan"), Planned::new(&settings).expect("a plan"));
    let found = planned.equalize(&settings, &context).expect("samples that run");
    let calibration = settings.calibration.as_ref().expect("samples");
    let (set, indices) =
        plain.calibration_set(calibration, &settings, &plain.inputs().expect("inputs")).expect("samples");
    let few: Vec<usize> = inputs::spread(indices.len(), 16).into_iter().map(|k| indices[k]).collect();
    let shown: Vec<_> = set.read(&few).map(|sample| (0, sample.expect("a sample").inputs.remove(0))).collect();
    assert!(run(&planned.model, &shown) == run(&plain.model, &shown), "other numbers");
    found.len()
}

#[test]
fn a_trained_network_with_bounds_computes_the_same_on_what_was_seen() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("calibration/fashion");
    let samples = folder.join("calibration");
    let data = format!("calibration: {{ path: {} }}, preprocess: {{ mean: 0.286, std: 0.353 }}", samples.display());
    assert!(holds(&folder.join("model.onnx"), &data) > 0);
}
