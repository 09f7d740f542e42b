//! From ranges to grids: a plan and statistics give every scale and zero point.

use crate::calibrate::{self, Calibration, Statistics};
use crate::error::{Error, Result};
use crate::ir::{NodeId, ValueId};
use crate::ops::OutputRange;
use crate::plan::{Placement, Plan, RangeSource, ValuePlan};
use crate::policy::ActivationSettings;
use crate::quant::{ChannelAxis, GridType, Moments, Params, Scheme};
use crate::tune::Refit;
use crate::tune::rounding::Rounding;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The grids of a plan.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    params: HashMap<ValueId, Params>,
    /// The grids of other types that readers want.
    converted: HashMap<(ValueId, GridType), Params>,
    moments: HashMap<ValueId, Moments>,
    channel_moments: HashMap<ValueId, (ChannelAxis, Moments)>,
    /// The largest unsigned integer that each channel is expected to reach, along an axis.
    maxima: HashMap<ValueId, (ChannelAxis, Vec<u8>)>,
    /// The columns of a value that run in float beside the integer rest.
    outliers: HashMap<ValueId, Vec<usize>>,
    /// What layers are refitted by.
    refits: HashMap<NodeId, Refit>,
    /// The integers that were found for weights of layers.
    roundings: HashMap<NodeId, Rounding>,
    /// Clamps that vanish: the grid of what they make ends within their bounds.
    pub absorbed: HashSet<NodeId>,
    /// Values whose range says little, with what is odd about them and what follows from it.
    pub warnings: Vec<(String, &'static str)>,
    /// The range of each value that has one of its own, by name.
    pub ranges: BTreeMap<String, (f32, f32)>,
}

impl Resolved {
    /// The grid of a value, if it has one.
    pub fn params(&self, value: ValueId) -> Option<Params> {
        self.params.get(&value).copied()
    }

    /// The grid of a value for readers of another type than its own, if it has one.
    pub fn converted(&self, value: ValueId, dtype: GridType) -> Option<Params> {
        self.converted.get(&(value, dtype)).copied()
    }

    /// The columns of a value that run in float beside the integer rest of the products that read it: in rising order, and
    /// none where it is not split.
    pub fn outliers(&self, value: ValueId) -> &[usize] {
        self.outliers.get(&value).map_or(&[], Vec::as_slice)
    }

    /// What the channels of a layer are refitted by, if they are.
    pub fn refit(&self, node: NodeId) -> Option<&Refit> {
        self.refits.get(&node)
    }

    /// Refits layers; no others are.
    pub fn set_refits(&mut self, refits: impl IntoIterator<Item = (NodeId, Refit)>) {
        self.refits = refits.into_iter().collect();
    }

    /// Refits layers as they are refitted so far.
    pub fn refit_more(&mut self, refits: impl IntoIterator<Item = (NodeId, Refit)>) {
        for (node, refit) in refits {
            let refit = match self.refits.remove(&node) {
                Some(before) => refit.behind(&before),
                None => refit,
            };
            self.refits.insert(node, refit);
        }
    }

    /// The integers of the weight of a layer, where they are not the nearest.
    pub fn rounding(&self, node: NodeId) -> Option<&Rounding> {
        self.roundings.get(&node)
    }

    /// States the integers of weights; all others are the nearest.
    pub fn set_roundings(&mut self, roundings: impl IntoIterator<Item = (NodeId, Rounding)>) {
        self.roundings = roundings.into_iter().collect();
    }

    /// Mean and variance of a value, if it was observed.
    pub fn moments(&self, value: ValueId) -> Option<&Moments> {
        self.moments.get(&value)
    }

    /// The mean of each channel of a value along `axis`, and the variance within channels; `None` where that was not observed.
    pub fn channel_moments(&self, value: ValueId, axis: ChannelAxis) -> Option<&Moments> {
        self.channel_moments.get(&value).filter(|m| m.0 == axis).map(|m| &m.1)
    }

    /// The largest uint8 that each channel of a value along `axis` is expected to reach, padding included; `None` where that
    /// was not observed. Where its integers are int8 they count from the lowest, as kernels for uint8 shift them.
    pub fn channel_maxima(&self, value: ValueId, axis: ChannelAxis) -> Option<&[u8]> {
        self.maxima.get(&value).filter(|m| m.0 == axis).map(|m| m.1.as_slice())
    }
}

