//! Rows of large tables, as embeddings are, that are looked up before the engine runs: it would hold the whole table, and once
//! more while it reads the model, of which a sample needs a few rows.

use crate::error::{Error, Result};
use crate::ir::{Graph, Model, NodeId, ValueId};
use crate::mapped;
use crate::tensor::{DataType, Tensor};

/// Tables of fewer bytes are left to the engine.
const LARGE: usize = 1 << 20;

/// A Gather of rows of a constant by an input of the model, which is an input itself now.
pub struct Lookup {
    /// What the node is called in messages.
    node: String,
    table: Tensor,
    /// Bytes of one row.
    row: usize,
    /// Which of the model's inputs says the rows.
    indices: usize,
}

/// Takes the Gathers of large tables by inputs out of `model`: what they made becomes inputs behind those that it has, in
/// the order of what is returned.
///
/// # Errors
/// When a table is malformed.
pub fn take_out(model: &mut Model) -> Result<Vec<Lookup>> {
    let graph = &mut model.graph;
    let mut taken = Vec::new();
    for id in graph.node_ids().collect::<Vec<_>>() {
        let Some((made, lookup)) = of(graph, id)? else { continue };
        graph.make_input(made, lookup.table.dtype());
        taken.push(lookup);
    }
    if !taken.is_empty() {
        graph.remove_unused_constants();
    }
    Ok(taken)
}

/// The value that node `id` makes and how to look it up, if that can be done.
fn of(graph: &Graph, id: NodeId) -> Result<Option<(ValueId, Lookup)>> {
    let node = graph.node(id);
    let (Some(data), Some(indices), Some(made)) = (node.input(0), node.input(1), node.output(0)) else {
        return Ok(None);
    };
    let indices = graph.inputs().position(|input| input == indices);
    let Some(indices) = indices.filter(|_| node.is("Gather") && !graph.value(made).is_output()) else {
        return Ok(None);
    };
    let Some(table) = graph.constant(data)?.filter(|table| table.bytes().len() >= LARGE) else { return Ok(None) };
    let Some(&rows) = table.shape().first().filter(|&&rows| rows > 0) else { return Ok(None) };
    let axis = node.attributes().int("axis").unwrap_or(0);
    let whole_bytes = table.dtype().bits().is_some_and(|bits| bits % 8 == 0);
    if !whole_bytes || !(axis == 0 || axis == -(table.shape().len() as i64)) {
        return Ok(None);
    }
    let row = table.bytes().len() / rows;
    Ok(Some((made, Lookup { node: graph.label(id).to_owned(), table, row, indices })))
}

impl Lookup {
    /// The rows that `inputs`, those of the whole model, ask for.
    ///
    /// # Errors
    /// [`Error::Node`] when the table does not have one of them.
    pub fn rows(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let failed = |why: String| Error::node(&self.node, "Gather", why);
        let indices =
            inputs.get(self.indices).ok_or_else(|| failed("its indices are not among the inputs".to_owned()))?;
        if !matches!(indices.dtype(), DataType::Int32 | DataType::Int64) {
            return Err(failed(format!("expected indices of int32 or int64, found {}", indices.dtype())));
        }
        let (count, shape) = (self.table.shape()[0], &self.table.shape()[1..]);
        let mut rows = Vec::with_capacity(indices.len() * self.row);
        for &index in &*indices.to_i64()? {
            let from_front = if index < 0 { index + count as i64 } else { index };
            let place = usize::try_from(from_front).ok().filter(|&place| place < count).ok_or_else(|| {
                failed(format!(
                    "expected indices from {} to {}, as its table has rows, found {index}",
                    -(count as i64),
                    count - 1
                ))
            })?;
            rows.extend_from_slice(&self.table.bytes()[place * self.row..][..self.row]);
        }
        // With every page looked at come some that lie around it: in the end that would be the whole table.
        mapped::let_go(self.table.bytes());
        Tensor::new(self.table.dtype(), [indices.shape(), shape].concat(), rows.into())
    }
}
