//! The words in which patterns are described: a constant number, a product, a straight line, a clamp, a mean.

use crate::ir::{Graph, Node, NodeId, Use, ValueId};

/// How far two constants may differ, as a part of themselves, and still be meant as the same: 1/6 rounded to float16, or
/// written as 0.1667.
const TOLERANCE: f64 = 3e-4;

/// How many nodes a product, a line, or a chain of clamps is followed over.
const LONGEST: usize = 8;

/// Whether `a` is meant as `b`.
pub(super) fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * b.abs()
}

/// A graph to look for patterns in. Everything is followed from a value back to what made it.
#[derive(Clone, Copy)]
pub(super) struct View<'g> {
    pub graph: &'g Graph,
}

/// `factor * terms... / over...`
#[derive(Debug)]
pub(super) struct Product {
    /// All constant numbers in it.
    pub factor: f64,
    /// What is multiplied.
    pub terms: Vec<ValueId>,
    /// What is divided by.
    pub over: Vec<ValueId>,
    /// The nodes that multiply and divide.
    pub nodes: Vec<NodeId>,
}

/// `factor * of + shift`
#[derive(Debug)]
pub(super) struct Line {
    pub of: ValueId,
    pub factor: f64,
    pub shift: f64,
    pub nodes: Vec<NodeId>,
}

/// `of`, cut off below `low` and above `high`.
#[derive(Debug)]
pub(super) struct Clamp {
    pub of: ValueId,
    pub low: f64,
    pub high: f64,
    pub nodes: Vec<NodeId>,
}

impl<'g> View<'g> {
    /// The node of ONNX's operator `op_type` that makes `value` as its first output.
    pub fn made_by(self, value: ValueId, op_type: &str) -> Option<(NodeId, &'g Node)> {
        let id = self.graph.value(value).producer()?;
        let node = self.graph.node(id);
        (node.is(op_type) && node.output(0) == Some(value)).then_some((id, node))
    }

    /// The number that `value` is, when it is a constant of one element.
    pub fn number(self, value: ValueId) -> Option<f64> {
        if !self.graph.is_constant(value) {
            return None;
        }
        // The type first: to look into a large constant may mean to copy it.
        if self.graph.stated_type(value)?.dims.iter().any(|d| *d != Some(1)) {
            return None;
        }
        self.graph.constant(value).ok()??.first_f32().map(f64::from)
    }

    /// Whether `value` is the constant number `wanted`.
    pub fn is_number(self, value: ValueId, wanted: f64) -> bool {
        self.number(value).is_some_and(|n| near(n, wanted))
    }

    /// Whether one node input reads `value` and nobody else does: what lies inside a chain.
    pub fn read_once(self, value: ValueId) -> bool {
        matches!(self.graph.value(value).uses(), [Use::Input { .. }])
    }

    /// The first two inputs of a node.
    pub fn pair(self, node: &Node) -> Option<[ValueId; 2]> {
        Some([node.input(0)?, node.input(1)?])
    }

    /// The two inputs of the `op_type` that makes `value`, in either order.
    pub fn either(self, value: ValueId, op_type: &str) -> Option<(NodeId, [[ValueId; 2]; 2])> {
        let (id, node) = self.made_by(value, op_type)?;
        let [a, b] = self.pair(node)?;
        Some((id, [[a, b], [b, a]]))
    }

    /// `value` as a product of at least one Mul or Div, through all that is read once.
    pub fn product(self, value: ValueId) -> Option<Product> {
        let mut product = Product { factor: 1.0, terms: Vec::new(), over: Vec::new(), nodes: Vec::new() };
        let mut open = vec![(value, false)];
        while let Some((part, under)) = open.pop() {
            let follow = (part == value || self.read_once(part)) && product.nodes.len() < LONGEST;
            let node = |op| self.made_by(part, op).filter(|_| follow);
            if let Some((id, [a, b])) = node("Mul").and_then(|(id, n)| Some((id, self.pair(n)?))) {
                product.nodes.push(id);
                open.extend([(b, under), (a, under)]);
            } else if let Some((id, [a, b])) = node("Div").and_then(|(id, n)| Some((id, self.pair(n)?))) {
                product.nodes.push(id);
                open.extend([(b, !under), (a, under)]);
            } else if let Some(number) = self.number(part) {
                product.factor *= if under { 1.0 / number } else { number };
            } else if under {
                product.over.push(part);
            } else {
                product.terms.push(part);
            }
        }
        (!product.nodes.is_empty() && product.factor.is_finite()).then_some(product)
    }

