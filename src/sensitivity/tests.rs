//! Sensitivity on small models, beside brute force.

mod brute;
mod constants;
mod kinds;
mod real;

use super::runs::{self, Variants};
use super::state::{Keeper, State};
use super::*;
use crate::calibrate::Calibration;
use crate::exec::{Correction, Corrector, Sides, Tract};
use crate::inputs::Source;
use crate::ir::Model;
use crate::ir::build::{self, Builder, ints};
use crate::tensor::Tensor;
use brute::{Case, close};

/// Two convolutions with a residual sum, a pooling and a layer behind them.
pub fn net() -> Model {
    let conv = |net: Builder, from: &str, to: &str| {
        let pads = vec![ints("pads", &[1, 1, 1, 1])];
        net.node("Conv", &[from, &format!("{to}_w"), &format!("{to}_b")], &[to], pads)
    };
    let net = Builder::new(13).input("x", &[1, 3, 8, 8]).output("y", &[1, 5]);
    let net =
        net.noise("a_w", &[4, 3, 3, 3], 1).noise("a_b", &[4], 2).noise("b_w", &[4, 4, 3, 3], 3).noise("b_b", &[4], 4);
    let net = conv(net, "x", "a").node("Relu", &["a"], &["ar"], vec![]);
    let net = net.node("MaxPool", &["ar"], &["p"], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]);
    let net = conv(net, "p", "b").node("Sigmoid", &["b"], &["g"], vec![]).node("Mul", &["b", "g"], &["s"], vec![]);
    let net = net.node("Add", &["s", "p"], &["sum"], vec![]).noise("c_w", &[6, 4, 1, 1], 5);
    let net = net.node("Conv", &["sum", "c_w"], &["c"], vec![]).node("GlobalAveragePool", &["c"], &["gap"], vec![]);
    let net = net.node("Flatten", &["gap"], &["flat"], vec![]).noise("d_w", &[6, 5], 6);
    net.node("MatMul", &["flat", "d_w"], &["y"], vec![]).build()
}

#[test]
fn what_is_measured_is_what_brute_force_finds() {
    let case = Case::of(net(), "");
    let measured = case.measure();
    let brute = case.brute();
    assert_eq!(measured.totals.len(), brute.len());
    for (index, (own, other)) in measured.totals.iter().zip(&brute).enumerate() {
        assert!(close(own, other), "variant {index}: {own:?} {other:?}");
    }
    // Each does some damage, and not all the same.
    let alone = |of: &runs::OfUnit| measured.totals[of.alone].damage().sqnr_db.expect("damage");
    let found: Vec<f64> = case.variants.units.iter().map(alone).collect();
    assert!(found.iter().all(|db| (15.0..90.0).contains(db)), "{found:?}");
}

#[test]
fn what_is_computed_again_is_bit_for_bit_what_the_whole_model_gives() {
    let case = Case::of(net(), "");
    let program =
        case.parts.program(&Tract::default(), &case.set.read(&[0]).next().expect("one").expect("a sample").types());
    let program = program.expect("a program");
    for sample in &case.samples {
        let inputs = case.parts.inputs(std::slice::from_ref(sample)).expect("inputs");
        let bytes = |outputs: &[Tensor]| outputs.iter().map(|t| t.bytes().to_vec()).collect::<Vec<_>>();
        for near in [false, true].map(|on| program.run(&inputs, &case.parts.all(on)).expect("a run")) {
            for on in case.variants.switches() {
                let whole = program.run(&inputs, on).expect("a run");
                let again = program.vary(&*near, &inputs, on).expect("a run");
                assert_eq!(bytes(&again), bytes(whole.outputs()));
            }
        }
    }
}

/// Sees all layers, and doubles what they make rounded.
#[derive(Default)]
struct Doubling(std::sync::Mutex<std::collections::BTreeMap<(usize, usize), Vec<u32>>>);

impl Corrector for Doubling {
    fn corrects(&self, _: usize) -> bool {
        false
    }

