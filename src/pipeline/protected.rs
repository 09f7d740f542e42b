//! Protection of weights that are stored: which channels ahead of layers are scaled, by what a few samples show, and the plan for the
//! model in which they are.

use super::clustered::is_clustered;
use super::{Context, Planned, engines};
use crate::error::{Error, Result};
use crate::exec::Session;
use crate::inputs::{self, Dataset};
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::mapped;
use crate::plan::{ConstantPlan, Placement, Stored};
use crate::policy::Settings;
use crate::prepare;
use crate::progress::Silent;
use crate::rewrite;
use crate::tensor::{DataType, Tensor};
use crate::threads;
use crate::tune::awq::{self, Weight};
use crate::tune::equalize::{self, Pair};
use crate::tune::rounding::Reach;
use crate::tune::smoothing::{self, Product};
use crate::validate;
use std::collections::{BTreeMap, HashMap};

mod seen;

use seen::Seen;

/// The powers of two that the channels of values ahead of stored weights are divided by, by the names that the values had.
pub type Protection = BTreeMap<String, Vec<i32>>;

/// So many samples show how large channels are, and what comes of factors.
const SAMPLES: usize = 16;
/// Bytes of positions that are kept at once.
const AT_ONCE: usize = 256 << 20;
/// So many dB less error make factors worth a change, where they cost nothing when the model runs, and where they are an operator more.
const LEAST_GAIN_DB: f64 = 0.05;
const LEAST_GAIN_OF_MUL_DB: f64 = 0.2;

/// Why what scales is no integer node.
const SCALES: &str = "it scales the channels of what layers with stored weights read (repairs.awq)";

/// A value that layers with stored weights read, whose channels can be scaled.
struct Group<'a> {
    value: ValueId,
    place: Place,
    layers: Vec<Layer<'a>>,
}

/// Where the factors go.
enum Place {
    /// Into the layer in front.
    Pair(Pair),
    /// Into what makes the value, a normalization or a product.
    Maker,
    /// Into an operator of their own.
    Mul,
}

/// A layer that reads a value.
struct Layer<'a> {
    product: Product,
    weight: &'a ConstantPlan,
    reach: Reach,
    /// How its weight lies: channels, numbers of each output for one, and whether an output's stand together.
    channels: usize,
    taps: usize,
    outputs_first: bool,
}

impl Layer<'_> {
    /// Its weight.
    fn tensor(&self, graph: &Graph) -> Result<Tensor> {
        let value = graph.node(self.product.node).input(self.product.slot);
        let tensor = value.map(|value| graph.constant(value)).transpose()?.flatten();
        tensor.ok_or_else(|| graph.node_error(self.product.node, "its weight is no constant"))
    }
}

impl Planned {
    /// Protects weights where the settings want it and it helps. Returns what the channels ahead of them are divided by.
    ///
    /// # Errors
    /// When there are no samples, one cannot be read, or the engine cannot run the model.
    pub(super) fn protect(&mut self, settings: &Settings, context: &Context<'_>) -> Result<Protection> {
        // Encodings that are written are for the model as it is.
        if !settings.repairs.awq || self.completes || settings.write_encodings.is_some() {
            return Ok(Protection::new());
        }
        let Some(data) = &settings.calibration else {
            let why = "awq looks at calibration samples, and there are none; name them with --data or data.calibration, or remove this";
            return Err(settings.blame_key("repairs.awq", Error::other(why)));
        };
        let groups = self.protectable(settings);
        if groups.is_empty() {
            return Ok(Protection::new());
        }
        let (set, indices) = self.calibration_set(data, settings, &self.inputs()?)?;
        let few: Vec<usize> = inputs::spread(indices.len(), SAMPLES).into_iter().map(|k| indices[k]).collect();
        let mut found = Protection::new();
        let mut rest = groups.as_slice();
        while !rest.is_empty() && few.len() > 1 {
            let bytes = |group: &Group<'_>| seen::bytes(&group.layers[0], few.len());
            let held = rest.iter().scan(0usize, |all, group| {
                *all += bytes(group);
                Some(*all)
            });
            let count = held.take_while(|&all| all <= AT_ONCE).count().max(1);
            let (some, behind) = rest.split_at(count);
            let seen = self.look(some, (&set, &few), settings, context)?;
            found.extend(self.searched(some, &seen)?);
            rest = behind;
        }
        drop(groups);
        self.protect_by(settings, &found)?;
        Ok(found)
    }

