//! Which nodes of two graphs belong together: by name, then by output, then by what they read, then by operator and position.

use crate::dequantize;
use crate::error::Result;
use crate::ir::{Graph, Node, NodeId, Source, ValueId};
use crate::qoperators;
use std::collections::{BTreeSet, HashMap};

/// The operator of a node, with its domain where that is not ONNX's own.
pub(super) fn operator(node: &Node) -> String {
    let parts = [node.domain(), node.op_type(), node.overload()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
}

/// Whether a node only leads numbers to integers or back.
fn is_between(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    qoperators::is_conversion(node.domain(), node.op_type())
}

/// The value whose numbers `value` are: what is quantized or dequantized on the way is told by the grids.
pub(super) fn source(graph: &Graph, mut value: ValueId) -> ValueId {
    // Each turn goes one node back, and a graph has no circle.
    while let Some(id) = graph.value(value).producer() {
        match graph.node(id).input(0).filter(|_| is_between(graph, id)) {
            Some(before) => value = before,
            None => break,
        }
    }
    value
}

/// Two graphs while their nodes are paired.
pub(super) struct Pairing<'g> {
    /// Both.
    pub graphs: [&'g Graph; 2],
    /// The node of the second graph for each of the first.
    pub nodes: HashMap<NodeId, NodeId>,
    /// Those of the second, by index.
    pub taken: BTreeSet<usize>,
    /// The value of the second graph for values of the first.
    values: HashMap<ValueId, ValueId>,
}

/// What a node reads, in terms of the second graph; stored tensors count by their place alone.
type Reads = (String, Vec<Option<ValueId>>);

impl<'g> Pairing<'g> {
    /// Pairs the nodes of `a` and `b`.
    ///
    /// # Errors
    /// When a graph has a circle.
    pub fn of(a: &'g Graph, b: &'g Graph) -> Result<Self> {
        let mut this = Self { graphs: [a, b], nodes: HashMap::new(), taken: BTreeSet::new(), values: HashMap::new() };
        // Inputs of other names are the same by their place, if they are as many.
        if a.inputs().count() == b.inputs().count() {
            this.values.extend(a.inputs().zip(b.inputs()));
        }
        let order = [a.topological()?, b.topological()?];
        this.by_text(&order, |graph, id| vec![graph.node(id).name().to_owned()]);
        this.by_text(&order, |graph, id| {
            let outputs = graph.node(id).outputs().iter().flatten();
            outputs.map(|&v| graph.value(v).name().to_owned()).collect()
        });
        this.by_reads(&order);
        this.by_position(&order);
        Ok(this)
    }

    fn pair(&mut self, one: NodeId, two: NodeId) {
        self.nodes.insert(one, two);
        self.taken.insert(two.index());
        if is_between(self.graphs[0], one) {
            // What these lead on is known by who makes it.
            return;
        }
        let (first, second) = (self.graphs[0].node(one).outputs(), self.graphs[1].node(two).outputs());
        let pairs = first.iter().zip(second).filter_map(|(a, b)| Some(((*a)?, (*b)?)));
        let [a, b] = self.graphs;
        self.values.extend(pairs.map(|(x, y)| (source(a, x), source(b, y))));
    }

    fn free(&self, order: &[Vec<NodeId>; 2]) -> [Vec<NodeId>; 2] {
        let one = order[0].iter().copied().filter(|id| !self.nodes.contains_key(id)).collect();
        [one, order[1].iter().copied().filter(|id| !self.taken.contains(&id.index())).collect()]
    }

    /// Pairs nodes that have a text in common, which no other node of their graphs has.
    fn by_text(&mut self, order: &[Vec<NodeId>; 2], texts: impl Fn(&Graph, NodeId) -> Vec<String>) {
        let free = self.free(order);
        let mut found: [HashMap<String, Vec<NodeId>>; 2] = Default::default();
        for (side, nodes) in free.iter().enumerate() {
            for &id in nodes {
                for text in texts(self.graphs[side], id).into_iter().filter(|text| !text.is_empty()) {
                    found[side].entry(text).or_default().push(id);
                }
            }
        }
        for &id in &free[0] {
            for text in texts(self.graphs[0], id) {
                if let (Some([one]), Some([two])) =
                    (found[0].get(&text).map(Vec::as_slice), found[1].get(&text).map(Vec::as_slice))
                    && *one == id
                    && !self.nodes.contains_key(one)
                    && !self.taken.contains(&two.index())
                    && is_between(self.graphs[0], *one) == is_between(self.graphs[1], *two)
                {
                    self.pair(*one, *two);
                }
            }
        }
    }

    /// The value of the second graph that `value` of the first is.
    pub fn mapped(&self, value: ValueId) -> Option<ValueId> {
        let [a, b] = self.graphs;
        self.values.get(&value).copied().or_else(|| b.find(a.value(value).name()))
    }

    /// Whether `x` and `y`, be they on their way to integers or back, are the same numbers as far as names tell.
    pub fn same(&self, x: ValueId, y: ValueId) -> bool {
        let [a, b] = self.graphs;
        let (x, y) = (source(a, x), source(b, y));
        self.renamed(x, y) || a.value(x).name() == b.value(y).name() || self.mapped(x) == Some(y)
    }

    /// Whether `x` and `y` are stored tensors whose names only one model has each, or the name of one is that of the other as
    /// integers. Their numbers are compared elsewhere.
    pub fn renamed(&self, x: ValueId, y: ValueId) -> bool {
        let [a, b] = self.graphs;
        let (one, two) = (a.value(x), b.value(y));
        let stored = [one, two].iter().all(|value| value.source() == Source::Initializer);
        let stem = |name| dequantize::stem(name).unwrap_or(name);
        let unknown = || b.find(one.name()).is_none() && a.find(two.name()).is_none();
        stored && (stem(one.name()) == stem(two.name()) || unknown())
    }

    /// Whether `made` of the first graph and `other` of the second, which nodes that belong together make, are different
    /// values: what has the name of `made` in the second graph is there already, and is not `other`.
    pub fn is_made_elsewhere(&self, made: ValueId, other: ValueId) -> bool {
        let [a, b] = self.graphs;
        let Some(named) = b.find(a.value(made).name()) else { return false };
        let named = source(b, named);
        // What a node makes that the first graph lacks is told with that node.
        let told = b.value(named).producer().is_some_and(|id| !self.taken.contains(&id.index()));
        named != source(b, other) && !told
    }

    fn reads(&self, side: usize, id: NodeId) -> Option<Reads> {
        let graph = self.graphs[side];
        let node = graph.node(id);
        let one = |value: &Option<ValueId>| match *value {
            Some(value) => match source(graph, value) {
                value if graph.is_constant(value) => Some(None),
                value if side == 0 => self.mapped(value).map(Some),
                value => Some(Some(value)),
            },
            None => Some(None),
        };
        let reads: Vec<Option<ValueId>> = node.inputs().iter().map(one).collect::<Option<_>>()?;
        reads.iter().any(Option::is_some).then(|| (operator(node), reads))
    }

    /// Pairs nodes of one operator that read the same, in their order.
    fn by_reads(&mut self, order: &[Vec<NodeId>; 2]) {
        let [one, two] = self.free(order);
        let mut open: HashMap<Reads, Vec<NodeId>> = HashMap::new();
        for &id in two.iter().rev() {
            if let Some(reads) = self.reads(1, id) {
                open.entry(reads).or_default().push(id);
            }
        }
        for id in one {
            let reads = self.reads(0, id);
            if let Some(other) = reads.and_then(|reads| open.get_mut(&reads)?.pop()) {
                self.pair(id, other);
            }
        }
    }

    /// Pairs what is left of one operator where a name is missing, in their order.
    fn by_position(&mut self, order: &[Vec<NodeId>; 2]) {
        let [one, two] = self.free(order);
        let mut open: HashMap<String, Vec<NodeId>> = HashMap::new();
        for &id in two.iter().rev() {
            open.entry(operator(self.graphs[1].node(id))).or_default().push(id);
        }
        for id in one {
            let node = self.graphs[0].node(id);
            let Some(candidates) = open.get_mut(&operator(node)) else { continue };
            let nameless = |other: &NodeId| node.name().is_empty() || self.graphs[1].node(*other).name().is_empty();
            if let Some(at) = candidates.iter().rposition(nameless) {
                let other = candidates.remove(at);
                self.pair(id, other);
            }
        }
    }
}
