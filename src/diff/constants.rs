//! Stored numbers, by name: as what they are stored, and how far the numbers are from each other.

use super::grids::{OneSided, ratio, without_grid};
use super::pairing::Pairing;
use super::{Difference, Float, nodes};
use crate::error::Result;
use crate::ir::{Graph, Unusual};
use crate::quant::KnownConstant;
use crate::tensor::Tensor;
use serde::Serialize;
use std::collections::BTreeMap;

/// A constant that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConstantChange {
    /// Its name in the float model.
    pub name: String,
    /// Its name in the second model, where that is another: the same node reads it at the same place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b_name: Option<String>,
    /// As what the first model stores it; `None` where it does not have it.
    pub a: Option<String>,
    /// As what the second does.
    pub b: Option<String>,
    /// How many numbers it has.
    pub count: usize,
    /// How many of the stored numbers, integers where both store integers, differ; `None` where these do not correspond.
    pub differing: Option<usize>,
    /// How many of the numbers that they stand for are infinite or NaN in one model and something else in the other.
    pub not_finite: usize,
    /// The largest difference between the numbers that they stand for, where both are finite.
    pub max_abs: Option<f64>,
    /// The first model's numbers over the difference, in dB; `None` where there is none, or no signal.
    pub sqnr_db: Option<f64>,
    /// The smallest and the largest ratio of a scale in the second model to that in the first; `None` where one is zero or not
    /// finite.
    pub scale_ratio: Option<[f64; 2]>,
}

/// What a graph stores.
enum Held {
    Numbers(Tensor),
    Unusual(Unusual),
}

impl Held {
    fn count(&self) -> usize {
        match self {
            Self::Numbers(tensor) => tensor.len(),
            Self::Unusual(other) => other.count,
        }
    }

    fn said(&self, float: &Float, name: &str) -> Result<String> {
        match self {
            Self::Numbers(tensor) => Ok(stored(&Stored::of(float, name, tensor)?, tensor)),
            Self::Unusual(other) => Ok(other.said.clone()),
        }
    }
}

/// Every constant of a graph and its bodies by name; those of bodies with the node that has them.
fn all(graph: &Graph, scope: &str, found: &mut BTreeMap<String, Held>) -> Result<()> {
    for value in graph.value_ids() {
        let known = graph.value(value);
        if known.uses().is_empty() && !known.is_captured() {
            continue;
        }
        let held = match graph.constant(value)? {
            Some(tensor) => Some(Held::Numbers(tensor)),
            None => graph.unusual(value)?.map(Held::Unusual),
        };
        found.extend(held.map(|held| (format!("{scope}{}", known.name()), held)));
    }
    for id in graph.node_ids() {
        for index in 0..graph.body_count(id) {
            all(&graph.body(id, index)?, &format!("{scope}{}, body {index}: ", graph.label(id)), found)?;
        }
    }
    Ok(())
}

/// The integers that a constant was stored as, and as what.
struct Stored {
    said: String,
    integers: Option<Vec<i32>>,
    scales: Vec<f32>,
}

impl Stored {
    fn of(float: &Float, name: &str, tensor: &Tensor) -> Result<Self> {
        if let Some(bias) = float.found.biases.get(name) {
            let said = match bias.scales.len() {
                1 => "int32".to_owned(),
                scales => format!("int32 of {scales} scales"),
            };
            return Ok(Self { said, integers: Some(bias.integers.clone()), scales: bias.scales.clone() });
        }
        let Some(known) = float.found.grids.constants.get(name) else {
            return Ok(Self { said: tensor.dtype().to_string(), integers: None, scales: vec![] });
        };
        let dtype = known.grids.first().map_or_else(String::new, |grid| grid.dtype.to_string());
        let said = match (known.axis, known.block) {
            (Some(axis), None) => format!("{dtype} of {} grids along axis {axis}", known.grids.len()),
            (axis, Some(block)) => {
                format!("{dtype} of {} grids, blocks of {block} along axis {}", known.grids.len(), axis.unwrap_or(0))
            }
            (None, None) => dtype,
        };
        let scales = known.grids.iter().map(|grid| grid.scale).collect();
        Ok(Self { said, integers: integers(known, tensor)?, scales })
    }
}

