//! Stored numbers, by name: as what they are stored, and how far the numbers are from each other.

use super::grids::{OneSided, without_grid};
use super::{Difference, Float, nodes};
use crate::error::Result;
use crate::ir::Graph;
use crate::quant::KnownConstant;
use crate::tensor::{DataType, Tensor};
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
    /// The largest difference between the numbers that they stand for.
    pub max_abs: Option<f64>,
    /// The first model's numbers over the difference, in dB; `None` where there is none, or no signal.
    pub sqnr_db: Option<f64>,
    /// The smallest and the largest ratio of a scale in the second model to that in the first.
    pub scale_ratio: Option<[f64; 2]>,
}

/// Every constant of a graph and its bodies by name; those of bodies with the node that has them.
fn all(graph: &Graph, scope: &str, found: &mut BTreeMap<String, Tensor>) -> Result<()> {
    for value in graph.value_ids() {
        let used = !graph.value(value).uses().is_empty() || graph.value(value).is_captured();
        if let Some(tensor) = graph.constant(value)?.filter(|_| used) {
            found.insert(format!("{scope}{}", graph.value(value).name()), tensor);
        }
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
    let (numbers, shape) = (tensor.to_f32()?, tensor.shape());
    let axis = known.axis.unwrap_or(0);
    if known.axis.is_some() && axis >= shape.len() {
        return Ok(None);
    }
    let inner: usize = shape.get(axis + 1..).map_or(1, |behind| behind.iter().product());
    let length = shape.get(axis).copied().unwrap_or(1).max(1);
    let along = known.block.map_or(length, |block| length.div_ceil(block.max(1)));
    let grid = |index: usize| match (known.axis, known.block) {
        (None, None) => 0,
        (_, None) => index / inner % length,
        (_, Some(block)) => {
            (index / (inner * length) * along + index / inner % length / block.max(1)) * inner + index % inner
        }
    };
    let one = |(index, &number): (usize, &f32)| Some(known.grids.get(grid(index))?.quantize(number));
    Ok(numbers.iter().enumerate().map(one).collect())
}

pub(super) fn compare(a: &Float, b: &Float, difference: &mut Difference) -> Result<()> {
    let (mut one, mut two) = (BTreeMap::new(), BTreeMap::new());
    all(&a.model.graph, "", &mut one)?;
    all(&b.model.graph, "", &mut two)?;
    let by_place = nodes::constants_by_place(&a.model.graph, &b.model.graph)?;
    for (name, first) in one {
        let x = Stored::of(a, &name, &first)?;
        let other = if two.contains_key(&name) { &name } else { by_place.get(&name).unwrap_or(&name) };
        let Some(second) = two.remove(other) else {
            difference.constants.push(only(&name, (Some(stored(&x, &first)), None), first.len()));
            continue;
        };
        let y = Stored::of(b, other, &second)?;
        difference.compared.constants += 1;
        if x.integers.is_some() != y.integers.is_some() {
            let said = |stored: &Stored, float: &Float, name: &str| match stored.integers {
                Some(_) => stored.said.clone(),
                None => without_grid(float, name),
            };
            let (a, b) = (said(&x, a, &name), said(&y, b, other));
            difference.one_sided.push(OneSided { name: name.clone(), kind: "constant", a, b });
        }
        let found = change(&name, (&first, &x), (&second, &y))?;
        let b_name = (*other != name).then(|| other.clone());
        difference.constants.extend(found.map(|found| ConstantChange { b_name, ..found }));
    }
    for (name, second) in two {
        let y = Stored::of(b, &name, &second)?;
        difference.constants.push(only(&name, (None, Some(stored(&y, &second))), second.len()));
    }
    // Other shapes first, then by how much noise lies between the two; what is there once only at the end.
    let worth = |change: &ConstantChange| match (change.max_abs, change.sqnr_db) {
        _ if change.a.is_none() || change.b.is_none() => (true, 0.0),
        (None, _) => (false, f64::NEG_INFINITY),
        (Some(most), None) if most > 0.0 => (false, f64::MIN),
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
    let name = name.to_owned();
    ConstantChange { name, b_name: None, a, b, count, differing: None, max_abs: None, sqnr_db: None, scale_ratio: None }
}

/// What differs between two constants of one name, if anything does.
fn change(
    name: &str,
    (first, x): (&Tensor, &Stored),
    (second, y): (&Tensor, &Stored),
) -> Result<Option<ConstantChange>> {
    let alike = first == second && x.said == y.said && x.scales == y.scales && x.integers == y.integers;
    if alike {
        return Ok(None);
    }
    let mut change = only(name, (Some(stored(x, first)), Some(stored(y, second))), first.len());
    if first.shape() != second.shape() {
        return Ok(Some(change));
    }
    if x.scales.len() == y.scales.len() && !x.scales.is_empty() {
        let ratios = x.scales.iter().zip(&y.scales).map(|(&a, &b)| f64::from(b) / f64::from(a));
        let ends = ratios.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), r| (low.min(r), high.max(r)));
        change.scale_ratio = Some([ends.0, ends.1]);
    }
    change.differing = match (&x.integers, &y.integers) {
        (Some(a), Some(b)) => Some(a.iter().zip(b).filter(|(a, b)| a != b).count()),
        (None, None) if first.dtype() == second.dtype() => differing(first, second),
        _ => None,
    };
    if let (true, Ok(a), Ok(b)) = (numbers(first) && numbers(second), first.to_f32(), second.to_f32()) {
        let (mut most, mut signal, mut noise) = (0f64, 0f64, 0f64);
        for (&a, &b) in a.iter().zip(b.iter()) {
            let (a, b) = (f64::from(a), f64::from(b));
            // Infinities that are the same are no difference.
            let away = if a == b { 0.0 } else { (a - b).abs() };
            most = most.max(away);
            signal += a * a;
            noise += away * away;
        }
        change.max_abs = Some(most);
        change.sqnr_db = (noise > 0.0 && signal > 0.0 && noise.is_finite()).then(|| 10.0 * (signal / noise).log10());
    }
    Ok(Some(change))
}

fn numbers(tensor: &Tensor) -> bool {
    tensor.dtype() != DataType::String
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