    fn correct(&mut self, _: usize, _: &[usize], _: &mut [Sides<'_>]) -> crate::error::Result<()> {
        unreachable!("it asked for one sample after the other")
    }

    fn sees(&self, _: usize) -> bool {
        true
    }

    fn see(&self, layer: usize, _: &[usize], sample: usize, made: [&[f32]; 2]) {
        let bits = made.concat().iter().map(|x| x.to_bits()).collect();
        assert!(self.0.lock().expect("nobody failed").insert((layer, sample), bits).is_none(), "shown once");
    }

    fn settle(&mut self, _: usize) -> Option<Correction> {
        Some(Correction { inner: 1, gains: vec![2.0], shifts: vec![0.5] })
    }
}

#[test]
fn samples_that_go_twice_through_a_stretch_hold_less_and_are_the_same() {
    // What the first layer makes is large, and made in no time.
    let net = Builder::new(13).input("x", &[1, 3, 8, 8]).output("c", &[1, 64, 4, 4]).noise("a_w", &[32, 3, 1, 1], 1);
    let net = net.noise("b_w", &[24, 32, 3, 3], 2).noise("c_w", &[64, 24, 3, 3], 3);
    let net = net.node("Conv", &["x", "a_w"], &["a"], vec![]);
    let net = net.node("MaxPool", &["a"], &["p"], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]);
    let pads = || vec![ints("pads", &[1, 1, 1, 1])];
    let net = net.node("Conv", &["p", "b_w"], &["b"], pads()).node("Conv", &["b", "c_w"], &["c"], pads());
    let case = Case::of(net.build(), "");
    let read = |sample: &Tensor| case.parts.inputs(std::slice::from_ref(sample)).expect("inputs");
    let samples: Vec<Vec<Tensor>> = case.samples.iter().map(read).collect();
    let types = case.set.read(&[0]).next().expect("one").expect("a sample").types();
    let program = case.parts.program(&Tract::default(), &types).expect("a program");
    let [(all, once), (less, twice)] = [usize::MAX, 0].map(|room| {
        let mut seen = Doubling::default();
        let held = program.bytes_held(room, &seen);
        program.correct(&samples, room, &mut seen).expect("a run");
        (held, seen.0.into_inner().expect("nobody failed"))
    });
    assert!(once.len() == 3 * samples.len() && once == twice);
    assert!(less < all, "{less} {all}");
}

#[test]
fn all_on_is_the_quantized_model_and_all_off_the_float_one() {
    let case = Case::of(net(), "");
    let [float, quantized] = case.ends();
    for (own, other) in [(&case.original, &float), (&case.written, &quantized)] {
        let run = |sample: &Tensor| brute::run(own, std::slice::from_ref(sample));
        for (sample, ends) in case.samples.iter().zip(other) {
            let wanted = run(sample);
            let (a, b) = (wanted[0].to_f32().expect("numbers"), ends[0].to_f32().expect("numbers"));
            let most = a.iter().zip(&*b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let largest = a.iter().fold(0f32, |m, v| m.max(v.abs()));
            assert!(most <= 2e-5 * largest, "{most} of {largest}");
        }
    }
}

#[test]
fn a_unit_has_what_only_it_feeds_and_reads_what_others_make() {
    let case = Case::of(net(), "");
    let units = &case.parts.units;
    let of = |name: &str| units.iter().find(|unit| unit.nodes.iter().any(|node| node == name)).expect("a unit");
    assert_eq!([of("Conv_b"), of("Sigmoid_g"), of("Mul_s")].map(|unit| unit.node.as_str()), ["Conv_b"; 3]);
    let sum = of("Add_sum");
    assert_eq!((sum.node.as_str(), sum.layers.len()), ("Add_sum", 0));
    assert!(sum.reads.contains("s") && sum.reads.contains("p") && sum.makes.contains("sum"), "{sum:?}");
    let (first, last) = (of("Conv_a"), of("MatMul_y"));
    assert!(first.is_first && !first.is_last && last.is_last && !last.is_first);
    let mut seen: Vec<usize> = units.iter().flat_map(|unit| unit.layers.clone()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..4).collect::<Vec<_>>());
}