/// The integers that stand for the numbers of `tensor`: what was stored, as each number lies on its grid.
fn integers(known: &KnownConstant, tensor: &Tensor) -> Result<Option<Vec<i32>>> {
    let numbers = tensor.to_f32()?;
    let Some(cut) = known.cut(tensor.shape()) else { return Ok(None) };
    let one = |(index, &number): (usize, &f32)| Some(known.grids.get(cut.grid(index))?.quantize(number));
    Ok(numbers.iter().enumerate().map(one).collect())
}

pub(super) fn compare(a: &Float, b: &Float, pairing: &Pairing<'_>, difference: &mut Difference) -> Result<()> {
    let (mut one, mut two) = (BTreeMap::new(), BTreeMap::new());
    all(&a.model.graph, "", &mut one)?;
    all(&b.model.graph, "", &mut two)?;
    let by_place = nodes::constants_by_place(pairing)?;
    for (name, first) in one {
        let other = if two.contains_key(&name) { &name } else { by_place.get(&name).unwrap_or(&name) };
        let Some(second) = two.remove(other) else {
            difference.constants.push(only(&name, (Some(first.said(a, &name)?), None), first.count()));
            continue;
        };
        difference.compared.constants += 1;
        let found = match (&first, &second) {
            (Held::Numbers(first), Held::Numbers(second)) => {
                let (x, y) = (Stored::of(a, &name, first)?, Stored::of(b, other, second)?);
                if x.integers.is_some() != y.integers.is_some() {
                    let said = |stored: &Stored, float: &Float, name: &str| match stored.integers {
                        Some(_) => stored.said.clone(),
                        None => without_grid(float, name),
                    };
                    let (a, b) = (said(&x, a, &name), said(&y, b, other));
                    difference.one_sided.push(OneSided { name: name.clone(), kind: "constant", a, b });
                }
                change(&name, (first, &x), (second, &y))?
            }
            (Held::Unusual(x), Held::Unusual(y)) if x == y => None,
            _ => {
                let (x, mut y) = (first.said(a, &name)?, second.said(b, other)?);
                if x == y {
                    y += ", with others";
                }
                Some(only(&name, (Some(x), Some(y)), first.count()))
            }
        };
        let b_name = (*other != name).then(|| other.clone());
        difference.constants.extend(found.map(|found| ConstantChange { b_name, ..found }));
    }
    for (name, second) in two {
        difference.constants.push(only(&name, (None, Some(second.said(b, &name)?)), second.count()));
    }
    // Other shapes first, then what is not finite, then by how much noise lies between the two; what is there once only at the end.
    let worth = |change: &ConstantChange| match (change.max_abs, change.sqnr_db) {
        _ if change.a.is_none() || change.b.is_none() => (true, 0.0),
        (None, _) => (false, f64::NEG_INFINITY),
        _ if change.not_finite > 0 => (false, f64::MIN),
        (Some(most), None) if most > 0.0 => (false, f64::MIN / 2.0),
        (_, db) => (false, db.unwrap_or(f64::INFINITY)),
    };
    difference.constants.sort_by(|x, y| {
        let (x_worth, y_worth) = (worth(x), worth(y));
        let order = x_worth.0.cmp(&y_worth.0).then(x_worth.1.total_cmp(&y_worth.1));
        order.then_with(|| x.name.cmp(&y.name))
    });
    Ok(())
}

fn stored(stored: &Stored, tensor: &Tensor) -> String {
    format!("{}, shape {:?}", stored.said, tensor.shape())
}

fn only(name: &str, (a, b): (Option<String>, Option<String>), count: usize) -> ConstantChange {
    ConstantChange {
        name: name.to_owned(),
        b_name: None,
        a,
        b,
        count,
        differing: None,
        not_finite: 0,
        max_abs: None,
        sqnr_db: None,
        scale_ratio: None,
    }
}