/// Resolving from a lock.
impl Resolved {
    /// Gives a value its grid.
    pub fn set_params(&mut self, value: ValueId, params: Params) {
        self.params.insert(value, params);
    }

    /// Gives a value a grid for readers of another type than its own.
    pub fn set_converted(&mut self, value: ValueId, params: Params) {
        self.converted.insert((value, params.dtype), params);
    }

    /// States mean and variance of a value.
    pub fn set_moments(&mut self, value: ValueId, moments: Moments) {
        self.moments.insert(value, moments);
    }

    /// States what is known of the channels of a value along `axis`: their moments, and the largest unsigned integer that each
    /// is expected to reach; none where that is not known.
    pub fn set_channels(&mut self, value: ValueId, axis: ChannelAxis, moments: Option<Moments>, maxima: Vec<u8>) {
        self.channel_moments.extend(moments.map(|moments| (value, (axis, moments))));
        self.maxima.extend((!maxima.is_empty()).then_some((value, (axis, maxima))));
    }

    /// States the columns of a value that run in float beside the integer rest, in rising order.
    pub fn set_outliers(&mut self, value: ValueId, columns: Vec<usize>) {
        self.outliers.extend((!columns.is_empty()).then_some((value, columns)));
    }
}

/// Chooses every grid.
///
/// # Errors
/// When the statistics lack a value: they are of another model or another plan.
pub fn resolve(plan: &Plan, calibration: &Calibration) -> Result<Resolved> {
    let mut resolved = Resolved::default();
    let rests = resolved.split_columns(plan, calibration);
    for value in &plan.values {
        if matches!(value.range, RangeSource::SameAs(_)) {
            continue;
        }
        let (mut params, mut range) = grid(value, value.settings, calibration, &mut resolved.warnings)?;
        if let Some(&(low, high)) = rests.get(&value.id) {
            range = (range.0.max(low), range.1.min(high));
            params = Params::from_range(range.0, range.1, value.settings.scheme);
        }
        resolved.ranges.insert(value.name.clone(), range);
        resolved.params.insert(value.id, params);
    }
    for value in &plan.values {
        let Some(root) = plan.value(plan.root(value.id)) else { continue };
        for &settings in &value.also {
            let known = plan.known_also.get(&(root.id, settings.scheme.dtype)).copied();
            let params = match known {
                Some(params) => params,
                None => grid(root, settings, calibration, &mut Vec::new())?.0,
            };
            resolved.converted.insert((value.id, settings.scheme.dtype), params);
        }
    }
    for value in &plan.values {
        let root = plan.root(value.id);
        let params = resolved.params.get(&root).copied();
        // A shared grid is copied, never computed anew: runtimes compare the bits.
        let params = params.ok_or_else(|| Error::value(&value.name, "shares the grid of a value that has none"))?;
        resolved.params.insert(value.id, params);
        let seen = value.channels.zip(calibration.values.get(&value.name));
        // Statistics that were taken for another policy may lack them: then nothing is known.
        if let Some((axis, maxima)) = seen.and_then(|(axis, seen)| Some((axis, maxima(params, seen, axis)?))) {
            resolved.maxima.insert(value.id, (axis, maxima));
        }
    }
    for value in &plan.values {
        // What shares a grid was moved, and has nearly the moments of what it was moved from.
        let seen = calibration.values.get(&value.name).or_else(|| {
            let root = plan.value(plan.root(value.id))?;
            calibration.values.get(&root.name)
        });
        let Some((seen, (mean, variance))) = seen.and_then(|seen| Some((seen, seen.moments()?))) else { continue };
        let moments = Moments { means: vec![mean as f32], variance: variance as f32 };
        resolved.moments.insert(value.id, moments);
        let by_channel = value.channels.and_then(|axis| Some((axis, seen.moments_by_channel(axis)?)));
        resolved.channel_moments.extend(by_channel.map(|known| (value.id, known)));
    }
    resolved.absorb_clamps(plan);
    Ok(resolved)
}

/// So many numbers of a channel say how far others reach.
const MANY: u64 = 10_000;