#[test]
fn a_layer_that_reads_an_integer_input_knows_the_steps_of_its_bias() {
    let steps = |io: &str| {
        let case = Case::of(net(), &format!("repairs: {{ refit: false }}\n{io}"));
        let first = case.parts.layers().iter().position(|layer| layer == "Conv_a").expect("the first layer");
        case.parts.bias_steps(first).to_vec()
    };
    let (float, integer) = (steps(""), steps("io: { inputs: uint8 }"));
    assert_eq!((float.len(), &integer), (4, &float));
}

#[test]
fn the_sums_depend_neither_on_a_stop_in_between_nor_on_the_number_of_threads() {
    let case = Case::of(net(), "");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.json");
    let whole = case.measure();
    // Two samples, then the rest from the file.
    let keeper = Keeper::new(Some(&path));
    let subject = Subject { model: "m".to_owned(), ..Subject::default() };
    let state = keeper.load(&subject, case.variants.count()).expect("a fresh state");
    let first = runs::run(&case.parts, &case.variants, (&case.set, &[0, 1]), state, &keeper, &crate::progress::Silent);
    assert_eq!(first.expect("a run").samples, 2);
    let state = keeper.load(&subject, case.variants.count()).expect("the state");
    assert_eq!(state.samples, 2);
    let all: Vec<usize> = (0..case.samples.len()).collect();
    let rest = runs::run(&case.parts, &case.variants, (&case.set, &all), state, &keeper, &crate::progress::Silent);
    assert_eq!(rest.expect("a run").totals, whole.totals);
    // Of something else.
    for (other, count, why) in [
        (Subject { model: "n".to_owned(), ..Subject::default() }, case.variants.count(), "another model"),
        (Subject { data: "d".to_owned(), ..subject.clone() }, case.variants.count(), "other samples"),
        (Subject { policy: "p".to_owned(), ..subject.clone() }, case.variants.count(), "another policy"),
        (subject, 3, "other nodes"),
    ] {
        let refused = keeper.load(&other, count).expect_err("refused").to_string();
        assert!(refused.contains(why) && refused.contains("state.json"), "{refused}");
    }
    std::fs::write(&path, "{").expect("a file");
    assert!(keeper.load(&Subject::default(), 1).is_err_and(|e| e.to_string().contains("begin anew")));
}

#[test]
fn outliers_clipping_and_spread_are_named_with_their_numbers() {
    // One weight stands out in its channel, and one channel of another weight under one grid for all.
    let mut wide = build::noise(4 * 27, 1);
    wide[5] = 60.0;
    let mut loud = build::noise(8 * 4, 3);
    loud[..4].iter_mut().for_each(|v| *v *= 50.0);
    let net = Builder::new(13).input("x", &[1, 3, 8, 8]).output("y", &[1, 8, 6, 6]);
    let net = net.floats("a_w", &[4, 3, 3, 3], &wide).floats("b_w", &[8, 4, 1, 1], &loud);
    let net = net.node("Conv", &["x", "a_w"], &["a"], vec![]).node("Conv", &["a", "b_w"], &["y"], vec![]);
    let case = Case::of(net.build(), "weights: { granularity: per_tensor }\nrepairs: { equalize: false }\n");
    let measured = case.sensitivity();
    let causes = |name: &str| measured.nodes.iter().find(|node| node.node == name).expect("a node").causes.join("; ");
    assert!(
        causes("Conv_a").contains("range outliers: the largest number of its weight is 10 times"),
        "{}",
        causes("Conv_a")
    );
    assert!(causes("Conv_a").contains("first: "), "{}", causes("Conv_a"));
    assert!(
        causes("Conv_y").contains("channel spread: the largest channel of its weight reaches 4"),
        "{}",
        causes("Conv_y")
    );
    assert!(causes("Conv_y").contains("last: "), "{}", causes("Conv_y"));
}

