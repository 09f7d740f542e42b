//! Absorption of high biases: how much of what a Relu reads goes into the biases behind it, by what samples or BatchNormalization show,
//! and the plan for the model in which it did.

use super::{Context, Planned, engines};
use crate::error::{Error, Result};
use crate::exec::Session;
use crate::inputs::{self, Dataset};
use crate::ir::{NodeId, ValueId};
use crate::plan::{NodePlan, Placement};
use crate::policy::Settings;
use crate::prepare;
use crate::progress::Silent;
use crate::quant::ChannelAxis;
use crate::tensor::Tensor;
use crate::tune::absorb::{self, Site};
use std::collections::{BTreeMap, HashMap};

/// What of each channel is absorbed, by the names of what was ahead of a Relu.
pub type Absorption = BTreeMap<String, Vec<f32>>;

/// So many samples show what channels are never below.
const SAMPLES: usize = 64;

/// The smallest and largest number of each channel of values; none where samples have other numbers of channels.
type Ends = Vec<Option<Vec<(f32, f32)>>>;

impl Planned {
    /// Absorbs what the settings let it. Returns how much of which channels.
    ///
    /// # Errors
    /// When a sample cannot be read, or the engine cannot run the model.
    pub(super) fn absorb(&mut self, settings: &Settings, context: &Context<'_>) -> Result<Absorption> {
        // Encodings that are written are for the model as it is.
        if !settings.repairs.absorb || self.completes || settings.write_encodings.is_some() {
            return Ok(Absorption::new());
        }
        let sites = self.absorbable(settings);
        let seen = match &settings.calibration {
            Some(data) if !sites.is_empty() => {
                let (set, indices) = self.calibration_set(data, settings, &self.inputs()?)?;
                let few: Vec<usize> = inputs::spread(indices.len(), SAMPLES).into_iter().map(|k| indices[k]).collect();
                Some(self.ends(&sites, (&set, &few), settings, context)?)
            }
            _ => None,
        };
        let mut found = Absorption::new();
        for (at, site) in sites.iter().enumerate() {
            let name = self.model.graph.value(site.made).name().to_owned();
            let least = match &seen {
                Some(seen) => seen[at].as_deref().map(absorb::by_samples),
                None => self.normals.get(&name).map(absorb::by_statistics),
            };
            let least = least.filter(|least| least.len() == site.channels && least.iter().any(|&c| c > 0.0));
            found.extend(least.map(|least| (name, least)));
        }
        self.absorb_by(settings, &found)?;
        Ok(found)
    }

    /// Absorbs this much of the channels of the values named in `by` and of no others, and plans again.
    ///
    /// # Errors
    /// When it cannot be absorbed so.
    pub(super) fn absorb_by(&mut self, settings: &Settings, by: &Absorption) -> Result<()> {
        if by.is_empty() {
            return Ok(());
        }
        let name = |value: ValueId| self.model.graph.value(value).name().to_owned();
        let sites: HashMap<String, Site> =
            self.absorbable(settings).into_iter().map(|site| (name(site.made), site)).collect();
        for (name, least) in by {
            let wrong = |why: &str| Error::value(name, format!("is to be absorbed in part, but {why}"));
            let site = sites.get(name).ok_or_else(|| wrong("is nothing that biases behind a Relu can take"))?;
            if site.channels != least.len() {
                return Err(wrong(&format!("has {} channels, not {}", site.channels, least.len())));
            }
            if !least.iter().all(|c| c.is_finite() && *c >= 0.0) {
                return Err(wrong("not by numbers that are not negative"));
            }
        }
        for (name, least) in by {
            let (zeros, ones) = (least.iter().map(|&c| -f64::from(c)), vec![1.0; least.len()]);
            if let Some(known) = self.normals.get(name).filter(|known| known.means.len() == least.len()) {
                let known = known.through(&ones, &zeros.collect::<Vec<_>>());
                self.normals.insert(absorb::absorbed_name(name), known);
            }
            absorb::absorb(&mut self.model.graph, &sites[name], least)?;
        }
        self.absorbed.clone_from(by);
        self.plan_anew(settings, self.float.clone()).map(drop)
    }

