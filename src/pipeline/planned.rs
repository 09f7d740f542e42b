//! Load, prepare, plan, resolve, rewrite: what happens to the model.

use super::absorbed::Absorption;
use super::completed;
use super::encoded::Encoded;
use super::equalized::Equalization;
use super::halves::Halves;
use super::levels::{LevelInput, fold_normalization};
use super::locked::Locked;
use super::protected::Protection;
use super::smoothed::Smoothing;
use crate::calibrate::Calibration;
use crate::dequantize;
use crate::error::{Error, Result};
use crate::exec::{Executor, Tract, Types};
use crate::file;
use crate::inputs::{self, InputSpec, Meaning};
use crate::ir::{Model, NodeId};
use crate::plan::{Known, Placement, Plan, UNREAD, out_of_range, plan, splits, unlike_joins};
use crate::policy::{Format, IoType, OneOrEach, QuantizedInput, Settings, Strip};
use crate::prepare::{self, Normals};
use crate::quant::KnownGrids;
use crate::report::{CalibrationSummary, FloatGroup, summarize};
use crate::resolve::{Resolved, resolve};
use crate::rewrite::{self, Kept};
use crate::target::OnnxRuntimeCpu;
use crate::tensor::TensorType;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A model made ready and planned.
pub struct Planned {
    /// The model as it was loaded; where what is quantized in it stays so, the float model that it stands for.
    pub original: Model,
    /// The prepared model.
    pub model: Model,
    /// The plan for it.
    pub plan: Plan,
    /// The runtime it is for.
    pub target: OnnxRuntimeCpu,
    /// Inputs that take the levels of a picture.
    pub(super) levels: Vec<LevelInput>,
    /// Bytes of what the model says for people alone that were left out.
    pub(super) notes: u64,
    /// What was known before it was planned.
    pub known: Known,
    /// The encodings beside it.
    pub(super) encoded: Option<Encoded>,
    /// The lock that its grids are from.
    pub(super) locked: Option<Locked>,
    /// How values are distributed that a BatchNormalization of the model makes, by name.
    pub(super) normals: Normals,
    /// What stays in float for what samples showed.
    pub(super) float: Vec<(NodeId, String)>,
    /// What the channels between layers were divided by.
    pub(super) equalized: Equalization,
    /// How much of the channels ahead of a Relu biases took.
    pub(super) absorbed: Absorption,
    /// What values were smoothed by.
    pub(super) smoothed: Smoothing,
    /// What the channels ahead of stored weights were divided by.
    pub(super) protected: Protection,
    /// The nodes that scale them, and why they stay in float.
    pub(super) scaling: Vec<(NodeId, String)>,
    /// Whether what is quantized in the model stays so.
    pub(super) completes: bool,
    /// Whether operators of ONNX Runtime's own domain may quantize.
    contrib: bool,
    /// The numbers of 16 bits that the model has.
    halves: Halves,
    pub(super) path: PathBuf,
    pub(super) executor: Tract,
}

/// Leaves out what the settings say of what `model` says for people alone, and returns how many bytes that were.
pub(super) fn strip(model: &mut Model, what: Strip) -> u64 {
    match what {
        Strip::Nothing => 0,
        Strip::Traces => model.strip_traces(),
        Strip::Everything => model.strip(),
    }
}

impl Planned {
    /// Loads, prepares and plans the model of `settings`.
    ///
    /// # Errors
    /// When there is no such model, it is malformed, or a rule of the policy matches nothing in it.
    pub fn new(settings: &Settings) -> Result<Self> {
        Self::knowing(settings, &KnownGrids::default())
    }

