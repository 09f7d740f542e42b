//! Large graphs planned and rewritten with stated ranges: time must grow in proportion to nodes.

mod onnx;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::path::Path;
use std::time::Duration;
use tare::calibrate::Calibration;
use tare::exec::Tract;
use tare::file;
use tare::ir::Model;
use tare::plan::{Known, Plan, plan};
use tare::policy::{Raw, Settings};
use tare::prepare::{Options, prepare};
use tare::resolve::{Resolved, resolve};
use tare::rewrite::insert_qdq;
use tare::target::OnnxRuntimeCpu;

/// Nodes of a model that no runtime is expected to run: what is quadratic takes minutes here.
const SIZES: [usize; 2] = [10_000, 20_000];

fn settings() -> Settings {
    let policy = "version: 1\nrules: [{ match: { value: '*' }, range: [-1, 3] }]\n";
    Raw::parse(policy, Path::new("policy.yaml")).and_then(|raw| raw.settings()).expect("a policy")
}

/// Everything between loading and saving, without running the model.
fn convert(model: &mut Model, settings: &Settings) {
    prepare(model, &Tract::default(), &Options::default()).expect("a model that can be prepared");
    let (plan, resolved) = planned(model, settings);
    insert_qdq(model, &plan, &resolved).expect("plan and model belong together");
}

fn planned(model: &Model, settings: &Settings) -> (Plan, Resolved) {
    let plan = plan(&model.graph, settings, &OnnxRuntimeCpu, &[], &Known::default()).expect("a plan");
    let resolved = resolve(&plan, &Calibration::default()).expect("every range is stated");
    (plan, resolved)
}

/// The model through a file: `ir::Model` is only made of bytes.
fn load(model: &onnx::ModelProto) -> Model {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, onnx::bytes(model)).expect("a file");
    file::load(&path).expect("a valid model")
}

/// A net of so many nodes.
type Net = fn(usize) -> onnx::ModelProto;

fn whole(c: &mut Criterion) {
    let mut group = c.benchmark_group("plan and rewrite");
    // Seconds for each pass: ten of them are enough to see a factor of two from one of four.
    group.sample_size(10).warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(10));
    let settings = settings();
    let nets: [(&str, Net); 4] = [
        ("Convs", onnx::convs),
        ("Convs and Relus", onnx::convs_and_relus),
        ("Convs with one weight", onnx::convs_with_one_weight),
        ("Convs of one input", onnx::convs_of_one_input),
    ];
    for (name, net) in nets {
        for size in SIZES {
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(BenchmarkId::new(name, size), |b| {
                let model = load(&net(size));
                let converted = |mut model| {
                    convert(&mut model, &settings);
                    model
                };
                b.iter_batched(|| model.clone(), converted, BatchSize::PerIteration);
            });
        }
    }
    group.finish();
}

fn rewrite(c: &mut Criterion) {
    let mut group = c.benchmark_group("insert_qdq");
    let settings = settings();
    let model = load(&onnx::convs(1000));
    let (plan, resolved) = planned(&model, &settings);
    group.throughput(Throughput::Elements(1000));
    group.bench_function("Convs/1000", |b| {
        let rewritten = |mut model| {
            insert_qdq(&mut model, &plan, &resolved).expect("plan and model belong together");
            model
        };
        b.iter_batched(|| model.clone(), rewritten, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, rewrite, whole);
criterion_main!(benches);
