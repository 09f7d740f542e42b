//! What is locked of one value, and back.

use crate::error::{Error, Result};
use crate::plan::{Plan, RangeSource, ValuePlan};
use crate::quant::{ChannelAxis, GridType, Moments, Params};
use crate::resolve::Resolved;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// What is locked of one activation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// The value whose grid it shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
    /// Its own grid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grid: Option<Grid>,
    /// The range that the grid was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(f32, f32)>,
    /// Its grids of other types, for readers that want those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Grid>,
    /// The columns that run in float beside the integer rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outliers: Vec<usize>,
    /// Mean and variance, which decide about the scales of weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moments: Option<(f32, f32)>,
    /// The same by channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
}

/// A grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Its type, as ONNX calls it.
    #[serde(rename = "type")]
    pub dtype: String,
    /// Its step.
    pub scale: f32,
    /// What stands for 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub zero_point: i32,
}

/// What is known of the channels of a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channels {
    /// Their axis: 1, or -1 for the last.
    pub axis: i8,
    /// The mean of each, and the variance within them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moments: Option<(Vec<f32>, f32)>,
    /// The largest integer, counted from the lowest, that each is expected to reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub largest: Vec<u8>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(zero_point: &i32) -> bool {
    *zero_point == 0
}

/// All values of a plan as they were resolved.
pub fn values(plan: &Plan, resolved: &Resolved) -> BTreeMap<String, Value> {
    let name = |id| plan.value(id).map(|value| value.name.clone());
    let one = |value: &ValuePlan| {
        let same_as = match value.range {
            RangeSource::SameAs(_) => name(plan.root(value.id)),
            _ => None,
        };
        let also = value.also.iter().filter_map(|other| resolved.converted(value.id, other.scheme.dtype));
        let channels = value.channels.map(|axis| Channels {
            axis: axis_number(axis),
            moments: resolved.channel_moments(value.id, axis).map(|m| (m.means.clone(), m.variance)),
            largest: resolved.channel_maxima(value.id, axis).unwrap_or_default().to_vec(),
        });
        let moments = resolved.moments(value.id).and_then(|m| Some((*m.means.first()?, m.variance)));
        let grid = resolved.params(value.id).filter(|_| same_as.is_none()).map(Grid::from);
        let range = resolved.ranges.get(&value.name).copied();
        let (also, outliers) = (also.map(Grid::from).collect(), resolved.outliers(value.id).to_vec());
        (value.name.clone(), Value { same_as, grid, range, also, outliers, moments, channels })
    };
    // What is observed without a grid may be split all the same.
    let watched = plan.watched.iter().filter_map(|value| {
        let outliers = resolved.outliers(value.id).to_vec();
        (!outliers.is_empty()).then(|| (value.name.clone(), Value { outliers, ..Value::default() }))
    });
    plan.values.iter().map(one).chain(watched).collect()
}

/// What `plan` is resolved to.
///
/// # Errors
/// See [`Lock::resolve`](super::Lock::resolve).
pub fn resolve(values: &BTreeMap<String, Value>, plan: &Plan) -> Result<Resolved> {
    let planned: HashSet<&str> = plan.values.iter().chain(&plan.watched).map(|value| value.name.as_str()).collect();
    if let Some(name) = values.keys().find(|name| !planned.contains(name.as_str())) {
        return Err(Error::value(name, "has a grid in the lock, and gets none now"));
    }
    let mut resolved = Resolved::default();
    for value in &plan.watched {
        let locked = values.get(&value.name).map_or_else(Vec::new, |locked| locked.outliers.clone());
        resolved.set_outliers(value.id, locked);
    }
    for value in &plan.values {
        let found = |of: &str| values.get(of).ok_or_else(|| Error::value(of, "gets a grid, and has none in the lock"));
        let locked = found(&value.name)?;
        let root = plan.value(plan.root(value.id)).map_or(value.name.as_str(), |root| root.name.as_str());
        let expected = Some(root).filter(|root| *root != value.name);
        if locked.same_as.as_deref() != expected {
            let of = |name: Option<&str>| name.map_or("of its own".to_owned(), |name| format!("of {name:?}"));
            let why = format!("has the grid {} in the lock, and {} now", of(locked.same_as.as_deref()), of(expected));
            return Err(Error::value(&value.name, why));
        }
        let grid = found(root)?.grid.as_ref().ok_or_else(|| Error::value(root, "has no grid in the lock"))?;
        let params = grid.params(root)?;
        let wanted = plan.value(plan.root(value.id)).map_or(value.settings.scheme.dtype, |v| v.settings.scheme.dtype);
        if params.dtype != wanted {
            return Err(Error::value(root, format!("is {} in the lock, and {wanted} now", params.dtype)));
        }
        resolved.set_params(value.id, params);
        for other in &value.also {
            let dtype = other.scheme.dtype;
            let of_type = |grid: &&Grid| grid.dtype == dtype.to_string();
            let missing = || Error::value(&value.name, format!("has no grid of {dtype} in the lock, and gets one now"));
            let grid = locked.also.iter().find(of_type).ok_or_else(missing)?;
            resolved.set_converted(value.id, grid.params(&value.name)?);
        }
        if let Some(range) = locked.range {
            resolved.ranges.insert(value.name.clone(), range);
        }
        if let Some((mean, variance)) = locked.moments {
            resolved.set_moments(value.id, Moments { means: vec![mean], variance });
        }
        if let Some((axis, channels)) = value.channels.zip(locked.channels.as_ref()) {
            if channels.axis != axis_number(axis) {
                return Err(Error::value(&value.name, "has its channels along another axis in the lock"));
            }
            let moments = channels.moments.clone().map(|(means, variance)| Moments { means, variance });
            resolved.set_channels(value.id, axis, moments, channels.largest.clone());
        }
        resolved.set_outliers(value.id, locked.outliers.clone());
    }
    resolved.absorb_clamps(plan);
    Ok(resolved)
}

fn axis_number(axis: ChannelAxis) -> i8 {
    match axis {
        ChannelAxis::Second => 1,
        ChannelAxis::Last => -1,
    }
}

impl From<Params> for Grid {
    fn from(params: Params) -> Self {
        Self { dtype: params.dtype.to_string(), scale: params.scale, zero_point: params.zero_point }
    }
}

impl Grid {
    fn params(&self, value: &str) -> Result<Params> {
        let no = |why: String| Error::value(value, format!("has no grid in the lock: {why}"));
        let dtype =
            GridType::called(&self.dtype).ok_or_else(|| no(format!("{:?} is no type of a grid", self.dtype)))?;
        let params = Params { dtype, scale: self.scale, zero_point: self.zero_point };
        params.check().map_err(no)?;
        Ok(params)
    }
}