    /// Loads, prepares and plans the model of `settings`, some of whose grids somebody states.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when the stated grids do not fit the model.
    pub fn knowing(settings: &Settings, told: &KnownGrids) -> Result<Self> {
        let path =
            settings.model.clone().ok_or_else(|| Error::other("no model: name one, or state it in the policy"))?;
        let mut original = file::load(&path)?;
        let notes = strip(&mut original, settings.strip);
        let mut encoded = Encoded::load(settings)?;
        let (executor, target) = (Tract::default(), OnnxRuntimeCpu);
        let mut known = Known { told: told.clone(), ..Known::default() };
        let completes = settings.quantized_input == QuantizedInput::Complete
            && completed::quantized_node(&original.graph).map_err(|e| e.in_model(&path))?.is_some();
        let contrib = settings.contrib || completes && completed::is_contrib(&original.graph);
        if completes {
            completed::take_apart(&mut original, &mut known).map_err(|e| e.in_model(&path))?;
        }
        let mut model = original.clone();
        let least = completed::opset(&original.graph, &known, encoded.as_ref().map(Encoded::grids), contrib)?;
        let keeps = settings.keeps_halves() && prepare::has_halves(&mut model.graph).map_err(|e| e.in_model(&path))?;
        let least = if keeps { least.max(completed::HALF_SCALES_OPSET) } else { least };
        let options = prepare::Options {
            dims: settings.dims.clone(),
            fuse_patterns: !settings.keep_patterns,
            for_integers: settings.calibrates(),
            halves: settings.halves().collect(),
            bodies: settings.reaches_bodies(),
            opset: settings.opset().max(least),
        };
        let noting = |model: &mut Model| prepare::prepare_noting(model, &executor, &options);
        let (done, noted) = completed::outlasting(&mut model, &known, noting).map_err(|e| Error::file(&path, e))?;
        let halves =
            Halves::of(noted.kinds, settings).map_err(|e| settings.blame_key("half.input", Error::file(&path, e)))?;
        let [inputs, outputs] = [&settings.io.inputs, &settings.io.outputs].map(integers);
        prepare::widen_border(&mut model.graph, &inputs, &outputs);
        let (before, after) = (original.graph.node_ids().count(), model.graph.node_ids().count());
        tracing::info!(model = %path.display(), nodes = before, prepared = after, "prepared");
        let levels = fold_normalization(&mut model, settings).map_err(|e| e.in_model(&path))?;
        let grid = |one: &LevelInput| (one.name.clone(), (one.taken.scale, one.taken.zero_point));
        known.levels = levels.iter().map(grid).collect();
        if let Some(encoded) = &mut encoded {
            let derived = done.into_iter().flat_map(|(_, outcome)| outcome.derived).collect();
            known.told = encoded.settle(&original.graph, &model.graph, derived, settings, told)?;
        }
        let kept = if completes { splits(&model.graph) } else { Vec::new() };
        let mut plan = plan(&model.graph, settings, &target, &kept, &known).map_err(|e| e.in_model(&path))?;
        halves.settle(&mut plan);
        if let Some(encoded) = &encoded {
            encoded.account(&mut plan.unused);
        }
        completed::check_bodies(&original.graph, &plan, &known).map_err(|e| e.in_model(&path))?;
        tracing::info!(values = plan.values.len(), observed = plan.observed().count(), "planned");
        let normals = noted.normals;
        let planned = Self::of(original, model, plan, known, &path);
        Ok(Self { completes, contrib, levels, encoded, halves, notes, normals, ..planned })
    }

    /// A model and what was planned for it.
    pub(super) fn of(original: Model, model: Model, plan: Plan, known: Known, path: &Path) -> Self {
        let (executor, target, path) = (Tract::default(), OnnxRuntimeCpu, path.to_path_buf());
        let (levels, float, encoded, completes, contrib) = (Vec::new(), Vec::new(), None, false, false);
        let (locked, halves, scaling, notes) = (None, Halves::default(), Vec::new(), 0);
        let (equalized, smoothed, protected) = (Equalization::new(), Smoothing::new(), Protection::new());
        Self {
            original,
            model,
            plan,
            target,
            known,
            encoded,
            locked,
            normals: Normals::new(),
            float,
            equalized,
            absorbed: Absorption::new(),
            smoothed,
            protected,
            scaling,
            completes,
            contrib,
            halves,
            levels,
            notes,
            path,
            executor,
        }
    }

    /// Whether the model can be quantized.
    ///
    /// # Errors
    /// When it is quantized already.
    pub(super) fn check_quantizable(&self) -> Result<()> {
        let graph = &self.model.graph;
        if self.completes {
            return Ok(());
        }
        let found = completed::quantized_node(graph).map_err(|e| e.in_model(&self.path))?;
        let Some((node, op_type)) = found else { return Ok(()) };
        let why = format!(
            "is quantized already, node {node:?} ({op_type}) for one; start from the float model, or turn this one back \
             with `tare dequantize`; or say what to do with it, quantized_input: keep or complete"
        );
        Err(Error::file(&self.path, why))
    }

