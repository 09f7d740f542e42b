//! How the layers whose integers can be looked for go over what they read.

use crate::ir::{Graph, NodeId};

/// How a layer goes over what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// A convolution over any number of axes.
    Window(Window),
    /// A product with a matrix: each row of the last axis is one.
    Rows,
}

/// The window of a convolution, a number for each axis of space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Its taps.
    pub taps: Vec<usize>,
    /// Its steps.
    pub strides: Vec<usize>,
    /// How far its taps are apart.
    pub dilations: Vec<usize>,
    /// Zeros ahead of the first element.
    pub before: Vec<usize>,
}

impl Reach {
    /// That of layer `id`, its groups, and whether the first axis of its weight of shape `shape` is that of its outputs; `None` where
    /// the layer is no product with its weight as it is.
    pub fn of(graph: &Graph, id: NodeId, shape: &[usize]) -> Option<(Self, usize, bool)> {
        let node = graph.node(id);
        let attributes = node.attributes();
        let int = |name: &str, usual: i64| attributes.int(name).unwrap_or(usual);
        match node.op_type() {
            "MatMul" => (shape.len() == 2).then_some((Self::Rows, 1, false)),
            "Gemm" => {
                let plain = int("transA", 0) == 0 && attributes.float("alpha").is_none_or(|alpha| alpha == 1.0);
                plain.then_some((Self::Rows, 1, int("transB", 0) != 0))
            }
            "Conv" => {
                if attributes.text("auto_pad").is_some_and(|pad| !["NOTSET", "VALID"].contains(&pad)) {
                    return None;
                }
                let taps = shape.get(2..)?.to_vec();
                let each = |name: &str, usual: usize| match attributes.ints(name) {
                    Some(stated) => stated.iter().take(taps.len()).map(|&one| usize::try_from(one).ok()).collect(),
                    None => Some(vec![usual; taps.len()]),
                };
                let (strides, dilations, before) = (each("strides", 1)?, each("dilations", 1)?, each("pads", 0)?);
                let whole = [&strides, &dilations, &before].iter().all(|all| all.len() == taps.len());
                let groups = usize::try_from(int("group", 1)).ok()?;
                whole.then_some((Self::Window(Window { taps, strides, dilations, before }), groups, true))
            }
            _ => None,
        }
    }
}