    /// Protects the values named in `by` and no others, and plans again.
    ///
    /// # Errors
    /// When one of them cannot be protected so.
    pub(super) fn protect_by(&mut self, settings: &Settings, by: &Protection) -> Result<()> {
        if by.is_empty() {
            return Ok(());
        }
        let graph = &self.model.graph;
        let groups = self.protectable(settings);
        let groups: HashMap<&str, &Group<'_>> =
            groups.iter().map(|group| (graph.value(group.value).name(), group)).collect();
        let mut found = Vec::new();
        for (name, exponents) in by {
            let wrong = |why: &str| Error::value(name, format!("is to be scaled for repairs.awq, but {why}"));
            let group = groups.get(name.as_str());
            let group = group.ok_or_else(|| wrong("is nothing that layers with stored weights read"))?;
            if group.layers[0].channels != exponents.len() {
                return Err(wrong(&format!("not by the {} channels that it has by this file", exponents.len())));
            }
            if !exponents.iter().all(|exponent| (-awq::LARGEST..=awq::LARGEST).contains(exponent)) {
                return Err(wrong(&format!("not by powers of two beyond {}", awq::LARGEST)));
            }
            let layers: Vec<Product> = group.layers.iter().map(|layer| layer.product).collect();
            let pair = match &group.place {
                Place::Pair(pair) => Some(pair.clone()),
                Place::Maker | Place::Mul => None,
            };
            found.push((group.value, matches!(group.place, Place::Mul), pair, exponents, layers));
        }
        drop(groups);
        for (value, adds, pair, exponents, layers) in found {
            if let Some(pair) = &pair {
                self.divide_normals(&pair.between, exponents);
            }
            let graph = &mut self.model.graph;
            match pair {
                Some(pair) => equalize::equalize(graph, &pair, exponents)?,
                None if adds => {
                    let node = smoothing::smooth(graph, value, exponents, &layers)?;
                    self.scaling.push((node, SCALES.to_owned()));
                }
                None => awq::absorb(graph, value, exponents, &layers)?,
            }
        }
        self.protected.clone_from(by);
        self.plan_anew(settings, self.float.clone()).map(drop)
    }