/// The largest integer, counted from the lowest, that each channel is expected to reach: unseen data lie beyond what was seen
/// by half of its extent, or by all of it where few numbers were seen.
fn maxima(params: Params, seen: &Statistics, axis: ChannelAxis) -> Option<Vec<u8>> {
    // Kernels that could saturate take integers.
    let ends = seen.channels(axis).filter(|_| !params.dtype.is_float())?;
    let few = seen.histogram().total() / (ends.len() as u64).max(1) < MANY;
    let share = if few { 1.0 } else { 0.5 };
    let maximum = |&(low, high): &(f32, f32)| {
        // Padding is zero.
        let integer = params.quantize(high + (high - low) * share).max(params.zero_point);
        u8::try_from(integer - params.dtype.limits().0).unwrap_or(u8::MAX)
    };
    Some(ends.iter().map(maximum).collect())
}

/// The largest integer of a channel on another grid, counted from the lowest: no less than what the one `before` stood for.
fn reached(most: u8, before: Params, now: Params) -> u8 {
    let real = before.dequantize(i32::from(most) + before.dtype.limits().0) + before.scale / 2.0;
    let integer = now.quantize(real).max(now.zero_point) - now.dtype.limits().0;
    if most == u8::MAX { most } else { u8::try_from(integer).unwrap_or(u8::MAX) }
}