    /// Whether anything in the model becomes integers.
    pub(super) fn is_quantized(&self) -> bool {
        let mut any = false;
        self.plan.walk(&self.model.graph, &mut |_, node| {
            any |= matches!(node.placement, Placement::Integer(_) | Placement::Half(_));
            any |= !node.placement.constants().is_empty();
        });
        any
    }

    /// What each graph input wants.
    ///
    /// # Errors
    /// When the model does not state the type of an input.
    pub fn inputs(&self) -> Result<Vec<InputSpec>> {
        input_specs(&self.model).map_err(|e| e.in_model(&self.path))
    }

    /// The inputs that take levels because layers behind them were changed.
    pub(super) fn folded(&self) -> impl Iterator<Item = &LevelInput> {
        self.levels.iter().filter(|input| input.taken.changed)
    }

    /// Chooses the grids. Joins whose inputs turn out to be unlike are taken back to float first.
    ///
    /// # Errors
    /// When the statistics lack a value.
    pub fn resolve(&mut self, settings: &Settings, calibration: &Calibration) -> Result<Resolved> {
        let resolved = resolve(&self.plan, calibration)?;
        let graph = &self.model.graph;
        let mut kept = unlike_joins(graph, &self.plan, |v| resolved.ranges.get(graph.value(v).name()).copied());
        kept.extend(out_of_range(graph, &self.plan, |name| Some(calibration.values.get(name)?.range())));
        if kept.is_empty() {
            return Ok(resolved);
        }
        tracing::info!(nodes = kept.len(), "kept in float: joins of unlike inputs, and what 16 bits do not hold");
        let before = self.plan_anew(settings, kept)?;
        resolve(&self.plan, &inherited(calibration, &before, &self.plan))
    }

    /// Plans again with the nodes `float` in float. Returns the plan that there was.
    pub(super) fn plan_anew(&mut self, settings: &Settings, float: Vec<(NodeId, String)>) -> Result<Plan> {
        let graph = &self.model.graph;
        let mut kept = [self.scaling.as_slice(), &float].concat();
        if self.completes {
            kept.extend(splits(graph));
        }
        let mut anew = plan(graph, settings, &self.target, &kept, &self.known).map_err(|e| e.in_model(&self.path))?;
        self.halves.settle(&mut anew);
        self.float = float;
        Ok(std::mem::replace(&mut self.plan, anew))
    }

    /// Whether nothing stays in float, where the policy wants that.
    ///
    /// # Errors
    /// When something does: all of it, with the reasons.
    pub(super) fn check_strict(&self, settings: &Settings, resolved: &Resolved) -> Result<()> {
        if !settings.strict {
            return Ok(());
        }
        let summary = summarize(&self.plan, &self.model.graph, &self.target, Some(resolved), None);
        let mut left: Vec<String> = summary.float.iter().map(FloatGroup::in_full).collect();
        if summary.stored > 0 {
            left.push(format!("{} nodes compute in float from weights stored as integers", summary.stored));
        }
        if left.is_empty() {
            return Ok(());
        }
        // With integers to make, they would be integer nodes.
        let ends = summary.float.iter().all(|group| group.reason == UNREAD) && summary.stored == 0;
        let hint = match ends && self.plan.io.iter().all(|one| one.output.is_none()) {
            true => {
                "\nthey lead to outputs of the model alone: outputs that are integers make them integer nodes (io.outputs, or --io uint8)"
            }
            false => "",
        };
        let left = left.join("\n  ");
        Err(Error::file(&self.path, format!("strict: true, but some operators stay in float:\n  {left}{hint}")))
    }

