//! The same numbers by running each variant as a model of its own, from end to end.

use super::*;
use crate::exec::Session;
use crate::inputs::Dataset;
use crate::pipeline::{Context, Found, Planned};
use crate::progress::Silent;
use crate::quant::KnownGrids;
use crate::sensitivity::sums::{Row, Total};
use prost::Message;
use tempfile::TempDir;

/// A model, what was made of it, and samples.
pub struct Case {
    pub original: Model,
    pub written: Model,
    pub parts: Parts,
    pub variants: Variants,
    pub set: Dataset,
    pub samples: Vec<Tensor>,
    calibration: Calibration,
    plan: crate::plan::Plan,
    _folder: TempDir,
}

/// How many samples are run.
const SAMPLES: usize = 5;

impl Case {
    /// Of a model with one input `x` of shape 1x3x8x8, and more lines of policy.
    pub fn of(model: Model, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        crate::file::save(&model, &at("m.onnx")).expect("a file");
        std::fs::create_dir(at("data")).expect("a folder");
        let samples: Vec<Tensor> =
            (0..SAMPLES).map(|k| Tensor::from_f32(vec![1, 3, 8, 8], &build::noise(192, 100 + k as u32))).collect();
        let all: Vec<f32> = (0..SAMPLES).flat_map(|k| build::noise(192, 100 + k as u32)).collect();
        npy(&at("x.npy"), &[SAMPLES, 3, 8, 8], &all);
        let text = format!("version: 1\nmodel: m.onnx\ndata: {{ calibration: {{ path: x.npy }} }}\n{more}");
        std::fs::write(at("p.yaml"), text).expect("a file");
        let settings = crate::policy::load(&at("p.yaml")).expect("a policy").settings().expect("settings");
        let known = KnownGrids::default();
        let context = Context { threads: 1, progress: &Silent, known: &known, onnxruntime: None };
        let done = crate::pipeline::rewritten(&settings, Found::Samples, &context).expect("a conversion");
        let (planned, written, calibration) = (done.planned, done.written, done.calibration.expect("statistics"));
        let Planned { original, model, plan, .. } = planned;
        let groups = crate::validate::Groups::of(&settings, &original).expect("outputs");
        let parts = Parts::of(&model, &written, With::Causes).expect("parts").with_groups(groups);
        let inputs = [crate::inputs::InputSpec {
            name: "x".to_owned(),
            ty: original.graph.stated_type(original.graph.inputs().next().expect("an input")).expect("a type"),
            meaning: None,
        }];
        let set = Dataset::open(&Source::new(at("x.npy")), &inputs).expect("samples");
        let variants = Variants::of(&parts);
        Self { original, written, variants, parts, set, samples, calibration, plan, _folder: folder }
    }

    /// The sums of each variant.
    pub fn measure(&self) -> State {
        let all: Vec<usize> = (0..self.samples.len()).collect();
        let totals = vec![Total::default(); self.variants.count()];
        let state = State { totals, ..State::default() };
        runs::run(&self.parts, &self.variants, (&self.set, &all), state, &Keeper::new(None), &Silent).expect("a run")
    }

    /// What is said of it, by SQNR.
    pub fn sensitivity(&self) -> Sensitivity {
        self.ranked(Metric::Sqnr).expect("a ranking")
    }

    /// The same by another metric.
    pub fn ranked(&self, metric: Metric) -> Result<Sensitivity> {
        let all: Vec<usize> = (0..self.samples.len()).collect();
        let evidence = Evidence { seen: Some((&self.calibration, &self.plan)) };
        let (parts, samples) = (&self.parts, (&self.set, all.as_slice()));
        let task = Task { parts, samples, metric, subject: Subject::default(), resume: None, evidence: &evidence };
        super::super::sensitivity(&task, &Silent)
    }

    /// The outputs of the model with nothing rounded, and with all, for each sample.
    pub fn ends(&self) -> [Vec<Vec<Tensor>>; 2] {
        [false, true].map(|on| {
            let model = variant(&self.parts, &self.parts.all(on));
            self.samples.iter().map(|sample| run(&model, std::slice::from_ref(sample))).collect()
        })
    }