    /// The places where all layers are on integers, and about whose values and biases nobody states anything.
    fn absorbable(&self, settings: &Settings) -> Vec<Site> {
        let graph = &self.model.graph;
        let nodes = self.plan.by_node();
        let on_integers =
            |id: NodeId| nodes.get(&id).is_some_and(|node: &&NodePlan| matches!(node.placement, Placement::Integer(_)));
        let unknown = |(node, slot): (NodeId, usize)| {
            graph.node(node).input(slot).is_none_or(|bias| !self.plan.biases.contains_key(&bias))
        };
        let free = |site: &Site| {
            let readers = site.readers.iter().all(|reader| on_integers(reader.layer) && unknown(reader.bias));
            let renamed = |&value: &ValueId| {
                let then = absorb::absorbed_name(graph.value(value).name());
                self.is_free_as(value, &settings.rules, &then)
            };
            readers && on_integers(site.layer) && unknown(site.bias) && site.values.iter().all(renamed)
        };
        absorb::sites(graph).into_iter().filter(free).collect()
    }

    /// The ends of the channels of what is ahead of each Relu.
    fn ends(
        &self,
        sites: &[Site],
        (set, few): (&Dataset, &[usize]),
        settings: &Settings,
        context: &Context<'_>,
    ) -> Result<Ends> {
        let engine = engines::calibrating(settings, context)?;
        let runs = prepare::in_float32(&self.model)?;
        let names = sites.iter().map(|site| self.model.graph.value(site.made).name().to_owned()).collect();
        let session = Session::observing(&*engine, &runs, names)?;
        let nothing = || vec![Some(Vec::new()); sites.len()];
        let run = inputs::run_samples(set.read(few), context.threads, &Silent, nothing, |all: &mut Ends, _, sample| {
            let widened = sample.inputs.iter().map(Tensor::widened).collect::<Result<Vec<_>>>()?;
            session.run(&widened, &mut |value, shape, numbers| {
                let axis = if sites[value].second { ChannelAxis::Second } else { ChannelAxis::Last };
                let seen = axis.index(shape).map(|axis| of_channels(numbers, shape, axis));
                merge(&mut all[value], seen);
            })?;
            Ok(())
        });
        let mut all = nothing();
        for one in run.map_err(|e| e.of_engine(&self.path))? {
            all.iter_mut().zip(one).for_each(|(own, seen)| merge(own, seen));
        }
        Ok(all)
    }
}

/// The smallest and the largest number of each channel along an axis; of one with a number that is none, all there are.
fn of_channels(numbers: &[f32], shape: &[usize], axis: usize) -> Vec<(f32, f32)> {
    let (channels, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let mut ends = vec![(f32::INFINITY, f32::NEG_INFINITY); channels];
    for (at, block) in numbers.chunks_exact(inner.max(1)).enumerate() {
        let own = &mut ends[at % channels.max(1)];
        for &x in block {
            *own = if x.is_nan() { (f32::NEG_INFINITY, f32::INFINITY) } else { (own.0.min(x), own.1.max(x)) };
        }
    }
    ends
}

/// The ends of both; none of what differs in the number of channels.
fn merge(own: &mut Option<Vec<(f32, f32)>>, seen: Option<Vec<(f32, f32)>>) {
    match (own.as_mut(), seen) {
        (Some(ends), Some(seen)) if ends.is_empty() => *ends = seen,
        (Some(_), Some(seen)) if seen.is_empty() => {}
        (Some(ends), Some(seen)) if ends.len() == seen.len() => {
            ends.iter_mut().zip(seen).for_each(|(own, seen)| *own = (own.0.min(seen.0), own.1.max(seen.1)));
        }
        _ => *own = None,
    }
}