    /// The model with what was resolved carried out, and with a note of how it came about; and the integer nodes that have no
    /// operator on integers, where the settings ask for those.
    ///
    /// # Errors
    /// When a constant cannot be read.
    pub(super) fn rewrite(
        &self,
        settings: &Settings,
        resolved: &Resolved,
        summary: &CalibrationSummary,
    ) -> Result<(Model, Vec<Kept>)> {
        let mut model = self.model.clone();
        let clamps = rewrite::insert_qdq(&mut model, &self.plan, resolved)?;
        if self.completes {
            rewrite::collapse(&mut model.graph)?;
        }
        self.halves.restore(&mut model)?;
        let kept = match settings.format {
            Format::Qdq => Vec::new(),
            Format::Qoperator => rewrite::to_qoperators(&mut model, &self.plan)?,
        };
        if self.contrib {
            rewrite::to_contrib(&mut model)?;
        }
        for one in &self.plan.io {
            let name = self.model.graph.value(one.value).name();
            // What the input means to the original model, not to what the layers behind it became.
            if let Some(input) = self.folded().find(|input| one.output.is_none() && input.name == name) {
                inputs::note_levels(&mut model, name, &input.levels);
                continue;
            }
            let own = resolved.params(one.value).filter(|params| params.dtype == one.dtype);
            if let Some(params) = own.or_else(|| resolved.converted(one.value, one.dtype)) {
                inputs::note_grid(&mut model, name, &params);
            }
        }
        model.set_metadata("tare.version", env!("CARGO_PKG_VERSION"));
        model.set_metadata("tare.policy_sha256", &self.policy_sha256(settings));
        model.set_metadata("tare.statistics_sha256", &summary.statistics_sha256);
        if let Some(encoded) = &self.encoded {
            model.set_metadata("tare.encodings_sha256", encoded.sha256());
        }
        if !self.plan.values.is_empty() {
            model.set_metadata(dequantize::CLAMPS, &dequantize::clamps_as_text(&clamps));
        }
        Ok((model, kept))
    }

    /// The plan as text, and what its integer nodes are written as where the settings ask for operators on integers.
    pub fn listing(&self, settings: &Settings) -> String {
        let mut text = self.plan.listing(&self.model.graph);
        if settings.format == Format::Qoperator {
            text.push_str("# operators\n");
            for (node, written) in rewrite::forecast(&self.model.graph, &self.plan) {
                let _ = writeln!(text, "{} {}: {written}", node.op_type, node.name);
            }
        }
        text
    }

    /// The type of each value, for inputs like those of a sample, or as the model states them with a batch of one.
    ///
    /// # Errors
    /// When the model does not state the type of an input.
    pub(super) fn types(&self, sample: Option<Vec<TensorType>>) -> Result<Option<Types>> {
        let one = |input: &InputSpec| {
            let dims = input.ty.dims.iter().enumerate().map(|(axis, d)| d.or((axis == 0).then_some(1)));
            TensorType { dtype: input.ty.dtype, dims: dims.collect() }
        };
        let inputs = self.inputs()?;
        let types = sample.unwrap_or_else(|| inputs.iter().map(one).collect());
        Ok(file::outline(&self.model).and_then(|bytes| self.executor.types(&bytes, &types)).ok())
    }
}

/// The statistics for `plan`, of which those of `before` are known. What a movement made was not observed while it was on the
/// grid of what it moved: it has the numbers of that.
fn inherited(calibration: &Calibration, before: &Plan, plan: &Plan) -> Calibration {
    let mut calibration = calibration.clone();
    for value in plan.observed() {
        let root = before.value(before.root(value.id)).and_then(|root| calibration.values.get(&root.name));
        if let Some(statistics) = root.cloned() {
            calibration.values.entry(value.name.clone()).or_insert(statistics);
        }
    }
    calibration
}

/// What each graph input of a model wants.
///
/// # Errors
/// When the model does not state the type of an input.
pub(super) fn input_specs(model: &Model) -> Result<Vec<InputSpec>> {
    let spec = |v| {
        let name = model.graph.value(v).name().to_owned();
        let ty =
            model.graph.stated_type(v).ok_or_else(|| Error::value(&name, "is a graph input without a tensor type"))?;
        Ok(InputSpec { name, ty, meaning: Meaning::of(model, v)? })
    };
    model.graph.inputs().map(spec).collect()
}

/// Tells of which inputs or outputs integers are asked for.
fn integers(side: &Option<OneOrEach<IoType>>) -> impl Fn(&str) -> bool + '_ {
    |name| side.as_ref().and_then(|side| side.of(name)).and_then(IoType::integer).is_some()
}
