//! Products of matrices in the form that integer kernels have: MatMul with a matrix of weights.

use crate::error::Result;
use crate::ir::{Graph, Model, NewNode, NodeId, ValueId};
use crate::pass::{Outcome, Pass};
use crate::tensor::{DataType, Tensor};

/// Drops leading axes of length 1 from the weights of a MatMul, turns an Einsum that is a product of matrices into a MatMul,
/// and a Gemm whose first factor is the constant one too.
pub struct Normalize;

impl Pass for Normalize {
    fn name(&self) -> &'static str {
        "normalize-products"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let graph = &mut model.graph;
        for id in graph.node_ids().collect::<Vec<_>>() {
            let node = graph.node(id);
            if !node.domain().is_empty() {
                continue;
            }
            match node.op_type() {
                "MatMul" => outcome.changed += usize::from(drop_leading_ones(graph, id)?),
                "Gemm" => outcome.changed += usize::from(constant_first(graph, id)?),
                "Einsum" => match einsum(graph, id) {
                    Ok(()) => outcome.changed += 1,
                    Err(why) => outcome.refuse(graph.label(id), why),
                },
                _ => {}
            }
        }
        Ok(outcome)
    }
}

/// `[1, .., 1, K, N]` is the matrix `[K, N]` to a MatMul whose other factor has as many axes.
fn drop_leading_ones(graph: &mut Graph, id: NodeId) -> Result<bool> {
    let (Some(a), Some(b)) = (graph.node(id).input(0), graph.node(id).input(1)) else { return Ok(false) };
    if graph.is_held(b) {
        return Ok(false);
    }
    let Some(weight) = graph.constant(b)?.filter(|t| t.dtype() == DataType::Float32) else { return Ok(false) };
    let shape = weight.shape();
    if shape.len() < 3 || shape[..shape.len() - 2].iter().any(|&d| d != 1) || graph.rank(a) < Some(shape.len()) {
        return Ok(false);
    }
    let name = graph.value(b).name().to_owned();
    let shape = shape[shape.len() - 2..].to_vec();
    let matrix = weight.reshaped(shape);
    let matrix = graph.add_initializer(&name, &matrix);
    graph.set_input(id, 1, Some(matrix));
    Ok(true)
}

/// A Gemm with weights on the left is a MatMul, transposed beforehand where the attributes say so.
fn constant_first(graph: &mut Graph, id: NodeId) -> Result<bool> {
    let node = graph.node(id);
    let (Some(a), Some(b)) = (node.input(0), node.input(1)) else { return Ok(false) };
    let flag = |name: &str| node.attributes().int(name).unwrap_or(0) != 0;
    let (transposed_a, transposed_b) = (flag("transA"), flag("transB"));
    let alpha = node.attributes().float("alpha").unwrap_or(1.0);
    // A bias was taken out before, unless it is one for each column.
    if graph.is_constant(b) || graph.is_held(a) || node.input(2).is_some() {
        return Ok(false);
    }
    let Some(weight) = graph.constant(a)?.filter(|t| t.dtype() == DataType::Float32 && t.shape().len() == 2) else {
        return Ok(false);
    };
    let (rows, columns) = (weight.shape()[0], weight.shape()[1]);
    let numbers = weight.to_f32()?;
    let at =
        |i: usize, j: usize| alpha * if transposed_a { numbers[j * columns + i] } else { numbers[i * columns + j] };
    let (m, k) = if transposed_a { (columns, rows) } else { (rows, columns) };
    let matrix: Vec<f32> = (0..m * k).map(|n| at(n / k, n % k)).collect();
    let name = graph.value(a).name().to_owned();
    let label = graph.label(id).to_owned();
    let matrix = graph.add_initializer(&name, &Tensor::from_f32(vec![m, k], &matrix));
    graph.set_input(id, 0, Some(matrix));
    if transposed_b {
        let turned = transpose(graph, &format!("{label}_Transpose"), b, &[1, 0]);
        graph.set_input(id, 1, Some(turned));
    }
    ["alpha", "beta", "transA", "transB"].iter().for_each(|name| graph.remove_attribute(id, name));
    graph.set_op_type(id, "MatMul");
    Ok(true)
}