/// What differs between two constants of one name, if anything does.
fn change(
    name: &str,
    (first, x): (&Tensor, &Stored),
    (second, y): (&Tensor, &Stored),
) -> Result<Option<ConstantChange>> {
    // A scale that is no number is the same as itself.
    let same_scales = || x.scales.iter().map(|s| s.to_bits()).eq(y.scales.iter().map(|s| s.to_bits()));
    let alike = first == second && x.said == y.said && same_scales() && x.integers == y.integers;
    if alike {
        return Ok(None);
    }
    let mut change = only(name, (Some(stored(x, first)), Some(stored(y, second))), first.len());
    if first.shape() != second.shape() {
        return Ok(Some(change));
    }
    if x.scales.len() == y.scales.len() && !x.scales.is_empty() {
        let ratios: Option<Vec<f64>> = x.scales.iter().zip(&y.scales).map(|(&a, &b)| ratio(b, a)).collect();
        let ends = |all: Vec<f64>| {
            [all.iter().copied().fold(f64::INFINITY, f64::min), all.iter().copied().fold(f64::NEG_INFINITY, f64::max)]
        };
        change.scale_ratio = ratios.map(ends);
    }
    change.differing = match (&x.integers, &y.integers) {
        (Some(a), Some(b)) => Some(a.iter().zip(b).filter(|(a, b)| a != b).count()),
        (None, None) if first.dtype() == second.dtype() => differing(first, second),
        _ => None,
    };
    if let (Ok(a), Ok(b)) = (first.to_f32(), second.to_f32()) {
        let (mut most, mut signal, mut noise) = (0f64, 0f64, 0f64);
        for (&a, &b) in a.iter().zip(b.iter()) {
            if !a.is_finite() || !b.is_finite() {
                change.not_finite += usize::from(a != b && !(a.is_nan() && b.is_nan()));
                continue;
            }
            let (a, b) = (f64::from(a), f64::from(b));
            let away = (a - b).abs();
            most = most.max(away);
            signal += a * a;
            noise += away * away;
        }
        change.max_abs = Some(most);
        change.sqnr_db = (noise > 0.0 && signal > 0.0 && noise.is_finite()).then(|| 10.0 * (signal / noise).log10());
    }
    Ok(Some(change))
}

/// How many elements of whole bytes differ.
fn differing(a: &Tensor, b: &Tensor) -> Option<usize> {
    let size = a.dtype().bits().filter(|bits| bits.is_multiple_of(8))? / 8;
    let pairs = a.bytes().chunks_exact(size).zip(b.bytes().chunks_exact(size));
    Some(pairs.filter(|(a, b)| a != b).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::{GridType, Params};

    #[test]
    fn each_number_is_on_the_grid_of_its_place() {
        let grids = |scales: &[f32]| {
            scales.iter().map(|&scale| Params { dtype: GridType::Int8, scale, zero_point: 1 }).collect::<Vec<_>>()
        };
        let of = |axis, block, scales: &[f32]| {
            let known = KnownConstant { axis, block, grids: grids(scales) };
            let stored = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
            let cut = |index: usize| match (axis, block) {
                (None, None) => 0,
                (Some(0), None) => index / 6,
                (Some(1), None) => index / 2 % 3,
                // [2, 3, 2] in blocks of two along the middle: two of them, the last one shorter.
                _ => (index / 6 * 2 + index / 2 % 3 / 2) * 2 + index % 2,
            };
            let numbers: Vec<f32> = stored.iter().enumerate().map(|(k, &q)| (q - 1) as f32 * scales[cut(k)]).collect();
            let found = integers(&known, &Tensor::from_f32(vec![2, 3, 2], &numbers)).expect("numbers");
            assert_eq!(found.as_deref(), Some(&stored[..]), "{axis:?}, {block:?}");
        };
        of(None, None, &[0.5]);
        of(Some(0), None, &[0.5, 3.0]);
        of(Some(1), None, &[0.5, 3.0, 0.125]);
        of(Some(1), Some(2), &[0.5, 3.0, 0.125, 7.0, 0.3, 11.0, 0.7, 2.0]);
        let known = KnownConstant { axis: Some(3), block: None, grids: grids(&[1.0]) };
        assert_eq!(integers(&known, &Tensor::from_f32(vec![1], &[1.0])).expect("numbers"), None);
    }
}
