//! LayerNormalization and RMSNormalization spelled out, as PyTorch, Paddle, Keras and JAX write them.

use super::means::{centred, mean, parts_agree, square, without_layout};
use super::view::{Product, View, near};
use super::{Found, Kind, Normalization};
use crate::ir::{NodeId, ValueId};

/// `1 / sqrt(mean(square) + epsilon)`, perhaps with the scale multiplied in.
struct Inverse {
    /// What is squared: the centred value, or the value itself.
    square: Square,
    axes: Vec<i64>,
    epsilon: f64,
    scale: Option<ValueId>,
    reshaped: bool,
    nodes: Vec<NodeId>,
}

/// Of what the mean square is taken.
enum Square {
    /// Of this value.
    Of(ValueId),
    /// It is the variance of this value, from the means of its square and of itself.
    Variance(ValueId),
}

/// The normalization that ends in `value`, with as much scale and bias as follows it.
pub(super) fn matches(view: View<'_>, value: ValueId) -> Option<Found> {
    let shifted = view.either(value, "Add").and_then(|(add, orders)| {
        orders.into_iter().find_map(|[rest, other]| {
            let mut found = match view.graph.is_constant(other) && view.read_once(rest) {
                true => normalized(view, rest, value, Some(other))?,
                false => distributed(view, rest, other, value)?,
            };
            found.nodes.push(add);
            Some(found)
        })
    });
    shifted.or_else(|| normalized(view, value, value, None))
}

/// `(x - mean) * inverse * scale`, or without the mean.
fn normalized(view: View<'_>, value: ValueId, output: ValueId, bias: Option<ValueId>) -> Option<Found> {
    let product = view.product(value).filter(|p| near(p.factor, 1.0))?;
    let mut scale = None;
    let mut terms = Vec::new();
    for term in product.terms {
        match view.graph.is_constant(term) {
            true if scale.is_some() => return None,
            true => scale = Some(term),
            false => terms.push(term),
        }
    }
    let (numerator, inverse) = match (terms[..].as_ref(), product.over[..].as_ref()) {
        (&[term], &[under]) => (term, root(view, under, 0.5)?),
        (&[a, b], []) => match reciprocal_root(view, b) {
            Some(inverse) => (a, inverse),
            None => (b, reciprocal_root(view, a)?),
        },
        _ => return None,
    };
    let mut nodes = product.nodes;
    finish(view, numerator, inverse, scale, bias, &mut nodes).map(|(kind, x)| Found::new(kind, nodes, vec![x], output))
}

/// `x * w + (bias - mean * w)` with `w = inverse * scale`: batch normalization's form, which Keras uses here too.
fn distributed(view: View<'_>, left: ValueId, right: ValueId, output: ValueId) -> Option<Found> {
    let (mul, orders) = view.either(left, "Mul")?;
    let (sub, (bias, product)) = match view.made_by(right, "Sub") {
        Some((id, node)) => (id, (node.input(0)?, view.product(node.input(1)?)?)),
        None => {
            let (id, orders) = view.either(right, "Add")?;
            let orders = orders.into_iter().filter(|o| view.graph.is_constant(o[0]));
            (id, orders.map(|[bias, rest]| Some((bias, negated(view, rest)?))).next()??)
        }
    };
    if !view.graph.is_constant(bias) || !near(product.factor, 1.0) || !product.over.is_empty() {
        return None;
    }
    orders.into_iter().find_map(|[x, weight]| {
        let mean = match product.terms[..] {
            [a, b] if a == weight => b,
            [a, b] if b == weight => a,
            _ => return None,
        };
        let mean = self::mean(view, mean).filter(|m| m.of == x)?;
        let mut nodes = vec![mul, sub];
        nodes.extend(&product.nodes);
        let (scaled, scale) = match view.product(weight) {
            Some(p) if near(p.factor, 1.0) && p.over.is_empty() => {
                nodes.extend(p.nodes);
                let constant = |v: &ValueId| view.graph.is_constant(*v);
                match p.terms[..] {
                    [a, ref b] if constant(b) => (a, Some(*b)),
                    [ref a, b] if constant(a) => (b, Some(*a)),
                    _ => return None,
                }
            }
            Some(_) => return None,
            None => (weight, None),
        };
        let inverse = reciprocal_root(view, scaled)?;
        // The variance is of x less its mean, so the centred value exists somewhere; here only its parts are asked for.
        let of = match inverse.square {
            Square::Of(centred) => {
                let (of, inner, id) = self::centred(view, centred)?;
                nodes.push(id);
                nodes.extend(&inner.nodes);
                (inner.axes == mean.axes && parts_agree(&inner, scale, view)).then_some(of)?
            }
            Square::Variance(of) => of,
        };
        if of != x || mean.axes != inverse.axes || !parts_agree(&mean, scale, view) {
            return None;
        }
        nodes.extend(inverse.nodes);
        nodes.extend(&mean.nodes);
        let reshaped = mean.reshaped || inverse.reshaped;
        let epsilon = inverse.epsilon as f32;
        let kind = Normalization { axes: mean.axes, epsilon, scale, bias: Some(bias), reshaped };
        Some(Found::new(Kind::LayerNormalization(kind), nodes, vec![x], output))
    })
}

