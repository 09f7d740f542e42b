//! Which nodes take the time of a run.

use serde::Serialize;
use std::collections::BTreeMap;

/// The nodes of a model, of which each run takes so long in all.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Profile {
    /// How many runs were looked at; the times are those of one.
    pub runs: usize,
    /// All nodes together, in milliseconds. Taking each node's time makes a run slower than it is.
    pub total_ms: f64,
    /// Operators, the one that takes longest first.
    pub operators: Vec<OperatorCost>,
    /// Nodes, the one that takes longest first.
    pub nodes: Vec<NodeCost>,
}

/// All nodes of one operator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperatorCost {
    /// The operator, as the engine runs it.
    pub op_type: String,
    /// How many nodes.
    pub nodes: usize,
    /// Milliseconds of one run.
    pub ms: f64,
    /// Of the time of all nodes.
    pub share: f64,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeCost {
    /// Its name, which where the engine fused several is the engine's.
    pub node: String,
    /// The operator, as the engine runs it.
    pub op_type: String,
    /// Milliseconds of one run.
    pub ms: f64,
    /// Of the time of all nodes.
    pub share: f64,
}

impl Profile {
    /// That of nodes, each with its operator and its milliseconds a run, in the mean of `runs`.
    pub fn of(told: Vec<(String, String, f64)>, runs: usize) -> Self {
        let total_ms: f64 = told.iter().map(|(_, _, ms)| ms).sum();
        let share = |ms: f64| if total_ms > 0.0 { ms / total_ms } else { 0.0 };
        let mut sums: BTreeMap<String, (usize, f64)> = BTreeMap::new();
        for (_, op_type, ms) in &told {
            let sum = sums.entry(op_type.clone()).or_default();
            *sum = (sum.0 + 1, sum.1 + ms);
        }
        let sums = sums.into_iter();
        let mut operators: Vec<OperatorCost> =
            sums.map(|(op_type, (nodes, ms))| OperatorCost { op_type, nodes, ms, share: share(ms) }).collect();
        operators.sort_by(|a, b| b.ms.total_cmp(&a.ms));
        let told = told.into_iter();
        let mut nodes: Vec<NodeCost> =
            told.map(|(node, op_type, ms)| NodeCost { node, op_type, ms, share: share(ms) }).collect();
        nodes.sort_by(|a, b| b.ms.total_cmp(&a.ms).then_with(|| a.node.cmp(&b.node)));
        Self { runs, total_ms, operators, nodes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_summed_by_operator_and_sorted_by_time() {
        let told = [("a", "Conv", 1.0), ("b", "Relu", 4.5), ("c", "Conv", 4.0), ("d", "Add", 0.5)];
        let told = told.map(|(node, op, ms)| (node.to_owned(), op.to_owned(), ms)).to_vec();
        let profile = Profile::of(told, 7);
        let operators: Vec<_> =
            profile.operators.iter().map(|o| (o.op_type.as_str(), o.nodes, o.ms, o.share)).collect();
        assert_eq!(operators, [("Conv", 2, 5.0, 0.5), ("Relu", 1, 4.5, 0.45), ("Add", 1, 0.5, 0.05)]);
        let nodes: Vec<_> = profile.nodes.iter().map(|n| n.node.as_str()).collect();
        assert_eq!((nodes, profile.total_ms, profile.runs), (vec!["b", "c", "a", "d"], 10.0, 7));
    }

    #[test]
    fn no_time_at_all_is_no_share() {
        let profile = Profile::of(vec![("a".to_owned(), "Add".to_owned(), 0.0)], 1);
        assert_eq!(profile.nodes[0].share, 0.0);
    }
}
