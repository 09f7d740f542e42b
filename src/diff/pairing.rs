//! Which nodes of two graphs belong together: by name, then by output, then by what they read and what reads them, then by operator
//! and position.

use super::loose::past;
use super::structure::{Likeness, Structure, longest};
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
pub(super) fn is_between(graph: &Graph, id: NodeId) -> bool {
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

/// What two nodes of one operator read at the same place, bodies of theirs too, as far as these read as much.
pub(super) fn read(one: &Node, two: &Node) -> Vec<(ValueId, ValueId)> {
    let inputs = one.inputs().iter().zip(two.inputs()).filter_map(|(x, y)| (*x).zip(*y));
    let (x, y) = (one.captured(), two.captured());
    let captured = x.iter().copied().zip(y.iter().copied()).filter(|_| x.len() == y.len());
    inputs.chain(captured).collect()
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

/// A node's operator, what it reads in terms of the second graph, where what follows from constants counts by its place alone, and
/// a mark of what else it has.
type Reads = (String, Vec<Option<ValueId>>, u64);

impl<'g> Pairing<'g> {
    /// Pairs the nodes of `a` and `b`.
    ///
    /// # Errors
    /// When a graph has a circle.
    pub fn of(a: &'g Graph, b: &'g Graph) -> Result<Self> {
        let mut this = Self { graphs: [a, b], nodes: HashMap::new(), taken: BTreeSet::new(), values: HashMap::new() };
        // Inputs of other names are the same by their place, if they are as many, and so is what goes in by name.
        if a.inputs().count() == b.inputs().count() {
            this.values.extend(a.inputs().zip(b.inputs()));
        }
        let order = [a.topological()?, b.topological()?];
        this.by_text(&order, |graph, id| vec![graph.node(id).name().to_owned()]);
        this.by_text(&order, |graph, id| {
            let outputs = graph.node(id).outputs().iter().flatten();
            outputs.map(|&v| graph.value(v).name().to_owned()).collect()
        });
        this.by_structure(&order)?;
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

    /// What a node reads; `None` where that tells nothing.
    fn reads(&self, known: &[Structure; 2], side: usize, id: NodeId, likeness: Likeness) -> Option<Reads> {
        let graph = self.graphs[side];
        let node = graph.node(id);
        let one = |value: &Option<ValueId>| match *value {
            Some(value) => match self.read(side, value, likeness) {
                value if known[side].is_constant(value) => Some(None),
                value if side == 0 => self.mapped(value).map(Some),
                value => Some(Some(value)),
            },
            None => Some(None),
        };
        let spelled = known[side].loose.product_of(id).filter(|_| likeness.loose);
        let mut reads: Vec<Option<ValueId>> = match spelled {
            Some(value) => vec![one(&Some(value))?],
            None => node.inputs().iter().map(one).collect::<Option<_>>()?,
        };
        let name = if likeness.loose { known[side].loose.operator(graph, id) } else { operator(node) };
        if likeness.loose {
            // Biases and scales that only one of them has are constants.
            reads.retain(Option::is_some);
        }
        let tells = likeness.of_constants || reads.iter().any(Option::is_some);
        tells.then(|| (name, reads, known[side].mark(id, likeness)))
    }

    /// Whose numbers `value` are, and where only a `likeness` is asked for that is loose, those before a clamp or a normalization
    /// that one of the models may have taken into the layer before it.
    fn read(&self, side: usize, value: ValueId, likeness: Likeness) -> ValueId {
        let graph = self.graphs[side];
        let mut value = source(graph, value);
        while likeness.loose && !(side == 0 && self.values.contains_key(&value)) {
            let Some(before) = past(graph, value).filter(|_| !self.has_partner(side, value)) else { break };
            value = source(graph, before);
        }
        value
    }

    /// Whether the node that makes `value` is paired.
    fn has_partner(&self, side: usize, value: ValueId) -> bool {
        self.graphs[side].value(value).producer().is_some_and(|id| match side {
            0 => self.nodes.contains_key(&id),
            _ => self.taken.contains(&id.index()),
        })
    }

    /// Pairs nodes of one operator that read the same, those first that have most in common.
    ///
    /// # Errors
    /// When a constant is malformed.
    fn by_structure(&mut self, order: &[Vec<NodeId>; 2]) -> Result<()> {
        if self.free(order).iter().any(Vec::is_empty) {
            return Ok(());
        }
        let known = [Structure::of(self.graphs[0], &order[0])?, Structure::of(self.graphs[1], &order[1])?];
        let likenesses = Likeness::all();
        loop {
            let before = self.nodes.len();
            for most in 1..=likenesses.len() {
                self.by_reads(order, &known, &likenesses[..most]);
                self.by_readers(order, &known);
                if self.free(order).iter().any(Vec::is_empty) {
                    return Ok(());
                }
            }
            if self.nodes.len() == before && !self.by_layers(order, &known) {
                self.by_reads(order, &known, &[Likeness::CONSTANTS]);
                return Ok(());
            }
        }
    }

    /// Pairs layers of one operator with weights of one shape, as many as there are in both in the same order; says whether there
    /// were some.
    fn by_layers(&mut self, order: &[Vec<NodeId>; 2], known: &[Structure; 2]) -> bool {
        let free = self.free(order);
        let layers = |side: usize| -> Vec<(NodeId, u64)> {
            let free: &Vec<NodeId> = &free[side];
            free.iter().filter_map(|&id| Some((id, known[side].weights(id)?))).collect()
        };
        let (one, two) = (layers(0), layers(1));
        let pairs = longest(&one, &two);
        pairs.iter().for_each(|&(id, other)| self.pair(id, other));
        !pairs.is_empty()
    }

    /// Pairs nodes that read the same and have one of these in common, in their order.
    fn by_reads(&mut self, order: &[Vec<NodeId>; 2], known: &[Structure; 2], likenesses: &[Likeness]) {
        let [one, two] = self.free(order);
        let open = likenesses.iter().map(|&likeness| {
            let mut open: HashMap<Reads, Vec<NodeId>> = HashMap::new();
            for &id in two.iter().rev() {
                if let Some(reads) = self.reads(known, 1, id, likeness) {
                    open.entry(reads).or_default().push(id);
                }
            }
            open
        });
        let mut open: Vec<_> = open.collect();
        for id in one {
            for (&likeness, open) in likenesses.iter().zip(&mut open) {
                let Some(reads) = self.reads(known, 0, id, likeness) else { continue };
                let Some(candidates) = open.get_mut(&reads) else { continue };
                candidates.retain(|other| !self.taken.contains(&other.index()));
                if let Some(other) = candidates.pop() {
                    self.pair(id, other);
                    break;
                }
            }
        }
    }

    /// Pairs nodes of one operator that make what nodes that belong together read at the same place, or the same output.
    fn by_readers(&mut self, order: &[Vec<NodeId>; 2], known: &[Structure; 2]) {
        let [a, b] = self.graphs;
        if a.outputs().count() == b.outputs().count() {
            a.outputs().zip(b.outputs()).for_each(|(x, y)| self.pair_makers(known, x, y));
        }
        for &id in order[0].iter().rev() {
            let Some(&other) = self.nodes.get(&id) else { continue };
            if operator(a.node(id)) != operator(b.node(other)) {
                continue;
            }
            for (x, y) in read(a.node(id), b.node(other)) {
                self.pair_makers(known, x, y);
            }
        }
    }

    /// Pairs the nodes that make two values, if both are free and of one operator: those before their way to integers and back, too,
    /// where what they state and store is the same.
    fn pair_makers(&mut self, known: &[Structure; 2], x: ValueId, y: ValueId) {
        let [a, b] = self.graphs;
        let before = (source(a, x), source(b, y));
        for ((x, y), at_once) in [((x, y), true), (before, false)] {
            let Some((one, two)) = a.value(x).producer().zip(b.value(y).producer()) else { continue };
            let free = !self.nodes.contains_key(&one) && !self.taken.contains(&two.index());
            let own = |side: usize, id: NodeId| known[side].mark(id, Likeness::CONSTANTS);
            let alike = at_once || own(0, one) == own(1, two);
            if free && alike && operator(a.node(one)) == operator(b.node(two)) {
                self.pair(one, two);
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
