//! The grids of activations, by the value that they stand on.

use super::{Difference, Float};
use crate::quant::Params;
use serde::Serialize;
use std::collections::BTreeMap;

/// A grid.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GridOf {
    /// The type.
    pub r#type: String,
    /// The step.
    pub scale: f32,
    /// The integer that stands for zero.
    pub zero_point: i32,
}

/// A value whose grid differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GridChange {
    /// The value's name in the float model.
    pub value: String,
    /// Its grid in the first model.
    pub a: GridOf,
    /// Its grid in the second.
    pub b: GridOf,
    /// The scale in the second over that in the first.
    pub scale_ratio: f64,
}

/// What only one of the models has on a grid.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OneSided {
    /// Its name in the float model.
    pub name: String,
    /// What it is: an activation or a constant.
    pub kind: &'static str,
    /// What it is in the first model: integers of a type, float, or not there.
    pub a: String,
    /// What it is in the second.
    pub b: String,
}

impl GridOf {
    fn of(params: Params) -> Self {
        let Params { dtype, scale, zero_point } = params;
        Self { r#type: dtype.to_string(), scale, zero_point }
    }
}

/// What has no grid, but the name, in a model.
pub(super) fn without_grid(float: &Float, name: &str) -> String {
    if float.found.dynamic.contains(name) {
        return "on a grid that each run finds".to_owned();
    }
    if float.found.lost.iter().any(|(lost, _)| lost == name) {
        return "on no single constant grid".to_owned();
    }
    match float.model.graph.find(name) {
        Some(_) => "float".to_owned(),
        None => "not there".to_owned(),
    }
}

/// The grids, by value; further ones of a value by their type, too.
fn of(float: &Float) -> BTreeMap<(String, Option<String>), Params> {
    let first = float.found.grids.activations.iter().map(|(name, &params)| ((name.clone(), None), params));
    let also = float
        .found
        .also
        .iter()
        .flat_map(|(name, all)| all.iter().map(|&params| ((name.clone(), Some(params.dtype.to_string())), params)));
    first.chain(also).collect()
}

pub(super) fn compare(a: &Float, b: &Float, difference: &mut Difference) {
    let (one, mut two) = (of(a), of(b));
    let sided = |name: &str, params: Params, other: &Float| {
        // Where nothing says otherwise, the two are known by their own graphs.
        (name.to_owned(), params.dtype.to_string(), without_grid(other, name))
    };
    for ((name, which), params) in one {
        match two.remove(&(name.clone(), which)) {
            Some(other) => {
                difference.compared.grids += 1;
                if other != params {
                    let scale_ratio = f64::from(other.scale) / f64::from(params.scale);
                    let (a, b) = (GridOf::of(params), GridOf::of(other));
                    difference.grids.push(GridChange { value: name, a, b, scale_ratio });
                }
            }
            None => {
                let (name, a, b) = sided(&name, params, b);
                difference.one_sided.push(OneSided { name, kind: "activation", a, b });
            }
        }
    }
    for ((name, _), params) in two {
        let (name, b, a) = sided(&name, params, a);
        difference.one_sided.push(OneSided { name, kind: "activation", a, b });
    }
    let dynamic = |from: &Float, to: &Float| {
        let only = from.found.dynamic.difference(&to.found.dynamic);
        only.filter(|name| !to.found.grids.activations.contains_key(*name)).cloned().collect::<Vec<_>>()
    };
    let found = "made from a grid that each run finds".to_owned();
    for name in dynamic(a, b) {
        let other = without_grid(b, &name);
        difference.one_sided.push(OneSided { name, kind: "activation", a: found.clone(), b: other });
    }
    for name in dynamic(b, a) {
        let other = without_grid(a, &name);
        difference.one_sided.push(OneSided { name, kind: "activation", a: other, b: found.clone() });
    }
    // Types first, then scales by their ratio, then zero points.
    let worth = |change: &GridChange| {
        let steps = i64::from(change.a.zero_point) - i64::from(change.b.zero_point);
        (change.a.r#type != change.b.r#type, change.scale_ratio.log2().abs(), steps.unsigned_abs())
    };
    difference.grids.sort_by(|x, y| {
        let (x_worth, y_worth) = (worth(x), worth(y));
        let types = y_worth.0.cmp(&x_worth.0).then(y_worth.1.total_cmp(&x_worth.1)).then(y_worth.2.cmp(&x_worth.2));
        types.then_with(|| x.value.cmp(&y.value))
    });
}
