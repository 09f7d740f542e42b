//! Why a layer does damage, as its numbers tell.

use super::units::Unit;
use super::{Metric, NodeDamage};
use crate::calibrate::{Calibration, Statistics};
use crate::plan::Plan;
use crate::quant::{Cut, KnownConstant, Params};
use std::collections::BTreeMap;

/// How many times the root mean square the largest weight of a grid may be before it is an outlier. Of 10,000 normally distributed
/// numbers the largest is 4 times it.
const CREST: f64 = 10.0;
/// How many times the median of the channels the largest channel may reach before they are unlike: 3 bits are lost to the median.
const SPREAD: f64 = 8.0;
/// The part of a grid that 99 % of the numbers must not fit into: more than 3 bits are lost to most of them.
const CROWDED: f64 = 0.1;
/// The largest magnitude that a bias gets, less a thousandth for rounding.
const BIAS_LIMIT: u32 = (1 << 30) - (1 << 20);

/// What is known of the constants of one node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Constants {
    /// How many grids its weight has.
    grids: usize,
    /// Over the grids of its weight, the largest ratio of the largest number to the root mean square.
    crest: f64,
    /// The largest magnitude of any channel over that of the median one.
    spread: f64,
    /// Elements of its bias that lie where int32 is taken to end.
    full_biases: usize,
}

impl Constants {
    /// Takes in a weight and the grids that it has.
    pub fn add_weight(&mut self, weight: &[f32], shape: &[usize], known: &KnownConstant) {
        let Some(cut) = known.cut(shape).filter(|cut: &Cut| cut.count() == known.grids.len()) else { return };
        self.grids = self.grids.max(known.grids.len());
        let mut parts = vec![(0f64, 0f64, 0u64); known.grids.len()];
        for (index, &number) in weight.iter().enumerate() {
            let (number, part) = (f64::from(number.abs()), &mut parts[cut.grid(index)]);
            *part = (part.0.max(number), part.1 + number * number, part.2 + 1);
        }
        let crests = parts.iter().filter(|part| part.1 > 0.0).map(|part| part.0 / (part.1 / part.2 as f64).sqrt());
        self.crest = crests.fold(self.crest, f64::max);
        // Without knowing the operator: outputs lie along the first axis, or the last.
        if known.grids.len() == 1 {
            let along = |inner: usize, count: usize| {
                let mut ends = vec![0f64; count];
                weight
                    .iter()
                    .enumerate()
                    .for_each(|(i, v)| ends[i / inner % count] = ends[i / inner % count].max(f64::from(v.abs())));
                unlike(&mut ends)
            };
            let (first, last) = (shape.first().copied().unwrap_or(1).max(1), shape.last().copied().unwrap_or(1).max(1));
            let inner = (weight.len() / first).max(1);
            let spread = if shape.len() == 2 { along(1, last).max(along(inner, first)) } else { along(inner, first) };
            self.spread = self.spread.max(spread);
        }
    }

    /// Takes in a bias as it is stored.
    pub fn add_bias(&mut self, integers: &[i32]) {
        self.full_biases += integers.iter().filter(|integer| integer.unsigned_abs() >= BIAS_LIMIT).count();
    }
}

/// The largest of `ends` over the median of those that are not zero; 0 where fewer than 4 are.
fn unlike(ends: &mut [f64]) -> f64 {
    ends.sort_by(f64::total_cmp);
    let some: Vec<f64> = ends.iter().copied().filter(|&end| end > 0.0).collect();
    if some.len() < 4 { 0.0 } else { some[some.len() - 1] / some[some.len() / 2] }
}

/// What is known of a model beside the damage.
#[derive(Default)]
pub struct Evidence<'a> {
    /// What calibration showed, and the plan that it was for.
    pub seen: Option<(&'a Calibration, &'a Plan)>,
}

/// One cause with a number that tells how bad it is, for the order.
type Cause = (f64, String);