fn transpose(graph: &mut Graph, name: &str, value: ValueId, perm: &[i64]) -> ValueId {
    if perm.iter().enumerate().all(|(i, &p)| i as i64 == p) {
        return value;
    }
    let new = NewNode { op_type: "Transpose", name, inputs: vec![Some(value)], ints: vec![] };
    let (node, turned) = graph.add_node(new, &format!("{name}_Output"));
    graph.set_ints(node, "perm", perm);
    turned
}

type Refusal = &'static str;

/// An Einsum of two factors with one summed index, one index of its own on each side and any number of shared ones.
fn einsum(graph: &mut Graph, id: NodeId) -> std::result::Result<(), Refusal> {
    let node = graph.node(id);
    let equation = node.attributes().text("equation").ok_or("it has no equation")?;
    let [Some(a), Some(b)] = node.inputs() else { return Err("it is no product of two tensors") };
    let (a, b) = (*a, *b);
    let terms = Terms::read(equation)?;
    let product = terms.product()?;
    if graph.is_held(a) || graph.is_held(b) {
        return Err("a factor is stored as integers already");
    }
    let name = graph.label(id).to_owned();
    let output = node.output(0).ok_or("its output is not used")?;
    let left = transpose(graph, &format!("{name}_left"), a, &order(&terms.left, &product.left)?);
    let right = transpose(graph, &format!("{name}_right"), b, &order(&terms.right, &product.right)?);
    let perm = order(&product.output, &terms.output)?;
    graph.set_input(id, 0, Some(left));
    graph.set_input(id, 1, Some(right));
    graph.remove_attribute(id, "equation");
    graph.set_op_type(id, "MatMul");
    if perm.iter().enumerate().any(|(i, &p)| i as i64 != p) {
        let made = graph.split_output(id, 0, &format!("{name}_product"));
        let new = NewNode {
            op_type: "Transpose",
            name: &format!("{name}_Transpose"),
            inputs: vec![Some(made)],
            ints: vec![],
        };
        let (node, _) = graph.add_node(new, &format!("{name}_Transpose_Output"));
        graph.set_ints(node, "perm", &perm);
        graph.take_over_output(node, 0, output);
    }
    Ok(())
}

/// Where each index of `to` stands in `from`: the `perm` of a Transpose.
fn order(from: &[char], to: &[char]) -> std::result::Result<Vec<i64>, Refusal> {
    let place = |c: &char| from.iter().position(|f| f == c).map(|i| i as i64);
    to.iter().map(place).collect::<Option<_>>().ok_or("an index of its equation comes from nowhere")
}

/// The indices of an equation `left,right->output`.
struct Terms {
    left: Vec<char>,
    right: Vec<char>,
    output: Vec<char>,
}

impl Terms {
    fn read(equation: &str) -> std::result::Result<Self, Refusal> {
        let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
        let (factors, output) = equation.split_once("->").ok_or("its equation names no output")?;
        let (left, right) = factors.split_once(',').ok_or("it is no product of two tensors")?;
        let indices = |text: &str| {
            let indices: Vec<char> = text.chars().collect();
            let mut once = indices.clone();
            once.sort_unstable();
            once.dedup();
            let plain = indices.iter().all(char::is_ascii_alphabetic) && once.len() == indices.len();
            plain.then_some(indices).ok_or("its equation has an ellipsis, a diagonal or a third factor")
        };
        Ok(Self { left: indices(left)?, right: indices(right)?, output: indices(output)? })
    }

    /// The same as a product of matrices: shared indices first, then the two that a matrix has.
    fn product(&self) -> std::result::Result<Self, Refusal> {
        let Self { left, right, output } = self;
        let shared: Vec<char> = output.iter().filter(|c| left.contains(c) && right.contains(c)).copied().collect();
        let summed: Vec<char> = left.iter().filter(|c| right.contains(c) && !output.contains(c)).copied().collect();
        let own =
            |side: &[char], other: &[char]| side.iter().filter(|c| !other.contains(c)).copied().collect::<Vec<_>>();
        let (rows, columns) = (own(left, right), own(right, left));
        if summed.len() != 1 || rows.len() != 1 || columns.len() != 1 {
            return Err("it is no product of matrices: one index is summed, one belongs to each factor alone");
        }
        if rows.iter().chain(&columns).any(|c| !output.contains(c)) {
            return Err("it sums over an index of one factor alone");
        }
        let with = |last: [char; 2]| shared.iter().copied().chain(last).collect();
        let (m, k, n) = (rows[0], summed[0], columns[0]);
        Ok(Self { left: with([m, k]), right: with([k, n]), output: with([m, n]) })
    }
}
