//! The message of a model before tract reads it: nodes get names that tell them apart, and what tract would compute
//! wrongly is said in other words.

use super::failure::{Failure, Label, Labels};
use super::{mend, refuse, unpack};
use crate::tensor::{DataType, TensorType};
use prost::Message as _;
use std::collections::HashSet;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as Dim};
use tract_onnx::pb::type_proto::Value as Kind;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, tensor_proto};
use tract_onnx::tract_hir::internal::*;

/// A model as tract is to read it.
pub struct Message {
    /// The message.
    pub proto: ModelProto,
    /// Which node of the model each of tract's came from.
    pub labels: Labels,
}

impl Message {
    /// Makes a message ready to be parsed. With `strict` it is to be run, and an operator that `onnx` lacks or would
    /// compute wrongly is an error; otherwise only types are asked for.
    ///
    /// # Errors
    /// When `bytes` are no model, or as said above.
    pub fn read(onnx: &tract_onnx::Onnx, bytes: &[u8], strict: bool) -> Result<Self, Failure> {
        // tract's own reader would copy the bytes first.
        let mut proto = ModelProto::decode(bytes).map_err(TractError::from)?;
        let opset = proto.opset_import.iter().find(|i| matches!(i.domain.as_str(), "" | "ai.onnx"));
        let opset = opset.map_or(0, |i| i.version);
        let Some(mut graph) = proto.graph.take() else {
            return Err(Failure::from(format_err!("the model has no graph")));
        };
        if strict {
            refuse::check(onnx, &graph, opset)?;
        }
        let mut taken = HashSet::new();
        gather_names(&graph, &mut taken);
        let mut writer = Writer { opset, taken, next: 0, labels: Labels::default(), refused: None };
        writer.graph(&mut graph, &mut Constants::default(), &[]);
        if let Some((label, why)) = writer.refused.filter(|_| strict) {
            return Err(Failure::at(label, why));
        }
        proto.graph = Some(graph);
        Ok(Self { proto, labels: writer.labels })
    }
}

impl Message {
    /// Whether inputs of the types `inputs` are what the model says that it wants, as far as it does.
    pub fn takes(&self, inputs: &[TensorType]) -> bool {
        let Some(graph) = &self.proto.graph else { return false };
        let fed = graph.input.iter().filter(|i| graph.initializer.iter().all(|t| t.name != i.name));
        let fits = |(info, input): (&ValueInfoProto, &TensorType)| {
            stated_type(info).is_none_or(|stated| {
                let same = |(a, b): (&Option<usize>, &Option<usize>)| a.is_none() || b.is_none() || a == b;
                stated.dims.len() == input.dims.len() && stated.dims.iter().zip(&input.dims).all(same)
            })
        };
        fed.clone().count() == inputs.len() && fed.zip(inputs).all(fits)
    }
}

/// The type that a model states for a value.
pub fn stated_type(info: &ValueInfoProto) -> Option<TensorType> {
    let Kind::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    let size = |dim: &Dimension| match dim.value.as_ref()? {
        Dim::DimValue(size) => usize::try_from(*size).ok(),
        Dim::DimParam(_) => None,
    };
    let dims = tensor.shape.as_ref()?.dim.iter().map(size).collect();
    Some(TensorType { dtype: DataType::from_onnx(tensor.elem_type)?, dims })
}

/// Constants that are known by name while a graph is rewritten.
pub type Constants = std::collections::HashMap<String, TensorProto>;

fn gather_names(graph: &GraphProto, taken: &mut HashSet<String>) {
    taken.extend(graph.input.iter().map(|i| i.name.clone()));
    taken.extend(graph.initializer.iter().map(|t| t.name.clone()));
    for node in &graph.node {
        taken.extend(node.output.iter().cloned());
        bodies(node).for_each(|body| gather_names(body, taken));
    }
}

/// The graphs in a node's attributes.
pub fn bodies(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs))
}

/// What to call a node in a message: its name, or that of its first output.
pub fn label(node: &NodeProto) -> Label {
    let first = || node.output.iter().find(|o| !o.is_empty()).cloned().unwrap_or_default();
    let name = if node.name.is_empty() { first() } else { node.name.clone() };
    Label { name, op_type: node.op_type.clone() }
}

