//! Inputs and outputs as integers: what stands at the border is the integer tensor itself.

use crate::error::{Error, Result};
use crate::ir::{Graph, ValueId};
use crate::plan::IntegerIo;
use crate::quant::GridType;
use std::collections::HashMap;

/// Puts integers in the place of each input and output of `io`. `quantized` holds what QuantizeLinear makes of each value, by
/// type.
///
/// # Errors
/// When one of them was not quantized.
pub(super) fn expose(
    graph: &mut Graph,
    io: &[IntegerIo],
    quantized: &HashMap<(ValueId, GridType), ValueId>,
) -> Result<()> {
    for one in io {
        let integers = quantized.get(&(one.value, one.dtype)).copied();
        let integers = integers.ok_or_else(|| {
            let name = graph.value(one.value).name();
            Error::value(name, format!("is to be {}, but nothing reads or makes it as integers", one.dtype))
        })?;
        match one.output.map(|index| graph.outputs().nth(index)) {
            None => {
                graph.redirect_readers(integers, one.value);
                graph.set_element_type(one.value, one.dtype.data_type());
            }
            // The value that the output is by now: the dequantized one, where integers make it.
            Some(current) => {
                let current = current.ok_or_else(|| Error::other("plan and model do not belong together"))?;
                graph.hand_over_name(current, integers, &format!("{}_float", graph.value(current).name()));
                graph.set_element_type(integers, one.dtype.data_type());
            }
        }
    }
    Ok(())
}
