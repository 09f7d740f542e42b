//! Scales of 16 bits.

use super::{ConstantPlan, Placement, Plan};
use crate::quant::HalfType;

impl Plan {
    /// Makes every scale that is yet to be chosen a number of `kind`, in which nodes compute and Q/DQ stand between them. Biases
    /// stay floating-point numbers: steps of int32 are products of two scales, which `kind` does not hold.
    pub fn scale_in(&mut self, kind: HalfType) {
        for value in &mut self.values {
            let settings = std::iter::once(&mut value.settings).chain(&mut value.also);
            settings.for_each(|settings| settings.scheme.scales = Some(kind));
        }
        let of = |constant: &mut ConstantPlan| constant.scheme.scales = Some(kind);
        self.kept.iter_mut().for_each(|(_, constant)| of(constant));
        for node in &mut self.nodes {
            match &mut node.placement {
                Placement::Integer(integer) => {
                    integer.constants.iter_mut().for_each(of);
                    integer.settings.iter_mut().for_each(|settings| settings.scheme.scales = Some(kind));
                    integer.bias = None;
                }
                Placement::Weight(weights) => weights.iter_mut().for_each(of),
                Placement::Lookup(constant) => of(constant),
                // Scales of layers on grids of each run stay float32, as DynamicQuantizeLinear's.
                _ => {}
            }
        }
        self.bodies.iter_mut().for_each(|body| body.plan.scale_in(kind));
    }
}
