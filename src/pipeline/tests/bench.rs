//! A folder with a model and samples, and what conversions make of them.

use super::*;
use crate::progress::Silent;
use crate::quant::KnownGrids;
use std::path::PathBuf;

/// The folder, and how every policy begins.
pub(super) struct Bench {
    folder: tempfile::TempDir,
    policy: &'static str,
}

impl Bench {
    /// With these samples, of one input each.
    pub fn new(model: &Model, policy: &'static str, samples: impl Iterator<Item = Tensor>) -> Self {
        let bench = Self { folder: tempfile::tempdir().expect("a folder"), policy };
        file::save(model, &bench.at("m.onnx")).expect("a file");
        let specs = planned::input_specs(model).expect("inputs");
        let mut recorder = inputs::Recorder::create(&bench.at("s.npz"), &specs, &[]).expect("begun");
        for (at, sample) in samples.enumerate() {
            recorder.add(&at.to_string(), &[sample], &[], None).expect("added");
        }
        recorder.finish().expect("written");
        bench
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Those of a policy that goes on with `more`.
    pub fn settings(&self, more: &str) -> Settings {
        let text = format!(
            "version: 1\nmodel: m.onnx\noutput: o.onnx\nlock: o.lock\ndata: {{ calibration: {{ path: s.npz }} }}\nthresholds: none\n{}{more}",
            self.policy
        );
        Raw::parse(&text, &self.at("p.yaml")).and_then(|raw| raw.settings()).expect("a policy")
    }

    /// The report of a conversion, and what it wrote.
    pub fn quantize(&self, more: &str, found: Found<'_>) -> Result<(Report, Vec<u8>)> {
        let known = KnownGrids::default();
        let context = Context { threads: 2, progress: &Silent, known: &known, onnxruntime: None };
        let report = quantize(&self.settings(more), found, &context)?;
        Ok((report, std::fs::read(self.at("o.onnx")).expect("a model")))
    }

    /// The model after one step of a conversion, before it is quantized.
    pub fn after<T>(&self, more: &str, step: impl Fn(&mut Planned, &Settings, &Context<'_>) -> Result<T>) -> Planned {
        let known = KnownGrids::default();
        let context = Context { threads: 1, progress: &Silent, known: &known, onnxruntime: None };
        let settings = self.settings(more);
        let mut planned = Planned::new(&settings).expect("a plan");
        step(&mut planned, &settings, &context).expect("samples that run");
        planned
    }
}
