//! Scan, which in opset 8 went over the samples of a batch by itself.

use super::site::Site;
use crate::error::Result;

/// Since 9 a Scan has no batch, and states the axes it goes along. The batch becomes a Scan around it, each of whose steps
/// is one sample.
pub fn scan(site: &mut Site<'_>) -> Result<bool> {
    if site.node().input(0).is_some() {
        return Err(site.error(
            "gives each sample a sequence length of its own, which no Scan since opset 9 does; export the model again \
             with a later opset",
        ));
    }
    if site.node().inputs().is_empty() {
        return Err(site.error("has no inputs"));
    }
    let directions = site.take_ints("directions");
    let inputs = site.node().inputs()[1..].to_vec();
    let count = inputs.len();
    inputs.into_iter().enumerate().for_each(|(slot, value)| site.graph.set_input(site.id, slot, value));
    site.graph.set_input(site.id, count, None);
    if let Some(directions) = directions {
        site.graph.set_ints(site.id, "scan_input_directions", &directions);
    }
    let known = site.known;
    let dtypes: Vec<_> = site.node().inputs().iter().map(|v| v.and_then(|v| known.dtype(v))).collect();
    site.graph.nest(site.id, "body", &dtypes);
    // States, too, have a value for each sample.
    site.graph.set_int(site.id, "num_scan_inputs", count as i64);
    Ok(true)
}