/// A product with a Neg in it, as that product with the sign turned: `Neg(mean) * w`, or `Neg(mean * w)`.
fn negated(view: View<'_>, value: ValueId) -> Option<Product> {
    if let Some((id, node)) = view.made_by(value, "Neg") {
        let mut product = view.product(node.input(0)?)?;
        product.nodes.push(id);
        return Some(product);
    }
    let mut product = view.product(value)?;
    let (at, (id, node)) =
        product.terms.iter().enumerate().find_map(|(at, &term)| Some((at, view.made_by(term, "Neg")?)))?;
    product.terms[at] = node.input(0)?;
    product.nodes.push(id);
    Some(product)
}

/// Puts numerator and denominator together.
fn finish(
    view: View<'_>,
    numerator: ValueId,
    inverse: Inverse,
    scale: Option<ValueId>,
    bias: Option<ValueId>,
    nodes: &mut Vec<NodeId>,
) -> Option<(Kind, ValueId)> {
    if scale.is_some() && inverse.scale.is_some() {
        return None;
    }
    let scale = scale.or(inverse.scale);
    let epsilon = inverse.epsilon as f32;
    let mut kind = Normalization { axes: inverse.axes, epsilon, scale, bias, reshaped: inverse.reshaped };
    nodes.extend(inverse.nodes);
    let numerator_mean = centred(view, numerator);
    let of = match (inverse.square, &numerator_mean) {
        (Square::Of(square), _) if square == numerator && numerator_mean.is_none() => {
            return Some((Kind::RmsNormalization(kind), numerator));
        }
        (Square::Of(square), Some((of, mean, _))) => {
            // Older exporters take the difference once for the square and once more for the quotient.
            let (again, other, id) = centred(view, square)?;
            nodes.push(id);
            nodes.extend(&other.nodes);
            (again == *of && other.axes == mean.axes && parts_agree(&other, scale, view)).then_some(*of)?
        }
        (Square::Variance(of), _) => of,
        _ => return None,
    };
    let (x, mean, id) = numerator_mean?;
    if of != x || mean.axes != kind.axes || !parts_agree(&mean, scale, view) {
        return None;
    }
    nodes.push(id);
    nodes.extend(&mean.nodes);
    kind.reshaped |= mean.reshaped;
    Some((Kind::LayerNormalization(kind), x))
}

/// `1 / sqrt(...)`, as Reciprocal, Div or Pow, perhaps times the scale.
fn reciprocal_root(view: View<'_>, value: ValueId) -> Option<Inverse> {
    if let Some((id, node)) = view.made_by(value, "Reciprocal") {
        let mut inverse = root(view, node.input(0)?, 0.5)?;
        inverse.nodes.push(id);
        return Some(inverse);
    }
    if let Some(product) = view.product(value).filter(|p| near(p.factor, 1.0)) {
        let constant = |v: &&ValueId| view.graph.is_constant(**v);
        let (scale, rest): (Vec<_>, Vec<_>) = product.terms.iter().partition(constant);
        let mut inverse = match (&rest[..], &product.over[..]) {
            ([], &[under]) => root(view, under, 0.5)?,
            (&[term], []) if term != value => reciprocal_root(view, term)?,
            _ => return None,
        };
        inverse.scale = match scale[..] {
            [] => inverse.scale,
            [scale] if inverse.scale.is_none() => Some(scale),
            _ => return None,
        };
        inverse.nodes.extend(product.nodes);
        return Some(inverse);
    }
    root(view, value, -0.5)
}

/// `(mean square + epsilon)` to the power of `power`.
fn root(view: View<'_>, value: ValueId, power: f64) -> Option<Inverse> {
    let (id, sum) = match view.made_by(value, "Sqrt").filter(|_| power == 0.5) {
        Some((id, node)) => (id, node.input(0)?),
        None => {
            let (id, node) = view.made_by(value, "Pow")?;
            let [base, exponent] = view.pair(node)?;
            view.is_number(exponent, power).then_some((id, base))?
        }
    };
    let (add, orders) = view.either(sum, "Add")?;
    let (variance, epsilon) = orders.into_iter().find_map(|[rest, e]| Some((rest, view.number(e)?)))?;
    let mut nodes = vec![id, add];
    let layout = without_layout(view, variance, &mut nodes);
    let (variance, mut reshaped) = (layout, layout != variance);
    // The difference of two means may come out a little below zero.
    let positive = view.clamp(variance).filter(|c| c.low == 0.0 && c.high == f64::INFINITY);
    let variance = positive.map_or(variance, |clamp| {
        nodes.extend(clamp.nodes);
        clamp.of
    });
    let (square, axes) = match view.made_by(variance, "Sub") {
        Some((sub, node)) => {
            let [of_square, squared] = view.pair(node)?;
            let (of_square, (of, inner)) = (mean(view, of_square)?, square(view, squared)?);
            let of_itself = mean(view, of)?;
            let (x, outer) = square(view, of_square.of)?;
            if x != of_itself.of || of_square.axes != of_itself.axes || of_square.part != of_itself.part {
                return None;
            }
            nodes.extend([sub, inner, outer]);
            nodes.extend(of_square.nodes.into_iter().chain(of_itself.nodes));
            reshaped |= of_square.reshaped || of_itself.reshaped;
            (Square::Variance(x), of_square.axes)
        }
        None => {
            let mean = mean(view, variance)?;
            let (of, id) = square(view, mean.of)?;
            // A sum needs something to count by; here nothing is at hand.
            mean.part.is_none().then_some(())?;
            nodes.push(id);
            nodes.extend(mean.nodes);
            reshaped |= mean.reshaped;
            (Square::Of(of), mean.axes)
        }
    };
    Some(Inverse { square, axes, epsilon, scale: None, reshaped, nodes })
}