/// Rewrites graphs.
pub struct Writer {
    /// The version of ONNX's own operators.
    pub opset: i64,
    taken: HashSet<String>,
    next: usize,
    labels: Labels,
    /// The first node that cannot be said in other words, and why.
    refused: Option<(Label, String)>,
}

impl Writer {
    /// Says that a node cannot be run rightly.
    pub fn refuse(&mut self, node: &NodeProto, why: &str) {
        self.refused.get_or_insert_with(|| (label(node), why.to_owned()));
    }

    /// A value name that nothing has.
    pub fn fresh(&mut self) -> String {
        loop {
            self.next += 1;
            let name = format!("tare_{}", self.next);
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }

    /// `around`: the initializers of the graphs around, innermost last.
    fn graph(&mut self, graph: &mut GraphProto, known: &mut Constants, around: &[&[TensorProto]]) {
        for tensor in &graph.initializer {
            // Only small ones tell an operator how to work.
            if tensor.dims.iter().product::<i64>() <= 64 {
                known.insert(tensor.name.clone(), tensor.clone());
            }
        }
        let nodes = std::mem::take(&mut graph.node);
        // The operator that makes each value, as it stood in the model.
        let makers = nodes.iter().flat_map(|n| n.output.iter().map(|o| (o.clone(), n.op_type.clone()))).collect();
        for mut node in nodes {
            let label = label(&node);
            // tract counts what it finds written.
            while node.input.last().is_some_and(String::is_empty) {
                node.input.pop();
            }
            for attribute in &mut node.attribute {
                for body in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                    let around = [around, &[graph.initializer.as_slice()]].concat();
                    self.graph(body, &mut known.clone(), &around);
                }
            }
            if let Some(value) = node.attribute.iter().find(|a| node.op_type == "Constant" && a.name == "value") {
                known.extend(node.output.first().cloned().zip(value.t.clone()));
            }
            let GraphProto { initializer: initializers, input: inputs, .. } = &mut *graph;
            let mut scope = mend::Scope { writer: self, known, makers: &makers, initializers, inputs, around };
            for mut made in mend::rewritten(node, &mut scope) {
                // Names may repeat, or be left out; the first output is there and unique.
                made.name = made.output.iter().find(|o| !o.is_empty()).cloned().unwrap_or_default();
                self.labels.insert(made.name.clone(), label.clone());
                graph.node.push(made);
            }
        }
        unpack::forget(graph);
        self.separate_outputs(graph);
    }

    /// tract forgets the type of a value that is input and output at once, and takes a graph output that lies outside of
    /// its body for missing: such an output gets a node of its own.
    fn separate_outputs(&mut self, graph: &mut GraphProto) {
        let made: HashSet<String> = graph.node.iter().flat_map(|n| n.output.iter().cloned()).collect();
        for output in graph.output.iter_mut().filter(|o| !made.contains(&o.name)) {
            let copy = self.fresh();
            self.labels.insert(copy.clone(), Label { name: output.name.clone(), op_type: "Identity".to_owned() });
            graph.node.push(NodeProto { name: copy.clone(), ..node("Identity", &[&output.name], &[&copy], vec![]) });
            output.name = copy;
        }
    }
}

/// A node of ONNX's own domain, or one of the operators registered here.
pub fn node(op_type: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let texts = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    let (input, output) = (texts(inputs), texts(outputs));
    NodeProto { op_type: op_type.to_owned(), input, output, attribute, ..NodeProto::default() }
}

/// An integer attribute.
pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i, r#type: AttributeType::Int as i32, ..AttributeProto::default() }
}

/// A text attribute.
pub fn text(name: &str, s: &str) -> AttributeProto {
    let s = s.as_bytes().to_vec();
    AttributeProto { name: name.to_owned(), s, r#type: AttributeType::String as i32, ..AttributeProto::default() }
}

/// A constant of one dimension with float32 or int64 elements.
pub fn row(name: &str, floats: &[f32], ints: &[i64]) -> TensorProto {
    let dtype = if ints.is_empty() { tensor_proto::DataType::Float } else { tensor_proto::DataType::Int64 };
    TensorProto {
        name: name.to_owned(),
        dims: vec![floats.len().max(ints.len()) as i64],
        data_type: dtype as i32,
        float_data: floats.to_vec(),
        int64_data: ints.to_vec(),
        ..TensorProto::default()
    }
}