/// The grid of a value that has a range of its own, and that range, for the type and calibrator of `settings`.
fn grid(
    value: &ValuePlan,
    settings: ActivationSettings,
    calibration: &Calibration,
    warnings: &mut Vec<(String, &'static str)>,
) -> Result<(Params, (f32, f32))> {
    let (low, high) = match value.range {
        RangeSource::Known(params) => {
            if settings.scheme.dtype == params.dtype {
                return Ok((params, params.real_range()));
            }
            params.real_range()
        }
        RangeSource::Grid { scale, zero_point } => {
            let params = Params { dtype: value.settings.scheme.dtype, scale, zero_point };
            if settings.scheme.dtype == params.dtype {
                return Ok((params, params.real_range()));
            }
            params.real_range()
        }
        _ => range(value, settings, calibration, warnings)?,
    };
    if let Some(params) = of_pictures(value, settings, calibration) {
        return Ok((params, params.real_range()));
    }
    Ok((Params::from_range(low, high, settings.scheme), (low, high)))
}

/// The grid of an input that takes pictures, if one of its type has each of their levels.
fn of_pictures(value: &ValuePlan, settings: ActivationSettings, calibration: &Calibration) -> Option<Params> {
    let &(scale, zero_point) =
        calibration.pictures.get(&value.name).filter(|_| value.range == RangeSource::Observed)?;
    let params = Params { dtype: GridType::Uint8, scale, zero_point }.stored_as(settings.scheme.dtype);
    (settings.scheme == Scheme::new(params.dtype, false)).then_some(params)
}

/// The share of what was seen that the range of an integer output reaches beyond it: a score that is cut off is the same as
/// the next one, and it is the largest of a sample that was not seen. It costs half a dB of the rounding of that output alone.
const OUTPUT_HEADROOM: f32 = 1.0 / 16.0;

fn range(
    value: &ValuePlan,
    settings: ActivationSettings,
    calibration: &Calibration,
    warnings: &mut Vec<(String, &'static str)>,
) -> Result<(f32, f32)> {
    match value.range {
        RangeSource::Given(low, high) => Ok((low.min(0.0), high.max(0.0))),
        RangeSource::Fixed(range) => Ok(fixed(range, settings.scheme)),
        _ => {
            let missing = || {
                Error::value(
                    &value.name,
                    "has no statistics: they were taken with another model or policy; calibrate again",
                )
            };
            let statistics = calibration.values.get(&value.name).ok_or_else(missing)?;
            let seen = statistics.range();
            if statistics.samples() == 0 {
                warnings.push((value.name.clone(), "was never computed while the samples ran; its range is a guess"));
            } else if seen.0 == seen.1 {
                warnings.push((value.name.clone(), "had the same number in every sample; its range is a guess"));
            }
            let (low, high) = calibrate::range(statistics, settings.calibrator, settings.scheme, value.behind);
            if !value.headroom {
                return Ok((low, high));
            }
            let headroom = |end: f32| (end * (1.0 + OUTPUT_HEADROOM)).clamp(f32::MIN, f32::MAX);
            Ok((headroom(low), headroom(high)))
        }
    }
}

/// The range that an operator cannot leave, ending so that the step is a power of two where the runtimes ask for it.
fn fixed(range: OutputRange, scheme: Scheme) -> (f32, f32) {
    if scheme.dtype.is_float() {
        return if range == OutputRange::Signed { (-1.0, 1.0) } else { (0.0, 1.0) };
    }
    let (min, max) = scheme.limits();
    let (half, all) = (((max - min) / 2) as f32, (max - min) as f32);
    match range {
        OutputRange::Closed => (0.0, 1.0),
        OutputRange::Signed if scheme.symmetric => (-half / (half + 1.0), half / (half + 1.0)),
        OutputRange::Signed => (-1.0, 1.0 - 2.0 / (all + 1.0)),
        // Half of a symmetric grid lies below zero.
        _ if scheme.symmetric => (0.0, half / (half + 1.0)),
        _ => (0.0, all / (all + 1.0)),
    }
}

/// The largest share of columns that is split off: more of them are no outliers.
const MOST_OUTLIERS: f64 = 0.5;

impl Resolved {
    /// Finds the columns to split off, and what remains of each value's range without them.
    fn split_columns(&mut self, plan: &Plan, calibration: &Calibration) -> HashMap<ValueId, (f32, f32)> {
        let (mut rests, mut seen) = (HashMap::new(), HashSet::new());
        for constant in plan.nodes.iter().flat_map(|node| node.placement.constants()) {
            // Several layers may read one value.
            let Some(split) = constant.split.filter(|split| seen.insert(split.value)) else { continue };
            let Some(value) = plan.observed().find(|value| value.id == split.value) else { continue };
            let statistics = calibration.values.get(&value.name);
            let Some(ends) = statistics.and_then(|seen| seen.channels(ChannelAxis::Last)) else { continue };
            let is_outlier = |ends: &(f32, f32)| ends.1.max(-ends.0) > split.threshold;
            let columns: Vec<usize> = (0..ends.len()).filter(|&column| is_outlier(&ends[column])).collect();
            if columns.len() as f64 > ends.len() as f64 * MOST_OUTLIERS {
                let why = "has more columns above outlier_threshold than below, which are no outliers: none of them is split off";
                self.warnings.push((value.name.clone(), why));
            } else if !columns.is_empty() {
                let rest = ends.iter().filter(|ends| !is_outlier(ends));
                rests.insert(value.id, rest.fold((0f32, 0f32), |all, ends| (all.0.min(ends.0), all.1.max(ends.1))));
                self.outliers.insert(value.id, columns);
            }
        }
        rests
    }

    /// Gives a value another range, and its grid to all that share it.
    pub fn set_range(&mut self, plan: &Plan, value: &ValuePlan, ends: (f32, f32)) {
        let params = Params::from_range(ends.0, ends.1, value.settings.scheme);
        self.ranges.insert(value.name.clone(), ends);
        for sharing in plan.values.iter().filter(|one| plan.root(one.id) == value.id) {
            let before = self.params.insert(sharing.id, params);
            if let Some((before, (_, maxima))) = before.zip(self.maxima.get_mut(&sharing.id)) {
                maxima.iter_mut().for_each(|most| *most = reached(*most, before, params));
            }
        }
    }

    /// Tells again which clamps vanish, by the grids that there are now.
    pub fn clamp_anew(&mut self, plan: &Plan) {
        self.absorbed.clear();
        self.absorb_clamps(plan);
    }

    /// Clamps behind one node vanish together or not at all: what is left between them would need a grid of its own.
    pub fn absorb_clamps(&mut self, plan: &Plan) {
        let nodes = plan.by_node();
        for node in &plan.nodes {
            let Placement::Integer(integer) = &node.placement else { continue };
            let Some(params) = integer.end.and_then(|end| self.params(end)) else { continue };
            let within = |clamp: &NodeId| match nodes.get(clamp).map(|n| &n.placement) {
                Some(Placement::Clamp { low, high, .. }) => params.absorbs_clamp(*low, *high),
                _ => false,
            };
            if integer.clamps.iter().all(within) {
                self.absorbed.extend(&integer.clamps);
            }
        }
    }
}