    /// The sums of each variant, each run as a model of its own.
    pub fn brute(&self) -> Vec<Total> {
        let float = variant(&self.parts, &self.parts.all(false));
        let float: Vec<Vec<Tensor>> = self.samples.iter().map(|x| run(&float, std::slice::from_ref(x))).collect();
        let total = |on: &[bool]| {
            let model = variant(&self.parts, on);
            let mut total = Total::default();
            for (sample, float) in self.samples.iter().zip(&float) {
                let found = run(&model, std::slice::from_ref(sample));
                total.add(&Row::of(float, &found, None, &self.parts.groups).expect("outputs"));
            }
            total
        };
        self.variants.switches().map(total).collect()
    }
}

/// The outputs of a model.
pub fn run(model: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    let executor = Tract::default();
    let session = Session::new(&executor, model, vec![]).expect("a model");
    session.run(inputs, &mut |_, _, _| {}).expect("a run")
}

/// The model with nothing rounded but what is on, with pairs of QuantizeLinear and DequantizeLinear.
pub fn variant(parts: &Parts, on: &[bool]) -> Model {
    let (models, grids, layers) = parts.inside();
    let [mut model, rounded] = models
        .map(|bytes| Model::from_proto(crate::proto::ModelProto::decode(bytes).expect("a model")).expect("a model"));
    let graph = &mut model.graph;
    for (index, name) in layers.iter().enumerate().filter(|(index, _)| on[grids.len() + index]) {
        let id = graph.node_ids().find(|&id| graph.label(id) == name).expect("a layer");
        for (slot, value) in graph.node(id).inputs().to_vec().into_iter().enumerate() {
            let Some(value) = value.filter(|&value| graph.is_constant(value)) else { continue };
            let same = rounded.graph.find(graph.value(value).name()).expect("the same constant");
            let tensor = rounded.graph.constant(same).expect("readable").expect("a constant");
            let own = graph.add_initializer(&format!("{index}_{slot}_rounded"), &tensor);
            graph.set_input(id, slot, Some(own));
        }
    }
    for id in graph.node_ids().collect::<Vec<_>>() {
        if !graph.node(id).is("TareSwitch") {
            continue;
        }
        let index = graph.node(id).attributes().int("index").expect("an index") as usize;
        let (read, made) = (graph.node(id).input(0).expect("an input"), graph.node(id).output(0).expect("an output"));
        if !on[index] {
            // Nothing is fused across it there either: kernels that add up in another order make other integers further on.
            graph.set_operator(id, "", "TareFence");
            continue;
        }
        let grid = &grids[index];
        let scale = graph.add_initializer(&format!("{index}_scale"), &Tensor::from_f32(vec![], &[grid.scale]));
        let zero = Tensor::new(grid.dtype.data_type(), vec![], grid.zero_point_bytes().into()).expect("a zero point");
        let zero = graph.add_initializer(&format!("{index}_zero"), &zero);
        let mut add = |op_type: &str, from| {
            let name = format!("{index}_{op_type}");
            let inputs = vec![Some(from), Some(scale), Some(zero)];
            graph.add_node(crate::ir::NewNode { op_type, name: &name, inputs, ints: vec![] }, &name).1
        };
        let integers = add("QuantizeLinear", read);
        let back = add("DequantizeLinear", integers);
        graph.redirect_readers(made, back);
    }
    graph.remove_unused();
    model
}

/// Whether two sums are the same but for the order in which a kernel adds up.
pub fn close(a: &Total, b: &Total) -> bool {
    let (a, b) = (a.damage(), b.damage());
    let db = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 0.05 || a.min(b) > 110.0,
        // No error at all, or that of float arithmetic.
        (a, b) => a.or(b).is_none_or(|db| db > 110.0),
    };
    db(a.sqnr_db, b.sqnr_db) && a.top1 == b.top1 && a.not_finite == b.not_finite
}

/// Writes an array.
fn npy(path: &std::path::Path, shape: &[usize], numbers: &[f32]) {
    let dims: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}", dims.join(", "));
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(numbers.iter().flat_map(|v| v.to_le_bytes()));
    std::fs::write(path, bytes).expect("a file");
}
