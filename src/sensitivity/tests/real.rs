//! A whole model beside brute force: whether the rankings are the same, and what reuse saves. It is the example's; another one is
//! measured with
//!
//!     SENSITIVITY_POLICY=policy.yaml cargo test --release --lib sensitivity::tests::real -- --nocapture
//!
//! The policy names model and samples (`data.validation`). Both ways run on one thread and are told in seconds of its processor
//! time, on Linux.

use super::brute::variant;
use super::*;
use crate::exec::Session;
use crate::inputs::{Dataset, spread};
use crate::pipeline::{Context, Found};
use crate::policy::Validation;
use crate::progress::Silent;
use crate::quant::KnownGrids;
use crate::sensitivity::sums::{Row, Total};

/// One of the variants of a unit.
type Way<'a> = &'a dyn Fn(&runs::OfUnit) -> Option<usize>;

/// How many samples of the example are run.
const SAMPLES: usize = 2;

/// Seconds that this thread has had the processor; 0 where the system does not say.
fn seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

#[test]
fn the_ranking_is_that_of_brute_force_and_costs_less() {
    let stated = std::env::var("SENSITIVITY_POLICY").ok();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/example.yaml");
    let path = stated.as_deref().unwrap_or(example);
    let settings = crate::policy::load(path.as_ref()).expect("a policy").settings().expect("settings");
    crate::threads::limit(1);
    let known = KnownGrids::default();
    let context = Context { threads: 1, progress: &Silent, known: &known, onnxruntime: None };
    let done = crate::pipeline::rewritten(&settings, Found::Samples, &context).expect("a conversion");
    let Validation::Samples(data) = &settings.validation else { panic!("the policy names no data.validation") };
    let set = Dataset::open(&data.source, &done.planned.inputs().expect("inputs")).expect("samples");
    let samples = if stated.is_some() { data.samples } else { SAMPLES };
    let indices = spread(set.len(), samples);

    let before = seconds();
    let parts = Parts::of(&done.planned.model, &done.written, With::Causes).expect("parts");
    let variants = Variants::of(&parts);
    let state = State { totals: vec![Total::default(); variants.count()], ..State::default() };
    let own = runs::run(&parts, &variants, (&set, &indices), state, &Keeper::new(None), &Silent).expect("a run");
    let own_seconds = seconds() - before;

    let inputs: Vec<Vec<Tensor>> =
        set.read(&indices).map(|sample| parts.inputs(&sample.expect("a sample").inputs).expect("inputs")).collect();
    let executor = Tract::default();
    let (mut loading, mut running) = (0.0, 0.0);
    let mut outputs = |on: &[bool]| {
        let model = variant(&parts, on);
        let before = seconds();
        let session = Session::new(&executor, &model, vec![]).expect("a model");
        session.make_ready(&inputs[0]).expect("a program");
        let loaded = seconds();
        let run = |inputs: &Vec<Tensor>| session.run(inputs, &mut |_, _, _| {}).expect("a run");
        let all: Vec<Vec<Tensor>> = inputs.iter().map(run).collect();
        loading += loaded - before;
        running += seconds() - loaded;
        (all, [loading, running])
    };
    let (float, begun) = outputs(&parts.all(false));
    // Those with a layer alone and those with it in float, and all; to load and to run.
    let (mut once, mut each) = ([0.0; 2], [0.0; 2]);
    let mut last = begun;
    let mut brute = Vec::new();
    for (index, on) in variants.switches().enumerate() {
        let (found, now) = outputs(on);
        let took = [now[0] - last[0], now[1] - last[1]];
        last = now;
        let is_whole = variants.units.iter().any(|unit| unit.alone == index || unit.float == index);
        for k in 0..2 {
            each[k] += took[k];
            once[k] += if is_whole { took[k] } else { 0.0 };
        }
        let mut total = Total::default();
        let pairs = float.iter().zip(&found);
        pairs.for_each(|(float, found)| total.add(&Row::of(float, found, None, &parts.groups).expect("outputs")));
        brute.push(total);
    }
    println!("{} units, {} variants, {} samples", parts.units.len(), variants.count(), indices.len());
    println!("reuse: {own_seconds:.1} s");
    for (what, [load, run]) in [("each unit alone, and in float", once), ("every variant", each)] {
        println!("brute force, {what}: {load:.1} s to load, {run:.1} s to run");
        println!("  share of both {:.3}, of running alone {:.3}", own_seconds / (load + run), own_seconds / run);
    }

    let worst =
        own.totals.iter().zip(&brute).map(|(a, b)| (a.damage().by(Metric::Sqnr) - b.damage().by(Metric::Sqnr)).abs());
    println!("largest difference {} dB", worst.filter(|d| d.is_finite()).fold(0.0, f64::max));
    let order = |totals: &[Total], of: Way<'_>| {
        let places = variants.units.iter().enumerate().filter_map(|(unit, places)| Some((unit, of(places)?)));
        let mut ranked: Vec<(f64, usize)> =
            places.map(|(unit, place)| (totals[place].damage().by(Metric::Sqnr), unit)).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        ranked.into_iter().map(|(_, unit)| unit).collect::<Vec<_>>()
    };
    let ways: [Way<'_>; 4] = [&|of| Some(of.alone), &|of| Some(of.float), &|of| of.weights, &|of| of.activations];
    for way in ways {
        assert_eq!(order(&own.totals, way), order(&brute, way));
    }
}