impl Evidence<'_> {
    /// The causes for what `node`, a unit, does: those of the half that does more damage first.
    pub(super) fn causes(
        &self,
        unit: &Unit,
        node: &NodeDamage,
        constants: &[&Constants],
        grids: &BTreeMap<String, Params>,
    ) -> Vec<String> {
        let mut of_weights: Vec<Cause> = constants.iter().flat_map(|constants| weights(constants)).collect();
        let values = unit.reads.iter().chain(&unit.makes);
        let mut of_activations: Vec<Cause> =
            values.filter_map(|name| self.activation(name, grids.get(name)?)).collect();
        let by = |damage: &Option<super::Damage>| damage.map_or(f64::NEG_INFINITY, |damage| damage.by(Metric::Sqnr));
        for causes in [&mut of_weights, &mut of_activations] {
            causes.sort_by(|a, b| b.0.total_cmp(&a.0));
        }
        let mut causes = if by(&node.weights) > by(&node.activations) {
            [of_weights, of_activations].concat()
        } else {
            [of_activations, of_weights].concat()
        };
        for (is, text) in [
            (unit.is_first, "first: it reads the model's input"),
            (unit.is_last, "last: nothing quantized stands behind it"),
        ] {
            causes.extend(is.then(|| (0.0, text.to_owned())));
        }
        causes.into_iter().map(|(_, text)| text).collect()
    }

    /// What is odd about an activation on its grid.
    fn activation(&self, name: &str, grid: &Params) -> Option<Cause> {
        let (calibration, plan) = self.seen?;
        let statistics = calibration.values.get(name)?;
        let axis = plan.values.iter().find(|value| value.name == name).and_then(|value| value.channels);
        let ends = axis.and_then(|axis| statistics.channels(axis));
        let mut extents: Vec<f64> = ends.into_iter().flatten().map(|(low, high)| f64::from(high.max(-low))).collect();
        let spread = unlike(&mut extents);
        let found = clipped(name, statistics, grid).or_else(|| crowded(name, statistics, grid));
        found.or_else(|| {
            let text = || format!("channel spread: the largest channel of {name} reaches {spread:.0} times as far as the median one, on one grid");
            (spread >= SPREAD).then(|| (spread / SPREAD, text()))
        })
    }
}

/// Where more of the error comes from numbers beyond the grid than from rounding.
fn clipped(name: &str, statistics: &Statistics, grid: &Params) -> Option<Cause> {
    if grid.dtype.is_float() {
        return None;
    }
    let (histogram, (low, high)) = (statistics.histogram(), grid.real_range());
    let (low, high, half) = (f64::from(low), f64::from(high), histogram.width() / 2.0);
    let (mut beyond, mut cut) = (0u64, 0.0);
    for (edge, count) in histogram.bins() {
        let by = (edge + half - high).max(low - edge - half);
        // Half a step beyond the last is rounding.
        if by > f64::from(grid.scale) / 2.0 {
            beyond += count;
            cut += count as f64 * by * by;
        }
    }
    let rounding = histogram.total() as f64 * f64::from(grid.scale).powi(2) / 12.0;
    let share = cut / (cut + rounding);
    let seen = statistics.range();
    let text = || {
        format!(
            "clipping: {} of {name} lie beyond its grid from {low:.3} to {high:.3} (calibration saw {:.3} to {:.3}) and make {:.0} % of its error",
            percent(beyond as f64 / histogram.total().max(1) as f64),
            seen.0,
            seen.1,
            100.0 * share
        )
    };
    (beyond > 0 && share > 0.5).then(|| (2.0 * share, text()))
}

/// Where nearly all numbers lie in a small part of the grid.
fn crowded(name: &str, statistics: &Statistics, grid: &Params) -> Option<Cause> {
    let histogram = statistics.histogram();
    let (low, high) = grid.real_range();
    let width = f64::from(high) - f64::from(low);
    // The half per cent at each end. Zeros are on every grid, and suffer from none.
    let numbers = histogram.total() - histogram.zeros();
    let tail = numbers / 200;
    let (from, to) =
        (end(histogram.bins(), tail).min(0.0), (end(histogram.bins().rev(), tail) + histogram.width()).max(0.0));
    let share = (to - from) / width;
    let text = || {
        format!(
            "range outliers: 99 % of {name} lie from {from:.3} to {to:.3}, in {} of its grid from {low:.3} to {high:.3}",
            percent(share)
        )
    };
    (numbers > 1000 && width > 0.0 && share <= CROWDED && !grid.dtype.is_float())
        .then(|| (CROWDED / share.max(1e-3), text()))
}

/// The lower edge of the first bin that is not among the first `tail` numbers; 0 where all are.
fn end(mut bins: impl Iterator<Item = (f64, u64)>, tail: u64) -> f64 {
    let mut left = tail;
    let inner = bins.find(|(_, count)| {
        let is_inner = *count > left;
        left = left.saturating_sub(*count);
        is_inner
    });
    inner.map_or(0.0, |(edge, _)| edge)
}

/// What is odd about weights.
fn weights(constants: &Constants) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (crest, spread, full) = (constants.crest, constants.spread, constants.full_biases);
    if full > 0 {
        causes.push((10.0, format!("saturated bias: {full} elements of its bias need all that int32 holds, which widens the steps of their weights")));
    }
    if spread >= SPREAD {
        causes.push((spread / SPREAD, format!("channel spread: the largest channel of its weight reaches {spread:.0} times as far as the median one, on one grid")));
    }
    if crest >= CREST {
        let of = if constants.grids > 1 { "in one of its channels" } else { "of its weight" };
        causes.push((crest / CREST, format!("range outliers: the largest number {of} is {crest:.0} times the root mean square of those on the same grid")));
    }
    causes
}

fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent >= 1.0 { format!("{percent:.0} %") } else { format!("{percent:.2} %") }
}