    /// `value` as a straight line over what numbers are added to and multiplied with, through all that is read once.
    pub fn line(self, value: ValueId) -> Line {
        let mut line = Line { of: value, factor: 1.0, shift: 0.0, nodes: Vec::new() };
        while self.read_once(line.of) && line.nodes.len() < LONGEST {
            let Some((id, of, factor, shift)) = self.step(line.of) else { break };
            line.nodes.push(id);
            line.shift += line.factor * shift;
            line.factor *= factor;
            line.of = of;
        }
        line
    }

    /// One node of a line: `factor * of + shift`.
    fn step(self, value: ValueId) -> Option<(NodeId, ValueId, f64, f64)> {
        let id = self.graph.value(value).producer()?;
        let node = self.graph.node(id);
        if node.is("Neg") {
            return Some((id, node.input(0)?, -1.0, 0.0));
        }
        let [a, b] = self.pair(node)?;
        let (of, number, constant_first) = match (self.number(a), self.number(b)) {
            (None, Some(number)) => (a, number, false),
            (Some(number), None) => (b, number, true),
            _ => return None,
        };
        let (factor, shift) = match (node.op_type(), constant_first) {
            ("Mul", _) => (number, 0.0),
            ("Add", _) => (1.0, number),
            ("Sub", false) => (1.0, -number),
            ("Sub", true) => (-1.0, number),
            ("Div", false) => (1.0 / number, 0.0),
            _ => return None,
        };
        (node.domain().is_empty() && factor.is_finite()).then_some((id, of, factor, shift))
    }

    /// `value` as what Clip, Relu, Min or Max makes of something, several of them in a row included.
    pub fn clamp(self, value: ValueId) -> Option<Clamp> {
        let mut clamp = Clamp { of: value, low: f64::NEG_INFINITY, high: f64::INFINITY, nodes: Vec::new() };
        while (clamp.of == value || self.read_once(clamp.of)) && clamp.nodes.len() < LONGEST {
            let Some((id, of, low, high)) = self.bounds(clamp.of) else { break };
            clamp.nodes.push(id);
            // What comes out of the inner one is cut off again by the outer one.
            (clamp.low, clamp.high) = (low.max(clamp.low).min(clamp.high), high.min(clamp.high).max(clamp.low));
            clamp.of = of;
        }
        (!clamp.nodes.is_empty()).then_some(clamp)
    }

    /// One node of a clamp: what it reads, and its bounds.
    fn bounds(self, value: ValueId) -> Option<(NodeId, ValueId, f64, f64)> {
        let id = self.graph.value(value).producer()?;
        let node = self.graph.node(id);
        if !node.domain().is_empty() {
            return None;
        }
        let bound = |slot: usize, absent: f64| match node.input(slot) {
            Some(value) => self.number(value),
            None => Some(absent),
        };
        match node.op_type() {
            "Relu" => Some((id, node.input(0)?, 0.0, f64::INFINITY)),
            "Clip" if !node.attributes().has("min") && !node.attributes().has("max") => {
                let (low, high) = (bound(1, f64::NEG_INFINITY)?, bound(2, f64::INFINITY)?);
                (low <= high).then_some((id, node.input(0)?, low, high))
            }
            "Min" | "Max" if node.inputs().len() == 2 => {
                let [a, b] = self.pair(node)?;
                let (of, number) = match (self.number(a), self.number(b)) {
                    (None, Some(number)) => (a, number),
                    (Some(number), None) => (b, number),
                    _ => return None,
                };
                let max = node.op_type() == "Max";
                Some((id, of, if max { number } else { f64::NEG_INFINITY }, if max { f64::INFINITY } else { number }))
            }
            _ => None,
        }
    }

