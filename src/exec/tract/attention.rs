//! Attention with a mask. Of a query that may look at nothing tract makes what its arithmetic happens to make; ONNX and its
//! runtimes make zeros.

use super::operators::{Built, expansion, stock};
use super::own::{Kernel, Own, Stock, Wired, wrapped};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_hir::internal::*;

/// Which input the mask is.
const MASK: usize = 3;

/// Builds the operator: as tract's, but for those with a mask.
///
/// # Errors
/// When tract cannot read the node.
pub fn build(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let made = stock(context, node, "stock Attention")?;
    match node.input.get(MASK) {
        Some(mask) if !mask.is_empty() => Ok((wrapped(expansion(made)?, wire), vec![])),
        _ => Ok(made),
    }
}

fn wire(stock: &Stock, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
    let mut inputs: TVec<OutletId> = inputs.into();
    let mask = inputs.get_mut(MASK).context("the mask is missing")?;
    let fact = model.outlet_fact(*mask)?;
    if fact.datum_type == bool::datum_type() {
        // As numbers to add, it can be joined with that of the past.
        let rank = fact.rank();
        let mut number = |name: &str, number: f32| {
            model.add_const(format!("{prefix}.{name}"), tensor0(number).broadcast_into_rank(rank)?)
        };
        let (seen, unseen) = (number("seen", 0.0)?, number("unseen", f32::NEG_INFINITY)?);
        *mask = model.wire_node(format!("{prefix}.numbers"), Iff, &[*mask, seen, unseen])?[0];
    }
    let first = model.nodes.len();
    let outlets = stock.wire(prefix, model, &inputs)?;
    let core = model.nodes[first..].iter().find(|node| node.op.name() == "SDPA");
    let core = core.filter(|node| node.inputs.len() > MASK).context("tract's Attention is not what it was")?;
    let (made, readers, mask) = (OutletId::new(core.id, 0), core.outputs[0].successors.clone(), core.inputs[MASK]);
    let sighted = model.wire_node(format!("{prefix}.sighted"), Own(Sighted), &[made, mask])?[0];
    for reader in readers {
        model.add_edge(sighted, reader)?;
    }
    Ok(outlets.into_iter().map(|outlet| if outlet == made { sighted } else { outlet }).collect())
}

/// What attention made, of shape `[batch, heads, queries, size]`, but zeros for the queries that see nothing by the mask, of
/// shape `[batch or 1, heads or 1, queries or 1, keys]`.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Sighted;

/// Whether a number of the mask hides a key. ONNX Runtime takes the lowest finite number for what it stands for.
fn hides(number: f32) -> bool {
    number <= f32::MIN
}

impl Kernel for Sighted {
    fn name(&self) -> StaticName {
        "TareSighted".into()
    }

    fn run(&self, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mask = inputs.remove(1);
        let &[batch, heads, queries, keys] = mask.shape() else { bail!("a mask of rank {}", mask.rank()) };
        let numbers = mask.cast_to::<f32>()?;
        let rows = numbers.try_as_plain_ram()?.as_slice::<f32>()?.chunks(keys.max(1));
        let blind: Vec<bool> = rows.map(|row| row.iter().all(|&number| hides(number))).collect();
        if !blind.contains(&true) {
            return Ok(inputs);
        }
        let mut made = inputs.remove(0).into_tensor();
        let &[_, all_heads, all_queries, size] = made.shape() else { bail!("attention of rank {}", made.rank()) };
        let is_blind = |row: usize| {
            let (outer, query) = (row / all_queries, row % all_queries);
            let (item, head) = (outer / all_heads, outer % all_heads);
            blind[((item % batch) * heads + head % heads) * queries + query % queries]
        };
        match made.datum_type() {
            DatumType::F16 => clear::<f16>(&mut made, size, is_blind)?,
            DatumType::F32 => clear::<f32>(&mut made, size, is_blind)?,
            DatumType::F64 => clear::<f64>(&mut made, size, is_blind)?,
            other => bail!("attention in {other:?} is not re-executed"),
        }
        Ok(tvec!(made.into_tvalue()))
    }
}

fn clear<T: Datum + Copy + Default>(
    tensor: &mut Tensor,
    size: usize,
    is_blind: impl Fn(usize) -> bool,
) -> TractResult<()> {
    let mut view = tensor.try_as_plain_ram_mut()?;
    let rows = view.as_slice_mut::<T>()?.chunks_mut(size.max(1)).enumerate();
    rows.filter(|(row, _)| is_blind(*row)).for_each(|(_, row)| row.fill(T::default()));
    Ok(())
}