#[test]
fn activations_on_a_bad_grid_are_named() {
    let grids = |low: f32, high: f32| {
        let rule = format!("rules: [{{ match: {{ value: ar }}, range: [{low}, {high}] }}]\n");
        let case = Case::of(net(), &rule);
        let measured = case.sensitivity();
        measured.nodes.iter().find(|node| node.node == "Conv_a").expect("a node").causes.join("; ")
    };
    // A given range is not observed: nothing is known of what lies beyond, and nothing is said.
    assert!(!grids(0.0, 1.0).contains("clipping"));
    let evidence = |numbers: &[f32], scale: f32| {
        let mut statistics = crate::calibrate::Statistics::default();
        statistics.add(numbers);
        let values = [("v".to_owned(), statistics)].into_iter().collect();
        let calibration = Calibration { values, ..Calibration::default() };
        let plan = crate::plan::Plan::default();
        let grid = crate::quant::Params { dtype: crate::quant::GridType::Uint8, scale, zero_point: 0 };
        let known = [("v".to_owned(), grid)].into_iter().collect();
        let unit = Unit { reads: ["v".to_owned()].into(), ..Unit::default() };
        let nothing = NodeDamage {
            node: String::new(),
            op_type: String::new(),
            nodes: vec![],
            alone: Damage::default(),
            weights: None,
            activations: None,
            in_float: Damage::default(),
            gain: None,
            causes: vec![],
        };
        Evidence { seen: Some((&calibration, &plan)) }.causes(&unit, &nothing, &[], &known).join("; ")
    };
    let even: Vec<f32> = (0..4000).map(|k| k as f32 / 4000.0).collect();
    assert_eq!(evidence(&even, 1.0 / 255.0), "");
    let cut = evidence(&even, 0.5 / 255.0);
    assert!(cut.starts_with("clipping: 50 % of v lie beyond its grid from 0.000 to 0.500"), "{cut}");
    let mut tail = even.clone();
    tail.push(40.0);
    let crowded = evidence(&tail, 40.0 / 255.0);
    assert!(crowded.starts_with("range outliers: 99 % of v lie from 0.000 to 1.0"), "{crowded}");
}

#[test]
fn classes_are_ranked_by_answers_that_change_and_other_outputs_refused() {
    let case = Case::of(net(), "");
    let by_class = case.ranked(Metric::Top1).expect("scores of classes");
    let of = by_class.quantized;
    assert!(of.top1.is_some_and(|share| (0.0..=1.0).contains(&share)) && of.top5 <= of.top1, "{of:?}");
    assert!(by_class.nodes.iter().all(|node| node.alone.top1.is_some()));
    let text = by_class.to_string();
    assert!(text.contains("samples with another highest class") && text.contains(" %"), "{text}");
    let net = Builder::new(13).input("x", &[1, 3, 8, 8]).output("y", &[1, 4, 6, 6]).noise("w", &[4, 3, 3, 3], 1);
    let case = Case::of(net.node("Conv", &["x", "w"], &["y"], vec![]).build(), "");
    let refused = case.ranked(Metric::Top1).expect_err("no classes").to_string();
    assert!(refused.contains("rank by sqnr"), "{refused}");
    let alone = case.ranked(Metric::Mse).expect("a ranking");
    assert_eq!((alone.nodes.len(), alone.nodes[0].in_float.mse, alone.nodes[0].in_float.sqnr_db), (1, 0.0, None));
}

#[test]
fn a_model_without_anything_quantized_is_refused() {
    let model = net();
    let refused = Parts::of(&model, &model, With::Causes).map(|_| ()).expect_err("nothing is quantized").to_string();
    assert!(refused.contains("nothing of the model is quantized"), "{refused}");
}