    /// `value` as a polynomial of `x` of degree 3 at most, lowest power first, in whatever order it is computed.
    pub fn polynomial(self, value: ValueId, x: ValueId, nodes: &mut Vec<NodeId>) -> Option<[f64; 4]> {
        if value == x {
            return Some([0.0, 1.0, 0.0, 0.0]);
        }
        if let Some(number) = self.number(value) {
            return Some([number, 0.0, 0.0, 0.0]);
        }
        let id = self.graph.value(value).producer()?;
        let node = self.graph.node(id);
        if !node.domain().is_empty() || nodes.len() >= 2 * LONGEST {
            return None;
        }
        nodes.push(id);
        let [a, b] = if node.is("Neg") { [node.input(0)?; 2] } else { self.pair(node)? };
        let left = self.polynomial(a, x, nodes)?;
        let mut right = || self.polynomial(b, x, nodes);
        Some(match node.op_type() {
            "Neg" => left.map(|c| -c),
            "Add" => zip(left, right()?, |a, b| a + b),
            "Sub" => zip(left, right()?, |a, b| a - b),
            "Mul" => times(left, right()?)?,
            "Div" => {
                let number = self.number(b)?;
                left.map(|c| c / number)
            }
            "Pow" if self.is_number(b, 2.0) => times(left, left)?,
            "Pow" if self.is_number(b, 3.0) => times(times(left, left)?, left)?,
            _ => return None,
        })
    }

    /// Whether no number in a pattern adds an axis to `x`, which it would by having more of them, each of length 1.
    pub fn keeps_rank(self, nodes: &[NodeId], x: ValueId) -> bool {
        let read = nodes.iter().flat_map(|&id| self.graph.node(id).inputs()).flatten();
        let numbers = read.filter(|&&value| self.number(value).is_some());
        let most = numbers.filter_map(|&value| self.graph.stated_type(value)).map(|t| t.dims.len()).max();
        // A value without any axis is no tensor that anybody quantizes.
        most.is_none_or(|most| most <= 1 || most <= self.least_rank(x))
    }

    /// A rank that `value` has at least.
    pub fn least_rank(self, value: ValueId) -> usize {
        let rank = |value: ValueId| self.graph.stated_type(value).map(|t| t.dims.len());
        let made = || {
            let node = self.graph.node(self.graph.value(value).producer()?);
            match node.op_type() {
                "Conv" | "ConvTranspose" => rank(node.input(1)?),
                // Broadcasting takes the longer shape.
                "Add" | "Sub" | "Mul" | "Div" => node.inputs().iter().flatten().filter_map(|&v| rank(v)).max(),
                _ => None,
            }
        };
        rank(value).or_else(made).unwrap_or(0)
    }

    /// Whether nothing but `output` leaves the nodes of a pattern: every other value that they make is read only by them.
    pub fn is_closed(self, nodes: &[NodeId], output: ValueId) -> bool {
        let made = nodes.iter().flat_map(|&id| self.graph.node(id).outputs()).flatten();
        made.filter(|&&value| value != output).all(|&value| {
            let inside = |one: &Use| matches!(one, Use::Input { node, .. } if nodes.contains(node));
            self.graph.value(value).uses().iter().all(inside)
        })
    }
}

fn zip(a: [f64; 4], b: [f64; 4], with: impl Fn(f64, f64) -> f64) -> [f64; 4] {
    std::array::from_fn(|i| with(a[i], b[i]))
}

/// The product of two polynomials; `None` past the third power.
fn times(a: [f64; 4], b: [f64; 4]) -> Option<[f64; 4]> {
    let mut product = [0.0; 4];
    for (i, x) in a.into_iter().enumerate() {
        for (j, y) in b.into_iter().enumerate() {
            match product.get_mut(i + j) {
                Some(sum) => *sum += x * y,
                None if x * y == 0.0 => {}
                None => return None,
            }
        }
    }
    Some(product)
}