    /// The values that can be scaled for the weights behind them, in the order of the layers.
    fn protectable(&self, settings: &Settings) -> Vec<Group<'_>> {
        let graph = &self.model.graph;
        let mut groups: BTreeMap<ValueId, Vec<Layer<'_>>> = BTreeMap::new();
        for node in &self.plan.nodes {
            let Placement::Weight(weights) = &node.placement else { continue };
            let weight = weights.iter().find(|weight| weight.slot == 1 && is_chosen(weight));
            let Some((value, layer)) = weight.and_then(|weight| layer(graph, node.id, weight)) else { continue };
            // What has a grid keeps it.
            if self.plan.value(value).is_none() {
                groups.entry(value).or_default().push(layer);
            }
        }
        let pairs: HashMap<ValueId, Pair> =
            self.scalable(&settings.rules).into_iter().map(|pair| (pair.value(), pair)).collect();
        let place = |value: ValueId, layers: &[Layer<'_>]| {
            // Behind a Clip, what was seen of its output is what counts.
            let pair = pairs.get(&value).filter(|pair| pair.bound.is_none() || pair.grid == value);
            if let Some(pair) = pair.filter(|_| layers.len() == 1) {
                return Some(Place::Pair(pair.clone()));
            }
            let first = layers.first()?;
            if first.reach != Reach::Rows || layers.iter().any(|layer| layer.channels != first.channels) {
                return None;
            }
            let products: Vec<Product> = layers.iter().map(|layer| layer.product).collect();
            let absorbs = awq::absorbs(graph, value, &products, first.channels);
            // With `strict` there is no operator more in float.
            if absorbs { Some(Place::Maker) } else { (!settings.strict).then_some(Place::Mul) }
        };
        let group = |(value, layers): (ValueId, Vec<_>)| Some(Group { value, place: place(value, &layers)?, layers });
        groups.into_iter().filter_map(group).collect()
    }

    /// What the channels of values are to be divided by, by what was seen of them.
    fn searched(&self, groups: &[Group<'_>], seen: &[Option<Seen>]) -> Result<Protection> {
        let mut found: Vec<Result<Option<Vec<i32>>>> = groups.iter().map(|_| Ok(None)).collect();
        threads::for_each(groups.iter().zip(seen).zip(&mut found), |((group, seen), found)| {
            if let Some(seen) = seen {
                *found = self.exponents(group, seen);
            }
        });
        let mut named = Protection::new();
        for (group, found) in groups.iter().zip(found) {
            let name = self.model.graph.value(group.value).name().to_owned();
            named.extend(found?.map(|exponents| (name, exponents)));
        }
        Ok(named)
    }

    fn exponents(&self, group: &Group<'_>, seen: &Seen) -> Result<Option<Vec<i32>>> {
        let graph = &self.model.graph;
        let tensors = group.layers.iter().map(|layer| layer.tensor(graph)).collect::<Result<Vec<_>>>()?;
        let numbers = tensors.iter().map(Tensor::to_f32).collect::<Result<Vec<_>>>()?;
        let stored = |(layer, tensor): (&Layer<'_>, &Tensor)| {
            let (plan, shape) = (layer.weight.clone(), tensor.shape().to_vec());
            move |numbers: Vec<f32>| rewrite::as_stored(&Tensor::from_f32(shape.clone(), &numbers), &plan)
        };
        let stored: Vec<_> = group.layers.iter().zip(&tensors).map(stored).collect();
        let mut weights: Vec<Weight<'_>> = Vec::with_capacity(stored.len());
        for ((layer, numbers), stored) in group.layers.iter().zip(&numbers).zip(&stored) {
            let (outputs_first, taps) = (layer.outputs_first, layer.taps);
            weights.push(Weight { numbers, outputs_first, taps, stored });
        }
        let bound = match &group.place {
            Place::Pair(pair) => pair.bound.map(f64::from),
            Place::Maker | Place::Mul => None,
        };
        let lets_through = |logs: &[f64]| equalize::powers(logs, bound, &seen.ends);
        let least = if matches!(group.place, Place::Mul) { LEAST_GAIN_OF_MUL_DB } else { LEAST_GAIN_DB };
        let exponents = awq::exponents(&seen.read, &weights, &lets_through, least);
        tensors.iter().for_each(|tensor| mapped::let_go(tensor.bytes()));
        exponents
    }

    /// What samples show of the values of groups; `None` of one that is not as its layers say.
    fn look(
        &self,
        groups: &[Group<'_>],
        (set, few): (&Dataset, &[usize]),
        settings: &Settings,
        context: &Context<'_>,
    ) -> Result<Vec<Option<Seen>>> {
        let graph = &self.model.graph;
        let name = |value: ValueId| graph.value(value).name().to_owned();
        let mut names: Vec<String> = groups.iter().map(|group| name(group.value)).collect();
        // What a convolution makes tells how often it looks at what it reads.
        let made = groups.iter().map(|group| graph.node(group.layers[0].product.node).output(0));
        names.extend(made.map(|value| value.map_or_else(String::new, name)));
        names.retain(|name| !name.is_empty());
        let mask = self.inputs()?.iter().position(|input| input.name == validate::MASK);
        let engine = engines::calibrating(settings, context)?;
        let runs = prepare::in_float32(&self.model)?;
        let session = Session::observing(&*engine, &runs, names)?;
        let run = inputs::run_samples(
            set.read(few),
            context.threads,
            &Silent,
            Vec::new,
            |all: &mut Vec<(usize, Vec<seen::Shown>)>, index, sample| {
                let widened = sample.inputs.iter().map(Tensor::widened).collect::<Result<Vec<_>>>()?;
                let mut shown = seen::Showing::new(groups, mask.and_then(|at| seen::Mask::new(&sample.inputs[at])));
                session.run(&widened, &mut |value, shape, numbers| shown.take(value, shape, numbers))?;
                all.push((index, shown.settled()));
                Ok(())
            },
        );
        let mut all: Vec<_> = run.map_err(|e| e.of_engine(&self.path))?.into_iter().flatten().collect();
        all.sort_by_key(|(index, _)| *index);
        Ok(seen::merged(groups.len(), all.into_iter().map(|(_, shown)| shown).collect()))
    }
}

/// Whether the grids of a weight are chosen, and all of it is on them.
fn is_chosen(weight: &ConstantPlan) -> bool {
    let form = matches!(weight.form, Stored::Plain | Stored::InBlocks);
    // Where scales are of 16 bits the model computes in these, too.
    let free = weight.known.is_none() && weight.split.is_none() && weight.scheme.scales.is_none();
    form && free && !weight.scheme.dtype.is_float()
}

/// The value that a layer reads beside a weight of its own, and how.
fn layer<'a>(graph: &Graph, id: NodeId, weight: &'a ConstantPlan) -> Option<(ValueId, Layer<'a>)> {
    let node = graph.node(id);
    if !node.domain().is_empty() {
        return None;
    }
    let (value, constant) = (node.input(0)?, node.input(1)?);
    let alone = matches!(graph.value(constant).uses(), [Use::Input { .. }]) && !graph.is_overridable(constant);
    let stored = graph.stated_type(constant).filter(|ty| alone && ty.dtype == DataType::Float32)?;
    let shape: Vec<usize> = stored.dims.into_iter().collect::<Option<_>>()?;
    let (reach, groups, outputs_first) = Reach::of(graph, id, &shape)?;
    let of_floats = graph.element_type(value).is_none_or(|dtype| dtype == DataType::Float32);
    if groups != 1 || shape.contains(&0) || !of_floats || graph.is_constant(value) {
        return None;
    }
    let (channels, taps) = match reach {
        Reach::Rows => (shape[usize::from(outputs_first)], 1),
        Reach::Window(_) => (shape[1], shape[2..].iter().product()),
    };
    let product = Product { node: id, slot: 1, transposed: outputs_first };
    let free = channels > 1 && !is_clustered(graph, id, weight);
    free.then_some((value, Layer { product, weight, reach, channels, taps, outputs_first }))
}
