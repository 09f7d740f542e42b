//! The grids of activations, by the value that they stand on.

use super::pairing::Pairing;
use super::{Difference, Float};
use crate::dequantize::Direct;
use crate::ir::Graph;
use crate::quant::Params;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

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
    /// The scale in the second over that in the first; `None` where one is zero or not finite.
    pub scale_ratio: Option<f64>,
}

/// What only one of the models has on a grid.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OneSided {
    /// Its name in the float model; of what a node reads, with that node.
    pub name: String,
    /// What it is: an activation, a constant, or an activation as one node reads it.
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

/// Whether a layer makes `name` on a grid that each run finds. The weights of such layers are noted with what they make, but
/// have grids of their own.
fn is_dynamic(float: &Float, name: &str) -> bool {
    let constant = |graph: &Graph| graph.find(name).is_some_and(|value| graph.is_constant(value));
    float.found.dynamic.contains(name) && !constant(&float.model.graph)
}

/// One scale over another, where that is a number.
pub(super) fn ratio(b: f32, a: f32) -> Option<f64> {
    let ratio = f64::from(b) / f64::from(a);
    (ratio.is_finite() && ratio > 0.0).then_some(ratio)
}

/// What has no grid, but the name, in a model.
pub(super) fn without_grid(float: &Float, name: &str) -> String {
    if is_dynamic(float, name) {
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

/// Who reads an activation that is on a grid in both models as it was before in one of them alone.
fn direct(a: &Float, b: &Float, pairing: &Pairing<'_>, difference: &mut Difference) {
    let none = Direct::default();
    let [one, two] = pairing.graphs;
    let partners: BTreeMap<&str, &str> = pairing.nodes.iter().map(|(x, y)| (one.label(*x), two.label(*y))).collect();
    let back: BTreeMap<&str, &str> = partners.iter().map(|(&x, &y)| (y, x)).collect();
    for (name, params) in &a.found.grids.activations {
        let (Some(other), [first, second]) =
            (b.found.grids.activations.get(name), [a, b].map(|float| float.found.direct.get(name).unwrap_or(&none)))
        else {
            continue;
        };
        let mut told = |who: String, is_first: bool| {
            let rounded = |params: &Params| params.dtype.to_string();
            let (a, b) = match is_first {
                true => ("float".to_owned(), rounded(other)),
                false => (rounded(params), "float".to_owned()),
            };
            difference.one_sided.push(OneSided { name: format!("{name}, {who}"), kind: "input", a, b });
        };
        // Of nodes that only one model has it is told that they are there.
        let reads = |graph: &Graph, label: &str| {
            let value = graph.find(name);
            value.is_some_and(|value| graph.value(value).readers().any(|(id, _)| graph.label(id) == label))
        };
        let of_second = second.nodes.iter().filter_map(|partner| back.get(partner.as_str()).copied());
        for label in first.nodes.iter().map(String::as_str).chain(of_second).collect::<BTreeSet<_>>() {
            let Some(partner) = partners.get(label) else { continue };
            let (x, y) = (first.nodes.contains(label), second.nodes.contains(*partner));
            if x != y && reads(one, label) && reads(two, partner) {
                told(format!("read by {label}"), x);
            }
        }
        if first.by_name != second.by_name {
            told("as an output or in a body".to_owned(), first.by_name);
        }
    }
}

pub(super) fn compare(a: &Float, b: &Float, pairing: &Pairing<'_>, difference: &mut Difference) {
    let (one, mut two) = (of(a), of(b));
    let sided = |name: &str, params: Params, other: &Float| {
        (name.to_owned(), params.dtype.to_string(), without_grid(other, name))
    };
    for ((name, which), params) in one {
        match two.remove(&(name.clone(), which)) {
            Some(other) => {
                difference.compared.grids += 1;
                // A scale that is no number is the same as itself.
                let key = |grid: Params| (grid.dtype, grid.scale.to_bits(), grid.zero_point);
                if key(other) != key(params) {
                    let scale_ratio = ratio(other.scale, params.scale);
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
        let made = only.filter(|name| !to.found.grids.activations.contains_key(*name) && is_dynamic(from, name));
        made.cloned().collect::<Vec<_>>()
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
    direct(a, b, pairing, difference);
    // Types first, then scales by their ratio, then zero points.
    let worth = |change: &GridChange| {
        let steps = i64::from(change.a.zero_point) - i64::from(change.b.zero_point);
        let ratio = change.scale_ratio.map_or(f64::INFINITY, |ratio| ratio.log2().abs());
        (change.a.r#type != change.b.r#type, ratio, steps.unsigned_abs())
    };
    difference.grids.sort_by(|x, y| {
        let (x_worth, y_worth) = (worth(x), worth(y));
        let types = y_worth.0.cmp(&x_worth.0).then(y_worth.1.total_cmp(&x_worth.1)).then(y_worth.2.cmp(&x_worth.2));
        types.then_with(|| x.value.cmp(&y.value))
    });
}
