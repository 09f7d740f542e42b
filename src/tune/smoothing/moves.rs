//! Where channels lie ahead of what moves numbers: told by the operator and the shapes that are known.

use super::super::equalize::pads_with_zeros;
use crate::ir::{Graph, Node, NodeId};

/// An axis of a tensor of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Along {
    /// Which axis, from the first.
    pub axis: usize,
    /// How many there are.
    pub rank: usize,
}

/// The axis of what `id` reads whose index is that along `made` of what it makes, where each of `channels` stays apart from all
/// others and nothing but zeros comes in; `None` where there is none or it cannot be told.
pub fn before(graph: &Graph, id: NodeId, made: Along, channels: usize) -> Option<Along> {
    let node = graph.node(id);
    if !node.domain().is_empty() {
        return None;
    }
    let Along { axis, rank } = made;
    match node.op_type() {
        "Transpose" => {
            let reversed: Vec<i64> = (0..rank as i64).rev().collect();
            let perm = node.attributes().ints("perm").unwrap_or(&reversed);
            let axis = perm.get(axis).filter(|_| perm.len() == rank)?;
            Some(Along { axis: usize::try_from(*axis).ok()?, rank })
        }
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => reshaped(graph, node, made, channels),
        "MaxPool" => (axis == 1).then_some(made),
        "Pad" => (axis == 1 && pads_with_zeros(graph, id)).then_some(made),
        "Resize" => {
            let [read, made] = [node.input(0)?, node.output(0)?].map(|v| graph.known_type(v).map(|ty| ty.dims));
            let kept = [read?, made?].iter().all(|dims| dims.get(1) == Some(&Some(channels)));
            (axis == 1 && kept).then_some(Along { axis, rank })
        }
        "Slice" => {
            let axes = graph.constant(node.input(3)?).ok()??;
            let apart = |&sliced: &i64| sliced != axis as i64 && sliced + rank as i64 != axis as i64;
            axes.to_i64().ok()?.iter().all(apart).then_some(made)
        }
        _ => None,
    }
}

/// The same of what only states another shape: as many channels, and as many numbers ahead of or behind them.
fn reshaped(graph: &Graph, node: &Node, made: Along, channels: usize) -> Option<Along> {
    let dims = |value| graph.known_type(value).map(|ty| ty.dims);
    let (read, written) = (dims(node.input(0)?)?, dims(node.output(0)?)?);
    if written.len() != made.rank || written[made.axis] != Some(channels) {
        return None;
    }
    let count = |dims: &[Option<usize>]| dims.iter().copied().product::<Option<usize>>();
    let behind = count(&written[made.axis + 1..]);
    let copied = || {
        let target = graph.constant(node.input(1)?).ok()??;
        let zeros = node.attributes().int("allowzero").unwrap_or(0) == 0;
        let first = target.to_i64().ok()?.first() == Some(&0);
        (node.is("Reshape") && zeros && first && made.axis == 1).then_some(())
    };
    let same = |&axis: &usize| {
        let counted = behind.is_some() && count(&read[axis + 1..]) == behind;
        let ahead = count(&written[..made.axis]);
        let led = ahead.is_some() && count(&read[..axis]) == ahead;
        read[axis] == Some(channels) && (counted || led || axis == 1 && copied().is_some())
    };
    let axis = (0..read.len()).find(same)?;
    Some(Along { axis, rank: read.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::build::{Builder, ints};

    /// Where the second axis of four, of 6 channels, was ahead of a node that reads a tensor of these dims and more.
    fn ahead(node: &str, dims: &[i64], made: &[i64], more: &[i64], axis: usize) -> Option<Along> {
        let builder = Builder::new(17).input("x", dims).output("y", made);
        let builder = match node {
            "Transpose" => builder.node(node, &["x"], &["y"], vec![ints("perm", more)]),
            "Slice" => {
                let one = vec![1i64; more.len()];
                let builder = builder.ints("s", &one).ints("e", &one).ints("a", more);
                builder.node(node, &["x", "s", "e", "a"], &["y"], vec![])
            }
            "MaxPool" => builder.node(node, &["x"], &["y"], vec![ints("kernel_shape", more)]),
            _ => builder.ints("t", more).node(node, &["x", "t"], &["y"], vec![]),
        };
        let graph = builder.build().graph;
        let node = graph.node_ids().next().expect("a node");
        before(&graph, node, Along { axis, rank: made.len() }, 6)
    }

    #[test]
    fn channels_are_found_ahead_of_what_moves_them() {
        let at = |axis, rank| Some(Along { axis, rank });
        assert_eq!(ahead("Transpose", &[1, 4, 5, 6], &[1, 6, 4, 5], &[0, 3, 1, 2], 1), at(3, 4));
        assert_eq!(ahead("Slice", &[1, 6, 5, 5], &[1, 6, 4, 5], &[2], 1), at(1, 4));
        assert_eq!(ahead("Slice", &[1, 9, 5, 5], &[1, 6, 5, 5], &[1], 1), None);
        assert_eq!(ahead("Slice", &[1, 9, 5, 5], &[1, 6, 5, 5], &[-3], 1), None);
        assert_eq!(ahead("MaxPool", &[1, 6, 4, 4], &[1, 6, 2, 2], &[2, 2], 1), at(1, 4));
        assert_eq!(ahead("MaxPool", &[1, 4, 6, 6], &[1, 4, 6, 6], &[1, 1], 3), None);
        assert_eq!(ahead("Pad", &[1, 6, 4, 4], &[1, 6, 6, 6], &[0, 0, 1, 1, 0, 0, 1, 1], 1), at(1, 4));
    }

    #[test]
    fn channels_stay_apart_where_as_many_numbers_lie_ahead_of_or_behind_them() {
        let at = |axis, rank| Some(Along { axis, rank });
        assert_eq!(ahead("Reshape", &[-1, 20, 6], &[-1, 4, 5, 6], &[-1, 4, 5, 6], 3), at(2, 3));
        assert_eq!(ahead("Reshape", &[-1, 6, 20], &[-1, 6, 4, 5], &[-1, 6, 4, 5], 1), at(1, 3));
        assert_eq!(ahead("Reshape", &[1, 6, -1, -1], &[1, 6, -1], &[1, 6, -1], 1), at(1, 4));
        assert_eq!(ahead("Reshape", &[-1, 6, -1, -1], &[-1, 6, -1], &[0, 6, -1], 1), at(1, 4));
        assert_eq!(ahead("Reshape", &[-1, 6, -1, -1], &[-1, 6, -1], &[-1, 6, 1], 1), None);
        assert_eq!(ahead("Reshape", &[-1, 20, 6], &[-1, 6, 20], &[-1, 6, 20], 1), None);
        assert_eq!(ahead("Unsqueeze", &[-1, 6, 5], &[-1, 6, 1, 5], &[2], 1), at(1, 3));
    }
}
